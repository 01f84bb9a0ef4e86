// The API of serve, as a browser asks it: questions, and whether it answers.

export class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status; // null: nobody answered
  }
}

export class Serve {
  /**
   * @param {string|null} address of serve as this browser reaches it; null: this page's own host, at `port`.
   * @param {number} port
   */
  constructor(address, port) {
    const host = location.hostname.includes(":") ? `[${location.hostname}]` : location.hostname;
    this.base = (address ?? `${location.protocol}//${host}:${port}`).replace(/\/+$/, "");
  }

  url(path, query = {}) {
    const pairs = Object.entries(query).flatMap(([name, value]) => [value].flat().map((each) => [name, each]));
    const text = new URLSearchParams(pairs.filter(([, value]) => value !== null && value !== undefined)).toString();
    return `${this.base}${path}${text ? `?${text}` : ""}`;
  }

  /** The answer's JSON. Throws Problem. */
  async ask(path, query = {}) {
    return (await this.fetch(path, query)).json();
  }

  /** A picture, and which it is: {bitmap, epoch, seq, capturedMs, clock}. Throws Problem. */
  async picture(camera, query = {}) {
    const answer = await this.fetch(`/api/v1/cameras/${encodeURIComponent(camera)}/picture`, query);
    const told = (name) => answer.headers.get(`gantry-${name}`);
    const bitmap = await createImageBitmap(await answer.blob());
    return {
      bitmap, epoch: Number(told("epoch")), seq: Number(told("seq")), capturedMs: Number(told("captured-ms")), clock: told("clock"),
    };
  }

  async fetch(path, query) {
    let answer;
    try {
      answer = await fetch(this.url(path, query), { cache: "no-store", credentials: "omit", signal: AbortSignal.timeout(20_000) });
    } catch {
      throw new Problem(null, `nobody answers at ${this.base}`);
    }
    if (answer.ok) return answer;
    let detail = answer.statusText;
    try {
      const { errors, detail: told } = await answer.json();
      detail = errors?.length ? errors.map(({ what }) => what).join("; ") : (told ?? detail);
    } catch {
      // it was no problem document: its status says enough
    }
    throw new Problem(answer.status, detail);
  }
}
