// Find the cube: a PandaPush scene to rearrange, and what a trained network makes of it.
//
// Cube, target, distractor and occluder are drawn over a recorded picture of the arm, as the
// simulator would (push_scene.mjs). Each change asks the engine for keypoints, heat maps and the
// drawing of the same picture. Until the reader first touches the figure nothing is loaded: it
// then shows what torch found for the first view.

import { clamp, formatNumber, inflate, make, numberIn } from "./core.mjs";
import { browserEngine, kernelEngine, latestOnly, siteFile, toPlanes } from "./engine.mjs";
import { INKS, LiveFigure, heatOver, legend, mount, paintPixels, setText, strokeMark, toPixels } from "./figure.mjs";
import { PUSH_LIGHT, drawBoxes, pointOnPlane, projectPoint } from "./push_scene.mjs";

// ---- state and geometry: no page needed --------------------------------------------------------

const REACH = 0.2; // metres from the table's middle; the task itself stays within 0.15
const CUBE = 0.02; // half an edge
const PATIENCE = 16; // ms: marks that come within a frame are drawn together with the scene
const OTHER = 1e-3; // image coordinates: rounding differs by less, another network by more
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
    if (!(keypoint >= 0 && 2 * keypoint < keypoints.length)) continue;
    const [x, y] = [keypoints[2 * keypoint], keypoints[2 * keypoint + 1]];
    said[object] = toPixels([A[0][0] * x + A[0][1] * y + b[0], A[1][0] * x + A[1][1] * y + b[1]], H, W);
  }
  return said;
}

/** What a picture depends on, as a text. */
function sceneKey({ cube, target, yaw, pose, light, distractor, occluder }) {
  return JSON.stringify([cube, target, yaw, pose, light, distractor, occluder]);
}

/** The result in words, for the line that is read aloud. */
export function describePush(network, said, truth) {
  if (network.stranger) return `${network.name}: which of its keypoints belong to the objects is not known.`;
  const parts = network.assigned.map(({ object, keypoint }) => {
    if (!said[object]) return `${object}: no keypoint`;
    const off = Math.hypot(said[object][0] - truth[object][0], said[object][1] - truth[object][1]);
    return `${object}: keypoint ${keypoint} is ${formatNumber(off, 1)} pixels off`;
  });
  return `${network.name}. ${parts.join("; ")}.`;
}

/** Largest difference of two answers; infinite where they are not of one length. */
function farthest(ours, theirs) {
  if (ours.length !== theirs.length) return Infinity;
  return ours.reduce((most, value, k) => Math.max(most, Math.abs(value - theirs[k])), 0);
}

/** How alike the answers are; `built` is what the book's build measured in onnxruntime, if known. */
export function describeParity(name, off, built) {
  const short = (value) => value.toExponential(0).replace("-", "\u2212");
  const here = `this browser and torch differ by at most ${short(off)} on the first view`;
  const there = built
    ? `; onnxruntime and torch by ${short(built.keypoints)} on ${built.images} recorded pictures`
    : "";
  return `${name}: the keypoints of ${here}${there} (image coordinates).`;
}

/** {frames: Uint8ClampedArray, depth: Float32Array} of the poses; depths came in 0.1 mm. */
export async function unpackPoses(view, count, H, W) {
  const flat = await inflate(view);
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

/** What torch drew for the first view: one keypoint's heat map, and the drawing if there is one. */
export async function unpackDrawn(view, { map, again }) {
  const flat = Float32Array.from(await inflate(view), (v) => v / 255);
  const n = map[0] * map[1];
  const heatmaps = { data: flat.slice(0, n), dims: [1, ...map] };
  return again ? { heatmaps, reconstruction: { data: flat.slice(n), dims: [3, ...again] } } : { heatmaps };
}

/** A reconstruction, float32 3 x h x w, as pixels. */
function asPixels({ data, dims: [, h, w] }) {
  const rgb = new Uint8ClampedArray(3 * h * w);
  for (let k = 0; k < h * w; k++) {
    for (let c = 0; c < 3; c++) rgb[3 * k + c] = 255 * data[c * h * w + k];
  }
  return { rgb, h, w };
}

// ---- the view ----------------------------------------------------------------------------------

const FIND_STYLE = `
.stage { width: 100%; aspect-ratio: 1; overflow: hidden; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 12px; align-content: start; }
@container (min-width: 620px) {
  .top { grid-template-columns: minmax(0, 1.35fr) minmax(0, 1fr); }
  .pair { grid-template-columns: 1fr; }
}
`;

const PUSH_TRAITS = ["cube", "target", "yaw", "pose", "light", "distractor", "occluder", "network", "keypoint"];

class FindCubeView extends LiveFigure {
  constructor(model, host, poses, drawn) {
    super(model, host, {
      name: "find-the-cube", title: "Live figure: find the cube", traits: PUSH_TRAITS, style: FIND_STYLE,
      also: ["engine", "address"],
    });
    this.scene = model.get("scene");
    this.networks = model.get("networks");
    this.poses = { ...poses, H: this.scene.H, W: this.scene.W, hand: this.scene.hand };
    this.drawnByTorch = drawn;
    this.engines = new Map();
    this.failed = new Set();
    this.changes = 0;
    this.result = this.first();
    this.parities = {};
    this.places = {}; // network -> where it runs: page or worker
    this.times = []; // ms from a gesture to its last draw call
    this.ask = latestOnly(
      (asked) => this.engine(asked.network).then((engine) => engine.run(asked)),
      (found, asked) => this.answer(found, asked),
      (error) => this.sorry(error),
    );
    this.where = this.answersFrom();
  }

  start() {
    super.start();
    // A page loads nothing before the first touch; a kernel is there anyway.
    if (this.inKernel() && this.result.of !== sceneKey(this.state())) this.changed();
  }

  limits() {
    const { poses, first } = this.scene;
    return { networks: this.networks.map((network) => network.name), poses, first };
  }

  clean(raw) {
    return cleanPush(raw, this.limits());
  }

  toFields(state) {
    return toPushFields(state);
  }

  fromFields(fields) {
    return fromPushFields(fields);
  }

  /** What torch found for the first view of each network: shown before anything is loaded. */
  first() {
    const { name, first, stranger } = this.network();
    const keypoints = { data: Float32Array.from(first.flat()), dims: [first.length, 2] };
    const { network, keypoint } = this.scene.drawn;
    const of = sceneKey(cleanPush({}, this.limits())); // the scene that this answers
    const drawn = name === network && !stranger ? { ...this.drawnByTorch, only: keypoint } : {};
    return { keypoints, of, ...drawn };
  }

  /** The heat map of one keypoint, {map, h, w}, or null where only another one's is known. */
  heatmap(n) {
    const { heatmaps, only } = this.result;
    if (!heatmaps || (only !== undefined && only !== n)) return null;
    const { data, dims: [, h, w] } = heatmaps;
    const k = only === undefined ? n : 0;
    return { map: data.subarray(k * h * w, (k + 1) * h * w), h, w };
  }

  network() {
    const { network } = this.state();
    return this.networks.find(({ name }) => name === network);
  }

  // Asking the network.

  /** Does the kernel answer, and not the page? */
  inKernel() {
    const { engine, address } = this.answersFrom();
    return engine === "kernel" || (engine === "auto" && !this.static && !address);
  }

  answersFrom() {
    return { engine: this.model.get("engine"), address: this.model.get("address") };
  }

  engine(name) {
    if (this.gone) throw new Error("the figure is gone");
    if (!this.engines.has(name)) {
      const ready = this.inKernel() ? this.kernel(name) : this.browser(name);
      ready.catch(() => this.failed.add(name)); // a reset tries again
      this.engines.set(name, ready);
    }
    return this.engines.get(name);
  }

  async kernel(name) {
    if (this.static) throw new Error("this page has no kernel", { cause: "option" });
    return kernelEngine(this.model, name);
  }

  /** The page's engine; and say how far its answer for the first view is from torch's. */
  async browser(name) {
    const { address } = this.where;
    if (!this.static && !address) {
      throw new Error("outside the book the option address says where its files are", { cause: "option" });
    }
    const at = (path) => (address ? new URL(path, address).href : siteFile(path));
    const network = this.networks.find((one) => one.name === name);
    const file = at(`live/${encodeURIComponent(network.file)}`);
    const { H, W } = this.poses;
    const first = cleanPush({ network: name }, this.limits());
    const { rgb } = drawState(first, this.poses, this.scene.camera, this.scene.colours);
    const example = { data: toPlanes(rgb, H, W), H, W };
    const engine = await browserEngine(at("onnxruntime/ort.wasm.bundle.min.mjs"), file, example);
    this.places[name] = engine.place;
    const { keypoints } = await engine.run(example);
    const off = farthest(network.first.flat(), keypoints.data);
    this.parities[name] = off;
    if (off > OTHER) {
      this.disown(network, keypoints);
    } else {
      import(at("live/parity.mjs"))
        .catch(() => ({ default: {} }))
        .then((built) => setText(this.parity, describeParity(name, off, built.default[name])));
    }
    return engine;
  }

  /** The file is not the network that the page was made with: it answers, its keypoints unnamed. */
  disown(network, { data, dims }) {
    const first = Array.from({ length: dims[0] }, (_, n) => [data[2 * n], data[2 * n + 1]]);
    const other = { ...network, first, assigned: [], stranger: true };
    this.networks = this.networks.map((one) => (one === network ? other : one));
    setText(
      this.parity,
      `${network.file} holds another network than this page was made with. Its keypoints are shown; ` +
        "which of them belong to the objects is not known.",
    );
  }

  changed() {
    const started = this.begun ?? performance.now();
    this.begun = null;
    const where = this.answersFrom();
    if (where.engine !== this.where.engine || where.address !== this.where.address) {
      this.where = where;
      this.forget([...this.engines.keys()]);
    }
    clearTimeout(this.late);
    this.late = setTimeout(() => this.schedule(), PATIENCE); // a slow network: the scene moves first
    const { network } = this.state();
    if (network !== this.shown) {
      this.shown = network;
      this.result = this.first(); // until this network has answered
    }
    const { H, W } = this.poses;
    this.changes += 1;
    const of = sceneKey(this.state());
    this.ask({ network, H, W, data: toPlanes(this.drawn().rgb, H, W), of, started });
  }

  answer(found, asked) {
    if (this.gone || asked.network !== this.state().network) return;
    this.result = { ...found, of: asked.of };
    this.host.dataset.engine = "ready";
    setText(this.note, "");
    clearTimeout(this.late);
    this.redraw();
    this.times.push(performance.now() - asked.started);
    if (this.times.length > 1000) this.times.shift();
  }

  sorry(error) {
    if (this.gone) return;
    const { network } = this.state();
    if (this.host.dataset.engine !== "failed") console.warn("find the cube: no answer", error);
    const what = this.host.dataset.engine === "ready" ? "answer any more" : "start";
    const known = this.inKernel() || error.cause === "option";
    this.host.dataset.engine = "failed";
    this.failed.add(network);
    setText(
      this.note,
      (known ? `The network did not answer: ${error.message}. ` : `The network could not ${what} in this browser. `) +
        "The marks stay where they were; the scene can still be moved. Reset tries again.",
    );
    this.schedule();
  }

  /** Start anew what has failed. */
  reset() {
    this.forget(this.failed);
    super.reset();
  }

  forget(names) {
    for (const name of names) {
      this.engines.get(name)?.then((engine) => engine.close()).catch(() => {});
      this.engines.delete(name);
      this.failed.delete(name);
    }
  }

  // Drawing.

  drawn() {
    const state = this.state();
    const key = sceneKey(state);
    if (this.key !== key) {
      this.key = key;
      this.picture = drawState(state, this.poses, this.scene.camera, this.scene.colours);
    }
    return this.picture;
  }

  draw(state) {
    const { H, W } = this.poses;
    const network = this.network();
    const { rgb } = this.drawn();
    const side = Math.max(200, this.stage.clientWidth);
    const ink = INKS[this.theme];
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
      strokeMark(context, object, place(at), ink[object] ?? ink.ink, ink.halo);
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
    this.showControls(state, chosen);
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
    const heat = this.heatmap(chosen);
    const again = this.result.reconstruction;
    const nothing = new Uint8ClampedArray(3).fill(128);
    if (heat) paintPixels(this.heat, heatOver(heat.map, heat.h, heat.w, rgb, H, W), H, W, small);
    else paintPixels(this.heat, nothing, 1, 1, small);
    const drawn = again ? asPixels(again) : { rgb: nothing, h: 1, w: 1 };
    paintPixels(this.again, drawn.rgb, drawn.h, drawn.w, small);
    const waits = "the network has not answered yet";
    const none = this.result.heatmaps ? "this network draws none" : waits;
    setText(this.heatCaption, `Heat map of keypoint ${chosen}${heat ? "" : `: ${waits}`}`);
    setText(this.againCaption, again ? "The scene, drawn again from the points" : `Reconstruction: ${none}`);
  }

  describe(state) {
    if (this.result.of !== sceneKey(state)) return `${this.network().name} has not answered for this scene yet.`;
    const said = saidOf(this.network(), this.result.keypoints.data, this.poses.H, this.poses.W);
    return describePush(this.network(), said, truthOf(state, this.poses, this.scene.camera));
  }

  // Building.

  parts() {
    const id = this.name;
    this.canvas = make("canvas", { role: "img", "aria-label": "The scene, its keypoints as dots, and where each object's keypoint says that it is" });
    this.heat = make("canvas", { role: "img", "aria-labelledby": `${id}-heat` });
    this.again = make("canvas", { role: "img", "aria-labelledby": `${id}-again` });
    this.heatCaption = make("figcaption", { id: `${id}-heat` });
    this.againCaption = make("figcaption", { id: `${id}-again` });
    this.handles = Object.fromEntries(["cube", "target"].map((object) => [object, this.buildHandle(object)]));
    this.stage = make("div", { class: "stage" }, this.canvas, this.handles.target, this.handles.cube);
    this.note = make("p", { class: "hint", role: "status" });
    const said = ["cube", "target", "end effector"].map((object) => [object, `${object}, by its keypoint`]);
    const marks = legend([...said, ["dot", "all keypoints"]]);
    return [
      make("div", { class: "top" }, make("div", {}, this.stage, marks),
        make("div", { class: "pair" },
          make("figure", {}, this.heat, this.heatCaption),
          make("figure", {}, this.again, this.againCaption))),
      this.note,
      this.buildControls(),
    ];
  }

  footer() {
    this.parity = make("p", { class: "hint parity" });
    return [this.parity];
  }

  buildHandle(object) {
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
    return this.handle(object, `${object}: drag, or arrow keys`, [-1000 * REACH, 1000 * REACH], {
      toPoint: toCamera,
      getPoint: () => projectPoint(camera, [...this.state()[object], height]).pixel,
      move: (pixel, started) => {
        const point = pointOnPlane(camera, pixel, height);
        if (!point) return;
        this.begun = started;
        put(point);
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
    });
  }

  buildControls() {
    const c = (this.controls = {
      network: this.choose("network", "Network", this.networks.map(({ name, label }) => [name, label]),
        { keypoint: -1 }),
      pose: this.range("pose", "Pose of the arm", [0, this.scene.poses - 1], 1,
        (v) => `${Math.round(v) + 1} of ${this.scene.poses}`),
      yaw: this.range("yaw", "Turn the cube", [0, 90], 1, (v) => `${Math.round(v)}°`),
      keypoint: this.range("keypoint", "Keypoint whose heat map is shown", [0, 31], 1, (v) => String(Math.round(v))),
      light: this.range("light", "Light", [0.4, 1.6], 0.05, (v) => `${Math.round(100 * v)} %`),
      distractor: this.check("distractor", "An orange box that no network has seen"),
      occluder: this.check("occluder", "A grey wall"),
    });
    return make("div", { class: "controls" },
      make("div", {}, c.network.element, c.pose.element, c.yaw.element),
      make("div", {}, c.keypoint.element, c.light.element, c.distractor.element, c.occluder.element));
  }

  showControls(state, chosen) {
    for (const name of ["network", "yaw", "pose", "light"]) this.controls[name].set(state[name]);
    this.controls.keypoint.input.max = String(this.result.keypoints.data.length / 2 - 1);
    this.controls.keypoint.set(chosen);
    for (const name of ["distractor", "occluder"]) this.controls[name].set(state[name]);
  }

  destroy() {
    this.gone = true;
    super.destroy();
    clearTimeout(this.late);
    for (const engine of this.engines.values()) engine.then((one) => one.close()).catch(() => {});
  }

  look() {
    return {
      state: () => this.state(),
      points: () => [...this.result.keypoints.data],
      found: () => Object.fromEntries(["keypoints", "heatmaps", "reconstruction"]
        .flatMap((name) => (this.result[name] ? [[name, [...this.result[name].data]]] : []))),
      said: () => saidOf(this.network(), this.result.keypoints.data, this.poses.H, this.poses.W),
      truth: () => truthOf(this.state(), this.poses, this.scene.camera),
      pixels: () => [...this.drawn().rgb],
      parities: () => this.parities,
      places: () => this.places,
      changes: () => this.changes,
      current: () => this.result.of === sceneKey(this.state()), // is what is shown an answer to it?
      selected: () => this.selected(this.state(), this.network()),
      times: () => this.times.splice(0),
    };
  }
}

function normal2([a, b]) {
  const length = Math.hypot(a, b) || 1;
  return [a / length, b / length];
}

async function render({ model, el }) {
  const scene = model.get("scene");
  const poses = await unpackPoses(model.get("poses"), scene.poses, scene.H, scene.W);
  const drawn = await unpackDrawn(model.get("drawn"), scene.drawn);
  return mount({ model, el }, (host) => new FindCubeView(model, host, poses, drawn));
}

export default { render };
