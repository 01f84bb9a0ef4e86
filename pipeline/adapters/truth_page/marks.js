// What a person has marked on one line: values, their history and their file. Knows nothing of the page.

const CLASSES = ["car", "truck", "bus", "motorcycle", "bicycle", "person"];
const OF_A_CROSSING = ["t_seconds", "direction", "class", "note"];
const OF_A_FILE = [
  "video", "fps", "frames", "size", "name", "line", "direction_convention", "t_seconds_meaning", "match_tolerance_s",
  "crossings", "optional_crossings", "totals", "how_established", "uncertainty",
];

/** Marks of one line. A mark: {id, t (seconds), direction, class, optional, note, along (share of the line or null), rest}. */
class Marks {
  constructor(survey, line) {
    this.survey = survey;
    this.line = line;
    this.marks = [];
    this.how = survey.how_established;
    this.uncertainty = "";
    this.rest = {}; // what a loaded file said besides
    this.saved = true;
    this.before = [];
    this.after = [];
    this.next = 1;
  }

  get(id) { return this.marks.find((mark) => mark.id === id) || null; }

  /** Add a mark; it is returned with its id. */
  add(mark) {
    const made = { optional: false, note: "", along: null, rest: {}, ...mark, id: this.next++ };
    this.take([...this.marks, made]);
    return made;
  }

  change(id, patch) {
    const old = this.get(id);
    if (!old || Object.keys(patch).every((key) => old[key] === patch[key])) return;
    const rest = { ...old.rest };
    if ("t" in patch) delete rest.t_center_seconds; // it belonged to the other moment
    this.take(this.marks.map((mark) => (mark.id === id ? { ...mark, rest, ...patch } : mark)));
  }

  remove(id) { if (this.get(id)) this.take(this.marks.filter((mark) => mark.id !== id)); }

  /** Make these the marks; what was there can be had back by undo. */
  take(marks) {
    this.before.push(this.marks);
    this.after = [];
    this.set(marks);
  }

  set(marks) {
    this.marks = [...marks].sort((a, b) => a.t - b.t || a.id - b.id);
    this.saved = false;
  }

  undo() {
    if (!this.before.length) return false;
    this.after.push(this.marks);
    this.set(this.before.pop());
    return true;
  }

  redo() {
    if (!this.after.length) return false;
    this.before.push(this.marks);
    this.set(this.after.pop());
    return true;
  }

  /** {"+": {all, car...}, "-": ..., optional: n} */
  totals() {
    const totals = { "+": { all: 0 }, "-": { all: 0 }, optional: 0 };
    for (const mark of this.marks) {
      if (mark.optional) { totals.optional += 1; continue; }
      const way = totals[mark.direction];
      way.all += 1;
      way[mark.class] = (way[mark.class] || 0) + 1;
    }
    return totals;
  }

  /** The hand count, as it is written. */
  file() {
    const { survey, line } = this;
    const row = (mark) => {
      const crossing = { t_seconds: round3(mark.t), direction: mark.direction, class: mark.class };
      if (mark.note) crossing.note = mark.note;
      return { ...crossing, ...mark.rest };
    };
    const sure = this.marks.filter((mark) => !mark.optional);
    const open = this.marks.filter((mark) => mark.optional);
    const count = (sign) => sure.filter((mark) => mark.direction === sign).length;
    return {
      video: survey.video,
      fps: survey.fps,
      frames: survey.frames,
      size: survey.size,
      name: line.name,
      line: [line.from, line.to],
      direction_convention: survey.direction_convention,
      t_seconds_meaning: survey.t_seconds_meaning,
      match_tolerance_s: survey.match_tolerance_s,
      crossings: sure.map(row),
      ...(open.length ? { optional_crossings: open.map(row) } : {}),
      totals: { "+": count("+"), "-": count("-"), all: sure.length },
      how_established: this.how,
      uncertainty: this.uncertainty,
      ...this.rest,
    };
  }

  /** Take over a hand count; throws an Error that says what is wrong with it, and then nothing is changed. */
  load(data) {
    const end = this.survey.times[this.survey.times.length - 1];
    const rows = (key, optional) => {
      const found = data[key] === undefined ? [] : data[key];
      if (!Array.isArray(found)) throw new Error(`${key} is no list`);
      return found.map((row, index) => {
        const place = `${key}[${index}]`;
        if (!row || typeof row.t_seconds !== "number" || !Number.isFinite(row.t_seconds)) throw new Error(`${place} has no t_seconds`);
        if (row.t_seconds < 0 || row.t_seconds > end + 0.5) throw new Error(`${place}: ${row.t_seconds} s lies outside this film, which ends at ${end.toFixed(2)} s`);
        if (row.direction !== "+" && row.direction !== "-") throw new Error(`${place}: its direction is neither + nor -`);
        if (typeof row.class !== "string" || !row.class) throw new Error(`${place} has no class`);
        return {
          id: this.next++, t: row.t_seconds, direction: row.direction, class: row.class, optional,
          note: typeof row.note === "string" ? row.note : "", along: null, rest: without(row, OF_A_CROSSING),
        };
      });
    };
    if (!data || typeof data !== "object" || !Array.isArray(data.crossings)) throw new Error("it is no file of marks (it has no crossings)");
    this.take([...rows("crossings", false), ...rows("optional_crossings", true)]);
    if (typeof data.how_established === "string") this.how = data.how_established;
    if (typeof data.uncertainty === "string") this.uncertainty = data.uncertainty;
    this.rest = without(data, OF_A_FILE);
  }

  /** What is kept in the browser. */
  kept() {
    const { marks, how, uncertainty, rest, saved, next } = this;
    return { marks, how, uncertainty, rest, saved, next };
  }

  /** Take back what was kept. */
  restore(kept) {
    if (!kept || !Array.isArray(kept.marks)) return;
    this.set(kept.marks);
    this.how = kept.how;
    this.uncertainty = kept.uncertainty;
    this.rest = kept.rest || {};
    this.next = Math.max(kept.next || 1, ...kept.marks.map((mark) => mark.id + 1));
    this.saved = Boolean(kept.saved);
  }
}

/** Whether a file's line is this one; ends may differ by rounding. */
function sameLine(ends, line) {
  const flat = Array.isArray(ends) ? ends.flat() : [];
  return flat.length === 4 && [...line.from, ...line.to].every((share, i) => Math.abs(share - flat[i]) < 1e-3);
}

function round3(value) { return Math.round(value * 1000) / 1000; }

function without(object, keys) {
  return Object.fromEntries(Object.entries(object).filter(([key]) => !keys.includes(key)));
}
