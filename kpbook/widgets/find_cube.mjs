// Find the cube: a PandaPush scene to rearrange, and what a trained network makes of it.
//
// Cube, target, distractor and occluder are drawn over a recorded picture of the arm, as the
// simulator would (push_scene.mjs): in 256 x 256 pixels for the eye, and in the 64 x 64 that the
// network sees. Each change asks the engine for keypoints, heat maps and the drawing of these. Until the reader first touches the figure nothing is loaded: it
// then shows what torch found for the first view.

import { clamp, formatNumber, make } from "./core.mjs";
import { Engines, browserEngine, kernelEngine, latestOnly, siteFile, toPlanes } from "./engine.mjs";
import { LiveFigure, captioned, mount, moveHandle, setText } from "./figure.mjs";
import { Picture, drawAgain, drawHeat, drawScene, drawSeen } from "./find_cube_scene.mjs";
import {
  CUBE, REACH, SharpScene, called, clean, describe, describeParity, drawState, farthest, saidOf, sceneKey, selected, stepped, truthOf,
  unpackDrawn, unpackPoses, withinReach,
} from "./find_cube_state.mjs";
import { INKS, SELECTED, legend } from "./marks.mjs";
import { toStage } from "./pixels.mjs";
import { pointOnPlane, projectPoint, resized } from "./push_scene.mjs";

const PATIENCE = 16; // ms: marks that come within a frame are drawn together with the scene
const OTHER = 1e-3; // image coordinates: rounding differs by less, another network by more

const STYLE = `
.stage { width: 100%; aspect-ratio: 1; overflow: hidden; }
.views { display: grid; grid-template-columns: 1fr 1fr 1fr; gap: 12px; align-content: start; }
.views canvas { margin-bottom: 4px; }
.mark.cube { fill: #17c817; } .mark.target { fill: #1717d8; } .mark.box { fill: #e67e1a; }
.mark.wall { fill: #595966; } .mark.arm { fill: #8a8a8a; }
.mark.grip { stroke-dasharray: 5 3; }
.mark.chosen { fill: ${SELECTED}; }
.legend .hidden { display: none; }
@container (min-width: 620px) {
  .top { grid-template-columns: minmax(0, 1.6fr) minmax(0, 1fr); }
  .views { grid-template-columns: 1fr; }
  .views figure { display: grid; grid-template-columns: auto 1fr; gap: 10px; align-items: center; }
  .views canvas { margin: 0; }
}
`;

const SWATCH = "M-8 -8H8V8H-8Z";
const DISC = "M7 0A7 7 0 1 1 -7 0A7 7 0 1 1 7 0Z";
const KEY = [
  [SWATCH, "cube", "cube"], [SWATCH, "target", "target"], [SWATCH, "arm and hand", "arm"],
  ["M11 0A11 11 0 1 1 -11 0A11 11 0 1 1 11 0Z", "ring: drag it to move the cube or the target", "grip"],
];


const TRAITS = ["cube", "target", "yaw", "pose", "light", "distractor", "occluder", "network", "keypoint"];

class FindCubeView extends LiveFigure {
  constructor(model, host, poses, sharp, drawn) {
    super(model, host, {
      name: "find-the-cube", title: "Live figure: find the cube", traits: TRAITS, style: STYLE,
      also: ["engine", "address"],
    });
    this.scene = model.get("scene");
    this.networks = model.get("networks");
    this.poses = { ...poses, hand: this.scene.hand };
    const { camera, colours } = this.scene;
    this.sharp = new SharpScene(sharp, resized(camera, sharp.H / poses.H), colours);
    this.picture = new Picture(this.sharp.picture, sharp.H, sharp.W);
    this.drawnByTorch = drawn;
    this.engines = new Engines((name) => this.open(name));
    this.changes = 0;
    this.result = this.first();
    this.parities = {};
    this.settled = new WeakSet(); // engines
    this.places = {}; // network -> where it runs: page or worker
    this.times = []; // ms from a gesture to its last draw call
    this.ask = latestOnly(
      (asked) => this.engines.get(asked.network).then((engine) => engine.run(asked)),
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
    return clean(raw, this.limits());
  }

  /** What torch found for the first view of each network: shown before anything is loaded. */
  first() {
    const { name, first, stranger } = this.network();
    const keypoints = { data: Float32Array.from(first.flat()), dims: [first.length, 2] };
    const { network, keypoint } = this.scene.drawn;
    const of = sceneKey(clean({}, this.limits())); // the scene that this answers
    const drawn = name === network && !stranger ? { ...this.drawnByTorch, only: keypoint } : {};
    return { keypoints, of, ...drawn };
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

  /** The engine of one network: in the kernel or in the page. */
  async open(name) {
    if (this.gone) throw new Error("the figure is gone");
    if (!this.inKernel()) return this.browser(name);
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
    const first = clean({ network: name }, this.limits());
    const { rgb } = drawState(first, this.poses, this.scene.camera, this.scene.colours);
    const example = { data: toPlanes(rgb, H, W), H, W };
    const engine = await browserEngine(at("onnxruntime/ort.wasm.bundle.min.mjs"), file, example);
    const { keypoints } = engine.first;
    const off = farthest(network.first.flat(), keypoints.data);
    this.parities[name] = off;
    if (off > OTHER) {
      this.disown(network, keypoints);
    } else {
      import(at("live/parity.mjs"))
        .catch(() => ({ default: {} }))
        .then((built) => setText(this.parity, describeParity(called(network), off, built.default[name])));
    }
    return engine;
  }

  /** After the first answer: let the page's engine find its place. */
  async settle(name) {
    const engine = await this.engines.get(name);
    if (!engine.settle || this.settled.has(engine)) return;
    this.settled.add(engine);
    this.places[name] = await engine.settle();
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
      this.engines.forget();
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
    this.settle(asked.network).catch(() => {}); // what fails here fails at the next question, too
  }

  sorry(error) {
    if (this.gone) return;
    const { network } = this.state();
    if (this.host.dataset.engine !== "failed") console.warn("find the cube: no answer", error);
    const what = this.host.dataset.engine === "ready" ? "answer any more" : "start";
    const known = this.inKernel() || error.cause === "option";
    this.host.dataset.engine = "failed";
    this.engines.failed.add(network);
    setText(
      this.note,
      (known ? `The network did not answer: ${error.message}. ` : `The network could not ${what} in this browser. `) +
        "The marks stay where they were; the scene can still be moved. Reset tries again.",
    );
    this.schedule();
  }

  /** Start anew what has failed. */
  reset() {
    this.engines.forget(this.engines.failed);
    super.reset();
  }

  // Drawing.

  /** What the network sees of the scene as it is. */
  drawn() {
    const state = this.state();
    const key = sceneKey(state);
    if (this.key !== key) {
      this.key = key;
      this.seen = drawState(state, this.poses, this.scene.camera, this.scene.colours);
    }
    return this.seen;
  }

  /** The same scene for the eye. */
  drawnSharp(state) {
    const key = sceneKey(state);
    if (this.sharpKey !== key) {
      this.sharpKey = key;
      this.sharp.draw(state);
      this.picture.renew();
    }
    return this.picture;
  }

  draw(state) {
    const { H, W } = this.poses;
    const network = this.network();
    const seen = { ...this.drawn(), H, W };
    const side = Math.max(200, this.stage.clientWidth);
    const chosen = selected(state, network, this.result);
    const objects = network.assigned.map(({ object }) => object);
    const points = this.result.keypoints.data;
    const marks = { H, W, points, chosen, objects, said: this.said() };
    drawScene(this.canvas, side, this.drawnSharp(state), marks, INKS[this.theme]);
    this.paintViews(seen, chosen);
    this.placeHandles(state, side);
    this.showControls(state, chosen);
  }

  said() {
    return saidOf(this.network(), this.result.keypoints.data, this.poses.H, this.poses.W);
  }

  truth(state = this.state()) {
    return truthOf(state, this.poses, this.scene.camera);
  }

  placeHandles(state, side) {
    const truth = this.truth(state);
    for (const [object, handle] of Object.entries(this.handles)) {
      const at = toStage(truth[object], side, this.poses.H, this.poses.W).map((v) => clamp(v, 8, side - 8));
      const [a, b] = state[object].map((v) => formatNumber(100 * v, 1));
      const words = `${a} and ${b} centimetres from the table's middle`;
      moveHandle(handle, at, Math.round(1000 * state[object][0]), words);
    }
  }

  paintViews(seen, chosen) {
    const width = this.heat.element.clientWidth;
    const beside = getComputedStyle(this.heat.element).display === "grid"; // its caption, not below
    const side = clamp(beside ? 0.48 * width : width, 64, 192);
    drawSeen(this.eye.canvas, side, seen);
    const known = drawHeat(this.heat.canvas, side, seen, this.result, chosen);
    drawAgain(this.again.canvas, side, this.result);
    const waits = "the network has not answered yet";
    const none = this.result.heatmaps ? "this network draws none" : waits;
    setText(this.eye.caption, `What the network sees: ${seen.W} × ${seen.H} pixels`);
    setText(this.heat.caption, `Heat map of keypoint ${chosen}${known ? "" : `: ${waits}`}`);
    setText(this.again.caption,
      this.result.reconstruction ? "The scene, drawn again from the points" : `Reconstruction: ${none}`);
  }

  describe(state) {
    if (this.result.of !== sceneKey(state)) return `${called(this.network())} has not answered for this scene yet.`;
    return describe(this.network(), this.said(), this.truth(state));
  }

  // Building.

  parts() {
    this.canvas = make("canvas", { role: "img", "aria-label": "The scene, its keypoints as dots, and where each object's keypoint says that it is" });
    [this.eye, this.heat, this.again] = ["eye", "heat", "again"].map((what) => captioned(`${this.name}-${what}`));
    this.handles = Object.fromEntries(["cube", "target"].map((object) => [object, this.buildHandle(object)]));
    this.stage = make("div", { class: "stage" }, this.canvas, this.handles.target, this.handles.cube);
    this.note = make("p", { class: "hint", role: "status" });
    return [
      make("div", { class: "top" }, this.stage,
        make("div", { class: "views" }, this.eye.element, this.heat.element, this.again.element)),
      this.buildLegend(),
      this.note,
      this.buildControls(),
    ];
  }

  /** Every colour and mark of the scene. */
  buildLegend() {
    const said = ["cube", "target", "hand (end effector)"].map((object, k) => [k, `${object}, as its keypoint says`]);
    const points = [["dot", "a keypoint"], [DISC, "the one whose heat map is shown", "chosen"]];
    const boxes = { distractor: [SWATCH, "orange box", "box"], occluder: [SWATCH, "grey wall", "wall"] };
    const [key, more] = [legend([...KEY, ...Object.values(boxes)]), legend([...said, ...points])];
    const last = [...key.children].slice(KEY.length);
    this.extra = Object.fromEntries(Object.keys(boxes).map((name, k) => [name, last[k]]));
    return make("div", {}, key, more);
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
    return this.handle(object, `${object}: drag, or arrow keys`, [-1000 * REACH, 1000 * REACH], {
      toPoint: toCamera,
      getPoint: () => projectPoint(camera, [...this.state()[object], height]).pixel,
      move: (pixel, started) => {
        const point = pointOnPlane(camera, pixel, height);
        if (!point) return;
        this.begun = started;
        this.set({ [object]: withinReach(point.slice(0, 2)) });
      },
      step: (dx, dy, large) => this.set({ [object]: stepped(this.state()[object], camera, dx, dy, large) }),
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
    for (const name of ["distractor", "occluder"]) {
      this.controls[name].set(state[name]);
      this.extra[name].classList.toggle("hidden", !state[name]);
    }
  }

  destroy() {
    this.gone = true;
    super.destroy();
    clearTimeout(this.late);
    this.engines.forget();
  }

  look() {
    return {
      state: () => this.state(),
      points: () => [...this.result.keypoints.data],
      found: () => Object.fromEntries(["keypoints", "heatmaps", "reconstruction"]
        .flatMap((name) => (this.result[name] ? [[name, [...this.result[name].data]]] : []))),
      said: () => this.said(),
      truth: () => this.truth(),
      pixels: () => [...this.drawn().rgb],
      eye: () => [...this.sharp.picture],
      parities: () => this.parities,
      places: () => this.places,
      changes: () => this.changes,
      current: () => this.result.of === sceneKey(this.state()), // is what is shown an answer to it?
      selected: () => selected(this.state(), this.network(), this.result),
      times: () => this.times.splice(0),
      redraw: () => this.redraw(),
    };
  }
}

async function render({ model, el }) {
  const scene = model.get("scene");
  const poses = await unpackPoses(model.get("poses"), scene.poses, scene.H, scene.W);
  const sharp = await unpackPoses(model.get("sharp"), scene.poses, ...scene.sharp);
  const drawn = await unpackDrawn(model.get("drawn"), scene.drawn);
  return mount({ model, el }, (host) => new FindCubeView(model, host, poses, sharp, drawn));
}

export default { render };
