// Run by tests/test_widgets.py: node --test tests/js/
import assert from "node:assert/strict";
import test from "node:test";
import { deflateSync } from "node:zlib";

import * as chart from "../../kpbook/widgets/training_film_chart.mjs";
import * as figure from "../../kpbook/widgets/training_film_state.mjs";

// 3 checkpoints, 2 frames, 2 keypoints, 2 objects, images of 3 x 5, maps of 2 x 1.
const about = {
  objects: ["cube", "end effector"],
  threshold: [0.015, 0.1],
  steps: [0, 10, 1350],
  images: [0, 330, 44550],
  error: [[0.06, 0.2], [0.012, 0.11], [0.0014, 0.067]],
  keypoint: [[0, 1], [1, 0], [1, 1]],
  linear: Array(3).fill([[[1, 0], [0, 1]], [[0, 2], [-1, 0]]]),
  offset: Array(3).fill([[0, 0], [0.5, -0.25]]),
  truth: [[[0, 0], [1, -1]], [[0.5, 0.5], [0, 1]]],
  frames: 2, points: 2, H: 3, W: 5, h: 2, w: 1, drawn: 2,
};

function packed() {
  const points = Float32Array.from({ length: 3 * 2 * 2 * 2 }, (_, k) => k / 64);
  const bytes = (count, value) => Buffer.from(Uint8Array.from({ length: count }, (_, k) => value(k)));
  return deflateSync(Buffer.concat([
    Buffer.from(points.buffer),
    bytes(2 * 45, (k) => k), // frames
    bytes(3 * 2 * 2 * 2, (k) => 10 * k), // heat
    bytes(3 * 2 * 12, (k) => 255 - k), // drawn
  ]));
}

test("traits that make no sense become the first view, and an index stays in its range", () => {
  const first = { checkpoint: 0, frame: 0, object: "cube" };
  assert.deepEqual(figure.clean({ checkpoint: "x", frame: null, object: "arm" }, about), first);
  assert.deepEqual(
    figure.clean({ checkpoint: 99, frame: "7", object: "end effector" }, about),
    { checkpoint: 2, frame: 1, object: "end effector" },
  );
  assert.equal(figure.clean({ checkpoint: -3 }, about).checkpoint, 0);
});

test("what was packed is unpacked in its order", async () => {
  const found = await figure.unpack(packed(), about);
  assert.equal(found.points.length, 24);
  assert.equal(found.points[5], 5 / 64);
  assert.deepEqual([...found.frames], Array.from({ length: 90 }, (_, k) => k));
  assert.deepEqual([found.heat.length, found.heat[23]], [24, 230]);
  assert.deepEqual([found.drawn.length, found.drawn[0], found.drawn[71]], [72, 255, 184]);
});

test("an object's mark is the metric's map of its own keypoint, at that checkpoint and frame", async () => {
  const found = await figure.unpack(packed(), about);
  const state = { checkpoint: 1, frame: 1, object: "cube" };
  assert.deepEqual(figure.pointAt(found, about, state, 1), [14 / 64, 15 / 64]);
  const marks = figure.marksAt(found, about, state);
  // Cube: keypoint 1 as it is. End effector: keypoint 0, (12, 13)/64 -> (2y + 0.5, -x - 0.25).
  const close = (a, b) => a.forEach((v, k) => assert.ok(Math.abs(v - b[k]) < 1e-9, `${a} ${b}`));
  close(marks[0].said, [((14 / 64 + 1) / 2) * 4, ((15 / 64 + 1) / 2) * 2]);
  close(marks[1].said, [((26 / 64 + 1.5) / 2) * 4, ((-12 / 64 + 0.75) / 2) * 2]);
  close(marks[0].truth, [3, 1.5]);
  close([marks[0].off], [Math.hypot(((14 / 64 - 0.5) / 2) * 4, ((15 / 64 - 0.5) / 2) * 2)]);
});

test("found means: at or below the threshold from there to the end", () => {
  assert.equal(chart.foundSince([0.2, 0.1, 0.05], 0.1), 1);
  assert.equal(chart.foundSince([0.05, 0.2, 0.1], 0.1), 2);
  assert.equal(chart.foundSince([0.05, 0.05], 0.1), 0);
  assert.equal(chart.foundSince([0.05, 0.2], 0.1), -1);
  assert.equal(chart.foundSince([0.05, NaN], 0.1), -1);
});

test("the chart's axes: a square root from 0, a logarithm downwards, and the nearest checkpoint", () => {
  const box = { x: 40, y: 10, w: 300, h: 200 };
  const { x, y, low, high, nearest } = chart.chartScales(about, box);
  assert.equal(x(0), 40);
  assert.equal(x(44550), 340);
  assert.ok(Math.abs(x(44550 / 4) - 190) < 1e-9);
  assert.equal(low, 0.001);
  assert.ok(high > 0.2);
  assert.ok(Math.abs(y(low) - 210) < 1e-9);
  assert.ok(Math.abs(y(high) - 10) < 1e-9);
  assert.ok(Math.abs(y(0.01) - y(0.1) - (y(0.001) - y(0.01))) < 1e-9);
  about.images.forEach((seen, k) => assert.equal(nearest(x(seen) + 2), k));
  assert.equal(nearest(-1000), 0);
  assert.equal(nearest(1000), 2);
});

test("the words say step, images, what is tracked and how far the marks are off", () => {
  const marks = [{ off: 0.52 }, { off: 6.04 }];
  const words = (checkpoint) => figure.describe(about, { checkpoint, frame: 0, object: "cube" }, marks);
  assert.match(words(0), /^Step 0, untrained, 0 images of 44,550\. Tracked: none; not tracked: cube, end effector\./);
  assert.match(words(1), /^Step 10, 330 images of 44,550\. Tracked: cube; not tracked: end effector\./);
  assert.match(words(2), /^Step 1,350, 44,550 images .* Tracked: cube, end effector; not tracked: none\./);
  assert.match(words(2), /Errors: cube 0\.0014, mark 0\.5 pixels off; end effector 0\.067, mark 6\.0 pixels off\./);
});
