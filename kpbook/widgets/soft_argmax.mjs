// The soft-argmax playground: one or two blobs on a map of logits, and what each read-out says.
//
// Blob 1 is the object: its centre is the truth. The model's traits are the only state; the view
// reads them, and writes every gesture back to them.

import {
  checkControl,
  clamp,
  distanceInCells,
  distributions,
  fitCanvas,
  formatNumber,
  gaussianNoise,
  make,
  meanPosition,
  mode,
  numberIn,
  presence,
  rangeControl,
  spread,
} from "./core.mjs";
import { INKS, LiveFigure, markIcon, mount, setText, strokeMark } from "./figure.mjs";

// ---- the map and its read-outs: no page needed -------------------------------------------------

const LIMITS = {
  height: [-10, 12],
  temperature: [0.05, 20],
  noise: [0, 4],
  background: [-10, 8],
  shift: [-10, 10],
};
const SECOND_BLOB = { x: -0.5, y: 0.45, height: 6 };
const DEFAULTS = { temperature: 1, noise: 0, background: -4, shift: 0, seed: 0, sigma: 2.2 };
const NEAR = 3; // a cell belongs to a blob up to this many standard deviations

/** Plain, safe state from whatever the traits or a link hold. */
export function cleanState(raw) {
  const size = Array.isArray(raw.size) ? raw.size : [];
  const [H, W] = [24, 32].map((n, k) => Math.round(numberIn(size[k], 1, 256, n)));
  const given = Array.isArray(raw.blobs) && raw.blobs.length ? raw.blobs.slice(0, 2) : [{}];
  const blobs = given.map((blob, k) => {
    const usual = k ? SECOND_BLOB : { x: 0.55, y: -0.4, height: 6 };
    return {
      x: round(numberIn(blob?.x, -1, 1, usual.x)),
      y: round(numberIn(blob?.y, -1, 1, usual.y)),
      height: numberIn(blob?.height, ...LIMITS.height, usual.height),
    };
  });
  const state = { H, W, blobs, relu: raw.relu === true || raw.relu === "1" };
  for (const name of ["temperature", "noise", "background", "shift"]) {
    state[name] = numberIn(raw[name], ...LIMITS[name], DEFAULTS[name]);
  }
  state.seed = Math.round(numberIn(raw.seed, 0, 2 ** 32 - 1, DEFAULTS.seed));
  state.sigma = numberIn(raw.sigma, 0.1, 64, DEFAULTS.sigma);
  state.show = raw.show === "logits" ? "logits" : "probability";
  return state;
}

/** Four decimals: what a link carries, so that a link gives the same view to the last digit. */
function round(value) {
  return Math.round(value * 1e4) / 1e4;
}

/**
 * The logits of a state: background, blobs that rise from it to their height, noise, a constant
 * added to all, and at last the ReLU. `unit` is standard normal noise, one number a cell.
 */
export function makeLogits({ H, W, blobs, background, noise, shift, relu, sigma }, unit) {
  const logits = new Float64Array(H * W).fill(background + shift);
  for (const blob of blobs) {
    const column = (blob.x + 1) * 0.5 * (W - 1);
    const row = (blob.y + 1) * 0.5 * (H - 1);
    const gx = Float64Array.from({ length: W }, (_, j) => bump((j - column) / sigma));
    for (let i = 0; i < H; i++) {
      const rise = (blob.height - background) * bump((i - row) / sigma);
      for (let j = 0; j < W; j++) logits[i * W + j] += rise * gx[j];
    }
  }
  if (noise > 0) for (let k = 0; k < logits.length; k++) logits[k] += noise * unit[k];
  return relu ? logits.map((a) => Math.max(0, a)) : logits;
}

function bump(z) {
  return Math.exp(-0.5 * z * z);
}

/** Every number that the figure shows, and the distributions behind them. */
export function readOut(state, logits) {
  const { H, W, blobs, temperature, sigma } = state;
  const { heatmap, joint, separable } = distributions(logits, H, W, temperature);
  const truth = [blobs[0].x, blobs[0].y];
  const points = {
    joint: [meanPosition(joint.x), meanPosition(joint.y)],
    separable: [meanPosition(separable.x), meanPosition(separable.y)],
    mode: mode(logits, H, W),
  };
  const error = {};
  for (const name of Object.keys(points)) {
    error[name] = distanceInCells(points[name], truth, H, W);
  }
  return {
    heatmap,
    joint,
    separable,
    estimates: {
      truth,
      ...points,
      error_cells: error,
      presence: presence(logits),
      spread: spread(heatmap, H, W),
      mass: massNear(heatmap, state, NEAR * sigma),
    },
  };
}

/** Shares of the probability within `radius` cells of each blob, and the rest. */
export function massNear(heatmap, { H, W, blobs }, radius) {
  const near = blobs.map(() => 0);
  for (let i = 0; i < H; i++) {
    for (let j = 0; j < W; j++) {
      const d = blobs.map(({ x, y }) =>
        Math.hypot(j - ((x + 1) / 2) * (W - 1), i - ((y + 1) / 2) * (H - 1)),
      );
      const k = d.length > 1 && d[1] < d[0] ? 1 : 0;
      if (d[k] <= radius) near[k] += heatmap[i * W + j];
    }
  }
  return { blobs: near, elsewhere: Math.max(0, 1 - near.reduce((a, b) => a + b, 0)) };
}

/** The estimates in words, for the line that is read aloud. */
export function describe({ joint, separable, mode: peak, error_cells, presence: m, mass }) {
  const at = ([x, y]) => `x ${formatNumber(x)}, y ${formatNumber(y)}`;
  const off = (cells) => `${formatNumber(cells, 1)} cells from blob 1`;
  const share = Math.round(100 * mass.elsewhere);
  return (
    `Joint estimate: ${at(joint)}, ${off(error_cells.joint)}. ` +
    `Separable: ${at(separable)}, ${off(error_cells.separable)}. ` +
    `Mode: ${at(peak)}, ${off(error_cells.mode)}. ` +
    `Presence ${formatNumber(m)}. ${share} % of the probability lies away from the blobs.`
  );
}

/** A state as the fields of a link. */
export function toFields(state) {
  const fields = {};
  state.blobs.forEach(({ x, y, height }, k) => {
    fields[`blob${k + 1}`] = `${x},${y},${height}`;
  });
  for (const name of ["temperature", "noise", "background", "shift", "seed"]) {
    fields[name] = state[name];
  }
  return { ...fields, relu: state.relu ? 1 : 0, show: state.show };
}

/** The fields of a link as raw state: clean it before use. */
export function fromFields(fields) {
  const blobs = ["blob1", "blob2"]
    .filter((name) => fields[name] !== undefined)
    .map((name) => {
      const [x, y, height] = fields[name].split(",");
      return { x, y, height };
    });
  return { ...fields, blobs };
}

/** Where things lie on the canvas, CSS pixels: the map, and a strip below and right of it. */
export function planCanvas(width, H, W) {
  const left = 24;
  const top = 14;
  const gap = 12;
  const strip = clamp(Math.round(width * 0.13), 40, 68);
  const room = Math.max(40, width - left - gap - strip - 2);
  const cell = Math.min(room / W, (1.3 * room) / H);
  const map = { x: left, y: top, w: cell * W, h: cell * H };
  const ticks = 20;
  return {
    cell,
    map,
    right: { x: left + map.w + gap, y: top, w: strip, h: map.h },
    below: { x: left, y: top + map.h + ticks, w: map.w, h: strip },
    width,
    height: top + map.h + ticks + strip + 4,
  };
}

/** Map coordinates to CSS pixels of the canvas: the border cells' centres are half a cell in. */
export function toCanvas([x, y], plan, H, W) {
  return [
    plan.map.x + (((x + 1) / 2) * (W - 1) + 0.5) * plan.cell,
    plan.map.y + (((y + 1) / 2) * (H - 1) + 0.5) * plan.cell,
  ];
}

/** The inverse of toCanvas; an axis of one cell has only the coordinate 0. */
export function fromCanvas([px, py], plan, H, W) {
  const back = (p, n) => (n > 1 ? (2 * (p / plan.cell - 0.5)) / (n - 1) - 1 : 0);
  return [back(px - plan.map.x, W), back(py - plan.map.y, H)];
}

// ---- colours and marks -------------------------------------------------------------------------

const THEMES = {
  light: { ...INKS.light, joint: INKS.light.cube, separable: INKS.light["end effector"], mode: INKS.light.target,
    low: [243, 245, 248], high: [38, 48, 60] },
  dark: { ...INKS.dark, joint: INKS.dark.cube, separable: INKS.dark["end effector"], mode: INKS.dark.target,
    low: [27, 34, 43], high: [236, 241, 246] },
};

// Marks that differ in shape and nest when they coincide.
const MARKS = { truth: "cross", joint: "dot", separable: "M-6 -6H6V6H-6Z", mode: "target" };

const NAMES = {
  truth: "Truth",
  joint: "Joint",
  separable: "Separable",
  mode: "Mode",
};

/** Paint the map into one pixel a cell; shade 0 is the lowest value, 1 the highest. */
function paintCells(image, values, { low, high }, bend) {
  let [bottom, top] = [Infinity, -Infinity];
  for (const v of values) {
    if (v < bottom) bottom = v;
    if (v > top) top = v;
  }
  if (bend) bottom = 0; // probabilities: white is zero
  const range = top - bottom || 1;
  for (let k = 0; k < values.length; k++) {
    const linear = (values[k] - bottom) / range;
    const shade = bend ? Math.sqrt(linear) : linear;
    for (let c = 0; c < 3; c++) {
      image.data[4 * k + c] = Math.round(low[c] + shade * (high[c] - low[c]));
    }
    image.data[4 * k + 3] = 255;
  }
}

/** One strip: both distributions along an axis, and lines where their means fall. */
function drawProfile(context, box, vertical, profiles, means, theme) {
  const peak = Math.max(...profiles.joint, ...profiles.separable);
  const n = profiles.joint.length;
  const place = (k, p) => {
    const along = (k + 0.5) / n;
    return vertical
      ? [box.x + (p / peak) * box.w, box.y + along * box.h]
      : [box.x + along * box.w, box.y + box.h - (p / peak) * box.h];
  };
  context.strokeStyle = theme.line;
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(...(vertical ? [box.x, box.y] : [box.x, box.y + box.h]));
  context.lineTo(...(vertical ? [box.x, box.y + box.h] : [box.x + box.w, box.y + box.h]));
  context.stroke();
  for (const name of ["joint", "separable"]) {
    context.strokeStyle = context.fillStyle = theme[name];
    context.setLineDash(name === "separable" ? [5, 3] : []);
    context.lineWidth = 1.75;
    context.beginPath();
    profiles[name].forEach((p, k) => context.lineTo(...place(k, p)));
    context.stroke();
    if (name === "joint") {
      context.lineTo(...place(n - 1, 0));
      context.lineTo(...place(0, 0));
      context.globalAlpha = 0.16;
      context.fill();
      context.globalAlpha = 1;
    }
    const k = ((means[name] + 1) / 2) * (n - 1);
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(...place(k, 0));
    context.lineTo(...place(k, peak));
    context.stroke();
  }
  context.setLineDash([]);
}

function drawTicks(context, plan, H, W, theme) {
  context.fillStyle = theme.muted;
  context.font = "11px system-ui, sans-serif";
  context.textBaseline = "middle";
  for (const value of [-1, 0, 1]) {
    const text = value > 0 ? `+${value}` : formatNumber(value, 0);
    const [px, py] = toCanvas([value, value], plan, H, W);
    context.textAlign = "center";
    context.fillText(text, px, plan.map.y + plan.map.h + 10);
    context.textAlign = "right";
    context.fillText(text, plan.map.x - 4, py);
  }
  context.font = "italic 12px system-ui, sans-serif";
  context.textAlign = "center";
  context.fillText("x", toCanvas([0.5, 0], plan, H, W)[0], plan.map.y + plan.map.h + 9);
  context.textAlign = "right";
  context.fillText("y", plan.map.x - 6, toCanvas([0, 0.5], plan, H, W)[1]);
}

function drawFigure(context, plan, cells, state, result, theme) {
  const { H, W } = state;
  const { map } = plan;
  const { estimates } = result;
  context.clearRect(0, 0, plan.width, plan.height);
  context.imageSmoothingEnabled = false;
  context.drawImage(cells, map.x, map.y, map.w, map.h);
  context.strokeStyle = theme.line;
  context.lineWidth = 1;
  context.strokeRect(map.x - 0.5, map.y - 0.5, map.w + 1, map.h + 1);
  drawTicks(context, plan, H, W, theme);
  const means = (axis) => ({
    joint: estimates.joint[axis],
    separable: estimates.separable[axis],
  });
  const along = (axis) => ({ joint: result.joint[axis], separable: result.separable[axis] });
  drawProfile(context, plan.below, false, along("x"), means(0), theme);
  drawProfile(context, plan.right, true, along("y"), means(1), theme);
  for (const name of ["mode", "separable", "truth", "joint"]) {
    const colour = name === "truth" ? theme.ink : theme[name];
    const at = toCanvas(estimates[name], plan, H, W);
    strokeMark(context, MARKS[name], at, colour, theme.halo, { fill: name === "joint" });
  }
}

// ---- the view ----------------------------------------------------------------------------------

const STYLE = `
.figure { --joint: var(--cube); --separable: var(--end-effector); --mode: var(--target); }
.handle span {
  position: absolute; right: -1px; top: -1px; /* outwards: the estimates lie towards the centre */
  width: 18px; height: 18px; border-radius: 50%;
  background: var(--ink); color: var(--surface); font: 700 12px/18px system-ui, sans-serif;
  text-align: center; box-shadow: 0 0 0 1.5px var(--surface);
}
.handle.left span { right: auto; left: -1px; }
.handle.low span { top: auto; bottom: -1px; }
tbody th { display: flex; align-items: center; gap: 7px; line-height: 1.25; }
td.error { font-weight: 600; }
.mark.joint { stroke: var(--joint); fill: var(--joint); }
.mark.separable { stroke: var(--separable); }
.mark.mode { stroke: var(--mode); }
dl { display: grid; grid-template-columns: 1fr auto; gap: 3px 8px; margin: 10px 0 0;
  padding: 8px 0 0; border-top: 1px solid var(--line); font-variant-numeric: tabular-nums; }
dt { color: var(--muted); margin: 0; font-size: 13px; line-height: 20px; }
dd { margin: 0; text-align: right; }
fieldset { border: 0; padding: 0; margin: 0; min-width: 0; display: flex; flex-wrap: wrap;
  gap: 0 16px; align-items: center; }
legend { float: left; padding: 0; margin-right: 2px; }
@container (min-width: 620px) {
  .top { grid-template-columns: minmax(0, 1fr) 250px; align-items: start; }
}
`;

function resultTable(cells) {
  const head = ["Estimate", "x", "y", "error"].map((text) => make("th", { scope: "col" }, text));
  const rows = Object.keys(NAMES).map((name) => {
    cells[name] = ["x", "y", "error"].map((what) => make("td", { class: what }));
    const title = make("th", { scope: "row" }, markIcon(MARKS[name], name), NAMES[name]);
    return make("tr", { "data-row": name }, title, ...cells[name]);
  });
  return make(
    "table",
    {},
    make("caption", {}, "Map coordinates; error in cells"),
    make("thead", {}, make("tr", {}, ...head)),
    make("tbody", {}, ...rows),
  );
}

function factList(facts) {
  const names = {
    presence: "Presence",
    spread: "Spread, map units",
    near: "Probability near blobs",
    elsewhere: "Probability elsewhere",
  };
  const list = make("dl");
  for (const [name, text] of Object.entries(names)) {
    facts[name] = make("dd", { "data-fact": name });
    list.append(make("dt", {}, text), facts[name]);
  }
  return list;
}

const INPUTS = ["blobs", "temperature", "noise", "background", "shift", "relu", "seed", "show"];

class SoftArgmaxView extends LiveFigure {
  constructor(model, host) {
    super(model, host, {
      name: "soft-argmax", title: "Soft-argmax playground", traits: INPUTS, also: ["size", "sigma"], style: STYLE,
    });
    this.second = { ...(this.state().blobs[1] ?? SECOND_BLOB) };
    this.cells = {};
    this.facts = {};
  }

  clean(raw) {
    return cleanState({ size: this.model.get("size"), sigma: this.model.get("sigma"), ...raw });
  }

  toFields(state) {
    return toFields(state);
  }

  fromFields(fields) {
    return fromFields(fields);
  }

  describe() {
    return describe(this.result.estimates);
  }

  setBlob(k, change) {
    const blobs = this.state().blobs;
    Object.assign(blobs[k], change);
    blobs[k].x = round(clamp(blobs[k].x, -1, 1));
    blobs[k].y = round(clamp(blobs[k].y, -1, 1));
    this.set({ blobs });
  }

  showSecond(shown) {
    const first = this.state().blobs[0];
    this.set({ blobs: shown ? [first, { ...this.second }] : [first] });
    this.save.flush();
  }

  changed() {
    const { blobs } = this.state();
    if (blobs[1]) this.second = { ...blobs[1] };
    this.schedule();
  }

  reset() {
    this.second = { ...(cleanState(this.initial).blobs[1] ?? SECOND_BLOB) };
    super.reset();
  }

  // The page's parts, built once.

  parts() {
    this.canvas = make("canvas", {
      role: "img",
      "aria-label": "Heat map with the truth and three estimates; the table gives the numbers.",
    });
    this.image = null;
    this.handles = [0, 1].map((k) => this.buildHandle(k));
    this.stage = make("div", { class: "stage" }, this.canvas, ...this.handles);
    const side = make("div", {}, resultTable(this.cells), factList(this.facts));
    return [
      make("div", { class: "top" }, make("div", {}, this.stage, this.buildShade()), side),
      this.buildControls(),
    ];
  }

  buildHandle(k) {
    const handle = this.handle(`blob${k + 1}`, `Blob ${k + 1}`, [-1, 1], {
      toPoint: (clientX, clientY) => {
        const box = this.canvas.getBoundingClientRect();
        const { H, W } = this.state();
        return fromCanvas([clientX - box.left, clientY - box.top], this.plan, H, W);
      },
      getPoint: () => [this.state().blobs[k].x, this.state().blobs[k].y],
      move: ([x, y]) => this.setBlob(k, { x, y }),
      step: (dx, dy, large) => {
        const { H, W, blobs } = this.state();
        const cells = large ? 5 : 1;
        this.setBlob(k, {
          x: blobs[k].x + (W > 1 ? (2 * dx * cells) / (W - 1) : 0),
          y: blobs[k].y + (H > 1 ? (2 * dy * cells) / (H - 1) : 0),
        });
      },
    });
    handle.append(make("span", { "aria-hidden": "true" }, String(k + 1)));
    return handle;
  }

  buildShade() {
    this.shades = {};
    const options = [
      ["probability", "probability"],
      ["logits", "logits"],
    ].map(([value, text]) => {
      const input = make("input", {
        type: "radio",
        name: "show",
        id: `show-${value}`,
        value,
        change: () => this.set({ show: value }),
      });
      this.shades[value] = input;
      return make("div", { class: "choice" }, input, make("label", { for: input.id }, text));
    });
    return make("fieldset", {}, make("legend", {}, "Shade"), ...options);
  }

  buildControls() {
    const plain = (digits) => (v) => formatNumber(v, digits);
    const range = (name, label, step, digits) => this.range(name, label, LIMITS[name], step, plain(digits));
    const height = (k) =>
      rangeControl({
        id: `height${k + 1}`, label: `Blob ${k + 1}, peak logit`, step: 0.1, show: plain(1),
        min: LIMITS.height[0], max: LIMITS.height[1],
        onInput: (value) => this.setBlob(k, { height: value }),
        onEnd: () => this.save.flush(),
      });
    const logLimits = LIMITS.temperature.map((t) => Math.round(Math.log10(t) * 100) / 100);
    const log = {
      toSlider: Math.log10,
      fromSlider: (v) => clamp(Number((10 ** v).toPrecision(3)), ...LIMITS.temperature),
    };
    this.ranges = {
      height1: height(0),
      height2: height(1),
      background: range("background", "Background logit", 0.1, 1),
      shift: range("shift", "Added to every logit", 0.1, 1),
      noise: range("noise", "Noise, standard deviation", 0.05, 2),
      temperature: this.range("temperature", "Temperature", logLimits, 0.01, (v) => String(Number(v.toPrecision(3))), log),
    };
    this.checks = {
      second: checkControl({ id: "second", label: "Second blob", onInput: (on) => this.showSecond(on) }),
      relu: this.check("relu", "ReLU before the softmax"),
    };
    const r = Object.fromEntries(Object.entries(this.ranges).map(([k, v]) => [k, v.element]));
    return make(
      "div",
      { class: "controls" },
      make("div", {}, r.temperature, r.background, r.shift, this.checks.relu.element),
      make("div", {}, r.noise, r.height1, r.height2, this.checks.second.element),
    );
  }

  buttons() {
    return [make("button", { type: "button", click: () => this.newNoise() }, "New noise")];
  }

  newNoise() {
    const { seed, noise } = this.state();
    this.set({ seed: (seed + 1) % 2 ** 32, noise: noise > 0 ? noise : 0.5 });
    this.save.flush();
  }

  // One frame.

  draw(state) {
    this.logits = makeLogits(state, this.noiseFor(state));
    this.result = readOut(state, this.logits);
    this.paint(state);
    this.write(state);
    this.model.set("estimates", this.result.estimates);
    this.save();
  }

  noiseFor({ H, W, seed }) {
    if (this.noiseKey !== `${H} ${W} ${seed}`) {
      this.noiseKey = `${H} ${W} ${seed}`;
      this.unit = gaussianNoise(H * W, seed);
    }
    return this.unit;
  }

  paint(state) {
    const { H, W } = state;
    const theme = THEMES[this.theme];
    this.plan = planCanvas(Math.max(200, this.stage.clientWidth), H, W);
    const context = fitCanvas(this.canvas, this.plan.width, this.plan.height);
    if (this.image?.width !== W || this.image?.height !== H) {
      this.pixels = make("canvas", { width: W, height: H });
      this.image = new ImageData(W, H);
    }
    const probability = state.show === "probability";
    const values = probability ? this.result.heatmap : this.logits;
    paintCells(this.image, values, theme, probability);
    this.pixels.getContext("2d").putImageData(this.image, 0, 0);
    drawFigure(context, this.plan, this.pixels, state, this.result, theme);
    this.handles.forEach((handle, k) => {
      const blob = state.blobs[k];
      handle.classList.toggle("hidden", !blob);
      if (!blob) return;
      const [px, py] = toCanvas([blob.x, blob.y], this.plan, H, W);
      handle.style.transform = `translate(${px}px, ${py}px)`;
      handle.classList.toggle("left", blob.x < 0);
      handle.classList.toggle("low", blob.y > 0);
      handle.setAttribute("aria-valuenow", blob.x);
      const place = `x ${formatNumber(blob.x)}, y ${formatNumber(blob.y)}`;
      handle.setAttribute("aria-valuetext", place);
    });
  }

  write(state) {
    const { estimates } = this.result;
    for (const name of Object.keys(NAMES)) {
      const [x, y, error] = this.cells[name];
      setText(x, formatNumber(estimates[name][0]));
      setText(y, formatNumber(estimates[name][1]));
      setText(error, name === "truth" ? "" : formatNumber(estimates.error_cells[name], 1));
    }
    const percent = (shares) => `${shares.map((s) => Math.round(100 * s)).join(" + ")} %`;
    setText(this.facts.presence, formatNumber(estimates.presence));
    setText(this.facts.spread, formatNumber(estimates.spread));
    setText(this.facts.near, percent(estimates.mass.blobs));
    setText(this.facts.elsewhere, percent([estimates.mass.elsewhere]));
    const two = state.blobs.length > 1;
    this.ranges.height1.set(state.blobs[0].height);
    this.ranges.height2.set((state.blobs[1] ?? this.second).height);
    this.ranges.height2.input.disabled = !two;
    for (const name of ["background", "shift", "noise", "temperature"]) {
      this.ranges[name].set(state[name]);
    }
    this.checks.second.set(two);
    this.checks.relu.set(state.relu);
    this.shades[state.show].checked = true;
  }

  look() {
    return {
      state: () => this.state(),
      logits: () => Array.from(this.logits),
      estimates: () => structuredClone(this.result.estimates),
      link: () => this.link(),
      cell: () => this.plan.cell, // CSS pixels
      redraw: () => this.redraw(),
    };
  }
}

function render(place) {
  return mount(place, (host) => new SoftArgmaxView(place.model, host));
}

export default { render };
