// The film around one moment: the nearest picture, its neighbours, the line drawn on them.

const NEIGHBOURS = 2; // pictures shown on either side
const AHEAD = 6; // pictures fetched before they are wanted
const MARGIN = 0.12; // of the picture, around the line in a close-up
const LEAST_CLOSE = 2, MOST_CLOSE = 5;

class Look {
  constructor(survey, jump) {
    this.survey = survey;
    this.times = survey.pictures.map((frame) => survey.times[frame]);
    this.screen = byId("screen");
    this.sheet = this.screen.querySelector(".sheet");
    this.picture = byId("picture");
    this.film = byId("film");
    this.close = false;
    this.fetched = new Map();
    document.documentElement.style.setProperty("--aspect", String(survey.picture_size[0] / survey.picture_size[1]));
    this.thumbs = [];
    for (let i = -NEIGHBOURS; i <= NEIGHBOURS; i++) {
      const button = element("button", { type: "button", className: i ? "" : "now", tabIndex: -1 });
      const sheet = element("div", { className: "sheet" });
      const image = element("img", { alt: "" });
      const svg = vector("svg", { viewBox: "0 0 1 1", preserveAspectRatio: "none" });
      const label = element("small", {});
      sheet.append(image, svg);
      button.append(sheet, label);
      byId("strip-of-pictures").append(button);
      const thumb = { button, sheet, image, svg, label, t: 0 };
      button.addEventListener("click", () => jump(thumb.t));
      this.thumbs.push(thumb);
    }
    new ResizeObserver(() => this.placeSigns()).observe(this.screen);
  }

  setLine(line, ways) {
    this.line = line;
    this.ways = ways;
    const [x1, y1, x2, y2] = [...line.from, ...line.to];
    const draw = (svg, width) => {
      const stroke = (colour, px) => vector("line", {
        x1, y1, x2, y2, "vector-effect": "non-scaling-stroke", style: `stroke: ${colour}; stroke-width: calc(${px}px / var(--grow))`,
      });
      svg.replaceChildren(stroke("#0009", width + 2), stroke("#ffe14d", width));
    };
    draw(byId("overlay"), 2);
    for (const thumb of this.thumbs) draw(thumb.svg, 1);
    byId("signs").replaceChildren(
      element("span", { textContent: "from" }), element("span", { textContent: "to" }),
      element("span", { className: "plus", textContent: `+ ${ways["+"].arrow}` }),
      element("span", { className: "minus", textContent: `\u2212 ${ways["-"].arrow}` }),
      element("span", { className: "spot" }),
    );
    this.frame(null);
  }

  /** What part of the picture is seen: all of it, or the line and, where it is long, the place on it that matters. */
  frame(along) {
    const { from, to } = this.line;
    const wide = Math.abs(to[0] - from[0]) + 2 * MARGIN, high = Math.abs(to[1] - from[1]) + 2 * MARGIN;
    const fits = 1 / Math.max(wide, high);
    const grow = this.close ? Math.min(MOST_CLOSE, Math.max(LEAST_CLOSE, fits)) : 1;
    const share = fits >= grow || along === null ? 0.5 : along;
    const middle = (i) => Math.min(1 - 0.5 / grow, Math.max(0.5 / grow, from[i] + share * (to[i] - from[i])));
    this.view = { grow, x: middle(0), y: middle(1) };
    const move = `scale(${grow}) translate(${(0.5 - this.view.x) * 100}%, ${(0.5 - this.view.y) * 100}%)`;
    this.sheet.style.transform = move;
    for (const thumb of this.thumbs) thumb.sheet.style.transform = move;
    document.documentElement.style.setProperty("--grow", String(grow));
    this.along = along;
    this.placeSigns();
  }

  /** Labels lie beside the picture's own transform, so that they keep their size. */
  placeSigns() {
    if (!this.line) return;
    const box = this.screen.getBoundingClientRect();
    const aspect = this.survey.picture_size[0] / this.survey.picture_size[1];
    const width = Math.min(box.width, box.height * aspect), height = width / aspect;
    const at = ([x, y]) => [
      box.width / 2 + (x - this.view.x) * width * this.view.grow,
      box.height / 2 + (y - this.view.y) * height * this.view.grow,
    ];
    const [from, to] = [at(this.line.from), at(this.line.to)];
    const length = Math.hypot(to[0] - from[0], to[1] - from[1]) || 1;
    const ahead = [(to[0] - from[0]) / length, (to[1] - from[1]) / length], right = [-ahead[1], ahead[0]];
    const beside = (point, on, off) => [point[0] + ahead[0] * on + right[0] * off, point[1] + ahead[1] * on + right[1] * off];
    const spot = beside(from, length * (this.along ?? 0), 0);
    const places = [beside(from, -22, 0), beside(to, 16, 0), beside(to, 16, 26), beside(to, 16, -26), spot];
    [...byId("signs").children].forEach((sign, i) => {
      sign.hidden = i === 4 && this.along === null;
      sign.style.left = `${Math.min(box.width - 24, Math.max(24, places[i][0]))}px`;
      sign.style.top = `${Math.min(box.height - 12, Math.max(12, places[i][1]))}px`;
    });
  }

  /** Show a moment; `along` (share of the line, or null) gets a spot on the line. */
  show(t, along) {
    const nearest = nearestIndex(this.times, t);
    this.put(this.picture, nearest);
    this.picture.alt = `The film at ${clock(this.times[nearest], 0.01)}`;
    byId("caption").textContent = this.film.hidden ? `${clock(t, 0.01)} \u00b7 picture of ${clock(this.times[nearest], 0.01)}` : clock(t, 0.01);
    this.thumbs.forEach((thumb, i) => {
      const index = nearest + i - NEIGHBOURS;
      const there = index >= 0 && index < this.times.length;
      thumb.button.style.visibility = there ? "visible" : "hidden";
      if (!there) return;
      thumb.t = this.times[index];
      this.put(thumb.image, index);
      const apart = this.times[index] - t;
      thumb.label.textContent = `${apart < 0 ? "\u2212" : "+"}${Math.abs(apart).toFixed(2)} s`;
      thumb.button.setAttribute("aria-label", `Go to ${clock(thumb.t, 0.01)}`);
    });
    for (let i = nearest - AHEAD; i <= nearest + AHEAD; i++) this.fetch(i);
    if (along !== this.along) this.frame(along);
    if (!this.film.hidden && Math.abs(this.film.currentTime - t) > 0.02 && this.film.paused) this.film.currentTime = t;
  }

  put(image, index) {
    const source = this.address(index);
    if (image.getAttribute("src") !== source) image.src = source;
  }

  address(index) { return `pictures/${String(index).padStart(6, "0")}.jpg`; }

  fetch(index) {
    if (index < 0 || index >= this.times.length || this.fetched.has(index)) return;
    const image = new Image();
    image.src = this.address(index);
    this.fetched.set(index, image);
    if (this.fetched.size > 60) this.fetched.delete(this.fetched.keys().next().value);
  }
}

/** Index of the value nearest to t in a rising list. */
function nearestIndex(values, t) {
  let low = 0, high = values.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] < t) low = middle + 1; else high = middle;
  }
  return low > 0 && t - values[low - 1] <= values[low] - t ? low - 1 : low;
}

function byId(id) { return document.getElementById(id); }

function element(tag, properties) { return Object.assign(document.createElement(tag), properties); }

function vector(tag, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}
