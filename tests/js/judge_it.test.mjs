// Run by tests/test_widgets.py: node --test tests/js/
import assert from "node:assert/strict";
import test from "node:test";

import { toFields } from "../../kpbook/widgets/core.mjs";
import * as charts from "../../kpbook/widgets/judge_charts.mjs";
import * as state from "../../kpbook/widgets/judge_state.mjs";
import * as tracking from "../../kpbook/widgets/tracking.mjs";

const given = {
  about: { H: 4, W: 5, T: 3, episodes: 2, objects: ["cube", "end_effector"], thresholds: [0.015, 0.1], limits: [0.001, 1] },
  networks: [{ name: "a", keypoints: 4 }, { name: "b", keypoints: 2 }],
  recorded: { errors: {}, groups: {} },
};

test("traits that make no sense become the first view", () => {
  const raw = { network: "c", object: "sun", keypoint: "x", frame: 99, mu: ["", 7], fit: "all", in_view: 3, group: "none" };
  assert.deepEqual(state.clean(raw, given), {
    network: "a", object: "cube", keypoint: -1, frame: 5, mu: [0.015, 1], fit: "other", in_view: false, group: "networks",
  });
});

test("a keypoint that the network lacks becomes the metric's choice", () => {
  assert.equal(state.clean({ network: "a", keypoint: 3 }, given).keypoint, 3);
  assert.equal(state.clean({ network: "b", keypoint: 3 }, given).keypoint, -1);
});

test("a link gives the same view", () => {
  const view = state.clean(
    { network: "b", object: "end_effector", keypoint: 1, frame: 4, mu: [0.02, 0.3], fit: "same", in_view: true }, given);
  const fields = Object.fromEntries(Object.entries(toFields(view)).map(([k, v]) => [k, String(v)]));
  assert.deepEqual(state.clean(fields, given), view);
});

test("maps are fitted on the first half or on the scored one, in all frames or those in view", () => {
  const seen = new Uint8Array(24).fill(1); // 12 frames, 2 objects
  seen[2 * 1 + 1] = seen[2 * 7 + 1] = 0; // the second object, in frames 1 and 7
  const at = (view, k) => state.framesOf(view, k, seen, given.about);
  assert.deepEqual(at({ fit: "other", in_view: true }, 0).fit, [0, 1, 2, 3, 4, 5]);
  assert.deepEqual(at({ fit: "other", in_view: true }, 1), {
    fit: [0, 2, 3, 4, 5], scored: [6, 8, 9, 10, 11], episode: [2, 2, 3, 3, 3],
  });
  assert.deepEqual(at({ fit: "same", in_view: false }, 1).fit, [6, 7, 8, 9, 10, 11]);
});

test("a handle goes to the nearest frame, and where a path comes by again to the one near in time", () => {
  const there = Array.from({ length: 10 }, (_, t) => [10 * t, 0]);
  const back = [...there, ...[...there].reverse()];
  assert.equal(state.scrub(back, [41, 3], 3, 3), 4);
  assert.equal(state.scrub(back, [41, 3], 16, 16), 15);
  assert.equal(state.scrub(back, [500, 0], 8, 8), 9);
});

test("on a path that stands still, a frame for every two pixels to the side", () => {
  const still = Array.from({ length: 10 }, () => [50, 50]);
  assert.equal(state.scrub(still, [56, 50], 2, 2), 5);
  assert.equal(state.scrub(still, [0, 50], 2, 2), 0);
  assert.equal(state.scrub(still, [900, 50], 2, 2), 9);
});

test("places on the charts and back", () => {
  const size = { w: 360, h: 168, count: 30, limits: [0.001, 1] };
  for (const rank of [0, 13, 29]) assert.equal(charts.rankAt(charts.rankPlace(rank, 0.1, size)[0] + 2, size), rank);
  assert.equal(charts.rankAt(-50, size), 0);
  assert.equal(charts.rankAt(900, size), 29);
  const up = [0.001, 0.01, 0.1, 1].map((e) => charts.rankPlace(0, e, size)[1]);
  assert.ok(Math.abs(up[0] - up[1] - (up[2] - up[3])) < 1e-9 && up[3] < up[2]);
  for (const e of [0.001, 0.015, 0.4]) {
    const x = charts.runPlace(e, 200, size.limits);
    assert.ok(Math.abs(charts.errorAt(x, 200, size.limits) / e - 1) < 1e-9);
  }
  assert.equal(charts.errorAt(-100, 200, size.limits), 0.001);
});

test("the words say who, how well and whether", () => {
  const view = { network: "a", object: "end_effector", muHere: 0.1 };
  const pair = { error: 0.01234, r2: 0.9, px: 3.21, withinR2: NaN };
  const words = state.describe(view, pair, 3, 3, { run: "a", hit: 5, runs: 6 });
  assert.equal(words, "a, end effector: keypoint 3, the metric's choice. Error 0.0123, R² 0.90, 3.2 pixels; " +
    "R² within episodes undefined, since it stands still. At µ = 0.1 it is tracked. " +
    "Of the recorded runs of a, 5 of 6 track it.");
  assert.equal(state.describe({ ...view, muHere: null }, pair, 3, 3),
    "a, end effector: keypoint 3, the metric's choice. Error 0.0123, 3.2 pixels.");
  assert.match(state.describe({ ...view, muHere: 0.01 }, pair, 2, 3), /keypoint 2\. .* At µ = 0\.01 it is not tracked\.$/);
});

test("the words of the threshold count all runs and the recipe's, and say what it asks", () => {
  const rows = [{ run: "a", hits: [1, 2], runs: 4 }, { run: "rarity", hits: [5, 6], runs: 6 }];
  assert.equal(state.describeThreshold("end_effector", 0.1, 1, rows, 0.4), "At µ = 0.1, which asks for an R² of 0.75 " +
    "on the recipe's episodes: 8 of 10 runs track the end effector, of rarity's 6 of 6.");
  assert.equal(state.describeThreshold("cube", 0.015, 0, [], NaN), "At µ = 0.015: no runs are recorded.");
});

test("numbers that do not exist are a dash", () => {
  assert.deepEqual([NaN, null, -0.00012345, 12.3456].map(state.shortNumber), ["–", "–", "\u22120.000123", "12.3"]);
});

test("the smallest is the first among equals and no NaN", () => {
  assert.equal(tracking.smallest([NaN, 3, 1, 1]), 2);
  assert.equal(tracking.smallest([NaN]), -1);
});

test("an error at the threshold counts, one that was never seen does not", () => {
  const { hits, runs, overall } = tracking.capabilityOf([[0.015, 0.2], [0.016, null]], [0.015, 0.2]);
  assert.deepEqual([hits, runs, overall], [[1, 1], 2, 0.5]);
});

test("no frame to fit on gives no number", () => {
  const track = [new Float64Array(4), new Float64Array(4)];
  const frames = { fit: [], scored: [0, 1], episode: [0, 0], H: 4, W: 4 };
  assert.ok(Number.isNaN(tracking.judgePair(track, track, frames).error));
  assert.ok(Number.isNaN(tracking.judgeWithin(track, track, { ...frames, scored: [] }).within));
});
