// Numbers, times and names as people read them.

/** On pictures, which are dark or bright as they like: boxes have a dark rim. */
const CLASS_COLOURS = {
  car: "#4db8ff", truck: "#ffb02e", bus: "#c79bff", motorcycle: "#5fe39a", bicycle: "#f5e65a", person: "#ff8dc0",
};
export const colourOf = (label) => CLASS_COLOURS[label] ?? "#d5dde6";
/** On the page: a variable of page.css, for light and dark have colours of their own. */
export const variableOf = (label) => `--class-${label in CLASS_COLOURS ? label : "other"}`;
export const inkOf = (label) => `var(${variableOf(label)})`;

const CLASS_ORDER = Object.keys(CLASS_COLOURS);
const rank = (label) => (CLASS_ORDER.includes(label) ? CLASS_ORDER.indexOf(label) : CLASS_ORDER.length);
export const byClass = (a, b) => rank(a) - rank(b) || a.localeCompare(b);

export const CLOCKS = {
  rtcp: "the camera's own clock",
  file: "the film's own time",
  pts: "the stream's time, from when it arrived",
  arrival: "when the picture arrived",
};

/** What each bad state of a camera's health means. */
export const HEALTHS = {
  moved: "it was moved, turned or zoomed, so its lines lie elsewhere on the road. Draw them anew and apply the scene.",
  obstructed: "something covers its lens, in part or whole.",
  blinded: "it sees next to nothing: glare, dirt, fog, or no light.",
  frozen: "it sends the same picture again and again.",
};

const NUMBER = new Intl.NumberFormat("en");
export const number = (value) => (value === null || value === undefined ? "–" : NUMBER.format(value));
export const signed = (value) => (value > 0 ? `+${NUMBER.format(value)}` : value < 0 ? `−${NUMBER.format(-value)}` : "0");

const zoned = (zone, options) => {
  try {
    return new Intl.DateTimeFormat("en-GB", { ...options, timeZone: zone });
  } catch {
    return new Intl.DateTimeFormat("en-GB", { ...options, timeZone: "UTC" });
  }
};
const clockOf = {}, dayOf = {}, partsOf = {};
const HMS = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
export const time = (ms, zone) => (clockOf[zone] ??= zoned(zone, HMS)).format(ms);
export const day = (ms, zone) => (dayOf[zone] ??= zoned(zone, { day: "numeric", month: "short", year: "numeric" })).format(ms);

/** When the day of a moment began, where the camera is. */
export function midnight(ms, zone) {
  const format = (partsOf[zone] ??= zoned(zone, HMS));
  const since = (moment) => {
    const part = Object.fromEntries(format.formatToParts(moment).map(({ type, value }) => [type, Number(value)]));
    return ((part.hour * 60 + part.minute) * 60 + part.second) * 1000 + (moment % 1000);
  };
  const begun = ms - since(ms);
  const off = since(begun); // not 0 where a clock was put forward or back since
  return off === 0 ? begun : off < 12 * 3_600_000 ? begun - off : begun + (24 * 3_600_000 - off);
}

/** 0.4 s, 12 s, 3 min, 2 h 5 min, 4 days. */
export function span(ms) {
  const s = Math.max(0, ms) / 1000;
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 120) return `${Math.round(s)} s`;
  const minutes = Math.round(s / 60);
  if (minutes < 120) return `${minutes} min`;
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  return `${Math.round(minutes / 60 / 24)} days`;
}

const DAY_MS = 86_400_000;
/** How old what was captured then is; null: it carries times of another day, a film's, which say nothing of age. */
export const age = (capturedMs, nowMs) =>
  capturedMs === null || Math.abs(nowMs - capturedMs) > DAY_MS ? null : Math.max(0, nowMs - capturedMs);

export const WAYS = ["to_right", "to_left"];
export const wayName = (line, way) => line?.[way] ?? (way === "to_right" ? "to the right" : "to the left");
export const countKey = (line, way) => `${line}\n${way}`;

/** Totals of /api/v1/counts items by line and way. */
export function totals(items) {
  const out = {};
  for (const { line, direction, count } of items) out[countKey(line, direction)] = (out[countKey(line, direction)] ?? 0) + count;
  return out;
}

/** Crossings in a window of flow. */
export const crossings = (flow) => flow.lines.reduce((sum, line) => sum + line.counts.reduce((all, c) => all + c.count, 0), 0);

/** Where an event happened: its line with its lane, its zone, or from where to where. */
export const eventPlace = (event) =>
  event.line !== undefined ? (event.lane ? `${event.line} (${event.lane})` : event.line)
  : event.zone ?? `${event.from ?? "?"} → ${event.to ?? "?"}`;

/** What happened there, in a few words. */
export function eventWords(event) {
  switch (event.type) {
    case "crossing": return event.direction_name ?? wayName(null, event.direction);
    case "speed": return `${event.trap}: ${Math.round(event.speed_kmh)} km/h, ± ${Math.max(1, Math.round(event.speed_sd_kmh))}`;
    case "entered": return event.began === "appeared" ? "first seen inside" : "came in";
    case "left": return `${event.ended === "crossed" ? "left" : event.ended === "lost" ? "lost from sight" : "no longer watched"} after ${span(event.dwell_ms)}`;
    case "overcrowded": return `overcrowded, up to ${event.vehicles} vehicles, ${event.end_ms === undefined ? "goes on" : `for ${span(event.end_ms - event.captured_ms)}`}`;
    case "movement": return `${event.name ? `${event.name}, ` : ""}${span(event.travel_ms)}${event.legal === false ? ", not legal" : ""}`;
    case "unfinished": return `unfinished${event.likeliest ? `, likeliest ${event.from === undefined ? "from" : "to"} ${event.likeliest} (${Math.round(100 * event.probability)} %)` : ""}`;
    default: return event.type;
  }
}
