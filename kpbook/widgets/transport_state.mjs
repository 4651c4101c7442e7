// Transport, without a page: state, what is moved, distances and words.

import { clamp, formatNumber, inflate, numberIn, numbersIn } from "./core.mjs";
import { called } from "./engine.mjs";
import { pointsOf } from "./pong_scene.mjs";

export const FRAMES = ["source", "target"];

/** Plain, safe state from whatever the traits or a link hold. */
export function clean(raw, scene, keypoints) {
  const gap = Math.round(numberIn(raw.gap, 1, scene.recorded.length - 1, scene.first.gap));
  return {
    source: placesIn(raw.source, scene.recorded[0], scene),
    target: placesIn(raw.target, scene.recorded[gap], scene),
    gap,
    keypoint: Math.round(numberIn(raw.keypoint, -1, keypoints - 1, -1)),
  };
}

/** Two numbers are paddles and no ball, four are both; fewer: as recorded. */
function placesIn(value, recorded, scene) {
  const list = typeof value === "string" ? value.split(",") : Array.isArray(value) ? value : [];
  if (list.length < 2) return [...recorded];
  const usual = list.length < 4 ? recorded.slice(0, 2) : recorded;
  return within(numbersIn(list, -Infinity, Infinity, usual), scene);
}

/** Places in the field: all sizes are even, so middles lie between two pixels. */
export function within(places, { field: [tall, wide] }) {
  return places.map((value, k) => Math.floor(clamp(value, 0, (k === 2 ? wide : tall) - 2)) + 0.5);
}

/** Places after one thing, 0 to 2, was put to [x, y]; paddles keep their columns. */
export function placed(places, thing, [x, y], scene) {
  const moved = [...places];
  if (thing === 2) moved.splice(2, 2, x, y);
  else moved[thing] = y;
  return within(moved, scene);
}

/** What an answer depends on, as a text. */
export function key({ source, target, keypoint }) {
  return JSON.stringify([source, target, keypoint]);
}

/** 1 for each keypoint whose features are moved. */
export function movedOf({ keypoint }, keypoints) {
  const data = Float32Array.from({ length: keypoints }, (_, n) => Number(keypoint < 0 || keypoint === n));
  return { data, dims: [1, keypoints] };
}

/** Keypoints of one frame in an answer, [x, y] each. */
export function keypointsOf(answer, frame) {
  const { data } = answer[`${frame}_keypoints`];
  return Array.from({ length: data.length / 2 }, (_, n) => [data[2 * n], data[2 * n + 1]]);
}

/** Distance of each keypoint to each thing, image coordinates; none to a ball that is not there. */
export function distances(scene, places, keypoints) {
  const points = pointsOf(scene, places);
  return keypoints.map(([x, y]) =>
    scene.things.map((_, k) => (points[k] ? Math.hypot(x - points[k][0], y - points[k][1]) : null)));
}

/** An answer in words. */
export function describe(network, state, answer, scene) {
  const found = FRAMES.map((frame) => {
    const on = distances(scene, state[frame], keypointsOf(answer, frame)).map((row, n) => {
      const near = row.map((d, k) => [d ?? Infinity, scene.things[k].name]).sort(([a], [b]) => a - b)[0];
      return near[0] <= scene.radius ? `keypoint ${n} is on the ${near[1]}` : `keypoint ${n} is on nothing`;
    });
    return `In the ${frame}, ${on.join(", ")}.`;
  });
  const moved = state.keypoint < 0 ? "All keypoints move" : `Only keypoint ${state.keypoint} moves`;
  const [drawing, , copy] = answer.errors.data;
  return (
    `${called(network)}. ${found.join(" ")} ${moved} features: the drawing has an error of ` +
    `${short(drawing)}, the source in its place ${short(copy)}.`
  );
}

/** An error: four digits behind the point tell those of a good drawing apart. */
export function short(value) {
  return formatNumber(value, 4);
}

/** What torch found for the first view. */
export async function unpack(view, { first, errors }, { size, map }) {
  const bytes = Float32Array.from(await inflate(view), (v) => v / 255);
  const answer = { errors: { data: Float32Array.from(errors.flat()), dims: [2, 2] } };
  FRAMES.forEach((frame, k) => {
    answer[`${frame}_keypoints`] = { data: Float32Array.from(first[k].flat()), dims: [first[k].length, 2] };
  });
  let start = 0;
  for (const [name, [h, w]] of [["suppressed", map], ["transported", map], ["reconstruction", size]]) {
    answer[name] = { data: bytes.slice(start, start + 3 * h * w), dims: [3, h, w] };
    start += 3 * h * w;
  }
  return answer;
}
