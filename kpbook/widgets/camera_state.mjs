// Camera, without a page: state, which recorded view fits, words.

import { formatNumber, inflate, isOn, numberIn, numbersIn } from "./core.mjs";
import { orbitCamera, stepsOf, wrapDegrees } from "./orbit.mjs";

export const ORBIT_NUMBERS = ["distance", "yaw", "pitch", "fov"];

/** Plain, safe state from whatever the traits or a link hold. */
export function clean(raw, scene) {
  const first = scene.presets[0];
  const target = numbersIn(raw.target, ...scene.limits.target, first.target);
  const names = scene.points.map(({ name }) => name);
  const state = { target, point: names.includes(raw.point) ? raw.point : names[0] };
  for (const name of ORBIT_NUMBERS) state[name] = numberIn(raw[name], ...scene.limits[name], first[name]);
  state.picture = isOn(raw.picture, true);
  return state;
}

/** The preset whose recorded picture fits, or null. The lens and the target count, too. */
export function recordedView(state, { presets, tolerance }) {
  const near = (a, b, most) => Math.abs(a - b) <= most + 1e-9;
  return (
    presets.find((preset) =>
      near(wrapDegrees(state.yaw - preset.yaw), 0, tolerance.yaw) &&
      ["distance", "pitch", "fov"].every((name) => near(state[name], preset[name], tolerance[name])) &&
      preset.target.every((value, k) => near(value, state.target[k], tolerance.distance))) ?? null
  );
}

/** The result in words, for the line that is read aloud. */
export function describe(state, scene) {
  const camera = orbitCamera(state, scene.H, scene.W);
  const list = (numbers, digits) => `(${numbers.map((v) => formatNumber(v, digits)).join(", ")})`;
  const seen = scene.points.filter(({ mark }) => mark !== null).map(({ p_W, words }) => {
    const { pixel, inside } = stepsOf(camera, p_W);
    if (!pixel) return `the ${words} is behind the camera and has no image`;
    return `the ${words} is on pixel ${list(pixel, 1)}${inside ? "" : ", outside the image"}`;
  });
  const match = recordedView(state, scene);
  const recorded = match
    ? `This is the recorded view "${match.name}"${state.picture ? ": its picture lies behind the lines" : ""}. `
    : "";
  return (
    `${recorded}The camera stands at ${list(camera.eye, 2)} m and looks at ${list(state.target, 2)} m. ` +
    `In its image of ${scene.W} by ${scene.H} pixels ${seen.join("; ")}.`
  );
}

/** zlib-compressed bytes to pictures: one Uint8ClampedArray (H x W x 3) for each of `count`. */
export async function unpackFrames(view, count) {
  const flat = new Uint8ClampedArray((await inflate(view)).buffer);
  const n = flat.length / count;
  return Array.from({ length: count }, (_, k) => flat.subarray(k * n, (k + 1) * n));
}
