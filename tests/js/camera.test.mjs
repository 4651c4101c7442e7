// Run by tests/test_widgets.py: node --test tests/js/
import assert from "node:assert/strict";
import test from "node:test";
import { deflateSync } from "node:zlib";

import * as figure from "../../kpbook/widgets/camera_state.mjs";
import { toFields } from "../../kpbook/widgets/core.mjs";
import * as orbit from "../../kpbook/widgets/orbit.mjs";

const scene = {
  H: 9,
  W: 7,
  limits: { target: [-1, 1], distance: [0.1, 2], yaw: [-180, 180], pitch: [-90, 0], fov: [10, 120] },
  tolerance: { distance: 0.005, yaw: 0.5, pitch: 0.5, fov: 0.5 },
  presets: [
    { name: "first", target: [0, 0.1, 0], distance: 0.7, yaw: 45, pitch: -35, fov: 60 },
    { name: "behind", target: [0, 0, 0], distance: 1, yaw: 180, pitch: 0, fov: 50 },
  ],
  points: [
    { name: "cube", words: "cube", p_W: [0, 0.1, 0], mark: 0 },
    { name: "hand", words: "end effector", p_W: [0, 3, 0], mark: 2 },
    { name: "origin", words: "origin", p_W: [0, 0, 0], mark: null },
  ],
};
const box = Array.from({ length: 8 }, (_, k) => [k & 1, (k >> 1) & 1, (k >> 2) & 1].map((bit) => bit - 0.5));
const near = (a, b) => assert.ok(Math.abs(a - b) < 1e-12, `${a} is not ${b}`);

test("traits that make no sense become the first preset, others keep to the sliders", () => {
  const state = figure.clean({ target: "x", distance: null, yaw: "much", pitch: -200, point: "moon" }, scene);
  assert.deepEqual(state.target, [0, 0.1, 0]);
  assert.equal(state.distance, 0.7);
  assert.equal(state.yaw, 45);
  assert.equal(state.pitch, -90);
  assert.equal(state.point, "cube");
  assert.equal(state.picture, true);
  assert.equal(figure.clean({ picture: "0" }, scene).picture, false);
});

test("a link gives the same view to the last digit", () => {
  const raw = { target: [0.1, -0.2, 1 / 3], distance: 0.77, yaw: -12.3, pitch: -1 / 7, fov: 33, point: "hand", picture: false };
  const state = figure.clean(raw, scene);
  const fields = Object.fromEntries(Object.entries(toFields(state)).map(([k, v]) => [k, String(v)]));
  assert.deepEqual(figure.clean(fields, scene), state);
});

test("a yaw goes round", () => {
  for (const [angle, wrapped] of [[0, 0], [181, -179], [-181, 179], [180, -180], [725, 5]]) {
    assert.equal(orbit.wrapDegrees(angle), wrapped);
  }
});

test("the middle of the image is the target, at the distance", () => {
  const camera = orbit.orbitCamera({ target: [1, 2, 3], distance: 0.4, yaw: 30, pitch: -20, fov: 70 }, 9, 7);
  const steps = orbit.stepsOf(camera, [1, 2, 3]);
  near(steps.p_C[2], 0.4);
  near(steps.pixel[0], 3);
  near(steps.pixel[1], 4);
  near(steps.image[0], 0);
});

test("yaw 0 stands at -y, yaw 90 at +x; pitch -90 looks straight down", () => {
  const eye = (yaw, pitch) => orbit.orbitCamera({ target: [0, 0, 0], distance: 2, yaw, pitch, fov: 60 }, 9, 9).eye;
  for (const [[yaw, pitch], place] of [[[0, 0], [0, -2, 0]], [[90, 0], [2, 0, 0]], [[0, -90], [0, 0, 2]]]) {
    eye(yaw, pitch).forEach((value, k) => near(value, place[k]));
  }
});

test("a point in the camera's plane or behind it has no image", () => {
  const camera = orbit.orbitCamera({ target: [0, 0, 0], distance: 1, yaw: 0, pitch: 0, fov: 60 }, 9, 9);
  for (const y of [-1, -1.5]) {
    const { p_C, normalised, pixel, image, inside } = orbit.stepsOf(camera, [0.2, y, 0.1]);
    near(p_C[2], y + 1);
    assert.deepEqual([normalised, pixel, image, inside], [null, null, null, false]);
  }
});

test("inside means within the image's edges, half a pixel beyond the centres", () => {
  const camera = { M: [[1, 0, 0], [0, 1, 0], [0, 0, 1]], X_CW: [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]], H: 9, W: 7 };
  for (const [u, v, inside] of [[-0.49, 8.49, true], [-0.51, 4, false], [6.49, 4, true], [6.51, 4, false], [3, 8.51, false]]) {
    assert.equal(orbit.stepsOf(camera, [u, v, 1]).inside, inside, `${u}, ${v}`);
  }
});

test("a line is cut where it passes the camera, and not closed", () => {
  assert.deepEqual(orbit.clipFront([[0, 0, -1], [4, 0, 1]], 0.5), [[3, 0, 0.5], [4, 0, 1]]);
  assert.deepEqual(orbit.clipFront([[4, 0, 1], [0, 0, -1]], 0.5), [[4, 0, 1], [3, 0, 0.5]]);
  assert.deepEqual(orbit.clipFront([[0, 0, 2], [1, 0, 3]], 0.5), [[0, 0, 2], [1, 0, 3]]);
  assert.deepEqual(orbit.clipFront([[0, 0, -2], [1, 0, 0.4]], 0.5), []);
});

test("an area keeps what lies in front: a square that is half behind leaves four corners", () => {
  const kept = orbit.clipFront([[0, 0, -1], [0, 1, -1], [0, 1, 1], [0, 0, 1]], 0);
  assert.deepEqual(kept, [[0, 1, 0], [0, 1, 1], [0, 0, 1], [0, 0, 0]]);
});

test("a box hides 3 edges from a corner, 5 from an edge's side, 8 from a face's side, all from inside", () => {
  for (const [eye, hidden] of [[[3, 4, 5], 3], [[0, 4, 5], 5], [[0, 0, 5], 8], [[0, 0, 0], 12], [[-3, 4, -5], 3]]) {
    const edges = orbit.edgesOf(box, eye);
    assert.equal(edges.length, 12);
    assert.equal(edges.filter((edge) => edge.hidden).length, hidden, String(eye));
  }
});

test("the hidden edges of a corner's view meet in the far corner", () => {
  const far = orbit.edgesOf(box, [3, 4, 5]).filter((edge) => edge.hidden);
  for (const { from, to } of far) assert.ok(from === 0 || to === 0);
});

test("a recorded view is found within half a step, round the circle, and with its own target and lens", () => {
  const name = (change) => figure.recordedView({ ...scene.presets[0], ...change }, scene)?.name ?? null;
  assert.equal(name({}), "first");
  assert.equal(name({ yaw: 45.5, pitch: -34.5, distance: 0.705, fov: 59.5 }), "first");
  for (const change of [{ yaw: 45.6 }, { pitch: -36 }, { distance: 0.71 }, { fov: 61 }, { target: [0, 0, 0] }]) {
    assert.equal(name(change), null, JSON.stringify(change));
  }
  assert.equal(name({ ...scene.presets[1], yaw: -179.8 }), "behind");
});

test("the words name the view, the pixels, what is outside and what is behind", () => {
  const first = figure.clean({}, scene);
  const words = figure.describe(first, scene);
  assert.match(words, /^This is the recorded view "first": its picture lies behind the lines\. /);
  assert.match(words, /looks at \(0\.00, 0\.10, 0\.00\) m/);
  assert.match(words, /image of 7 by 9 pixels the cube is on pixel \(3\.0, 4\.0\);/);
  assert.match(words, /the end effector is on pixel \([^)]+\), outside the image\.$/);
  const turned = figure.describe({ ...first, yaw: -135 }, scene);
  assert.match(turned, /^The camera stands at/);
  assert.match(turned, /the end effector is behind the camera and has no image\.$/);
  assert.match(figure.describe({ ...first, picture: false }, scene), /^This is the recorded view "first"\. The camera/);
});

test("frames unpack to one picture each", async () => {
  const flat = Uint8Array.from({ length: 2 * 12 }, (_, k) => 10 * k);
  const frames = await figure.unpackFrames(deflateSync(Buffer.from(flat)), 2);
  assert.deepEqual(frames.map((frame) => [...frame]), [[...flat.slice(0, 12)], [...flat.slice(12)]]);
});
