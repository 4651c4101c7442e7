// Camera: chapter 2's equations, live. A camera on an orbit, and where it sees a small world.
//
// The equations are in orbit.mjs. What is in the world, where sliders end and what was recorded comes
// from kpbook/widgets/camera.py in the trait `scene`, so no number of the world stands here.

import { ORBIT_NUMBERS, clean, describe, recordedView, unpackFrames } from "./camera_state.mjs";
import { clamp, draggable, fitCanvas, formatNumber, make } from "./core.mjs";
import { LiveFigure, mount, selectControl, setText } from "./figure.mjs";
import { INKS, colourOf, legend, markIcon, strokeMark } from "./marks.mjs";
import { Sketch, edgesOf, orbitCamera, stepsOf, wrapDegrees } from "./orbit.mjs";
import { paintPixels } from "./pixels.mjs";

const TURN = 0.5; // degrees a pixel of the screen
const CUBE = 0; // its colour and mark
const AXES = 3; // colour of the first axis: none is an object's; each axis has its letter, too
const AROUND = "M-27 0H-19M19 0H27M0 -27V-19M0 19V27"; // the point that is followed
const FOUR_WAYS = "M0 -9V9M-9 0H9M-3 -6L0 -9L3 -6M-3 6L0 9L3 6M-6 -3L-9 0L-6 3M6 -3L9 0L6 3";

const STYLE = `
.stage { width: 100%; aspect-ratio: 1; overflow: hidden; }
.stage canvas { cursor: grab; touch-action: pan-y; outline: 1px solid var(--line); outline-offset: -1px; }
.stage canvas:active { cursor: grabbing; }
.stage .handle { left: auto; top: auto; right: 6px; bottom: 6px; margin: 0; display: grid; place-items: center; }
.stage .handle::before { background: var(--surface); outline: none; z-index: -1; opacity: 0.85; }
.stage .handle { z-index: 1; isolation: isolate; }
.side { display: grid; gap: 12px; align-content: start; min-width: 0; }
.side > div, .top > div { min-width: 0; }
.top > div { display: grid; gap: 10px; align-content: start; }
.steps { margin-top: 10px; }
.steps th:first-child { white-space: nowrap; }
.steps .what { color: var(--muted); margin-left: 0.6em; }
.steps td { width: 4.4em; }
.lost { margin: 4px 0 0; min-height: 1.45em; }
.side i { font: italic 1.1em Georgia, "Times New Roman", serif; }
.side sub { font-size: 0.75em; line-height: 0; }
.matrix { display: flex; align-items: center; gap: 8px; }
.matrix table { width: auto; border: solid var(--ink); border-width: 0 1.5px; position: relative;
  border-collapse: separate; border-spacing: 0; }
.matrix table::before, .matrix table::after { content: ""; position: absolute; top: 0; bottom: 0;
  width: 5px; border: solid var(--ink); border-width: 1.5px 0; pointer-events: none; }
.matrix table::before { left: 0; }
.matrix table::after { right: 0; } /* with the table's own sides: square brackets */
.matrix tbody tr { border: 0; }
.matrix td { padding: 1px 5px; min-width: 4.2em; }
.matrix .name { min-width: 3.2em; white-space: nowrap; }
@container (min-width: 620px) { .top { grid-template-columns: minmax(0, 1.15fr) minmax(0, 1fr); } }
`;

const TRAITS = ["target", ...ORBIT_NUMBERS, "point", "picture"];
// Each row of the table: symbols with their index, what they are, digits.
const STEPS = {
  p_W: [["p"], "W", "world, m", 3],
  p_C: [["p"], "C", "camera, m", 3],
  normalised: [["x", "y"], "n", "by depth", 3],
  pixel: [["u", "v"], "", "pixels", 2],
  image: [["x", "y"], "", "image", 3],
};

class CameraView extends LiveFigure {
  constructor(model, host, frames) {
    super(model, host, { name: "camera", title: "Live figure: camera", traits: TRAITS, style: STYLE });
    this.scene = model.get("scene");
    this.frames = frames;
    this.pictures = new Map(); // preset's name -> canvas
    this.corners = this.scene.points.filter(({ name }) => name.startsWith("corner")).map(({ p_W }) => p_W);
  }

  clean(raw) {
    return clean(raw, this.scene);
  }

  describe(state) {
    return describe(state, this.scene);
  }

  camera(state = this.state()) {
    return orbitCamera(state, this.scene.H, this.scene.W);
  }

  // One frame.

  draw(state) {
    const { H, W, points } = this.scene;
    const camera = orbitCamera(state, H, W);
    const side = Math.max(200, this.stage.clientWidth);
    const match = recordedView(state, this.scene);
    const pictured = Boolean(match) && state.picture;
    const theme = pictured ? "light" : this.theme; // a picture is as light in dark mode
    const ink = INKS[theme];
    const context = pictured ? this.paintRecorded(match, side) : this.paintGround(side);
    const sketch = new Sketch(context, side, camera, ink.halo);
    this.drawTable(sketch, pictured, ink);
    this.drawAxes(sketch, ink);
    this.drawCube(sketch, ink);
    for (const { name, p_W, mark } of points) {
      const { pixel } = stepsOf(camera, p_W);
      if (!pixel) continue;
      const at = sketch.place(pixel);
      if (mark !== null) {
        strokeMark(sketch.context, mark, at, colourOf(ink, mark), ink.halo, { scale: mark === CUBE ? 0.45 : 0.7 });
      }
      if (name === state.point) strokeMark(sketch.context, AROUND, at, ink.ink, ink.halo);
    }
    this.write(state, camera, match);
  }

  /** The recorded picture, made into a canvas of its own once: a drag must not wait for it. */
  paintRecorded(match, side) {
    if (!this.pictures.has(match.name)) {
      const [h, w] = this.scene.frame_size;
      const picture = make("canvas");
      paintPixels(picture, this.frames[this.scene.presets.indexOf(match)], h, w, w, h);
      this.pictures.set(match.name, picture);
    }
    const context = fitCanvas(this.canvas, side, side);
    context.imageSmoothingEnabled = false;
    context.drawImage(this.pictures.get(match.name), 0, 0, side, side);
    return context;
  }

  paintGround(side) {
    const context = fitCanvas(this.canvas, side, side);
    context.fillStyle = this.theme === "dark" ? "#1d242d" : "#eef2f6";
    context.fillRect(0, 0, side, side);
    return context;
  }

  drawTable(sketch, pictured, ink) {
    const { table: [[x0, x1], [y0, y1]], grid } = this.scene;
    const lid = [[x0, y0, 0], [x1, y0, 0], [x1, y1, 0], [x0, y1, 0]];
    if (!pictured) sketch.area(lid, ink.surface);
    const thin = pictured ? "#8a95a180" : ink.line;
    for (const x of gridPlaces(x0, x1, grid)) sketch.line([[x, y0, 0], [x, y1, 0]], thin);
    for (const y of gridPlaces(y0, y1, grid)) sketch.line([[x0, y, 0], [x1, y, 0]], thin);
    sketch.line(lid, ink.muted, { width: 1.5 });
  }

  drawAxes(sketch, ink) {
    const { axis } = this.scene;
    ["x", "y", "z"].forEach((letter, k) => {
      const at = (length) => [0, 1, 2].map((i) => (i === k ? length : 0));
      const colour = colourOf(ink, AXES + k);
      sketch.line([[0, 0, 0], at(axis)], colour, { width: 2.5, halo: 3 });
      sketch.letter(letter, at(1.18 * axis), colour);
    });
  }

  drawCube(sketch, ink) {
    const edges = edgesOf(this.corners, sketch.camera.eye);
    const ends = ({ from, to }) => [this.corners[from], this.corners[to]];
    for (const edge of edges.filter(({ hidden }) => hidden)) {
      sketch.line(ends(edge), colourOf(ink, CUBE), { width: 1.5, dash: [3, 3] });
    }
    const visible = edges.filter(({ hidden }) => !hidden);
    for (const edge of visible) sketch.line(ends(edge), ink.halo, { width: 3.5 }); // below all lines
    for (const edge of visible) sketch.line(ends(edge), colourOf(ink, CUBE), { width: 2 });
  }

  write(state, camera, match) {
    const steps = stepsOf(camera, this.scene.points.find(({ name }) => name === state.point).p_W);
    for (const [name, cells] of Object.entries(this.cells)) {
      const digits = STEPS[name][3];
      cells.forEach((cell, k) => setText(cell, steps[name]?.[k] === undefined ? "" : formatNumber(steps[name][k], digits)));
    }
    setText(this.lost, lostBecause(steps));
    for (const [name, digits] of [["X_CW", 3], ["M", 2]]) {
      camera[name].flat().forEach((value, k) => setText(this.matrices[name][k], wholeOr(value, digits)));
    }
    for (const name of ORBIT_NUMBERS) this.controls[name].set(state[name]);
    this.controls.preset.set(match?.name ?? "none");
    this.controls.point.set(state.point);
    this.controls.picture.set(state.picture);
    this.grip.setAttribute("aria-valuenow", String(state.yaw));
    const [yaw, pitch] = [state.yaw, state.pitch].map((angle) => formatNumber(angle, 1));
    this.grip.setAttribute("aria-valuetext", `yaw ${yaw} degrees, pitch ${pitch} degrees`);
  }

  // Building.

  parts() {
    this.canvas = make("canvas", {
      role: "img",
      "aria-label": "The camera's image: the table, the world's axes, the cube's edges and the three objects' points; the text below gives the numbers.",
    });
    const turn = this.turning();
    this.grip = this.handle("orbit", "Turn the view: drag, or arrow keys", [-180, 180], turn);
    this.grip.append(markIcon(FOUR_WAYS, "ways"));
    draggable(this.canvas, turn); // the whole picture, for a hand that sees it
    this.stage = make("div", { class: "stage" }, this.canvas, this.grip);
    this.controls = this.buildControls();
    return [
      make("div", { class: "top" },
        make("div", {}, this.stage, this.buildLegend(), this.controls.preset.element, this.controls.picture.element),
        this.buildSide()),
      this.placeControls(),
    ];
  }

  /** A drag turns the scene with the hand, so the camera goes the other way round; keys do the same. */
  turning() {
    const put = (yaw, pitch) =>
      this.set({ yaw: wrapDegrees(yaw), pitch: clamp(pitch, ...this.scene.limits.pitch) });
    return {
      toPoint: (clientX, clientY) => [-TURN * clientX, -TURN * clientY],
      getPoint: () => [this.state().yaw, this.state().pitch],
      move: ([yaw, pitch]) => put(Math.round(10 * yaw) / 10, Math.round(10 * pitch) / 10),
      step: (dx, dy, large) => {
        const { yaw, pitch } = this.state();
        const angle = large ? 10 : 1;
        put(yaw - dx * angle, pitch - dy * angle);
      },
      end: () => this.save.flush(),
    };
  }

  buildLegend() {
    const marks = this.scene.points.filter(({ mark }) => mark !== null).map(({ mark, words }) => [mark, words]);
    const edges = [["M-12 0H12", "cube's edges", CUBE], ["M-12 0H-7M-2.5 0H2.5M7 0H12", "hidden ones", CUBE]];
    return legend([...marks, ...edges]);
  }

  buildSide() {
    this.cells = {};
    const rows = Object.entries(STEPS).map(([name, [symbols, index, what]]) => {
      this.cells[name] = [0, 1, 2].map(() => make("td"));
      const names = symbols.flatMap((symbol, k) => [k ? ", " : "", ...symbolOf(symbol, index)]);
      const head = make("th", { scope: "row" }, ...names, make("span", { class: "what" }, what));
      return make("tr", { "data-row": name }, head, ...this.cells[name]);
    });
    this.lost = make("p", { class: "hint lost" });
    const table = make("table", { class: "steps" },
      make("caption", {}, "This point, through eqs. (2.1) to (2.4)"), make("tbody", {}, ...rows));
    this.matrices = {};
    return make("div", { class: "side" },
      make("div", {}, this.controls.point.element, table, this.lost),
      this.buildMatrix("X_CW", ["X", "CW"], 4, "World to camera, metres"),
      this.buildMatrix("M", ["M", ""], 3, "Intrinsics, pixels"));
  }

  buildMatrix(name, [symbol, index], size, title) {
    const cells = (this.matrices[name] = Array.from({ length: size * size }, () => make("td")));
    const rows = Array.from({ length: size }, (_, i) => make("tr", {}, ...cells.slice(i * size, (i + 1) * size)));
    return make("div", {},
      make("div", { class: "hint" }, title),
      make("div", { class: "matrix" },
        make("span", { class: "name" }, ...symbolOf(symbol, index), " ="),
        make("table", { "aria-label": title, "data-matrix": name }, make("tbody", {}, ...rows))));
  }

  buildControls() {
    const { limits, presets, points } = this.scene;
    const degrees = (v) => `${formatNumber(v, Number.isInteger(v) ? 0 : 1)}°`;
    const range = (name, label, step, show) => this.range(name, label, limits[name], step, show);
    const preset = selectControl({
      id: "preset", label: "Camera", onInput: (name) => this.stand(name),
      options: [...presets.map(({ name, label }) => [name, label]), ["none", "your own"]],
    });
    Object.assign(preset.input.lastChild, { disabled: true, hidden: true });
    return {
      preset,
      yaw: range("yaw", "Yaw", 1, degrees),
      pitch: range("pitch", "Pitch", 1, degrees),
      distance: range("distance", "Distance", 0.01, (v) => `${formatNumber(v, 2)} m`),
      fov: range("fov", "Field of view", 1, degrees),
      picture: this.check("picture", "Show the recorded picture where there is one"),
      point: this.choose("point", "Follow one point", points.map(({ name, label }) => [name, label])),
    };
  }

  placeControls() {
    const c = this.controls;
    return make("div", { class: "controls" },
      make("div", {}, c.yaw.element, c.pitch.element),
      make("div", {}, c.distance.element, c.fov.element));
  }

  /** Put the camera where a recorded one stood. */
  stand(name) {
    const { target, distance, yaw, pitch, fov } = this.scene.presets.find((preset) => preset.name === name);
    this.set({ target, distance, yaw, pitch, fov });
    this.save.flush();
  }

  look() {
    return {
      state: () => this.state(),
      camera: () => this.camera(),
      points: () => Object.fromEntries(this.scene.points.map(({ name, p_W }) => [name, stepsOf(this.camera(), p_W)])),
      recorded: () => recordedView(this.state(), this.scene)?.name ?? null,
      link: () => this.link(),
      redraw: () => this.redraw(),
    };
  }
}

function symbolOf(letter, index) {
  return [make("i", {}, letter), ...(index ? [make("sub", {}, index)] : [])];
}

function lostBecause({ p_C, inside, pixel }) {
  if (!pixel) return `Z = ${formatNumber(p_C[2], 3)} m: at or behind the camera: no image.`;
  return inside ? "" : "Outside the image's edges: projected, not seen.";
}

/** A number as it stands in a matrix: a 0 or a 1 that a cosine has left 1e-17 off is one. */
function wholeOr(value, digits) {
  return formatNumber(value, Math.abs(value - Math.round(value)) < 1e-12 ? 0 : digits);
}

/** Multiples of `step` strictly between two ends. */
function gridPlaces(low, high, step) {
  const first = Math.floor(low / step + 1e-9) + 1;
  const count = Math.ceil(high / step - 1e-9) - first;
  return Array.from({ length: count }, (_, k) => (first + k) * step);
}

async function render({ model, el }) {
  const packed = model.get("frames");
  const frames = await unpackFrames(packed, model.get("scene").presets.length);
  return mount({ model, el }, (host) => new CameraView(model, host, frames));
}

export default { render };
