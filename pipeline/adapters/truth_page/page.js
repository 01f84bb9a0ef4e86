// The page: what a person does, and what it changes.

const KEYS = { c: "car", t: "truck", b: "bus", m: "motorcycle", y: "bicycle", p: "person" };
const KEPT = "gantry-truth/";
const DRAG = 4; // pixels before a click is a drag

const survey = readSurvey();
const books = survey.lines.map((line) => new Marks(survey, line)); // one for each line
let book = books[0];
let brush = { direction: "+", class: "car", optional: false };
let cursor = 0; // seconds
let hover = null; // {t, along} under the mouse
let chosen = null; // id of a mark
let playing = null;
let drag = null;
let waiting = false;

const strip = new Strip(byId("scan"), byId("overview"), survey, redraw);
const look = new Look(survey, goTo);

function readSurvey() {
  const data = JSON.parse(byId("survey").textContent);
  let ms = 0;
  data.times = data.steps_ms.map((step) => (ms += step) / 1000);
  const steps = [...data.steps_ms.slice(1)].sort((a, b) => a - b);
  data.step = (steps[steps.length >> 1] || 40) / 1000;
  return data;
}

/** Names, arrows and hints of a line's two directions. */
function waysOf(line) {
  const [width, height] = survey.picture_size;
  const dx = (line.to[0] - line.from[0]) * width, dy = (line.to[1] - line.from[1]) * height;
  const way = (x, y, name) => {
    const arrow = "\u2192\u2198\u2193\u2199\u2190\u2196\u2191\u2197"[Math.round(Math.atan2(y, x) / (Math.PI / 4) + 8) % 8];
    const down = y / Math.hypot(x, y);
    return { arrow, name, moment: down > 0.5 ? "where its streak begins" : down < -0.5 ? "where its streak ends" : "the middle of its streak" };
  };
  return { "+": way(-dy, dx, line.to_right || "to the right"), "-": way(dy, -dx, line.to_left || "to the left") };
}

// --- keeping, saving, loading ------------------------------------------------------------------

function keep() {
  try {
    localStorage.setItem(KEPT + book.line.key, JSON.stringify(book.kept()));
  } catch {
    say("This browser keeps nothing for this page: save before you close it.", true);
  }
}

function restore(one) {
  try {
    one.restore(JSON.parse(localStorage.getItem(KEPT + one.line.key)));
  } catch {
    say("What this browser had kept cannot be read.", true);
  }
}

function save() {
  const name = `${survey.video.replace(/\.[^.]*$/, "")}.${book.line.name}.json`;
  const text = `${JSON.stringify(book.file(), null, 1)}\n`;
  const address = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  const link = element("a", { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
  book.saved = true;
  keep();
  say(`${count(book.marks.length, "mark")} saved as ${name}, where your browser puts downloads.`);
  refresh();
}

async function load(file) {
  try {
    const text = await file.text();
    let data;
    try { data = JSON.parse(text); } catch { throw new Error("it is no JSON"); }
    const target = books.find((one) => sameLine(data?.line, one.line));
    if (!target) throw new Error(data?.line ? "it was counted on another line than this scene's" : "it is no file of marks (it has no line)");
    if (data.frames !== survey.frames) throw new Error(`it was counted on a film of ${data.frames} frames (${data.video}), this one has ${survey.frames}`);
    const had = target.marks.length;
    target.load(data);
    target.saved = true;
    changeLine(target);
    keep();
    say(`${count(book.marks.length, "mark")} loaded from ${file.name}${had ? ` in the place of ${had}; undo brings them back` : ""}.`);
  } catch (error) {
    say(`${file.name} cannot be loaded: ${error.message}.`, true);
  }
}

// --- what can be done ---------------------------------------------------------------------------

/** Run a change of the marks, keep it and show it. */
function act(change) {
  const done = change();
  keep();
  refresh();
  return done;
}

function mark(t, along) {
  const made = act(() => book.add({ ...brush, t: snap(t), along }));
  choose(made.id);
  say(`${describe(made)} marked.`);
}

function choose(id) {
  chosen = id;
  const one = book.get(id);
  if (one) {
    brush = { direction: one.direction, class: one.class, optional: false };
    cursor = one.t;
    strip.show(cursor);
  }
  refresh();
  byId("marks").querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" });
}

/** Change the chosen mark; with none chosen, what the next click marks. */
function set(patch) {
  if (book.get(chosen)) {
    act(() => book.change(chosen, patch));
    say(`${describe(book.get(chosen))}.`);
  }
  if (!("optional" in patch) || !book.get(chosen)) brush = { ...brush, ...patch };
  refresh();
}

function remove(id) {
  const one = book.get(id);
  if (!one) return;
  act(() => book.remove(id));
  if (chosen === id) chosen = null;
  say(`${describe(one)} deleted; undo brings it back.`);
  refresh();
}

function travel(back) {
  const done = act(() => (back ? book.undo() : book.redo()));
  if (!book.get(chosen)) chosen = null;
  say(done ? (back ? "Undone." : "Done again.") : `Nothing to ${back ? "undo" : "redo"}.`);
  refresh();
}

function goTo(t) {
  cursor = snap(t);
  strip.show(cursor);
  redraw();
}

function stepFrames(by) {
  const index = Math.min(survey.frames - 1, Math.max(0, nearestIndex(survey.times, cursor) + by));
  chosen = null;
  goTo(survey.times[index]);
  refresh();
}

function nudge(by) {
  const one = book.get(chosen);
  if (!one) { say("Choose a mark first: click its flag, or press . for the next one."); return; }
  const index = Math.min(survey.frames - 1, Math.max(0, nearestIndex(survey.times, one.t) + by));
  act(() => book.change(chosen, { t: survey.times[index] }));
  choose(chosen);
}

function nextMark(by) {
  const { marks } = book;
  if (!marks.length) return;
  const at = marks.findIndex((one) => one.id === chosen);
  let index = at + by;
  if (at < 0) {
    const later = marks.findIndex((one) => one.t > cursor);
    index = by > 0 ? (later < 0 ? marks.length - 1 : later) : (later < 0 ? marks.length : later) - 1;
  }
  choose(marks[Math.min(marks.length - 1, Math.max(0, index))].id);
}

function play(wanted) {
  if (!wanted) {
    if (playing) cancelAnimationFrame(playing.timer);
    playing = null;
    cursor = snap(cursor);
  } else {
    hover = null;
    chosen = null;
    if (cursor >= survey.times[survey.frames - 1]) cursor = 0;
    playing = { at: performance.now(), from: cursor, speed: Number(byId("speed").value), timer: requestAnimationFrame(playOn) };
  }
  refresh();
}

function playOn(now) {
  if (!playing) return;
  cursor = playing.from + Math.max(0, (now - playing.at) / 1000) * playing.speed;
  const end = survey.times[survey.frames - 1];
  if (cursor >= end) { cursor = end; play(false); return; }
  strip.show(cursor);
  redraw();
  playing.timer = requestAnimationFrame(playOn);
}

function changeLine(one) {
  book = one;
  chosen = null;
  const ways = waysOf(book.line);
  byId("line").value = book.line.name;
  strip.setLine(book.line);
  look.setLine(book.line, ways);
  byId("directions").replaceChildren(...["+", "-"].map((sign) => {
    const text = `${sign === "+" ? "+" : "\u2212"} ${ways[sign].arrow} ${ways[sign].name}`;
    const button = element("button", { type: "button", className: sign === "+" ? "plus" : "minus", textContent: text });
    button.setAttribute("aria-keyshortcuts", sign);
    button.addEventListener("click", () => set({ direction: sign }));
    return button;
  }));
  byId("moments").textContent = ["+", "-"].map((sign) => `for ${ways[sign].name}, ${ways[sign].moment}`).join("; ") + ".";
  byId("how").value = book.how;
  byId("uncertainty").value = book.uncertainty;
  byId("marks").replaceChildren();
  refresh();
}

// --- showing ------------------------------------------------------------------------------------

function redraw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    const one = book.get(chosen);
    strip.draw(book.marks, chosen, cursor, hover && hover.t);
    strip.drawOverview(book.marks, cursor);
    look.show(hover ? hover.t : cursor, hover ? hover.along : one ? one.along : null);
  });
}

function refresh() {
  const ways = waysOf(book.line);
  const one = book.get(chosen) || brush;
  pressed([...byId("directions").children], (_, i) => "+-"[i] === one.direction);
  pressed([...byId("classes").children], (button) => button.dataset.class === one.class);
  byId("uncertain").setAttribute("aria-pressed", String(one.optional));
  byId("play").setAttribute("aria-pressed", String(Boolean(playing)));
  byId("closer").setAttribute("aria-pressed", String(look.close));
  byId("undo").disabled = !book.before.length;
  byId("redo").disabled = !book.after.length;
  byId("delete").disabled = !book.get(chosen);
  byId("hint").textContent = `${ways[one.direction].arrow} ${ways[one.direction].name}: mark ${ways[one.direction].moment} (its lower edge is on the line)`;
  const totals = book.totals();
  byId("totals").replaceChildren(
    ...["+", "-"].map((sign) => {
      const parts = Object.entries(totals[sign]).filter(([name]) => name !== "all").map(([name, n]) => `${name} ${n}`);
      const text = `${sign === "+" ? "+" : "\u2212"} ${ways[sign].name}: ${totals[sign].all}`;
      return element("span", { className: sign === "+" ? "plus" : "minus", textContent: text, title: parts.join(", ") });
    }),
    element("span", { className: "dim", textContent: totals.optional ? `uncertain: ${totals.optional}` : "" }),
  );
  byId("saved").textContent = book.saved ? (book.marks.length ? "saved" : "") : "not saved yet";
  byId("saved").className = book.saved ? "" : "open";
  refreshRows();
  redraw();
}

function refreshRows() {
  const body = byId("marks");
  const rows = new Map([...body.children].map((row) => [Number(row.dataset.id), row]));
  const wanted = book.marks.map((one) => fill(rows.get(one.id) || makeRow(one.id), one));
  const same = wanted.length === body.children.length && wanted.every((row, i) => row === body.children[i]);
  if (!same) body.replaceChildren(...wanted);
  byId("empty").hidden = wanted.length > 0;
}

function makeRow(id) {
  const ways = waysOf(book.line);
  const row = element("tr", {});
  row.dataset.id = id;
  const cell = (child, name) => { const td = element("td", { className: name }); td.append(child); row.append(td); };
  const choice = (name, options) => {
    const select = element("select", { name });
    for (const [value, text] of options) select.append(element("option", { value, textContent: text }));
    select.setAttribute("aria-label", name);
    return select;
  };
  const time = element("input", { type: "number", name: "t", step: "0.001", min: "0" });
  time.setAttribute("aria-label", "seconds");
  const optional = element("input", { type: "checkbox", name: "optional" });
  optional.setAttribute("aria-label", "uncertain");
  const note = element("input", { type: "text", name: "note", placeholder: "" });
  note.setAttribute("aria-label", "note");
  const away = element("button", { type: "button", textContent: "\u00d7", title: "Delete" });
  away.setAttribute("aria-label", "delete this mark");
  cell(time);
  cell(choice("direction", ["+", "-"].map((sign) => [sign, `${sign === "+" ? "+" : "\u2212"} ${ways[sign].arrow} ${ways[sign].name}`])));
  cell(choice("class", CLASSES.map((name) => [name, name])));
  cell(optional);
  cell(note, "note");
  cell(away);
  row.addEventListener("focusin", () => { if (chosen !== id) choose(id); });
  row.addEventListener("click", () => { if (chosen !== id && book.get(id)) choose(id); });
  row.addEventListener("change", (event) => {
    const { name, type, value, checked } = event.target;
    if (name === "t") {
      const t = Number(value);
      if (value === "" || !(t >= 0 && t <= strip.end)) say(`${value || "Nothing"} is no time in this film.`, true);
      else act(() => book.change(id, { t: round3(t) }));
    } else {
      act(() => book.change(id, { [name]: type === "checkbox" ? checked : value }));
    }
    choose(id);
  });
  away.addEventListener("click", (event) => { event.stopPropagation(); remove(id); });
  return row;
}

function fill(row, one) {
  row.dataset.direction = one.direction;
  row.setAttribute("aria-selected", String(one.id === chosen));
  const field = (name) => row.querySelector(`[name=${name}]`);
  const write = (input, value) => { if (input.value !== value && (input !== document.activeElement || input.tagName === "SELECT")) input.value = value; };
  const kind = field("class");
  if (![...kind.options].some((option) => option.value === one.class)) kind.append(element("option", { value: one.class, textContent: one.class }));
  write(field("t"), one.t.toFixed(3));
  write(field("direction"), one.direction);
  write(kind, one.class);
  write(field("note"), one.note);
  field("optional").checked = one.optional;
  return row;
}

function pressed(buttons, on) {
  buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(on(button, i))));
}

function say(text, wrong = false) {
  byId("said").textContent = text;
  byId("said").className = wrong ? "wrong" : "";
}

function describe(one) {
  return `${one.class} ${waysOf(book.line)[one.direction].name} at ${clock(one.t, 0.01)}${one.optional ? ", uncertain" : ""}`;
}

function count(n, what) { return `${n} ${what}${n === 1 ? "" : "s"}`; }

/** The time of the nearest frame. */
function snap(t) { return survey.times[nearestIndex(survey.times, t)]; }

// --- the mouse ----------------------------------------------------------------------------------

function placeOf(event) {
  const box = byId("scan").getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}

byId("scan").addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  const [x, y] = placeOf(event);
  const id = strip.markAt(x, y);
  play(false);
  drag = { id, x, y, left: strip.left, moved: false, original: book.get(id) };
  byId("scan").setPointerCapture(event.pointerId);
});

byId("scan").addEventListener("pointermove", (event) => {
  const [x, y] = placeOf(event);
  hover = playing ? null : { t: snap(strip.tOf(x)), along: y > TOP ? strip.alongOf(y) : null };
  if (drag) {
    drag.moved ||= Math.abs(x - drag.x) > DRAG;
    if (drag.moved && drag.original) { // shown at once, done when it is let go
      book.marks = book.marks.map((one) => (one.id === drag.id ? { ...one, t: hover.t } : one));
      chosen = drag.id;
    } else if (drag.moved) {
      strip.left = drag.left - (x - drag.x) / strip.scale;
      strip.hold();
    }
  } else {
    byId("scan").style.cursor = strip.markAt(x, y) === null ? "crosshair" : "ew-resize";
  }
  redraw();
});

byId("scan").addEventListener("pointerup", (event) => {
  if (!drag) return;
  const [x, y] = placeOf(event);
  const was = drag;
  drag = null;
  if (was.original && was.moved) {
    const { t } = book.get(was.id);
    book.marks = book.marks.map((one) => (one.id === was.id ? was.original : one));
    act(() => book.change(was.id, { t }));
    choose(was.id);
    say(`${describe(book.get(was.id))}.`);
  } else if (was.original) {
    choose(was.id);
  } else if (!was.moved && x >= GUTTER) {
    if (y > TOP) mark(strip.tOf(x), round3(strip.alongOf(y)));
    else { chosen = null; goTo(strip.tOf(x)); refresh(); }
  }
});

byId("scan").addEventListener("pointercancel", () => {
  if (drag?.original) book.marks = book.marks.map((one) => (one.id === drag.id ? drag.original : one));
  drag = null;
  redraw();
});
byId("scan").addEventListener("pointerleave", () => { hover = null; redraw(); });

byId("scan").addEventListener("wheel", (event) => {
  event.preventDefault();
  const by = event.deltaMode === 1 ? 30 : 1; // lines or pixels
  const sideways = event.shiftKey ? event.deltaX || event.deltaY : event.deltaX;
  if (Math.abs(sideways) > Math.abs(event.shiftKey ? 0 : event.deltaY)) {
    strip.left += (sideways * by) / strip.scale;
    strip.hold();
  } else {
    strip.zoomTo(strip.scale * 1.0015 ** -(event.deltaY * by), strip.tOf(placeOf(event)[0]));
  }
  redraw();
}, { passive: false });

let panning = false;
function panTo(event) {
  strip.left = strip.overviewTime(event.clientX - byId("overview").getBoundingClientRect().left) - strip.span / 2;
  strip.hold();
  redraw();
}
byId("overview").addEventListener("pointerdown", (event) => { panning = true; byId("overview").setPointerCapture(event.pointerId); panTo(event); });
byId("overview").addEventListener("pointermove", (event) => { if (panning) panTo(event); });
byId("overview").addEventListener("pointerup", () => { panning = false; });

// --- keys ---------------------------------------------------------------------------------------

document.addEventListener("keydown", (event) => {
  const control = event.ctrlKey || event.metaKey;
  const writing = event.target.matches("textarea, select, input:not([type=checkbox])");
  if (byId("help").open) return;
  if (control && event.key.toLowerCase() === "s") { event.preventDefault(); document.activeElement.blur(); save(); return; }
  if (writing) {
    if (event.key === "Escape" || (event.key === "Enter" && event.target.matches("input"))) { event.target.blur(); byId("scan").focus(); }
    return;
  }
  if (control) {
    const key = event.key.toLowerCase();
    if (key === "z" || key === "y") { event.preventDefault(); travel(key === "z" && !event.shiftKey); }
    return;
  }
  if (event.altKey) return;
  const button = event.target.matches("button, summary, input");
  if (button && [" ", "Enter"].includes(event.key)) return; // they press it
  const done = press(event);
  if (done) event.preventDefault();
});

/** Do what a key says; whether it said anything. */
function press(event) {
  const second = Math.max(1, Math.round(1 / survey.step));
  const simple = {
    "+": () => set({ direction: "+" }), "=": () => set({ direction: "+" }),
    "-": () => set({ direction: "-" }), "_": () => set({ direction: "-" }), "\u2212": () => set({ direction: "-" }),
    u: () => set({ optional: !(book.get(chosen) || brush).optional }),
    n: () => writeNote(),
    Delete: () => remove(chosen), Backspace: () => remove(chosen),
    ArrowLeft: () => stepFrames(event.shiftKey ? -second : -1), ArrowRight: () => stepFrames(event.shiftKey ? second : 1),
    ArrowUp: () => zoom(1.4), ArrowDown: () => zoom(1 / 1.4), 0: () => whole(),
    "[": () => nudge(-1), "]": () => nudge(1), ",": () => nextMark(-1), ".": () => nextMark(1),
    Home: () => goTo(0), End: () => goTo(strip.end),
    Enter: () => { play(false); mark(cursor, null); },
    " ": () => play(!playing),
    Escape: () => { play(false); chosen = null; refresh(); },
    s: save, "?": () => byId("help").showModal(),
    z: () => { closeUp(); },
  };
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (KEYS[key]) { set({ class: KEYS[key] }); return true; }
  if (!Object.hasOwn(simple, key)) return false;
  simple[key]();
  return true;
}

function closeUp() {
  look.close = !look.close;
  look.frame(book.get(chosen)?.along ?? null);
  refresh();
}

function zoom(by) { strip.zoomTo(strip.scale * by, hover ? hover.t : cursor); redraw(); }
function whole() { strip.zoomTo(strip.fit, 0); strip.left = 0; strip.hold(); redraw(); }

function writeNote() {
  const row = byId("marks").querySelector("[aria-selected=true]");
  if (row) row.querySelector("[name=note]").focus();
  else say("Choose a mark first: click its flag, or press . for the next one.");
}

// --- buttons ------------------------------------------------------------------------------------

function onClick(id, done) { byId(id).addEventListener("click", done); }
onClick("save", save);
onClick("load", () => byId("file").click());
byId("file").addEventListener("change", async () => { if (byId("file").files[0]) await load(byId("file").files[0]); byId("file").value = ""; });
onClick("help-button", () => byId("help").showModal());
onClick("play", () => play(!playing));
onClick("closer", () => { closeUp(); });
onClick("uncertain", () => set({ optional: !(book.get(chosen) || brush).optional }));
onClick("undo", () => travel(true));
onClick("redo", () => travel(false));
onClick("delete", () => remove(chosen));
onClick("in", () => zoom(1.4));
onClick("out", () => zoom(1 / 1.4));
onClick("whole", whole);
byId("speed").addEventListener("change", () => { if (playing) { play(false); play(true); } });
byId("line").addEventListener("change", () => changeLine(books.find((one) => one.line.name === byId("line").value)));
for (const id of ["how", "uncertainty"]) byId(id).addEventListener("change", () => { book[id] = byId(id).value; book.saved = false; keep(); refresh(); });

/** The film itself, where this browser can play it: first where it lay, else chosen by hand. */
function useFilm(address) {
  const { film } = look;
  film.src = address;
  film.onloadeddata = () => { film.hidden = false; byId("true-film").setAttribute("aria-pressed", "true"); say("The video itself is shown. Its player may be a frame beside the true time."); redraw(); };
  film.onerror = () => {
    film.hidden = true;
    say("This browser cannot play the video from there. Choose it by hand, or go on with the pictures.", true);
    if (!address.startsWith("blob:")) byId("film-file").click();
  };
}
onClick("true-film", () => {
  const { film } = look;
  if (film.hidden) { useFilm(survey.video_path.split("/").map(encodeURIComponent).join("/")); return; }
  film.hidden = true;
  byId("true-film").setAttribute("aria-pressed", "false");
});
byId("film-file").addEventListener("change", () => { const file = byId("film-file").files[0]; if (file) useFilm(URL.createObjectURL(file)); });

// --- beginning ----------------------------------------------------------------------------------

byId("title").textContent = survey.video;
document.title = `${survey.video} \u2013 count by eye`;
byId("line").append(...survey.lines.map((line) => element("option", { value: line.name, textContent: line.name })));
byId("classes").append(...Object.entries(KEYS).map(([key, name]) => {
  const button = element("button", { type: "button" });
  const at = name.indexOf(key);
  button.append(name.slice(0, at), element("u", { textContent: key }), name.slice(at + 1));
  button.dataset.class = name;
  button.setAttribute("aria-keyshortcuts", key);
  button.addEventListener("click", () => set({ class: name }));
  return button;
}));
books.forEach(restore);
changeLine(books[0]);
strip.scale = Math.max(strip.fit, 100);
strip.left = -survey.step;
say("Move the mouse over a streak to see who made it; click to mark it. Press ? for all keys.");
refresh();
window.addEventListener("resize", redraw);
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
window.addEventListener("storage", (event) => { // marked in another window: what was written last holds
  const other = books.find((one) => event.key === KEPT + one.line.key);
  if (other) { restore(other); if (other === book) changeLine(other); }
});
