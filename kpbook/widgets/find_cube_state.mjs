// Find the cube, without a page: state, the picture of a scene, what an answer says of it, words.

import { clamp, formatNumber, inflate, isOn, numberIn, numbersIn } from "./core.mjs";
import { called } from "./engine.mjs";
import { toPixels } from "./pixels.mjs";
import { LIGHT, drawBoxes, projectPoint } from "./push_scene.mjs";

export const REACH = 0.2; // metres from the table's middle; the task itself stays within 0.15
export const CUBE = 0.02; // half an edge
const STEP = 0.005; // metres for an arrow key; ten times that with shift

/** Plain, safe state from whatever the traits or a link hold. */
export function clean(raw, limits) {
  const place = (value, usual) => numbersIn(value, -REACH, REACH, usual).map(round5);
  const names = limits.networks;
  return {
    cube: place(raw.cube, limits.first.cube),
    target: place(raw.target, limits.first.target),
    yaw: Math.round(numberIn(raw.yaw, 0, 90, limits.first.yaw)),
    pose: Math.round(numberIn(raw.pose, 0, limits.poses - 1, 0)),
    light: numberIn(raw.light, 0.4, 1.6, 1),
    distractor: isOn(raw.distractor),
    occluder: isOn(raw.occluder),
    network: names.includes(raw.network) ? raw.network : names[0],
    keypoint: Math.round(numberIn(raw.keypoint, -1, 999, -1)),
  };
}

function round5(value) {
  return Math.round(value * 1e5) / 1e5;
}

/** A place [x, y] on the table, within reach. */
export function withinReach(place) {
  return place.map((v) => round5(clamp(v, -REACH, REACH)));
}

/** Where an arrow key moves a place: that way on the screen, along the table. */
export function stepped([x, y], { R }, dx, dy, large) {
  const step = large ? 10 * STEP : STEP;
  const [right, away] = [[R[0], R[1]], [R[6], R[7]]].map(([a, b]) => {
    const length = Math.hypot(a, b) || 1;
    return [a / length, b / length];
  });
  return withinReach([x + step * (dx * right[0] - dy * away[0]), y + step * (dx * right[1] - dy * away[1])]);
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
  const { picture, depth } = backdrop(poses, state.pose, 3);
  const mask = drawBoxes(picture, depth, H, W, camera, boxesOf(state, colours), LIGHT);
  lighten(picture, 3, state.light);
  return { rgb: picture, mask };
}

/** One pose without boxes: {picture: Uint8, H x W x channels (3, or 4: opaque); depth: metres}. */
function backdrop({ grey, tenths, H, W }, pose, channels) {
  const n = H * W;
  const picture = new Uint8ClampedArray(channels * n).fill(255);
  const depth = new Float32Array(n);
  for (let k = 0; k < n; k++) {
    for (let c = 0; c < 3; c++) picture[channels * k + c] = grey[pose * n + k];
    const d = tenths[pose * n + k];
    depth[k] = d === 65535 ? Infinity : d / 1e4;
  }
  return { picture, depth };
}

function lighten(picture, channels, light) {
  if (light === 1) return;
  const lit = Uint8Array.from({ length: 256 }, (_, v) => Math.min(255, Math.round(v * light)));
  for (let k = 0; k < picture.length; k += channels) {
    for (let c = k; c < k + 3; c++) picture[c] = lit[picture[c]];
  }
}

/** The scene for the eye: the same boxes over sharper poses, under the same camera. */
export class SharpScene {
  constructor(poses, camera, colours) {
    this.poses = poses;
    this.camera = camera;
    this.colours = colours;
    this.picture = new Uint8ClampedArray(4 * poses.H * poses.W);
    this.depth = new Float32Array(poses.H * poses.W);
  }

  /** Draw a state into `picture`, H x W x 4, whose opacity is full, and return that. */
  draw(state) {
    if (this.pose !== state.pose) this.behind = backdrop(this.poses, state.pose, 4);
    this.pose = state.pose;
    this.picture.set(this.behind.picture);
    this.depth.set(this.behind.depth);
    const { H, W } = this.poses;
    drawBoxes(this.picture, this.depth, H, W, this.camera, boxesOf(state, this.colours), LIGHT);
    lighten(this.picture, 4, state.light);
    return this.picture;
  }
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
export function sceneKey({ cube, target, yaw, pose, light, distractor, occluder }) {
  return JSON.stringify([cube, target, yaw, pose, light, distractor, occluder]);
}

/** The result in words, for the line that is read aloud. */
export function describe(network, said, truth) {
  if (network.stranger) return `${called(network)}: which of its keypoints belong to the objects is not known.`;
  const parts = network.assigned.map(({ object, keypoint }) => {
    if (!said[object]) return `${object}: no keypoint`;
    const off = Math.hypot(said[object][0] - truth[object][0], said[object][1] - truth[object][1]);
    return `${object}: keypoint ${keypoint} is ${formatNumber(off, 1)} pixels off`;
  });
  return `${called(network)}. ${parts.join("; ")}.`;
}

/**
 * Poses without boxes, {grey: Uint8, tenths: Uint16 of 0.1 mm, 65535 where nothing hides a box; both
 * count x H x W, H, W}. Each came after the poses' middle values, with 0 where it has those.
 */
export async function unpackPoses(view, count, H, W) {
  const flat = await inflate(await inflate(view)); // compressed twice: most of it is zeros
  const n = H * W;
  const whole = (middle, own) => {
    for (let start = 0; start < own.length; start += n) {
      for (let k = 0; k < n; k++) if (own[start + k] === 0) own[start + k] = middle[k];
    }
    return own;
  };
  const depths = new Uint16Array(flat.slice((count + 1) * n).buffer);
  return {
    grey: whole(flat.subarray(0, n), flat.subarray(n, (count + 1) * n)),
    tenths: whole(depths.subarray(0, n), depths.subarray(n)),
    H,
    W,
  };
}

/** What torch drew for the first view: one keypoint's heat map, and the drawing if there is one. */
export async function unpackDrawn(view, { map, again }) {
  const flat = Float32Array.from(await inflate(view), (v) => v / 255);
  const n = map[0] * map[1];
  const heatmaps = { data: flat.slice(0, n), dims: [1, ...map] };
  return again ? { heatmaps, reconstruction: { data: flat.slice(n), dims: [3, ...again] } } : { heatmaps };
}

/** The heat map of keypoint n in an answer, {map, h, w}, or null where only another one's is known. */
export function heatmapOf({ heatmaps, only }, n) {
  if (!heatmaps || (only !== undefined && only !== n)) return null;
  const { data, dims: [, h, w] } = heatmaps;
  const k = only === undefined ? n : 0;
  return { map: data.subarray(k * h * w, (k + 1) * h * w), h, w };
}

/** Whose heat map is shown: the keypoint that was chosen, or the metric's for the cube. */
export function selected({ keypoint }, { assigned }, { keypoints }) {
  const usual = Math.max(0, assigned[0]?.keypoint ?? 0);
  return keypoint >= 0 && keypoint < keypoints.data.length / 2 ? keypoint : usual;
}
