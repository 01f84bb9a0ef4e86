// The wall: every camera, what it shows and how much crosses its lines.

import { age, crossings, HEALTHS, number, Scene, Serve, Spark, span, Stream } from "gantry-page";

const POLL_MS = 3000;
const MINUTE_MS = 60_000;
const WINDOW_MS = 30_000;
const BARS = 30; // windows of the small chart: a quarter of an hour
const MOST_TRACKED = 24; // more cameras than that: pictures without boxes, or the stream would be all of tracks

export default {
  components: { Scene, Spark },
  props: { address: String, port: Number, root: String },
  template: `
    <section class="wall">
      <p v-if="trouble" class="trouble" role="alert">{{ trouble }}</p>
      <header v-if="cameras" class="summary">
        <h1>{{ cameras.length === 1 ? "1 camera" : cameras.length + " cameras" }}</h1>
        <span v-for="state in states" :key="state.name" class="state" :class="state.name">{{ state.count }} {{ state.name }}</span>
        <span v-if="cameras.some(ill)" class="health">{{ cameras.filter(ill).length }} not well</span>
      </header>
      <p v-if="!cameras && !trouble" class="empty">asks for the cameras …</p>
      <p v-if="cameras && !cameras.length" class="empty">No camera is registered yet. Write one into your file and <code>gantry cameras apply FILE</code>.</p>
      <div class="tiles">
        <a v-for="camera in cameras" :key="camera.id" class="tile card" :href="root + '/cameras/' + encodeURIComponent(camera.id)" :data-camera="camera.id" :data-state="camera.state">
          <div class="screen">
            <scene v-if="camera.last_captured_ms !== null" :ref="(view) => keep(camera.id, view)" :serve="serve" :camera="camera.id" :scene="scenes[camera.id] ?? null"
              :pixels="pixels(camera)" :live="camera.state === 'live'" :totals="null" :every="every" :large="false" />
            <p v-else>no picture yet</p>
          </div>
          <div class="about">
            <h2>{{ camera.id }}</h2>
            <span v-if="ill(camera)" class="health" :data-health="camera.health" :title="healths[camera.health]">{{ camera.health }}</span>
            <span class="state" :class="camera.state">{{ camera.state }}</span>
          </div>
          <div class="figures" :class="{ stale: camera.state !== 'live' }">
            <p class="rate"><b :key="rates[camera.id]">{{ rateOf(camera) }}</b><span>{{ camera.lines.length ? "crossings in the last minute" : "no line is drawn" }}</span></p>
            <spark :bars="bars[camera.id] ?? []" title="crossings in windows of 30 s, the last quarter of an hour" />
          </div>
          <p class="age"><span v-if="truths[camera.id]" class="truth">counted <b>{{ number(truths[camera.id].counted) }}</b> of <b>{{ number(truths[camera.id].true) }}</b> true</span>{{ ageOf(camera) }}</p>
        </a>
      </div>
    </section>`,
  data: () => ({ cameras: null, trouble: "", scenes: {}, bars: {}, rates: {}, truths: {}, tick: 0, healths: HEALTHS }),
  created() {
    this.serve = new Serve(this.address || null, this.port);
    // Not reactive: they change with every message.
    Object.assign(this, { views: {}, flows: {}, events: {}, latest: {}, heard: {}, offset: 0, asked: new Set() });
  },
  mounted() {
    this.poll();
    this.poller = setInterval(() => this.poll(), POLL_MS);
    this.ticker = setInterval(() => this.count(), 500);
  },
  beforeUnmount() {
    clearInterval(this.poller);
    clearInterval(this.ticker);
    this.stream?.stop();
  },
  computed: {
    states() {
      return ["live", "silent", "unknown"]
        .map((name) => ({ name, count: this.cameras.filter(({ state }) => state === name).length }))
        .filter(({ count }) => count);
    },
    every() {
      return Math.max(250, 80 * (this.cameras?.length ?? 1));
    },
  },
  methods: {
    number,
    ill: ({ health }) => Boolean(health) && health !== "ok",
    pixels: ({ source }) => !source.toLowerCase().startsWith("sim+detections://"),
    keep(id, view) {
      if (view) this.views[id] = view;
      else delete this.views[id];
    },

    async poll() {
      if (document.hidden || this.polling) return;
      this.polling = true;
      try {
        const { items } = await this.serve.ask("/api/v1/cameras");
        this.trouble = "";
        const tracked = items.length <= MOST_TRACKED;
        this.cameras = items;
        for (const camera of items) {
          if (!this.asked.has(camera.id)) this.begin(camera.id);
          if (camera.last_captured_ms !== null) this.late(camera.id, camera.last_captured_ms);
        }
        if (tracked !== this.tracked) this.listen(tracked);
        await this.askTruth();
      } catch (problem) {
        this.trouble =
          problem.status === null
            ? `The API does not answer at ${this.serve.base}, or does not let this page read it (serve.origins). Tries again …`
            : problem.message;
      } finally {
        this.polling = false;
      }
    },

    /** What is true of simulated cameras, where serve was told. */
    async askTruth() {
      if (this.noTruth) return;
      const { items } = await this.serve.ask("/api/v1/truth");
      const sums = {};
      for (const { camera, true: passed, counted } of items) {
        const sum = (sums[camera] ??= { true: 0, counted: 0 });
        sum.true += passed;
        sum.counted += counted;
      }
      this.noTruth = !items.length && !Object.keys(this.truths).length;
      this.truths = sums;
    },

    listen(tracked) {
      this.tracked = tracked;
      this.stream?.stop();
      this.stream = new Stream(this.serve, { kinds: tracked ? ["event", "flow", "tracks"] : ["event", "flow"] }, {
        begin: () => this.cameras.forEach(({ id }) => this.begin(id)),
        snapshot: ({ at_ms }) => (this.offset = at_ms - Date.now()),
        event: (event) => this.takeEvent(event),
        flow: (flow) => this.takeFlow(flow),
        tracks: (tracks) => this.takeTracks(tracks),
      });
    },

    /** Ask what was before the stream. */
    async begin(id) {
      this.asked.add(id);
      try {
        const [detail, events, flow] = await Promise.all([
          this.serve.ask(`/api/v1/cameras/${encodeURIComponent(id)}`),
          this.serve.ask("/api/v1/events", { camera: id, type: "crossing", limit: 200 }),
          this.serve.ask("/api/v1/flow", { camera: id, window_ms: WINDOW_MS, limit: BARS }),
        ]);
        if (JSON.stringify(this.scenes[id] ?? null) !== JSON.stringify(detail.scene)) this.scenes[id] = detail.scene;
        events.items.forEach((event) => this.takeEvent(event));
        flow.items.forEach((window) => this.takeFlow(window));
      } catch {
        this.asked.delete(id); // the next poll tries again
      }
    },

    takeEvent({ type, id, camera, captured_ms, valid }) {
      if (type === "health") return void this.poll();
      const events = (this.events[camera] ??= new Map());
      if (valid === false) events.delete(id);
      else events.set(id, captured_ms);
      this.late(camera, captured_ms);
    },
    takeTracks(tracks) {
      this.heard[tracks.camera] = Date.now();
      this.late(tracks.camera, tracks.captured_ms);
      this.views[tracks.camera]?.take(tracks);
    },
    late(camera, ms) {
      const known = this.latest[camera] ?? -Infinity;
      this.latest[camera] = ms > known || ms < known - 3_600_000 ? ms : known; // a film that began again goes back
    },
    takeFlow(flow) {
      if (flow.kind !== "camera" || flow.window_ms !== WINDOW_MS) return;
      const flows = (this.flows[flow.place] ??= new Map());
      if ((flows.get(flow.start_ms)?.revision ?? -1) < (flow.revision ?? 0)) flows.set(flow.start_ms, flow);
      const last = Math.max(...flows.keys());
      for (const start of flows.keys()) if (start <= last - BARS * WINDOW_MS) flows.delete(start);
      this.bars[flow.place] = Array.from({ length: BARS }, (_, i) => {
        const found = flows.get(last - (BARS - 1 - i) * WINDOW_MS);
        return found ? { count: crossings(found), coverage: found.coverage } : { count: 0, coverage: 0 };
      });
    },
    /** Count anew what lies in the last minute of each camera's time. */
    count() {
      this.tick += 1;
      for (const [camera, events] of Object.entries(this.events)) {
        const from = this.latest[camera] - MINUTE_MS;
        let rate = 0;
        for (const [id, ms] of events) {
          if (ms <= from) events.delete(id);
          else rate += 1;
        }
        if (this.rates[camera] !== rate) this.rates[camera] = rate;
      }
    },
    rateOf(camera) {
      return camera.state === "live" && camera.lines.length && !this.ill(camera) ? (this.rates[camera.id] ?? 0) : "–";
    },
    ageOf(camera) {
      void this.tick;
      const now = Date.now() + this.offset;
      if (camera.state === "unknown") {
        return camera.unknown_since_ms === null ? "nothing was ever heard of it" : `nothing is known since ${span(now - camera.unknown_since_ms)}`;
      }
      const heard = this.heard[camera.id] ? Date.now() - this.heard[camera.id] : now - (camera.last_heard_ms ?? now);
      if (camera.state === "silent") return `no picture was analysed for ${span(now - (this.heard[camera.id] ?? camera.last_heard_ms))}`;
      const old = age(this.latest[camera.id] ?? camera.last_captured_ms, now);
      return old === null ? `told ${span(heard)} ago` : `captured ${span(old)} ago`;
    },
  },
};
