// The slit-scan on its canvas: axis, tiles, marks, cursor; and the overview of the whole film below it.

const AXIS = 22, LANE = 18, LANES = 2, GUTTER = 44;
const TOP = AXIS + LANE * LANES; // where the pixels of the line begin
const STEPS = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600];
const LEAST_SCALE = 8, MOST_SCALE = 1600; // pixels a second
const TILES_KEPT = 32;
const WORDS_FROM = 40; // pixels a second: closer together, flags are but colours

class Strip {
  constructor(canvas, overview, survey, ready) {
    Object.assign(this, { canvas, overview, survey, ready });
    this.scale = 100;
    this.left = 0; // seconds at the left edge
    this.flags = []; // where marks were drawn, for the mouse
    this.images = new Map();
    this.end = survey.times[survey.times.length - 1] + survey.step;
  }

  get width() { return Math.max(50, this.canvas.clientWidth - GUTTER); }
  get height() { return this.canvas.clientHeight; }
  get body() { return this.height - TOP; }
  get span() { return this.width / this.scale; }
  get fit() { return Math.min(MOST_SCALE, Math.max(LEAST_SCALE, this.width / (this.end + this.survey.step))); }

  xOf(t) { return GUTTER + (t - this.left) * this.scale; }
  tOf(x) { return this.left + (x - GUTTER) / this.scale; }
  alongOf(y) { return Math.min(1, Math.max(0, (y - TOP) / this.body)); }

  setLine(line) { this.line = line; this.images.clear(); }

  zoomTo(scale, t) {
    const x = this.xOf(t);
    this.scale = Math.min(MOST_SCALE, Math.max(Math.min(this.fit, 100), scale));
    this.left = t - (x - GUTTER) / this.scale;
    this.hold();
  }

  /** Keep the film in sight. */
  hold() {
    const least = -this.survey.step;
    this.left = Math.max(least, Math.min(this.left, this.end - this.span));
  }

  show(t) {
    if (t < this.left + this.span * 0.04 || t > this.left + this.span * 0.96) this.left = t - this.span / 2;
    this.hold();
  }

  image(name) {
    let image = this.images.get(name);
    if (!image) {
      image = new Image();
      image.onload = this.ready;
      image.src = `strips/${encodeURIComponent(name)}`;
    }
    this.images.delete(name); // the last one looked at is the last one forgotten
    this.images.set(name, image);
    if (this.images.size > TILES_KEPT) this.images.delete(this.images.keys().next().value);
    return image.complete && image.naturalWidth ? image : null;
  }

  draw(marks, chosen, cursor, hover) {
    const pen = sharp(this.canvas);
    const ink = colours(this.canvas);
    pen.fillStyle = ink.card;
    pen.fillRect(0, 0, this.canvas.clientWidth, this.height);
    this.drawBody(pen, ink);
    this.drawAxis(pen, ink);
    this.drawEnds(pen, ink);
    pen.save();
    pen.beginPath();
    pen.rect(GUTTER, 0, this.width, this.height);
    pen.clip();
    if (hover !== null) upright(pen, this.xOf(hover), AXIS, this.height, "#fff8", 1);
    this.drawMarks(pen, ink, marks, chosen);
    this.drawCursor(pen, ink, cursor);
    pen.restore();
  }

  drawBody(pen, ink) {
    const { survey } = this;
    pen.fillStyle = hatch(pen, ink);
    pen.fillRect(GUTTER, TOP, this.width, this.body);
    const half = survey.step / 2;
    pen.save();
    pen.beginPath();
    pen.rect(GUTTER, TOP, this.width, this.body);
    pen.clip();
    pen.imageSmoothingEnabled = this.scale * survey.step < 8; // wider columns are told apart
    pen.imageSmoothingQuality = "high";
    for (const [first, count] of survey.runs) {
      const from = this.xOf(survey.times[first] - half), to = this.xOf(survey.times[first + count - 1] + half);
      if (to < GUTTER || from > GUTTER + this.width) continue;
      const tile = Math.floor(first / survey.tile);
      const image = this.image(this.line.tiles[tile]);
      if (image) pen.drawImage(image, first - tile * survey.tile, 0, count, image.naturalHeight, from, TOP, Math.max(to - from, 1), this.body);
    }
    pen.restore();
  }

  drawAxis(pen, ink) {
    const step = STEPS.find((s) => s * this.scale >= 70) || STEPS[STEPS.length - 1];
    const small = step / (step * this.scale >= 140 ? 10 : 5);
    pen.font = "12px system-ui, sans-serif";
    pen.textBaseline = "middle";
    for (let i = Math.max(0, Math.floor(this.left / small)); i * small <= Math.min(this.end, this.left + this.span); i++) {
      const t = i * small, x = this.xOf(t);
      if (x < GUTTER - 1) continue;
      const main = Math.abs(t / step - Math.round(t / step)) < 1e-6;
      upright(pen, x, main ? 2 : AXIS - 6, AXIS, main ? ink.dim : ink.edge, 1);
      if (main) {
        pen.fillStyle = ink.ink;
        const text = clock(t, step);
        if (x + 4 + pen.measureText(text).width < GUTTER + this.width) pen.fillText(text, x + 4, 9);
        upright(pen, x, TOP, this.height, "#ffffff30", 1);
      }
    }
  }

  drawEnds(pen, ink) {
    pen.fillStyle = ink.card;
    pen.fillRect(0, TOP, GUTTER, this.body);
    pen.fillStyle = ink.dim;
    pen.font = "12px system-ui, sans-serif";
    pen.textBaseline = "top";
    pen.fillText("from", 6, TOP + 2);
    pen.textBaseline = "bottom";
    pen.fillText("to", 6, this.height - 2);
    pen.strokeStyle = ink.dim;
    pen.beginPath();
    pen.moveTo(14, TOP + 22);
    pen.lineTo(14, this.height - 22);
    pen.moveTo(10, this.height - 28);
    pen.lineTo(14, this.height - 22);
    pen.lineTo(18, this.height - 28);
    pen.stroke();
    pen.textBaseline = "middle";
    pen.fillText("time", 6, 9);
  }

  drawMarks(pen, ink, marks, chosen) {
    this.flags = [];
    const taken = new Array(LANES).fill(-Infinity);
    pen.font = "600 12px system-ui, sans-serif";
    for (const mark of marks) {
      const x = this.xOf(mark.t);
      const text = this.scale < WORDS_FROM ? "" : `${mark.direction === "+" ? "+" : "\u2212"} ${mark.class}${mark.optional ? "?" : ""}`;
      const width = text ? pen.measureText(text).width + 10 : 5;
      let lane = taken.findIndex((end) => end < x - 2);
      if (lane < 0) lane = taken.indexOf(Math.min(...taken));
      taken[lane] = x + width;
      if (x + width < GUTTER - 40 || x > GUTTER + this.width + 40) continue;
      const top = AXIS + lane * LANE;
      const colour = mark.direction === "+" ? ink.plus : ink.minus;
      const picked = mark.id === chosen;
      const y = mark.along === null ? null : TOP + mark.along * this.body;
      const foot = y === null ? this.height : y;
      pen.setLineDash(mark.optional ? [5, 4] : []);
      if (text || picked) upright(pen, x, TOP, foot, "#fffc", picked ? 5 : 3);
      upright(pen, x, top + LANE - 3, foot, colour, picked ? 3 : 1.5);
      pen.setLineDash([]);
      pen.fillStyle = colour;
      pen.beginPath();
      pen.roundRect(x - 1, top, width, LANE - 3, 3);
      pen.fill();
      if (picked) { pen.lineWidth = 2; pen.strokeStyle = ink.ink; pen.stroke(); }
      pen.fillStyle = ink.card;
      pen.textBaseline = "middle";
      pen.fillText(text, x + 4, top + LANE / 2 - 1);
      if (y !== null) dot(pen, x, y, picked ? 7 : text ? 5 : 3, colour);
      this.flags.push({ id: mark.id, x, y, box: [x - 1, top, width, LANE - 3] });
    }
  }

  drawCursor(pen, ink, t) {
    const x = this.xOf(t);
    upright(pen, x, 0, this.height, ink.cursor, 1.5);
    pen.fillStyle = ink.cursor;
    pen.beginPath();
    pen.moveTo(x - 6, 0);
    pen.lineTo(x + 6, 0);
    pen.lineTo(x, 8);
    pen.fill();
  }

  /** The id of the mark under the mouse, or null. */
  markAt(x, y) {
    for (const flag of [...this.flags].reverse()) {
      const [left, top, width, height] = flag.box;
      const onFlag = x >= left - 2 && x <= left + width && y >= top - 1 && y <= top + height + 2;
      const onDot = flag.y !== null && Math.hypot(x - flag.x, y - flag.y) <= 9;
      const onLine = flag.y === null && y > TOP && Math.abs(x - flag.x) <= 4;
      if (onFlag || onDot || onLine) return flag.id;
    }
    return null;
  }

  drawOverview(marks, cursor) {
    const pen = sharp(this.overview);
    const ink = colours(this.overview);
    const width = this.overview.clientWidth - GUTTER, height = this.overview.clientHeight;
    const x = (t) => GUTTER + (t / this.end) * width;
    pen.fillStyle = ink.card;
    pen.fillRect(0, 0, width + GUTTER, height);
    const image = this.image(this.line.overview);
    const { survey } = this;
    if (image) {
      const share = image.naturalWidth / survey.frames;
      let drawn = -1;
      for (const [first, count] of survey.runs) {
        const from = x(survey.times[first]), to = x(survey.times[first + count - 1] + survey.step);
        if (to < drawn + 0.5) continue; // thousands of short runs are one column
        pen.drawImage(image, first * share, 0, Math.max(count * share, 0.5), image.naturalHeight, from, 0, Math.max(to - from, 1), height);
        drawn = to;
      }
    }
    for (const mark of marks) upright(pen, x(mark.t), 0, height, mark.direction === "+" ? ink.plus : ink.minus, 2);
    upright(pen, x(cursor), 0, height, ink.cursor, 1.5);
    const from = Math.max(GUTTER, x(this.left)), to = Math.min(GUTTER + width, x(this.left + this.span));
    pen.fillStyle = "#0009";
    pen.fillRect(GUTTER, 0, from - GUTTER, height);
    pen.fillRect(to, 0, GUTTER + width - to, height);
    pen.strokeStyle = ink.ink;
    pen.lineWidth = 2;
    pen.strokeRect(from + 1, 1, Math.max(2, to - from - 2), height - 2);
    pen.fillStyle = ink.dim;
    pen.font = "12px system-ui, sans-serif";
    pen.textBaseline = "middle";
    pen.fillText("all", 6, height / 2);
  }

  overviewTime(x) { return ((x - GUTTER) / (this.overview.clientWidth - GUTTER)) * this.end; }
}

/** A canvas as sharp as the screen; its 2D context in CSS pixels. */
function sharp(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const width = Math.round(canvas.clientWidth * ratio), height = Math.round(canvas.clientHeight * ratio);
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  return pen;
}

function colours(element) {
  const style = getComputedStyle(element);
  return Object.fromEntries(["card", "ink", "dim", "edge", "plus", "minus", "cursor"].map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

function upright(pen, x, from, to, colour, width) {
  pen.strokeStyle = colour;
  pen.lineWidth = width;
  pen.beginPath();
  pen.moveTo(x, from);
  pen.lineTo(x, to);
  pen.stroke();
}

function dot(pen, x, y, radius, colour) {
  pen.beginPath();
  pen.arc(x, y, radius, 0, 7);
  pen.fillStyle = colour;
  pen.fill();
  pen.lineWidth = 2;
  pen.strokeStyle = "#fff";
  pen.stroke();
}

/** Where the film has no frames. */
function hatch(pen, ink) {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 8;
  const draw = tile.getContext("2d");
  draw.strokeStyle = ink.edge;
  draw.moveTo(0, 8);
  draw.lineTo(8, 0);
  draw.stroke();
  return pen.createPattern(tile, "repeat");
}

/** 83.5 -> 1:23.5, with as many digits as `step` needs. */
function clock(t, step) {
  const digits = step >= 1 ? 0 : step >= 0.1 ? 1 : 2;
  const units = Math.round(t * 10 ** digits), minute = 60 * 10 ** digits;
  const minutes = Math.floor(units / minute);
  const seconds = ((units - minutes * minute) / 10 ** digits).toFixed(digits);
  return `${minutes}:${seconds.padStart(digits ? digits + 3 : 2, "0")}`;
}
