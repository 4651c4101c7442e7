// The soft-argmax playground: one or two blobs on a map of logits, and what each read-out says.
//
// Blob 1 is the object: its centre is the truth. The model's traits are the only state; the view
// reads them, and writes every gesture back to them.

import { checkControl, clamp, fitCanvas, formatNumber, make, rangeControl } from "./core.mjs";
import { LiveFigure, mount, moveHandle, setText } from "./figure.mjs";
import { gaussianNoise } from "./maps.mjs";
import { markIcon } from "./marks.mjs";
import { MARKS, drawFigure, fromCanvas, paintCells, planCanvas, toCanvas } from "./soft_argmax_chart.mjs";
import {
  LIMITS, SECOND_BLOB, clean, describe, fromFields, makeLogits, readOut, round, toFields,
} from "./soft_argmax_state.mjs";

const STYLE = `
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
[data-row="joint"] .mark { fill: var(--c0); }
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
  const rows = Object.entries(MARKS).map(([name, { words, shape, hue }]) => {
    cells[name] = ["x", "y", "error"].map((what) => make("td", { class: what }));
    const title = make("th", { scope: "row" }, markIcon(shape, hue ?? name), words);
    return make("tr", { "data-row": name }, title, ...cells[name]);
  });
  return make("table", {}, make("caption", {}, "Map coordinates; error in cells"),
    make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows));
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

const TRAITS = ["blobs", "temperature", "noise", "background", "shift", "relu", "seed", "show"];

class SoftArgmaxView extends LiveFigure {
  constructor(model, host) {
    super(model, host, {
      name: "soft-argmax", title: "Soft-argmax playground", traits: TRAITS, also: ["size", "sigma"], style: STYLE,
    });
    this.second = { ...(this.state().blobs[1] ?? SECOND_BLOB) };
    this.cells = {};
    this.facts = {};
  }

  clean(raw) {
    return clean({ size: this.model.get("size"), sigma: this.model.get("sigma"), ...raw });
  }

  toFields = toFields;

  fromFields = fromFields;

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
    this.second = { ...(clean(this.initial).blobs[1] ?? SECOND_BLOB) };
    super.reset();
  }

  // The page's parts, built once.

  parts() {
    const label = "Heat map with the truth and three estimates; the table gives the numbers.";
    this.canvas = make("canvas", { role: "img", "aria-label": label });
    this.image = null;
    this.handles = [0, 1].map((k) => this.buildHandle(k));
    this.stage = make("div", { class: "stage" }, this.canvas, ...this.handles);
    const side = make("div", {}, resultTable(this.cells), factList(this.facts));
    return [make("div", { class: "top" }, make("div", {}, this.stage, this.buildShade()), side), this.buildControls()];
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
    const options = ["probability", "logits"].map((value) => {
      const change = () => this.set({ show: value });
      const input = make("input", { type: "radio", name: "show", id: `show-${value}`, value, change });
      this.shades[value] = input;
      return make("div", { class: "choice" }, input, make("label", { for: input.id }, value));
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
    return make("div", { class: "controls" },
      make("div", {}, r.temperature, r.background, r.shift, this.checks.relu.element),
      make("div", {}, r.noise, r.height1, r.height2, this.checks.second.element));
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
    this.plan = planCanvas(Math.max(200, this.stage.clientWidth), H, W);
    const context = fitCanvas(this.canvas, this.plan.width, this.plan.height);
    if (this.image?.width !== W || this.image?.height !== H) {
      this.pixels = make("canvas", { width: W, height: H });
      this.image = new ImageData(W, H);
    }
    const probability = state.show === "probability";
    const values = probability ? this.result.heatmap : this.logits;
    paintCells(this.image, values, this.theme, probability);
    this.pixels.getContext("2d").putImageData(this.image, 0, 0);
    drawFigure(context, this.plan, this.pixels, state, this.result, this.theme);
    this.handles.forEach((handle, k) => {
      const blob = state.blobs[k];
      handle.classList.toggle("hidden", !blob);
      if (!blob) return;
      const at = toCanvas([blob.x, blob.y], this.plan, H, W);
      moveHandle(handle, at, blob.x, `x ${formatNumber(blob.x)}, y ${formatNumber(blob.y)}`);
      handle.classList.toggle("left", blob.x < 0);
      handle.classList.toggle("low", blob.y > 0);
    });
  }

  write(state) {
    const { estimates } = this.result;
    for (const name of Object.keys(MARKS)) {
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
    for (const name of ["background", "shift", "noise", "temperature"]) this.ranges[name].set(state[name]);
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
