// Find the cube, without a page: state, the picture of a scene, what an answer says of it, words.

import { clamp, formatNumber, inflate, isOn, numberIn, numbersIn } from "./core.mjs";
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
  const n = H * W;
  const rgb = poses.frames.slice(3 * n * state.pose, 3 * n * (state.pose + 1));
  const depth = poses.depth.slice(n * state.pose, n * (state.pose + 1));
  const mask = drawBoxes(rgb, depth, H, W, camera, boxesOf(state, colours), LIGHT);
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
export function sceneKey({ cube, target, yaw, pose, light, distractor, occluder }) {
  return JSON.stringify([cube, target, yaw, pose, light, distractor, occluder]);
}

/** What a network is called in sentences. */
export function called({ label, name }) {
  return label ?? name;
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

/** Largest difference of two answers; infinite where they are not of one length. */
export function farthest(ours, theirs) {
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
