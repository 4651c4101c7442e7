// Run by tests/test_widgets.py: node --test tests/js/
import assert from "node:assert/strict";
import test from "node:test";
import { deflateSync } from "node:zlib";

import * as agent from "../../kpbook/widgets/what_would_it_do_agent.mjs";
import * as figure from "../../kpbook/widgets/what_would_it_do_state.mjs";

const near = (ours, theirs, off = 1e-6) =>
  ours.forEach((value, k) => assert.ok(Math.abs(value - theirs[k]) < off, `${ours} is not ${theirs}`));
// A camera that looks along x, so that -y is to its right.
const camera = { R: [0, -1, 0, 0, 0, -1, 1, 0, 0], t: [0, 0, 0] };

test("sixteen bits are the numbers that IEEE 754 says", () => {
  const halves = { 0x3c00: 1, 0xc000: -2, 0x3555: 0.333251953125, 0x0001: 2 ** -24, 0x7bff: 65504, 0x8000: -0 };
  for (const [bits, value] of Object.entries(halves)) assert.equal(agent.fromHalf(Number(bits)), value);
  assert.equal(agent.fromHalf(0x7c00), Infinity);
  assert.ok(Number.isNaN(agent.fromHalf(0x7c01)));
});

test("weights unpack from all low bytes and then all high ones", async () => {
  const bytes = deflateSync(Uint8Array.from([0x00, 0x55, 0x3c, 0x35]));
  assert.deepEqual([...(await agent.unpackWeights(bytes))], [1, Math.fround(0.333251953125)]);
});

/** An agent of two inputs whose networks have the given layers, [weight rows, bias] each. */
const made = (actor, critics, more = {}) => {
  const sizes = (layers) => [layers[0][0].length, ...layers.map(([, bias]) => bias.length)];
  const flat = [actor, ...critics].flatMap((layers) => layers.flatMap(([weight, bias]) => [...weight.flat(), ...bias]));
  const plain = { networks: [actor, ...critics].map(sizes), scale: [1, 1], ...more };
  return agent.withNetworks([plain], Float32Array.from(flat))[0];
};

test("actor and critics are linear layers with ReLU between, the action is tanh, the value the smaller", () => {
  const actor = [[[[1, -1], [2, 0]], [0, 0.5]], [[[1, 0, -1], [0, 1, 2]], [0.1, 0.2, 0.3]]];
  const critic = (bias) => [[[[1], [1], [1], [1], [1]], [0]], [[[2]], [bias]]];
  const one = made(actor, [critic(1), critic(-1)]);
  // [3, -1] -> [3 - 2, -3 + 0.5] -> ReLU [1, 0] -> [1.1, 0.2, -0.7]
  near(agent.act(one, [3, -1]), [1.1, 0.2, -0.7].map(Math.tanh));
  assert.equal(agent.valueOf(one, [3, -1], [0.5, 0, 0.25]), 2 * 2.75 - 1);
  assert.equal(agent.valueOf(one, [-3, -1], [0.5, 0, 0.25]), -1);
});

test("any number of inputs goes through, zeros among them", () => {
  for (let n = 1; n < 12; n++) {
    const x = Array.from({ length: n }, (_, k) => (k % 3 === 1 ? 0 : k + 1));
    const weight = x.map((_, k) => [k + 1, 1, 0]);
    const dot = x.reduce((sum, v, k) => sum + v * (k + 1), 0) / 1000;
    const one = made([[weight.map((row) => row.map((w) => w / 1000)), [0, 0, 0]]], [], { scale: x });
    near(agent.act(one, x), [Math.tanh(dot), Math.tanh(x.reduce((a, b) => a + b) / 1000), 0]);
  }
});

test("a mean position is in map coordinates: -1 and 1 at the middles of the border cells", () => {
  const data = Float32Array.from([...Array(6).fill(0), 0, 0, 0.5, 0, 0, 0.5]);
  assert.deepEqual(agent.expectation({ data, dims: [2, 2, 3] }, [1, 1]), [[1, 0], [1, 0]]);
});

test("a place is a quadratic polynomial of its keypoint, cut off where it runs away", () => {
  const weights = [[[1, 0], [2, 0], [0, 3], [0, 4], [5, 0], [0, 6]]];
  const [[x, y]] = agent.placesOf({ weights, farthest: 100 }, [[0.5, -2]]);
  assert.deepEqual([x, y], [1 + 1 - 5, -6 + 1 + 24]);
  assert.deepEqual(agent.placesOf({ weights, farthest: 0.5 }, [[0.5, -2]]), [[-0.5, 0.5]]);
});

test("what is read follows the options", () => {
  const scale = Array(30).fill(2);
  const places = [[1, 2], [10, 20], [100, 200]];
  const hand = [5, 6, 7];
  const read = (options) => agent.readFirst({ scale, ...options }, places, hand).map((v) => v / 2);
  assert.deepEqual(read({ hand: true, relative: true, velocity: false }), [1, 2, 5, 6, 7, 0, 0, 0, -4, -4, 10, 20, 9, 18]);
  assert.deepEqual(read({ hand: false, relative: true, velocity: false }), [1, 2, 100, 200, -99, -198, 10, 20, 9, 18]);
  assert.deepEqual(read({ hand: false, relative: false, velocity: true }), [1, 2, 100, 200, 0, 0, 0, 0, 0, 0, 10, 20]);
});

test("the map moves the hand as the agent knows it", () => {
  for (const hand of [true, false]) {
    const critic = [[Array.from({ length: hand ? 13 : 9 }, (_, k) => [Number(k === 2 || k === 3)]), [0]]];
    const actor = [[Array(hand ? 10 : 6).fill([0, 0, 0]), [0, 0, 0]]];
    const one = made(actor, [critic], { hand, relative: false, velocity: false, scale: Array(10).fill(1) });
    const values = agent.valuesAt(one, [[1, 1], [2, 2], [3, 3]], [4, 4, 0.1], [[0.25, 0.5], [1, -2]]);
    assert.deepEqual([...values], [0.75, -1]);
  }
});

test("the hand is where it is measured, or else where it is seen", () => {
  const of = (hand) => {
    const layer = (n, m) => [Array(n).fill(Array(m).fill(0)), Array(m).fill(0)];
    const n = hand ? 10 : 6;
    return made([layer(n, 3)], [[layer(n + 3, 1)]], { hand, relative: false, velocity: false, scale: Array(n).fill(1) });
  };
  const places = [[1, 1], [2, 2], [3, 3]];
  assert.deepEqual(agent.think(of(true), places, [4, 5, 6]).hand, [4, 5]);
  assert.deepEqual(agent.think(of(false), places, [4, 5, 6]).hand, [3, 3]);
  assert.deepEqual(agent.think(of(false), places, [4, 5, 6]).places, places);
});

test("traits that make no sense become the first view, and there is no keypoint to choose", () => {
  const limits = { networks: ["a", "true"], poses: 3, first: { cube: [0.01, 0], target: [0, 0.1], yaw: 20 } };
  const state = figure.clean({ cube: "x", network: "c", keypoint: 4 }, limits);
  assert.deepEqual(state.cube, [0.01, 0]);
  assert.equal(state.network, "a");
  assert.equal("keypoint" in state, false);
});

test("the map is seen from above, the camera below it, and follows a hand that leaves it", () => {
  assert.deepEqual(figure.windowOf(camera, [0.1, 0.1]), [0, 0]);
  near(figure.windowOf(camera, [0.3, -0.5]), [0.5 - 0.2, 0.3 - 0.2]);
  const middle = [0.1, 0.2]; // right, away
  const cells = figure.cellsOf(camera, middle);
  assert.equal(cells.length, figure.CELLS ** 2);
  near(cells[0], [0.2 + 0.24, -0.1 + 0.24]); // upper left: far away, to the left
  near(figure.toMap(camera, middle, [0.2, -0.1], 100), [50, 50]);
  near(figure.toMap(camera, middle, cells[0], 100), [2, 2]);
  assert.deepEqual(figure.toMap(camera, middle, [9, 9], 100, 8), [8, 8]);
});

test("colours grow brighter all the way", () => {
  const light = ([r, g, b]) => 0.2126 * r ** 2.2 + 0.7152 * g ** 2.2 + 0.0722 * b ** 2.2;
  const steps = Array.from({ length: 41 }, (_, k) => light(figure.colourAt(k / 40)));
  steps.slice(1).forEach((value, k) => assert.ok(value > steps[k]));
  const { rgb, low, high } = figure.coloured([-3, -1, -2]);
  assert.deepEqual([low, high], [-3, -1]);
  assert.deepEqual([...rgb].slice(0, 6), [...figure.colourAt(0), ...figure.colourAt(1)]);
  assert.deepEqual([...figure.coloured([5, 5]).rgb].slice(0, 3), figure.colourAt(0.5));
});

test("directions are said as the camera sees them", () => {
  assert.equal(figure.direction(camera, [0, -0.03, 0]), "3.0 cm to the right");
  assert.equal(figure.direction(camera, [0.03, 0, -0.02]), "3.0 cm away from the camera, and 2.0 cm down");
  assert.equal(figure.direction(camera, [-0.03, 0.04, 0.001]), "5.0 cm to the left and towards the camera");
  assert.equal(figure.direction(camera, [0.001, 0, 0.01]), "1.0 cm up");
  assert.equal(figure.direction(camera, [0.001, 0, 0.001]), "");
});

test("an action of 1 moves the hand by a step, as often as it lasts", () => {
  near(figure.movement({ action: [1, -0.5, 0] }, { repeat: 2 }, 0.05), [0.1, -0.05, 0]);
});

test("the words say what is seen, how far that is off, and what it would do", () => {
  const mind = { places: [[0.03, 0.04], [0.1, 0]], value: -12.34, action: [0, 0, 0] };
  const state = { cube: [0, 0], target: [0.1, 0.02] };
  const words = figure.describe({ label: "Net" }, state, mind, [0, -0.03, 0], { low: -20, high: -1.5 }, camera);
  assert.match(words, /^Net\. .* the cube at 3\.0 and 4\.0 cm, 5\.0 cm from where it is/);
  assert.match(words, /target at 10\.0 and 0\.0 cm, 2\.0 cm .* move the hand 3\.0 cm to the right;/);
  assert.match(words, /expect \u221212\.3, and between \u221220\.0 and \u22121\.50 on the map\.$/);
  assert.match(figure.describe({ name: "n" }, state, mind, [0, 0, 0], null, camera), /hardly move the hand; .*12\.3\.$/);
  assert.match(figure.describe({ name: "n" }, state, null, null, null, camera), /cannot read this one/);
});
