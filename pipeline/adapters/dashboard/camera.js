// One camera: its picture with tracks and lines, what crossed them, and what happens as it happens.

import { age, byClass, CLOCKS, countKey, day, eventPlace, eventWords, FlowChart, HEALTHS, inkOf, midnight, number, Scene, Serve, signed, span, Stream, time, totals, WAYS, wayName } from "gantry-page";
import { minutesOf } from "gantry-page/flow_chart.js";

const POLL_MS = 2000;
const SOON_MS = 350; // after an event: the history has it then
const WINDOW_MS = 30_000;
const MINUTES = 30;
const ROWS = 100; // events that are shown
const KEPT = 500; // events that are known, for the minute that goes on
const QUIET_MS = 5000;

const EventList = {
  props: { events: Array, zone: String },
  template: `
    <section class="card events">
      <h2>Events</h2>
      <ol v-if="events.length" aria-live="off">
        <li v-for="event in events" :key="event.id" :data-event="event.id" :class="{ invalid: event.valid === false }" :title="event.valid === false ? 'not counted: the camera was not well' : null">
          <time>{{ time(event.captured_ms, zone) }}</time><i :style="{ background: inkOf(event.class) }"></i>
          <span class="what">{{ event.class ?? "" }}</span><span class="where">{{ eventPlace(event) }} <em>{{ eventWords(event) }}</em></span>
        </li>
      </ol>
      <p v-else class="empty">Nothing has happened yet.</p>
    </section>`,
  methods: { inkOf, time, eventPlace, eventWords },
};

export default {
  components: { EventList, Scene, FlowChart },
  props: { address: String, port: Number, camera: String, root: String },
  template: `
    <section class="camera">
      <p v-if="trouble" class="trouble" role="alert">{{ trouble }}</p>
      <div v-if="missing" class="empty card" role="alert"><h1>There is no camera “{{ camera }}”</h1><p>{{ missing }}</p><p><a :href="root + '/'">All cameras</a></p></div>
      <p v-else-if="!detail && !trouble" class="empty">asks for the camera …</p>
      <div v-if="detail && !missing" class="board">
        <header class="summary">
          <h1>{{ camera }}</h1>
          <span class="state" :class="detail.state">{{ detail.state }}</span>
          <span v-if="ill" class="health" role="status" :data-health="detail.health">{{ detail.health }}</span>
          <span class="age" :class="{ stale: quiet }">{{ ageText }}</span>
          <span class="clock" v-if="clock" :title="'captured times are ' + clocks[clock]">clock: {{ clock }}</span>
        </header>
        <div class="column">
        <figure class="card picture">
          <scene ref="scene" :serve="serve" :camera="camera" :scene="detail.scene" :pixels="pixels && detail.last_captured_ms !== null" :live="detail.state === 'live'" :totals="known" :every="0" :large="true" @shown="noteShown" />
          <figcaption v-if="quiet || ill" class="warning">{{ quiet || ill }}</figcaption>
        </figure>
        <section class="card flow">
          <h2>Crossings by minute <small v-if="minutes.some(({ coverage }) => coverage < 0.95)">shaded: not wholly seen</small>
            <select v-if="lines.length > 1" v-model="line" aria-label="line"><option value="">all lines</option><option v-for="each in lines" :key="each.name" :value="each.name">{{ each.name }}</option></select>
          </h2>
          <flow-chart v-if="minutes.length" :minutes="minutes" :zone="zone" />
          <p v-else class="empty">No minute was seen yet.</p>
        </section>
        <event-list v-if="truth" :events="events" :zone="zone" />
        </div>
        <div class="column">
        <section class="card counts" :class="{ stale: detail.state !== 'live' }">
          <h2>Counted <small v-if="since">since midnight, {{ since }}</small></h2>
          <div class="scroll" v-if="rows.length">
            <table>
              <thead><tr>
                <th scope="col">line, direction</th>
                <th v-for="label in labels" :key="label" scope="col" class="n"><i :style="{ background: inkOf(label) }"></i>{{ label }}</th>
                <th scope="col" class="n">all</th>
              </tr></thead>
              <tbody>
                <tr v-for="row in rows" :key="row.key" :data-line="row.line.name" :data-way="row.way">
                  <th scope="row"><span class="line">{{ row.line.name }}</span> {{ wayName(row.line, row.way) }}</th>
                  <td v-for="label in labels" :key="label" class="n">{{ number(row.counts ? (row.counts[label] ?? 0) : null) }}</td>
                  <td class="n all"><b :key="row.all">{{ number(row.all) }}</b></td>
                </tr>
              </tbody>
            </table>
          </div>
          <p v-else class="empty">No line is drawn in this camera’s picture, so nothing is counted: <code>gantry scenes apply FILE</code>.</p>
          <p v-if="detail.state !== 'live' && rows.length" class="hint">What passes now is not known; these counts stand still.</p>
        </section>
        <section v-if="truth" class="card truth">
          <h2>True and counted <small>until {{ time(truth.untilMs, zone) }}</small></h2>
          <div class="scroll">
            <table>
              <thead><tr><th scope="col">line, direction</th><th scope="col" class="n">true</th><th scope="col" class="n">counted</th><th scope="col" class="n">off</th></tr></thead>
              <tbody>
                <tr v-for="row in truth.rows" :key="row.key" :data-line="row.line" :data-way="row.direction">
                  <th scope="row"><span class="line">{{ row.line }}</span> {{ wayName(lineOf(row.line), row.direction) }}</th>
                  <td class="n true"><b :key="row.true">{{ number(row.true) }}</b></td><td class="n counted"><b :key="row.counted">{{ number(row.counted) }}</b></td><td class="n off">{{ signed(row.counted - row.true) }}</td>
                </tr>
              </tbody>
              <tfoot><tr><th scope="row">all</th><td class="n true">{{ number(truth.true) }}</td><td class="n counted">{{ number(truth.counted) }}</td><td class="n off">{{ signed(truth.counted - truth.true) }}</td></tr></tfoot>
            </table>
          </div>
          <p class="hint">This camera is simulated, so what truly passed is known. Both columns are of one stretch of time; “off” is their difference.</p>
        </section>
        <event-list v-if="!truth" :events="events" :zone="zone" />
        </div>
      </div>
    </section>`,
  data: () => ({
    detail: null, missing: "", trouble: "", counts: null, events: [], minutes: [], truth: null, line: "", clock: null, shown: null,
    heardMs: null, tick: 0, clocks: CLOCKS,
  }),
  created() {
    this.serve = new Serve(this.address || null, this.port);
    Object.assign(this, { flows: new Map(), happened: new Map(), offset: 0, latestMs: null, noTruth: false, path: `/api/v1/cameras/${encodeURIComponent(this.camera)}` });
  },
  mounted() {
    this.poll();
    this.poller = setInterval(() => this.poll(), POLL_MS);
    this.ticker = setInterval(() => (this.tick += 1), 500);
  },
  beforeUnmount() {
    clearInterval(this.poller);
    clearInterval(this.ticker);
    this.stream?.stop();
  },
  watch: {
    line() {
      this.draw();
    },
  },
  computed: {
    pixels() {
      return !this.detail.source.toLowerCase().startsWith("sim+detections://");
    },
    zone() {
      return this.detail?.time_zone ?? "UTC";
    },
    lines() {
      return this.detail.scene?.lines ?? [];
    },
    known() {
      return this.counts ? totals(this.counts.items) : null;
    },
    since() {
      return this.counts ? `${day(this.counts.fromMs, this.zone)}, ${this.zone}` : "";
    },
    labels() {
      return [...new Set((this.counts?.items ?? []).map((item) => item.class))].sort(byClass);
    },
    rows() {
      return this.lines.flatMap((line) => WAYS.map((way) => {
        const key = countKey(line.name, way);
        const items = this.counts?.items.filter((item) => item.line === line.name && item.direction === way);
        return {
          key, line, way, all: this.known ? (this.known[key] ?? 0) : null,
          counts: items ? Object.fromEntries(items.map((item) => [item.class, item.count])) : null,
        };
      }));
    },
    /** Why what is seen is not what is there; empty while it is. */
    quiet() {
      void this.tick;
      const now = Date.now() + this.offset;
      if (this.detail.state === "unknown") {
        const since = this.detail.unknown_since_ms;
        return since === null ? "Nothing was ever heard of this camera." : `Nothing is known of this camera since ${time(since, this.zone)}, for ${span(now - since)}.`;
      }
      const silent = this.heardMs === null ? now - (this.detail.last_heard_ms ?? now) : Date.now() - this.heardMs;
      return silent > QUIET_MS || this.detail.state === "silent" ? `No picture was analysed for ${span(silent)}.` : "";
    },
    /** Why the picture is not to be trusted; empty while it is, or nothing is known. */
    ill() {
      const { health, health_since_ms: since } = this.detail;
      return health && health !== "ok" ? `The camera is ${health} since ${time(since, this.zone)}: ${HEALTHS[health]} What crosses is not counted.` : "";
    },
    ageText() {
      void this.tick;
      const captured = this.shown?.capturedMs ?? this.detail.last_captured_ms;
      if (captured === null) return "no picture yet";
      const old = age(captured, Date.now() + this.offset);
      return `captured ${old === null ? day(captured, this.zone) + ", " : ""}${time(captured, this.zone)}${old === null ? "" : `, ${span(old)} ago`}`;
    },
  },
  methods: {
    inkOf, number, signed, time, wayName,

    async poll() {
      if (document.hidden || this.polling) return;
      this.polling = true;
      try {
        this.detail = this.same(await this.serve.ask(this.path));
        this.missing = this.trouble = "";
        this.stream ??= this.listen();
        await Promise.all([this.count(), this.askTruth()]);
        this.draw();
      } catch (problem) {
        if (problem.status === 404) this.missing = problem.message;
        else if (problem.status === null) {
          this.trouble = `The API does not answer at ${this.serve.base}, or does not let this page read it (serve.origins). What you see stands still. Tries again …`;
        } else this.trouble = problem.message;
      } finally {
        this.polling = false;
      }
    },
    /** A scene that did not change is the same object, so that nothing is drawn anew. */
    same(detail) {
      const old = this.detail?.scene ?? null;
      return JSON.stringify(old) === JSON.stringify(detail.scene) ? { ...detail, scene: old } : detail;
    },

    lineOf(name) {
      return this.lines.find((line) => line.name === name) ?? null;
    },

    listen() {
      return new Stream(this.serve, { camera: this.camera, kinds: ["event", "flow", "tracks"] }, {
        begin: () => this.begin().catch(() => {}), // the stream comes back, and begins again
        snapshot: ({ at_ms }) => (this.offset = at_ms - Date.now()),
        event: (event) => {
          if (event.type === "health") this.poll();
          else this.takeEvents([event]);
          this.soon ??= setTimeout(() => { this.soon = null; this.count().catch(() => {}); }, SOON_MS);
        },
        flow: (flow) => this.takeFlow(flow),
        tracks: (tracks) => {
          this.heardMs = Date.now();
          this.latestMs = tracks.captured_ms;
          this.$refs.scene?.take(tracks);
        },
      });
    },

    /** Ask what was before the stream. */
    async begin() {
      const [events, flow] = await Promise.all([
        this.serve.ask("/api/v1/events", { camera: this.camera, type: "crossing", limit: KEPT }),
        this.serve.ask("/api/v1/flow", { camera: this.camera, window_ms: WINDOW_MS, limit: 2 * MINUTES + 2 }),
      ]);
      flow.items.forEach((window) => this.takeFlow(window));
      this.takeEvents(events.items);
      this.draw();
    },

    takeEvents(items) {
      for (const event of items) {
        if ((this.happened.get(event.id)?.revision ?? -1) < (event.revision ?? 0)) this.happened.set(event.id, event);
      }
      const sorted = [...this.happened.values()].sort((a, b) => b.captured_ms - a.captured_ms);
      for (const event of sorted.splice(KEPT)) this.happened.delete(event.id);
      this.events = sorted.slice(0, ROWS);
      this.clock = sorted[0]?.clock ?? this.clock;
    },
    takeFlow(flow) {
      if (flow.window_ms !== WINDOW_MS || flow.kind !== "camera") return;
      if ((this.flows.get(flow.start_ms)?.revision ?? -1) < (flow.revision ?? 0)) this.flows.set(flow.start_ms, flow);
    },
    noteShown(of) {
      this.shown = of;
      this.clock = of.clock ?? this.clock;
    },

    async count() {
      const now = this.latestMs ?? this.detail.last_captured_ms ?? Date.now() + this.offset;
      const fromMs = midnight(now, this.zone);
      const { items } = await this.serve.ask("/api/v1/counts", { camera: this.camera, from: fromMs });
      this.counts = { fromMs, items };
    },

    async askTruth() {
      if (this.noTruth) return;
      const { items } = await this.serve.ask("/api/v1/truth");
      const rows = items.filter((item) => item.camera === this.camera).map((item) => ({ ...item, key: countKey(item.line, item.direction) }));
      this.noTruth = !items.length && !this.truth; // this serve was given none
      const sum = (name) => rows.reduce((all, row) => all + row[name], 0);
      this.truth = rows.length ? { rows, true: sum("true"), counted: sum("counted"), untilMs: rows[0].until_ms } : null;
    },

    draw() {
      const lastMs = this.latestMs ?? this.detail?.last_captured_ms;
      if (lastMs === null || lastMs === undefined) return;
      for (const start of this.flows.keys()) if (start < lastMs - (MINUTES + 2) * 60_000) this.flows.delete(start);
      const minutes = minutesOf(this.flows.values(), this.happened.values(), { line: this.line, lastMs, many: MINUTES, live: this.detail.state === "live" });
      if (JSON.stringify(minutes) !== JSON.stringify(this.minutes)) this.minutes = minutes;
    },
  },
};
