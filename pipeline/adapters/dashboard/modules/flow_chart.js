// Crossings of the last minutes, by class. Minutes that were not seen, or only partly, are shaded.

import { echarts } from "nicegui-echart";
import { byClass, time, variableOf } from "./words.js";

const MINUTE_MS = 60_000;
const UNTOLD_MS = 45_000; // a window and its grace; what is older and has no window was not seen

export default {
  props: { minutes: Array /* {startMs, coverage, counts: {class: n}} */, zone: String },
  template: `<div class="flow-chart" role="img" aria-label="crossings of each of the last minutes, by class"></div>`,
  mounted() {
    this.chart = echarts.init(this.$el, null, { renderer: "svg" });
    this.frame = new ResizeObserver(() => this.chart.resize());
    this.frame.observe(this.$el);
    this.themed = new MutationObserver(() => this.draw());
    this.themed.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    this.draw();
  },
  beforeUnmount() {
    this.frame.disconnect();
    this.themed.disconnect();
    this.chart.dispose();
  },
  watch: {
    minutes() {
      this.draw();
    },
  },
  methods: {
    draw() {
      const style = getComputedStyle(document.documentElement), hue = (name) => style.getPropertyValue(name).trim();
      const labels = [...new Set(this.minutes.flatMap(({ counts }) => Object.keys(counts)))].sort(byClass);
      const dim = { color: hue("--dim"), fontFamily: "Roboto, system-ui, sans-serif" };
      this.chart.setOption(
        {
          animationDuration: 300,
          textStyle: dim,
          grid: { left: 36, right: 8, top: labels.length ? 30 : 10, bottom: 24 },
          legend: { top: 0, left: 0, icon: "roundRect", itemWidth: 10, itemHeight: 10, textStyle: dim, data: labels },
          tooltip: {
            trigger: "axis", axisPointer: { type: "shadow" }, backgroundColor: hue("--card"), borderColor: hue("--edge"),
            textStyle: { ...dim, color: hue("--ink") },
          },
          xAxis: [{
            type: "category", data: this.minutes.map(({ startMs }) => time(startMs, this.zone).slice(0, 5)),
            axisTick: { show: false }, axisLine: { lineStyle: { color: hue("--edge") } }, axisLabel: { ...dim, hideOverlap: true },
          }, { type: "category", show: false, data: this.minutes.map(({ startMs }) => startMs) }],
          yAxis: [
            { type: "value", minInterval: 1, splitLine: { lineStyle: { color: hue("--edge") } }, axisLabel: dim },
            { type: "value", show: false, min: 0, max: 1 },
          ],
          series: labels.map((label) => ({
            name: label, type: "bar", stack: "all", barCategoryGap: "22%", barMaxWidth: 26, itemStyle: { color: hue(variableOf(label)), borderColor: hue("--card"), borderWidth: 0.5 },
            data: this.minutes.map(({ counts, coverage }) => (coverage > 0 ? (counts[label] ?? 0) : null)),
          })).concat({
            name: "not wholly seen", type: "bar", xAxisIndex: 1, yAxisIndex: 1, barWidth: "100%", silent: true, tooltip: { show: false }, z: 0, animation: false,
            itemStyle: { color: hue("--hatch") }, data: this.minutes.map(({ coverage }) => (coverage < 0.95 ? 1 : null)),
          }),
        },
        { notMerge: true },
      );
    },
  },
};

/** The last minutes out of windows of 30 s and, behind them, events: {startMs, coverage, counts}. */
export function minutesOf(flows, events, { line, lastMs, many, live }) {
  const last = Math.floor(lastMs / MINUTE_MS) * MINUTE_MS;
  const minutes = Array.from({ length: many }, (_, i) => ({ startMs: last - (many - 1 - i) * MINUTE_MS, coverage: 0, counts: {} }));
  const by = new Map(minutes.map((minute) => [minute.startMs, minute]));
  const add = (minute, label, count) => (minute.counts[label] = (minute.counts[label] ?? 0) + count);
  let end = -Infinity;
  for (const flow of flows) {
    end = Math.max(end, flow.start_ms + flow.window_ms);
    const minute = by.get(Math.floor(flow.start_ms / MINUTE_MS) * MINUTE_MS);
    if (!minute) continue;
    minute.coverage += (flow.coverage * flow.window_ms) / MINUTE_MS;
    for (const each of flow.lines) if (!line || each.line === line) for (const c of each.counts) add(minute, c.class, c.count);
  }
  for (const event of events) {
    if ((event.type ?? "crossing") !== "crossing") continue;
    const minute = by.get(Math.floor(event.captured_ms / MINUTE_MS) * MINUTE_MS);
    if (minute && event.valid !== false && event.captured_ms >= end && (!line || event.line === line)) add(minute, event.class, 1);
  }
  // Windows are told some seconds after they are over: what goes on is seen while the camera is live.
  const since = Math.max(end, lastMs - UNTOLD_MS);
  if (live) for (const minute of minutes) minute.coverage += Math.min(MINUTE_MS, Math.max(0, minute.startMs + MINUTE_MS - since)) / MINUTE_MS;
  return minutes;
}
