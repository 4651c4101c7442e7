// Run by tests/test_widgets.py: node --test tests/js/
import assert from "node:assert/strict";
import test from "node:test";

import { gaussianNoise } from "../../kpbook/widgets/maps.mjs";
import { fromCanvas, planCanvas, toCanvas } from "../../kpbook/widgets/soft_argmax_chart.mjs";
import { clean, describe, fromFields, makeLogits, readOut, toFields } from "../../kpbook/widgets/soft_argmax_state.mjs";

const near = (got, want, tolerance = 1e-9) =>
  assert.ok(Math.abs(got - want) <= tolerance, `got ${got}, expected ${want}`);

const blob = (x, y, height = 6) => ({ x, y, height });
const estimates = (raw) => {
  const state = clean({ blobs: [blob(0.6, -0.5)], background: -4, noise: 0, ...raw });
  return readOut(state, makeLogits(state, gaussianNoise(state.H * state.W, state.seed))).estimates;
};

test("a constant added to every logit moves no estimate, only presence", () => {
  const [plain, lifted] = [estimates({ noise: 1 }), estimates({ noise: 1, shift: 5 })];
  for (const name of ["joint", "separable", "mode"]) {
    near(plain[name][0], lifted[name][0]);
    near(plain[name][1], lifted[name][1]);
  }
  assert.ok(lifted.presence > plain.presence);
});

test("a higher background pulls the joint estimate to the centre and leaves the mode", () => {
  const [low, high] = [estimates({ background: -8 }), estimates({ background: 2 })];
  assert.ok(low.error_cells.joint < 0.1);
  assert.ok(high.error_cells.joint > 5);
  assert.ok(Math.hypot(...high.joint) < 0.5 * Math.hypot(...low.joint));
  assert.deepEqual(low.mode, high.mode);
});

test("the ReLU lifts a negative background to 0: the same pull", () => {
  const [relu, zero] = [estimates({ relu: true }), estimates({ background: 0 })];
  near(relu.joint[0], zero.joint[0], 0.1);
  assert.ok(relu.error_cells.joint > 10 * estimates({}).error_cells.joint);
});

test("two equal blobs put the joint estimate midway at any temperature", () => {
  const blobs = [blob(-0.5, 0.2), blob(0.5, -0.2)];
  for (const temperature of [0.1, 1, 10]) {
    const [x, y] = estimates({ blobs, temperature }).joint;
    near(x, 0);
    near(y, 0);
  }
});

test("the mass near the blobs and elsewhere is all the mass", () => {
  const { blobs, elsewhere } = estimates({ blobs: [blob(-0.5, 0), blob(0.5, 0)], noise: 2 }).mass;
  assert.equal(blobs.length, 2);
  near(blobs[0] + blobs[1] + elsewhere, 1);
});

test("broken state gives a working figure", () => {
  const junk = { blobs: [{ x: "left" }, null, 3], temperature: -1, noise: NaN, size: [0], seed: "s" };
  for (const raw of [{}, junk, { blobs: "none" }]) {
    const state = clean(raw);
    assert.ok(state.temperature > 0 && state.H >= 1 && state.W >= 1);
    const unit = gaussianNoise(state.H * state.W, state.seed);
    assert.ok(readOut(state, makeLogits(state, unit)).estimates.joint.every(Number.isFinite));
  }
});

test("a link carries the whole view", () => {
  const state = clean({
    blobs: [blob(0.12345, -0.4, 3.2), blob(-1, 1, -2)],
    temperature: 0.316,
    noise: 1.25,
    background: -2.5,
    shift: 1,
    relu: true,
    seed: 7,
    show: "logits",
  });
  const fields = Object.fromEntries(
    Object.entries(toFields(state)).map(([name, value]) => [name, String(value)]),
  );
  assert.deepEqual(clean(fromFields(fields)), state);
});

test("place on the canvas and map coordinates undo each other, on maps that are not square", () => {
  const [H, W] = [24, 32];
  const plan = planCanvas(400, H, W);
  for (const point of [[-1, -1], [1, 1], [0.3, -0.7]]) {
    const back = fromCanvas(toCanvas(point, plan, H, W), plan, H, W);
    near(back[0], point[0]);
    near(back[1], point[1]);
  }
  const [left, top] = toCanvas([-1, -1], plan, H, W);
  near(left - plan.map.x, plan.cell / 2); // the border cell's centre, not the map's edge
  near(top - plan.map.y, plan.cell / 2);
  assert.ok(toCanvas([0, 1], plan, H, W)[1] > top, "y runs down");
});

test("the plan fits its width, from a phone to a desk, for flat and for tall maps", () => {
  for (const width of [240, 330, 700]) {
    for (const [H, W] of [[24, 32], [7, 5], [40, 8]]) {
      const { right, below, height } = planCanvas(width, H, W);
      assert.ok(right.x + right.w <= width);
      assert.ok(below.y + below.h <= height);
      assert.ok(height < 2 * width);
    }
  }
});

test("the words hold every estimate", () => {
  const words = describe(estimates({}));
  for (const part of ["Joint", "Separable", "Mode", "Presence", "cells from blob 1"]) {
    assert.ok(words.includes(part), words);
  }
});
