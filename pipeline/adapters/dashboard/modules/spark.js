// Small bars of the last windows; what was not seen is hatched, never a bar of height nothing.

export default {
  props: { bars: Array /* {count, coverage}; coverage 0: not seen */, title: String },
  template: `
    <svg class="spark" :viewBox="'0 0 ' + 4 * bars.length + ' 24'" preserveAspectRatio="none" role="img" :aria-label="title">
      <defs><pattern id="unseen" width="3" height="3" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path d="M0 0V3" /></pattern></defs>
      <template v-for="(bar, i) in bars" :key="i">
        <rect v-if="bar.coverage < 0.9" class="unseen" :x="4 * i" y="0" width="4" height="24" fill="url(#unseen)" />
        <rect v-if="bar.coverage > 0" class="bar" :x="4 * i + 0.5" :width="3" :y="24 - high(bar)" :height="high(bar)" :opacity="0.4 + 0.6 * bar.coverage" />
      </template>
    </svg>`,
  methods: {
    high(bar) {
      const most = Math.max(4, ...this.bars.map(({ count }) => count));
      return 1 + (22 * bar.count) / most;
    },
  },
};
