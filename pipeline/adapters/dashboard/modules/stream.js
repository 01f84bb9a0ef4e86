// The live stream of serve: comes back by itself where it was, and rests while nobody looks at the page.

const AGAIN_MS = 3000;

export class Stream {
  /**
   * @param {import("./serve.js").Serve} serve
   * @param {object} query camera, kinds
   * @param {object} on what to do with each kind of message: snapshot, event, flow, tracks; and
   *   begin (what happened before is not known: ask for it), open (it stands), lost.
   */
  constructor(serve, query, on) {
    this.serve = serve;
    this.query = query;
    this.on = on;
    this.token = null;
    this.look = () => (document.hidden ? this.close() : this.open());
    document.addEventListener("visibilitychange", this.look);
    this.look();
  }

  /** End for good. */
  stop() {
    document.removeEventListener("visibilitychange", this.look);
    this.close();
  }

  open() {
    if (this.source || this.stopped) return;
    const source = (this.source = new EventSource(this.serve.url("/api/v1/stream", { ...this.query, token: this.token })));
    source.onopen = () => {
      this.on.open?.();
      if (this.token === null) this.on.begin?.();
    };
    source.onerror = () => {
      this.on.lost?.();
      // It tries again by itself, unless an answer was refused (too many readers, not ready yet).
      if (source.readyState === EventSource.CLOSED && this.source === source) {
        this.close();
        this.later = setTimeout(() => this.look(), AGAIN_MS);
      }
    };
    for (const kind of ["snapshot", "event", "flow", "tracks"]) {
      source.addEventListener(kind, (message) => {
        if (message.lastEventId) this.token = message.lastEventId;
        this.on[kind]?.(JSON.parse(message.data));
      });
    }
    source.addEventListener("reset", () => this.on.begin?.());
  }

  close() {
    clearTimeout(this.later);
    this.source?.close();
    this.source = null;
  }
}
