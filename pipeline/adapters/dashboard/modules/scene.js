// What a camera shows: its newest picture that was analysed, with the tracks seen in this very picture, its lines and zones.
//
// Tracks come first, and name the picture they were seen in; that one is asked for and both are drawn at once, so that
// boxes never run ahead of the picture. Without tracks the newest picture is shown now and then.

import { colourOf, countKey, number, WAYS, wayName } from "./words.js";

const TRAIL_MS = 4000;
const QUIET_MS = 2500; // without tracks for so long, the newest picture is asked for
const AGAIN_MS = 2000;
const MISSES = 3; // so many pictures in a row that were gone: detect is so far behind that boxes have no picture
const BEHIND_MS = 10_000; // then the newest picture is shown for so long, before it is tried again

const LATE = "Vehicles are seen so late that their pictures are gone: this is the newest picture, without boxes.";

export default {
  props: {
    serve: Object,
    camera: String,
    scene: Object, // null: no lines
    pixels: Boolean, // false: a simulated camera that shows boxes
    live: Boolean, // false: no new picture is awaited
    totals: Object, // crossings by countKey; null: not known
    every: Number, // the least time between two pictures, in ms
    large: Boolean, // labels, names and counts are written
  },
  emits: ["shown", "note"],
  template: `
    <div class="scene" :class="{ large, bare: !hasPicture }" :style="{ '--aspect': aspect }" :data-boxes="boxes" :data-shown="shown">
      <canvas ref="canvas" role="img" :aria-label="'picture of camera ' + camera"></canvas>
      <svg v-if="scene" :viewBox="'0 0 ' + 1000 * aspect + ' 1000'" preserveAspectRatio="none" aria-hidden="true">
        <polygon v-for="zone in scene.zones ?? []" :key="zone.name" class="zone" :points="zone.points.map(at).join(' ')" />
        <g v-for="line in scene.lines ?? []" :key="line.name" class="line">
          <line class="casing" v-bind="ends(line)" /><line class="core" v-bind="ends(line)" />
          <circle v-for="p in [line.from, line.to]" :cx="1000 * aspect * p[0]" :cy="1000 * p[1]" r="5" />
        </g>
      </svg>
      <template v-if="large && scene">
        <template v-for="line in scene.lines ?? []" :key="line.name">
          <span class="sign name" :style="middle(line)">{{ line.name }}</span>
          <span v-for="way in ways" :key="way" class="sign count" :class="way" :style="corner(line, way)" :title="wayName(line, way)"
            :data-line="line.name" :data-way="way">
            <svg class="arrow" viewBox="-8 -8 16 16" :style="{ transform: 'rotate(' + angle(line, way) + 'deg)' }"><path d="M-6 0H5M0 -5L6 0L0 5" /></svg>
            <b :key="totalOf(line, way)">{{ number(totalOf(line, way)) }}</b>
          </span>
        </template>
      </template>
      <p v-if="note" class="note">{{ note }}</p>
    </div>`,
  data: () => ({ aspect: 16 / 9, boxes: 0, shown: "", note: "", hasPicture: false, ways: WAYS }),
  created() {
    // Not reactive: they change with every picture.
    Object.assign(this, { tracks: null, trails: new Map(), busy: false, seen: false, paintedMs: 0, askedMs: 0, tried: false, misses: 0, behindMs: 0 });
  },
  mounted() {
    if (this.scene) this.aspect = this.scene.drawn_on[0] / this.scene.drawn_on[1];
    this.eye = new IntersectionObserver(([entry]) => {
      this.seen = entry.isIntersecting;
      this.next();
    });
    this.eye.observe(this.$el);
    this.frame = new ResizeObserver(() => this.repaint());
    this.frame.observe(this.$el);
    this.timer = setInterval(() => this.next(), 500);
  },
  beforeUnmount() {
    this.eye.disconnect();
    this.frame.disconnect();
    clearInterval(this.timer);
    this.gone = true;
  },
  watch: {
    scene(scene) {
      if (scene && !this.hasPicture) this.aspect = scene.drawn_on[0] / scene.drawn_on[1];
    },
  },
  methods: {
    number,
    wayName,

    /** A message `tracks` of this camera. */
    take(message) {
      this.tracks = { ...message, atMs: performance.now() };
      this.follow(message);
      this.next();
    },

    follow({ captured_ms: now, tracks }) {
      for (const [id, , x1, , x2, y2] of tracks) {
        const trail = this.trails.get(id) ?? [];
        if (trail.length && trail.at(-1).t > now) trail.length = 0; // a film began again
        trail.push({ t: now, x: (x1 + x2) / 2, y: y2 });
        this.trails.set(id, trail);
      }
      for (const [id, trail] of this.trails) {
        const kept = trail.filter(({ t }) => t <= now && t > now - TRAIL_MS);
        if (kept.length) this.trails.set(id, kept);
        else this.trails.delete(id);
      }
    },

    /** Show what is new, if anything is and it is time. */
    async next() {
      const now = performance.now();
      if (this.busy || this.gone || !this.seen || document.hidden) return;
      const behind = now < this.behindMs;
      const fresh = !behind && this.tracks && this.tracks.atMs > this.paintedMs;
      const quiet = behind || !this.tracks || now - this.tracks.atMs > QUIET_MS;
      if (!this.pixels) {
        if (fresh) this.show(null, this.tracks);
        else if (quiet && this.boxes) this.show(null, null);
        return;
      }
      if (!fresh && !this.live && (this.hasPicture || this.tried)) return; // what was seen last stays
      if (now - this.askedMs < (fresh ? this.every : AGAIN_MS) || !(fresh || quiet)) {
        if (fresh && !this.waiting) this.waiting = setTimeout(() => { this.waiting = null; this.next(); }, this.every - (now - this.askedMs) + 1);
        return;
      }
      this.busy = this.tried = true;
      this.askedMs = now;
      const tracks = fresh ? this.tracks : null;
      try {
        const picture = await this.serve.picture(this.camera, tracks ? { epoch: tracks.epoch, seq: tracks.seq } : {});
        if (this.gone) return picture.bitmap.close();
        this.show(picture, tracks);
        if (tracks) this.misses = 0;
        this.say(behind ? LATE : "");
      } catch (problem) {
        if (tracks) this.paintedMs = tracks.atMs; // that picture is gone: the next one
        if (tracks && problem.status === 404) this.missed();
        else this.say(problem.message);
      } finally {
        this.busy = false;
      }
      this.next();
    },

    missed() {
      this.misses += 1;
      if (this.misses < MISSES) return;
      this.behindMs = performance.now() + BEHIND_MS;
      this.askedMs = 0;
    },

    say(note) {
      if (note !== this.note) this.$emit("note", (this.note = note));
    },

    show(picture, tracks) {
      this.picture?.bitmap.close();
      this.picture = picture;
      this.drawn = tracks;
      this.hasPicture = picture !== null;
      if (picture) this.aspect = picture.bitmap.width / picture.bitmap.height;
      if (tracks) this.paintedMs = tracks.atMs;
      this.boxes = tracks?.tracks.length ?? 0;
      this.shown = picture ? `${picture.epoch}-${picture.seq}` : tracks ? `${tracks.epoch}-${tracks.seq}` : "";
      this.repaint();
      this.$emit("shown", {
        capturedMs: picture?.capturedMs ?? tracks?.captured_ms ?? null, clock: picture?.clock ?? null, tracked: tracks !== null,
      });
    },

    repaint() {
      if (this.painting) return;
      this.painting = requestAnimationFrame(() => {
        this.painting = null;
        this.paint();
      });
    },

    paint() {
      const canvas = this.$refs.canvas;
      if (!canvas) return;
      const ratio = Math.min(2, devicePixelRatio || 1);
      const width = Math.round(canvas.clientWidth * ratio), height = Math.round(canvas.clientHeight * ratio);
      if (!width || !height) return;
      if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
      const pen = canvas.getContext("2d");
      pen.clearRect(0, 0, width, height);
      if (this.picture) pen.drawImage(this.picture.bitmap, 0, 0, width, height);
      if (this.drawn) this.paintTracks(pen, width, height, ratio * (this.large ? 1 : 0.75));
    },

    paintTracks(pen, width, height, unit) {
      pen.lineJoin = pen.lineCap = "round";
      const now = this.drawn.captured_ms;
      for (const [id, label] of this.drawn.tracks) {
        const trail = (this.trails.get(id) ?? []).filter(({ t }) => t <= now);
        for (let i = 1; i < trail.length; i += 1) {
          pen.strokeStyle = colourOf(label);
          pen.globalAlpha = 0.85 * (1 - (now - trail[i].t) / TRAIL_MS);
          pen.lineWidth = 2.5 * unit;
          pen.beginPath();
          pen.moveTo(trail[i - 1].x * width, trail[i - 1].y * height);
          pen.lineTo(trail[i].x * width, trail[i].y * height);
          pen.stroke();
        }
      }
      pen.globalAlpha = 1;
      for (const [, label, x1, y1, x2, y2] of this.drawn.tracks) {
        const box = [x1 * width, y1 * height, (x2 - x1) * width, (y2 - y1) * height];
        pen.beginPath();
        pen.roundRect(...box, 3 * unit);
        pen.strokeStyle = "#0009";
        pen.lineWidth = 4 * unit;
        pen.stroke();
        pen.strokeStyle = colourOf(label);
        pen.lineWidth = 2 * unit;
        pen.stroke();
      }
      if (!this.large) return;
      pen.font = `600 ${11 * unit}px Roboto, system-ui, sans-serif`;
      pen.textBaseline = "middle";
      for (const [, label, x1, y1, x2, , , kmh] of this.drawn.tracks) {
        const fits = (text) => pen.measureText(text).width + 8 * unit <= (x2 - x1) * width;
        const fast = kmh == null ? label : `${label} ${Math.round(kmh)} km/h`;
        const words = fits(fast) ? fast : label;
        const wide = pen.measureText(words).width + 8 * unit, high = 15 * unit;
        if ((x2 - x1) * width < wide) continue; // a far vehicle: its colour says it
        const x = Math.min(x1 * width, width - wide), y = Math.max(0, y1 * height - high - unit);
        pen.fillStyle = colourOf(label);
        pen.beginPath();
        pen.roundRect(x, y, wide, high, 3 * unit);
        pen.fill();
        pen.fillStyle = "#10151b";
        pen.fillText(words, x + 4 * unit, y + high / 2 + 0.5 * unit);
      }
    },

    // --- lines: in pixels of a picture 1000 high

    at([x, y]) {
      return `${1000 * this.aspect * x},${1000 * y}`;
    },
    ends({ from, to }) {
      return { x1: 1000 * this.aspect * from[0], y1: 1000 * from[1], x2: 1000 * this.aspect * to[0], y2: 1000 * to[1] };
    },
    /** Unit vectors along a line, and to the right hand of who stands at `from` and faces `to` (y runs down). */
    along({ from, to }) {
      const x = (to[0] - from[0]) * this.aspect, y = to[1] - from[1], length = Math.hypot(x, y);
      return { x: x / length, y: y / length };
    },
    angle(line, way) {
      const { x, y } = this.along(line);
      return (Math.atan2(x, -y) * 180) / Math.PI + (way === "to_right" ? 0 : 180);
    },
    place([x, y], dx, dy) {
      const within = (share) => `${100 * Math.min(1, Math.max(0, share))}%`;
      return { left: within(x), top: within(y), "--dx": `${dx}px`, "--dy": `${dy}px` };
    },
    middle(line) {
      return this.place([(line.from[0] + line.to[0]) / 2, (line.from[1] + line.to[1]) / 2], 0, 0);
    },
    /** Who goes to the right is counted beside the line's end, who goes to the left beside its beginning. */
    corner(line, way) {
      const { x, y } = this.along(line);
      const side = way === "to_right" ? 1 : -1;
      const [px, py] = way === "to_right" ? line.to : line.from;
      return this.place([px, py], side * (-y * 20 - x * 16), side * (x * 20 - y * 16));
    },
    totalOf(line, way) {
      return this.totals ? (this.totals[countKey(line.name, way)] ?? 0) : null;
    },
  },
};
