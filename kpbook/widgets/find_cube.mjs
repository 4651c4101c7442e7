// Find the cube: a PandaPush scene to rearrange, and what a trained network makes of it.
//
// Cube, target, distractor and occluder are drawn over a recorded picture of the arm, as the
// simulator would (push_scene.mjs): in 256 x 256 pixels for the eye, and in the 64 x 64 that the
// network sees. Each change asks the engine for keypoints, heat maps and the drawing of these. Until the reader first touches the figure nothing is loaded: it
// then shows what torch found for the first view.

import { AskingFigure } from "./asking.mjs";
import { clamp, formatNumber, make } from "./core.mjs";
import { called, toInput } from "./engine.mjs";
import { captioned, mount, moveHandle, setText } from "./figure.mjs";
import { Picture, drawAgain, drawHeat, drawScene, drawSeen } from "./find_cube_scene.mjs";
import {
  CUBE, REACH, SharpScene, clean, describe, drawState, saidOf, sceneKey, selected, stepped, truthOf, unpackDrawn,
  unpackPoses, withinReach,
} from "./find_cube_state.mjs";
import { INKS, SELECTED, legend } from "./marks.mjs";
import { toStage } from "./pixels.mjs";
import { pointOnPlane, projectPoint, resized } from "./push_scene.mjs";

export const STYLE = `
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

const ABOUT = { name: "find-the-cube", title: "Live figure: find the cube", traits: TRAITS, style: STYLE };

export class FindCubeView extends AskingFigure {
  constructor(model, host, { poses, sharp, drawn }, about = ABOUT) {
    super(model, host, about);
    this.scene = model.get("scene");
    this.poses = { ...poses, hand: this.scene.hand };
    const { camera, colours } = this.scene;
    this.sharp = new SharpScene(sharp, resized(camera, sharp.H / poses.H), colours);
    this.picture = new Picture(this.sharp.picture, sharp.H, sharp.W);
    this.drawnByTorch = drawn;
  }

  limits() {
    const { poses, first } = this.scene;
    return { networks: this.networks.map((network) => network.name), poses, first };
  }

  clean(raw) {
    return clean(raw, this.limits());
  }

  // Asking the network.

  networkOf({ network }) {
    return this.networks.find(({ name }) => name === network);
  }

  key(state) {
    return sceneKey(state);
  }

  inputs(state) {
    return { images: toInput(this.drawn(state).rgb, this.poses.H, this.poses.W) };
  }

  firstState(name) {
    return clean({ network: name }, this.limits());
  }

  /** What torch found for the first view of each network: shown before anything is loaded. */
  firstAnswer() {
    const { name, first, stranger } = this.network();
    const keypoints = { data: Float32Array.from(first.flat()), dims: [first.length, 2] };
    const { network, keypoint } = this.scene.drawn ?? {};
    const of = sceneKey(this.firstState(name)); // the scene that this answers
    const drawn = name === network && !stranger ? { ...this.drawnByTorch, only: keypoint } : {};
    return { keypoints, of, ...drawn };
  }

  points({ keypoints }) {
    return keypoints.data;
  }

  firstPoints({ first }) {
    return first.flat();
  }

  stranger({ keypoints: { data, dims } }) {
    const first = Array.from({ length: dims[0] }, (_, n) => [data[2 * n], data[2 * n + 1]]);
    return { first, assigned: [] };
  }

  // Drawing.

  /** What the network sees of the scene as it is. */
  drawn(state = this.state()) {
    const key = sceneKey(state);
    if (this.seenKey !== key) {
      this.seenKey = key;
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
    const seen = { ...this.drawn(state), H, W };
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
    if (!this.current()) return `${called(this.network())} has not answered for this scene yet.`;
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

  /** What the marks over the scene mean. */
  meanings() {
    const said = ["cube", "target", "hand (end effector)"].map((object, k) => [k, `${object}, as its keypoint says`]);
    return [...said, ["dot", "a keypoint"], [DISC, "the one whose heat map is shown", "chosen"]];
  }

  /** Every colour and mark of the scene. */
  buildLegend() {
    const boxes = { distractor: [SWATCH, "orange box", "box"], occluder: [SWATCH, "grey wall", "wall"] };
    const [key, more] = [legend([...KEY, ...Object.values(boxes)]), legend(this.meanings())];
    const last = [...key.children].slice(KEY.length);
    this.extra = Object.fromEntries(Object.keys(boxes).map((name, k) => [name, last[k]]));
    return make("div", {}, key, more);
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
    this.showBoxes(state);
  }

  showBoxes(state) {
    for (const name of ["distractor", "occluder"]) {
      this.controls[name].set(state[name]);
      this.extra[name].classList.toggle("hidden", !state[name]);
    }
  }

  look() {
    return {
      ...super.look(),
      said: () => this.said(),
      truth: () => this.truth(),
      pixels: () => [...this.drawn().rgb],
      eye: () => [...this.sharp.picture],
      selected: () => selected(this.state(), this.network(), this.result),
    };
  }
}

/** What a page stores of the scene, unpacked: {poses, sharp, drawn}. */
export async function unpacked(model) {
  const scene = model.get("scene");
  return {
    poses: await unpackPoses(model.get("poses"), scene.poses, scene.H, scene.W),
    sharp: await unpackPoses(model.get("sharp"), scene.poses, ...scene.sharp),
    drawn: scene.drawn ? await unpackDrawn(model.get("drawn"), scene.drawn) : {},
  };
}

async function render({ model, el }) {
  const parts = await unpacked(model);
  return mount({ model, el }, (host) => new FindCubeView(model, host, parts));
}

export default { render };
