// Find the cube: a PandaPush scene to rearrange, and what a trained network makes of it.
//
// Cube, target, distractor and occluder are drawn over a recorded picture of the arm, as the
// simulator would (push_scene.mjs). Each change asks the engine for keypoints, heat maps and the
// drawing of the same picture. Until the reader first touches the figure nothing is loaded: it
// then shows what torch found for the first view.

import {
  checkControl,
  clamp,
  decodeHash,
  draggable,
  encodeHash,
  fitCanvas,
  formatNumber,
  isDark,
  make,
  numberIn,
  onThemeChange,
  rangeControl,
  settled,
  throttled,
  uniqueName,
} from "./core.mjs";
import {
  browserEngine,
  kernelEngine,
  latestOnly,
  siteFile,
  toPlanes,
} from "./engine.mjs";
import { PUSH_LIGHT, drawBoxes, pointOnPlane, projectPoint } from "./push_scene.mjs";

// ---- state and geometry: no page needed --------------------------------------------------------

const REACH = 0.2; // metres from the table's middle; the task itself stays within 0.15
const CUBE = 0.02; // half an edge
const STEP = 0.005; // metres for an arrow key; ten times that with shift

/** Plain, safe state from whatever the traits or a link hold. */
export function cleanPush(raw, limits) {
  const place = (value, usual) =>
    [0, 1].map((k) => round5(numberIn(Array.isArray(value) ? value[k] : null, -REACH, REACH, usual[k])));
  const names = limits.networks;
  return {
    cube: place(raw.cube, limits.first.cube),
    target: place(raw.target, limits.first.target),
    yaw: Math.round(numberIn(raw.yaw, 0, 90, limits.first.yaw)),
    pose: Math.round(numberIn(raw.pose, 0, limits.poses - 1, 0)),
    light: numberIn(raw.light, 0.4, 1.6, 1),
    distractor: raw.distractor === true || raw.distractor === "1",
    occluder: raw.occluder === true || raw.occluder === "1",
    network: names.includes(raw.network) ? raw.network : names[0],
    keypoint: Math.round(numberIn(raw.keypoint, -1, 999, -1)),
  };
}

function round5(value) {
  return Math.round(value * 1e5) / 1e5;
}

/** The boxes of a state; the first two are cube and target. */
export function boxesOf(state, colours) {
  const boxes = [
    { name: "cube", colour: colours.cube, centre: [...state.cube, CUBE], half: [CUBE, CUBE, CUBE],
      yaw: (state.yaw * Math.PI) / 180 },
    { name: "target", colour: colours.target, centre: [...state.target, 0],
      half: [CUBE, CUBE, 0.0002], yaw: 0 },
  ];
  if (state.distractor) {
    boxes.push({ name: "distractor", colour: [0.9, 0.5, 0.1], centre: [0.12, -0.2, 0.025],
      half: [0.025, 0.025, 0.025], yaw: 0.6 });
  }
  if (state.occluder) {
    boxes.push({ name: "occluder", colour: [0.35, 0.35, 0.4], centre: [0.07, -0.16, 0.05],
      half: [0.05, 0.006, 0.05], yaw: 0.785 });
  }
  return boxes;
}

/** Draw a state over its pose: {rgb (Uint8), mask}. `light` scales both parts, and the arm's grey. */
export function drawState(state, poses, camera, colours) {
  const { H, W } = poses;
  const n = H * W;
  const rgb = poses.frames.slice(3 * n * state.pose, 3 * n * (state.pose + 1));
  const depth = poses.depth.slice(n * state.pose, n * (state.pose + 1));
  const mask = drawBoxes(rgb, depth, H, W, camera, boxesOf(state, colours), PUSH_LIGHT);
  if (state.light !== 1) {
    for (let k = 0; k < rgb.length; k++) rgb[k] = Math.min(255, Math.round(rgb[k] * state.light));
  }
  return { rgb, mask };
}

/** Pixels of image coordinates: -1 and +1 at the centres of the border pixels. */
export function toPixels([x, y], H, W) {
  return [((x + 1) / 2) * (W - 1), ((y + 1) / 2) * (H - 1)];
}

/** Where the three objects are in the image, pixels. */
export function truthOf(state, poses, camera) {
  return {
    cube: projectPoint(camera, [...state.cube, CUBE]).pixel,
    target: projectPoint(camera, [...state.target, 0]).pixel,
    "end effector": toPixels(poses.hand[state.pose], poses.H, poses.W),
  };
}

/** Where each object's keypoint says that it is, pixels: the metric's affine map of its keypoint. */
export function saidOf(network, keypoints, H, W) {
  const said = {};
  for (const { object, keypoint, A, b } of network.assigned) {
    if (keypoint < 0) continue;
    const [x, y] = [keypoints[2 * keypoint], keypoints[2 * keypoint + 1]];
    said[object] = toPixels([A[0][0] * x + A[0][1] * y + b[0], A[1][0] * x + A[1][1] * y + b[1]], H, W);
  }
  return said;
}

/** The result in words, for the line that is read aloud. */
export function describePush(network, said, truth) {
  const parts = network.assigned.map(({ object, keypoint }) => {
    if (!said[object]) return `${object}: no keypoint`;
    const off = Math.hypot(said[object][0] - truth[object][0], said[object][1] - truth[object][1]);
    return `${object}: keypoint ${keypoint} is ${formatNumber(off, 1)} pixels off`;
  });
  return `${network.name}. ${parts.join("; ")}.`;
}

/** zlib-compressed bytes to {frames: Uint8ClampedArray, depth: Float32Array}, depths in 0.1 mm. */
export async function unpackPoses(bytes, count, H, W) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const flat = new Uint8Array(await new Response(stream).arrayBuffer());
  const n = count * H * W;
  const frames = new Uint8ClampedArray(flat.buffer, 0, 3 * n).slice();
  const counts = new Uint16Array(flat.slice(3 * n).buffer);
  const depth = Float32Array.from(counts, (d) => (d === 65535 ? Infinity : d / 1e4));
  return { frames, depth };
}

export function toPushFields(state) {
  return {
    ...state,
    cube: state.cube.join(","),
    target: state.target.join(","),
    distractor: state.distractor ? 1 : 0,
    occluder: state.occluder ? 1 : 0,
  };
}

export function fromPushFields(fields) {
  const split = (text) => (text === undefined ? undefined : text.split(","));
  return { ...fields, cube: split(fields.cube), target: split(fields.target) };
}

// ---- drawing -----------------------------------------------------------------------------------

const INKS = {
  light: { ink: "#17202b", halo: "#ffffff", muted: "#4d5a68", cube: "#d55e00", target: "#0072b2", "end effector": "#00805f" },
  dark: { ink: "#edf1f5", halo: "#0d1116", muted: "#aab6c3", cube: "#f0883e", target: "#56b4e9", "end effector": "#2fc79b" },
};
const SHAPES = {
  cube: "M-8 -8H8V8H-8Z",
  target: "M0 -10L10 0L0 10L-10 0Z",
  "end effector": "M9 0A9 9 0 1 1 -9 0A9 9 0 1 1 9 0Z",
};

/** Paint uint8 pixels (H x W x 3), each as a square, over a whole canvas of `side` CSS pixels. */
function paintPixels(canvas, rgb, H, W, side) {
  const small = document.createElement("canvas");
  [small.width, small.height] = [W, H];
  const context = small.getContext("2d");
  const image = context.createImageData(W, H);
  for (let k = 0; k < H * W; k++) {
    for (let c = 0; c < 3; c++) image.data[4 * k + c] = rgb[3 * k + c];
    image.data[4 * k + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  const target = fitCanvas(canvas, side, side);
  target.imageSmoothingEnabled = false;
  target.drawImage(small, 0, 0, side, side);
  return target;
}

/** A reconstruction, float32 3 x h x w, as pixels. */
function asPixels({ data, dims: [, h, w] }) {
  const rgb = new Uint8ClampedArray(3 * h * w);
  for (let k = 0; k < h * w; k++) {
    for (let c = 0; c < 3; c++) rgb[3 * k + c] = 255 * data[c * h * w + k];
  }
  return { rgb, h, w };
}

/** One heat map over the grey scene: the brightest cell is full. */
function heatOverScene({ data, dims: [, h, w] }, n, rgb, H, W) {
  const map = data.subarray(n * h * w, (n + 1) * h * w);
  const top = Math.max(...map) || 1;
  const mixed = new Uint8ClampedArray(3 * H * W);
  for (let v = 0; v < H; v++) {
    for (let u = 0; u < W; u++) {
      const heat = Math.sqrt(map[Math.floor((v * h) / H) * w + Math.floor((u * w) / W)] / top);
      const k = v * W + u;
      const grey = 0.5 * (0.3 * rgb[3 * k] + 0.59 * rgb[3 * k + 1] + 0.11 * rgb[3 * k + 2]);
      const hot = [255, 190, 60];
      for (let c = 0; c < 3; c++) mixed[3 * k + c] = (1 - heat) * grey + heat * hot[c];
    }
  }
  return mixed;
}

function strokeMark(context, path, [x, y], colour, halo, fill = false) {
  context.save();
  context.translate(x, y);
  context.lineJoin = "round";
  context.strokeStyle = halo;
  context.lineWidth = 5;
  context.stroke(path);
  context.strokeStyle = context.fillStyle = colour;
  context.lineWidth = 2.25;
  if (fill) context.fill(path);
  context.stroke(path);
  context.restore();
}

// ---- the view ----------------------------------------------------------------------------------

const FIND_STYLE = `
:host { display: block; contain: inline-size; }
* { box-sizing: border-box; }
.figure { --ink: #17202b; --muted: #4d5a68; --line: #c3ccd6; --surface: #ffffff; --accent: #0072b2;
  container-type: inline-size; color: var(--ink); background: var(--surface);
  border: 1px solid var(--line); border-radius: 8px; padding: 14px; margin: 0;
  font: 14px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
.figure[data-theme="dark"] { --ink: #edf1f5; --muted: #aab6c3; --line: #46525f;
  --surface: #161b22; --accent: #56b4e9; color-scheme: dark; }
.prompt { margin: 0 0 10px; max-width: 80ch; text-wrap: pretty; }
.top { display: grid; gap: 14px; }
.stage { position: relative; width: 100%; aspect-ratio: 1; overflow: hidden; }
canvas { display: block; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 12px; align-content: start; }
.pair figure { margin: 0; min-width: 0; }
figcaption, .hint, .words, .copied { color: var(--muted); font-size: 13px; }
.handle { position: absolute; left: 0; top: 0; width: 44px; height: 44px; margin: -22px 0 0 -22px;
  border-radius: 50%; cursor: grab; touch-action: none; user-select: none;
  -webkit-tap-highlight-color: transparent; }
.handle:active { cursor: grabbing; }
.handle::before { content: ""; position: absolute; inset: 6px; border-radius: 50%;
  border: 2px dashed var(--ink); outline: 2px solid var(--surface); opacity: 0.7; }
.handle:focus, .handle:focus-visible { outline: none; }
.handle:focus-visible::before { inset: 3px; border: 3px solid var(--accent); opacity: 1; }
.controls { display: grid; gap: 8px 28px; margin-top: 12px; padding-top: 12px;
  border-top: 1px solid var(--line); }
.controls > div { display: grid; gap: 8px; align-content: start; }
.range { display: grid; grid-template-columns: 1fr auto; column-gap: 10px; align-items: baseline; }
.range input { grid-column: 1 / -1; width: 100%; height: 24px; margin: 0; cursor: pointer;
  accent-color: var(--accent); }
.choose { display: grid; gap: 2px; }
select { font: inherit; color: inherit; background: var(--surface); border: 1px solid var(--muted);
  border-radius: 6px; padding: 5px 8px; min-height: 34px; max-width: 100%; }
output { font-variant-numeric: tabular-nums; color: var(--muted); }
.check { display: flex; gap: 8px; align-items: center; min-height: 28px; }
.check input { width: 18px; height: 18px; margin: 0; accent-color: var(--accent); flex: none; }
label { cursor: pointer; }
.buttons { display: flex; flex-wrap: wrap; gap: 8px; margin-top: 12px; align-items: center; }
button { font: inherit; color: var(--ink); background: transparent; cursor: pointer;
  border: 1px solid var(--muted); border-radius: 6px; padding: 5px 12px; min-height: 34px; }
button:focus-visible, input:focus-visible, select:focus-visible {
  outline: 3px solid var(--accent); outline-offset: 2px; }
.words { margin: 12px 0 0; max-width: 80ch; }
@container (min-width: 620px) {
  .top { grid-template-columns: minmax(0, 1.35fr) minmax(0, 1fr); }
  .pair { grid-template-columns: 1fr; }
  .controls { grid-template-columns: 1fr 1fr; }
}
`;

const PUSH_TRAITS = ["cube", "target", "yaw", "pose", "light", "distractor", "occluder", "network", "keypoint"];

class FindCubeView {
  constructor(model, host, poses) {
    this.model = model;
    this.host = host;
    this.static = model.host === "static-page";
    this.scene = model.get("scene");
    this.networks = model.get("networks");
    this.poses = { ...poses, H: this.scene.H, W: this.scene.W, hand: this.scene.hand };
    this.initial = this.snapshot();
    this.engines = new Map();
    this.result = this.first();
    this.parities = {};
    this.frame = 0;
    this.save = throttled(() => model.save_changes(), 120);
    this.speak = settled(() => this.say(), 350);
    this.ask = latestOnly(
      (asked) => this.engine(asked.network).then((engine) => engine.run(asked)),
      (found, asked) => this.answer(found, asked),
      (error) => this.sorry(error),
    );
    this.undo = [];
    this.build();
    this.listen();
    this.followLink();
    this.paint();
    this.say();
    // For tests, and for readers who look under the hood.
    host.kpbook = {
      state: () => this.state(),
      points: () => [...this.result.keypoints.data],
      said: () => saidOf(this.network(), this.result.keypoints.data, this.poses.H, this.poses.W),
      truth: () => truthOf(this.state(), this.poses, this.scene.camera),
      pixels: () => [...this.drawn().rgb],
      parities: () => this.parities,
    };
    host.dataset.ready = "";
  }

  snapshot() {
    return structuredClone(Object.fromEntries(PUSH_TRAITS.map((k) => [k, this.model.get(k)])));
  }

  limits() {
    const { poses, first } = this.scene;
    return { networks: this.networks.map((network) => network.name), poses, first };
  }

  state() {
    return cleanPush(this.snapshot(), this.limits());
  }

  /** What torch found for the first view of each network: shown before anything is loaded. */
  first() {
    const network = this.network();
    return { keypoints: { data: Float32Array.from(network.first.flat()), dims: [network.first.length, 2] } };
  }

  network() {
    const { network } = this.state();
    return this.networks.find(({ name }) => name === network);
  }

  set(changes) {
    for (const [name, value] of Object.entries(changes)) this.model.set(name, value);
    this.save();
    this.look();
  }

  // Asking the network.

  engine(name) {
    if (!this.engines.has(name)) {
      const where = this.model.get("engine");
      const network = this.networks.find((one) => one.name === name);
      const kernel = where === "kernel" || (where === "auto" && !this.static);
      const base = this.model.get("address");
      const at = (path) => (base ? new URL(path, base).href : siteFile(path));
      const started = kernel
        ? Promise.resolve(kernelEngine(this.model, name))
        : browserEngine(at("onnxruntime/ort.wasm.bundle.min.mjs"), at(`live/${network.file}`));
      const ready = started.then(async (engine) => {
        if (engine.name === "browser") await this.compare(engine, network);
        return engine;
      });
      ready.catch(() => this.engines.delete(name));
      this.engines.set(name, ready);
    }
    return this.engines.get(name);
  }

  /** Say how far this browser's answer for the first view is from torch's. */
  async compare(engine, network) {
    const { H, W } = this.poses;
    const first = cleanPush({ network: network.name }, this.limits());
    const { rgb } = drawState(first, this.poses, this.scene.camera, this.scene.colours);
    const { keypoints } = await engine.run({ data: toPlanes(rgb, H, W), H, W });
    const torch = network.first.flat();
    const off = Math.max(...torch.map((value, k) => Math.abs(value - keypoints.data[k])));
    this.parities[network.name] = off;
    this.parity.textContent =
      `${network.name} in this browser and in torch, for the first view: keypoints differ by at most ` +
      `${off.toExponential(0).replace("-", "\u2212")} of image coordinates.`;
  }

  look() {
    this.schedule();
    const { network } = this.state();
    const { H, W } = this.poses;
    this.ask({ network, H, W, data: toPlanes(this.drawn().rgb, H, W) });
  }

  answer(found, asked) {
    if (asked.network !== this.state().network) return;
    this.result = found;
    this.host.dataset.engine = "ready";
    this.note.textContent = "";
    this.schedule();
    this.speak();
  }

  sorry(error) {
    console.warn("find the cube: no engine", error);
    this.host.dataset.engine = "failed";
    this.note.textContent =
      "The network could not start in this browser, so the marks stay where they were for the first view. " +
      "The scene can still be moved.";
  }

  // Drawing.

  drawn() {
    const state = this.state();
    const key = JSON.stringify([state.cube, state.target, state.yaw, state.pose, state.light, state.distractor, state.occluder]);
    if (this.key !== key) {
      this.key = key;
      this.picture = drawState(state, this.poses, this.scene.camera, this.scene.colours);
    }
    return this.picture;
  }

  schedule() {
    if (!this.frame) {
      this.frame = requestAnimationFrame(() => {
        this.frame = 0;
        this.paint();
      });
    }
  }

  paint() {
    const { H, W } = this.poses;
    const state = this.state();
    const network = this.network();
    const { rgb } = this.drawn();
    const side = Math.max(200, this.stage.clientWidth);
    const ink = INKS[isDark() ? "dark" : "light"];
    this.root.dataset.theme = isDark() ? "dark" : "light";
    const context = paintPixels(this.canvas, rgb, H, W, side);
    const place = ([u, v]) => [((u + 0.5) * side) / W, ((v + 0.5) * side) / H];
    const points = this.result.keypoints.data;
    const chosen = this.selected(state, network);
    for (let n = 0; n < points.length / 2; n++) {
      const [x, y] = place(toPixels([points[2 * n], points[2 * n + 1]], H, W));
      context.beginPath();
      context.arc(x, y, n === chosen ? 6 : 3, 0, 7);
      context.fillStyle = ink.halo;
      context.fill();
      context.beginPath();
      context.arc(x, y, n === chosen ? 4.5 : 2, 0, 7);
      context.fillStyle = n === chosen ? "#ffb000" : ink.ink;
      context.fill();
    }
    const said = saidOf(network, points, H, W);
    for (const [object, at] of Object.entries(said)) {
      strokeMark(context, new Path2D(SHAPES[object] ?? SHAPES.cube), place(at), ink[object] ?? ink.ink, ink.halo);
    }
    this.paintSides(rgb, chosen);
    const truth = truthOf(state, this.poses, this.scene.camera);
    for (const object of ["cube", "target"]) {
      const [x, y] = place(truth[object]);
      this.handles[object].style.transform = `translate(${clamp(x, 8, side - 8)}px, ${clamp(y, 8, side - 8)}px)`;
      const [a, b] = state[object];
      this.handles[object].setAttribute(
        "aria-valuetext",
        `${formatNumber(100 * a, 1)} and ${formatNumber(100 * b, 1)} centimetres from the table's middle`,
      );
      this.handles[object].setAttribute("aria-valuenow", String(Math.round(1000 * a)));
    }
    this.showControls(state, network, chosen);
  }

  selected(state, network) {
    const count = this.result.keypoints.data.length / 2;
    const usual = network.assigned[0]?.keypoint ?? 0;
    return state.keypoint >= 0 && state.keypoint < count ? state.keypoint : Math.max(0, usual);
  }

  paintSides(rgb, chosen) {
    const { H, W } = this.poses;
    const side = Math.max(90, this.heat.parentElement.clientWidth);
    const small = Math.min(side, 220);
    if (this.result.heatmaps) {
      paintPixels(this.heat, heatOverScene(this.result.heatmaps, chosen, rgb, H, W), H, W, small);
      const { rgb: again, h, w } = asPixels(this.result.reconstruction);
      paintPixels(this.again, again, h, w, small);
    } else {
      for (const canvas of [this.heat, this.again]) paintPixels(canvas, new Uint8ClampedArray(3).fill(128), 1, 1, small);
    }
    this.heatCaption.textContent = this.result.heatmaps
      ? `Heat map of keypoint ${chosen}`
      : "Heat map: touch the figure first";
    this.againCaption.textContent = this.result.reconstruction
      ? "The scene, drawn again from the points"
      : "Reconstruction: touch the figure first";
  }

  say() {
    const said = saidOf(this.network(), this.result.keypoints.data, this.poses.H, this.poses.W);
    const truth = truthOf(this.state(), this.poses, this.scene.camera);
    const words = describePush(this.network(), said, truth);
    if (this.words.textContent !== words) this.words.textContent = words;
  }

  // Building.

  build() {
    const id = (this.name = uniqueName("find-the-cube"));
    this.host.id = id;
    const shadow = this.host.shadowRoot ?? this.host.attachShadow({ mode: "open" });
    this.canvas = make("canvas", { role: "img", "aria-label": "The scene, its keypoints as dots, and where each object's keypoint says that it is" });
    this.heat = make("canvas", { role: "img", "aria-labelledby": `${id}-heat` });
    this.again = make("canvas", { role: "img", "aria-labelledby": `${id}-again` });
    this.heatCaption = make("figcaption", { id: `${id}-heat` });
    this.againCaption = make("figcaption", { id: `${id}-again` });
    this.handles = Object.fromEntries(["cube", "target"].map((object) => [object, this.handle(object)]));
    this.stage = make("div", { class: "stage" }, this.canvas, this.handles.target, this.handles.cube);
    this.note = make("p", { class: "hint", role: "status" });
    this.words = make("p", { class: "words", "aria-live": "polite" });
    this.parity = make("p", { class: "hint parity" });
    this.copied = make("span", { class: "copied", role: "status" });
    this.root = make(
      "div",
      { class: "figure", role: "group", "aria-label": "Live figure: find the cube" },
      make("p", { class: "prompt" }, this.model.get("prompt")),
      make("div", { class: "top" }, this.stage,
        make("div", { class: "pair" },
          make("figure", {}, this.heat, this.heatCaption),
          make("figure", {}, this.again, this.againCaption))),
      this.note,
      this.buildControls(id),
      make("div", { class: "buttons" },
        make("button", { type: "button", click: () => this.reset() }, "Reset"),
        make("button", { type: "button", click: () => this.copyLink() }, "Copy link to this view"),
        this.copied),
      this.words,
      this.parity,
    );
    shadow.replaceChildren(make("style", {}, FIND_STYLE), this.root);
  }

  handle(object) {
    const element = make("div", {
      class: "handle", tabindex: 0, role: "slider", "data-handle": object,
      "aria-label": `${object}: drag, or arrow keys`,
      "aria-valuemin": String(-1000 * REACH), "aria-valuemax": String(1000 * REACH), "aria-valuenow": "0",
    });
    const height = object === "cube" ? CUBE : 0;
    const { camera } = this.scene;
    const toCamera = (clientX, clientY) => {
      const box = this.canvas.getBoundingClientRect();
      return [
        ((clientX - box.left) / box.width) * this.poses.W - 0.5,
        ((clientY - box.top) / box.height) * this.poses.H - 0.5,
      ];
    };
    const put = ([x, y]) => this.set({ [object]: [x, y].map((v) => round5(clamp(v, -REACH, REACH))) });
    draggable(element, {
      toPoint: toCamera,
      getPoint: () => projectPoint(camera, [...this.state()[object], height]).pixel,
      move: (pixel) => {
        const point = pointOnPlane(camera, pixel, height);
        if (point) put(point);
      },
      step: (dx, dy, large) => {
        // An arrow moves the object that way on the screen, along the table.
        const step = large ? 10 * STEP : STEP;
        const [x, y] = this.state()[object];
        const { R } = camera;
        const right = normal2([R[0], R[1]]);
        const away = normal2([R[6], R[7]]);
        put([x + step * (dx * right[0] - dy * away[0]), y + step * (dx * right[1] - dy * away[1])]);
      },
      end: () => this.save.flush(),
    });
    return element;
  }

  buildControls(id) {
    const range = (name, label, min, max, step, show) =>
      rangeControl({
        id: `${id}-${name}`, label, min, max, step, show,
        onInput: (value) => this.set({ [name]: value }),
        onEnd: () => this.save.flush(),
      });
    const check = (name, label) =>
      checkControl({ id: `${id}-${name}`, label, onInput: (on) => { this.set({ [name]: on }); this.save.flush(); } });
    this.controls = {
      yaw: range("yaw", "Turn the cube", 0, 90, 1, (v) => `${Math.round(v)}°`),
      pose: range("pose", "Pose of the arm", 0, this.scene.poses - 1, 1, (v) => `${Math.round(v) + 1} of ${this.scene.poses}`),
      light: range("light", "Light", 0.4, 1.6, 0.05, (v) => `${Math.round(100 * v)} %`),
      keypoint: range("keypoint", "Keypoint whose heat map is shown", 0, 31, 1, (v) => String(Math.round(v))),
      distractor: check("distractor", "An orange box that no network has seen"),
      occluder: check("occluder", "A grey wall"),
    };
    this.choice = make("select", { id: `${id}-network`, change: () => {
      this.model.set("keypoint", -1);
      this.model.set("network", this.choice.value);
      this.result = this.first(); // until this network has answered
      this.set({});
      this.save.flush();
    } }, ...this.networks.map(({ name, label }) => make("option", { value: name }, label)));
    const c = this.controls;
    return make("div", { class: "controls" },
      make("div", {},
        make("div", { class: "choose" }, make("label", { for: `${id}-network` }, "Network"), this.choice),
        c.pose.element, c.yaw.element),
      make("div", {}, c.keypoint.element, c.light.element, c.distractor.element, c.occluder.element));
  }

  showControls(state, network, chosen) {
    for (const name of ["yaw", "pose", "light"]) this.controls[name].set(state[name]);
    this.controls.keypoint.input.max = String(this.result.keypoints.data.length / 2 - 1);
    this.controls.keypoint.set(chosen);
    for (const name of ["distractor", "occluder"]) this.controls[name].set(state[name]);
    this.choice.value = network.name;
  }

  // Links, reset, life.

  reset() {
    this.set(structuredClone(this.initial));
    this.save.flush();
  }

  async copyLink() {
    const link = new URL(window.location.href);
    link.hash = encodeHash(this.name, toPushFields(this.state()));
    try {
      await navigator.clipboard.writeText(link.href);
      this.copied.textContent = "Copied.";
    } catch {
      history.replaceState(null, "", link.hash);
      this.copied.textContent = "The link is in the address bar.";
    }
  }

  followLink() {
    const fields = decodeHash(this.name, window.location.hash);
    if (!fields) return;
    this.set(cleanPush(fromPushFields(fields), this.limits()));
    this.host.scrollIntoView({ block: "center" });
  }

  listen() {
    this.undo.push(onThemeChange(() => this.schedule()));
    const watch = new ResizeObserver(() => this.schedule());
    watch.observe(this.stage);
    this.undo.push(() => watch.disconnect());
    const hash = () => this.followLink();
    window.addEventListener("hashchange", hash);
    this.undo.push(() => window.removeEventListener("hashchange", hash));
    if (!this.static) {
      const names = PUSH_TRAITS.map((name) => `change:${name}`).join(" ");
      const look = () => this.look();
      this.model.on(names, look);
      this.undo.push(() => this.model.off(names, look));
    }
  }

  destroy() {
    cancelAnimationFrame(this.frame);
    this.save.cancel();
    this.speak.cancel();
    for (const step of this.undo) step();
    for (const engine of this.engines.values()) engine.then((one) => one.close()).catch(() => {});
  }
}

function normal2([a, b]) {
  const length = Math.hypot(a, b) || 1;
  return [a / length, b / length];
}

async function render({ model, el }) {
  const scene = model.get("scene");
  const packed = model.get("poses");
  const bytes = new Uint8Array(packed.buffer, packed.byteOffset, packed.byteLength);
  const poses = await unpackPoses(bytes, scene.poses, scene.H, scene.W);
  const host = make("div");
  el.append(host);
  const view = new FindCubeView(model, host, poses);
  document.querySelector(`[data-kp-still="${model.get("still_id")}"]`)?.remove();
  return () => view.destroy();
}

export default { render };
