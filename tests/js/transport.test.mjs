// Run by tests/test_widgets.py: node --test tests/js/
import assert from "node:assert/strict";
import test from "node:test";
import { deflateSync } from "node:zlib";

import * as pong from "../../kpbook/widgets/pong_scene.mjs";
import * as figure from "../../kpbook/widgets/transport_state.mjs";

// A field of 10 x 20 pixels in a picture of 4 x 8: each covers 2.5 of them, both ways.
const things = [
  { name: "player", size: [2, 4], colour: [0, 100, 0], x: 17.5 },
  { name: "enemy", size: [2, 4], colour: [200, 0, 0], x: 2.5 },
  { name: "ball", size: [2, 2], colour: [255, 255, 255], x: null },
];
const recorded = [[4.5, 5.5, 10.5, 3.5], [5.5, 6.5, 11.5, 4.5], [6.5, 7.5, 12.5, 5.5]];
const first = { source: [], target: [], gap: 1, keypoint: -1 };
const scene = { size: [4, 8], field: [10, 20], court: [10, 20, 30], things, recorded, radius: 0.2, first };
const clean = (raw) => figure.clean(raw, scene, 3);

test("each pixel is the mean of what it covers", () => {
  const rgb = pong.drawField(scene, [5.5, 5.5]);
  const pixel = (i, j) => [...rgb.slice(3 * (8 * i + j), 3 * (8 * i + j) + 3)];
  assert.deepEqual(pixel(0, 3), [10, 20, 30]);
  // The enemy covers columns 2 and 3, rows 4 to 7; pixel (2, 0) columns 0 to 2.5, rows 5 to 7.5.
  assert.deepEqual(pixel(2, 0), [10 + 0.2 * 190, 20 - 0.2 * 20, 30 - 0.2 * 30]);
  assert.deepEqual(pixel(2, 1), [10 + 0.6 * 190, 20 - 0.6 * 20, 30 - 0.6 * 30]);
  assert.deepEqual(pixel(1, 1), [10 + 0.4 * 0.6 * 190, 20 - 0.24 * 20, 30 - 0.24 * 30].map((v) => Math.floor(v + 0.5)));
});

test("what is at the edge is cut off, and its point is the middle of the rest", () => {
  const [player, enemy] = pong.pointsOf(scene, [0.5, 5.5]);
  // Rows 0 to 2 of the player are in the field: row 1 is 0.1 of a pixel below the first one's centre.
  assert.ok(Math.abs(player[1] - ((2 * 0.1) / 3 - 1)) < 1e-12);
  assert.ok(Math.abs(player[0] - ((2 * 6.7) / 7 - 1)) < 1e-12);
  assert.ok(Math.abs(enemy[1] - ((2 * 1.9) / 3 - 1)) < 1e-12);
  assert.equal(pong.pointsOf(scene, [5.5, 5.5, 3.5, 3.5]).length, 3);
});

test("without places a frame is as recorded, the target after the gap", () => {
  assert.deepEqual(clean({}), { source: recorded[0], target: recorded[1], gap: 1, keypoint: -1 });
  assert.deepEqual(clean({ gap: "2", target: "", source: [] }).target, recorded[2]);
  assert.equal(clean({ gap: 99 }).gap, 2);
  const state = clean({});
  state.source[0] = 0;
  assert.deepEqual(clean({}).source, recorded[0]); // a copy
});

test("two numbers are paddles and no ball; a link's and a trait's are read alike", () => {
  assert.deepEqual(clean({ source: "3,4" }).source, [3.5, 4.5]);
  assert.deepEqual(clean({ source: [3, 4, 5] }).source, [3.5, 4.5]);
  assert.deepEqual(clean({ source: "3,4,5,6" }).source, [3.5, 4.5, 5.5, 6.5]);
  assert.deepEqual(clean({ source: "no,4,-7,99" }).source, [4.5, 4.5, 0.5, 8.5]);
  assert.deepEqual(clean({ source: [0, 0, 99, 0] }).source, [0.5, 0.5, 18.5, 0.5]);
  assert.equal(clean({ keypoint: "7" }).keypoint, 2);
});

test("a paddle that is dragged keeps its column, the ball goes anywhere in the field", () => {
  const places = [1.5, 2.5, 3.5, 4.5];
  assert.deepEqual(figure.placed(places, 1, [15, 7.2], scene), [1.5, 7.5, 3.5, 4.5]);
  assert.deepEqual(figure.placed(places, 2, [15, -7.2], scene), [1.5, 2.5, 15.5, 0.5]);
  assert.deepEqual(places, [1.5, 2.5, 3.5, 4.5]);
});

test("an answer depends on the frames and on what is moved, not on the gap", () => {
  const key = (raw) => figure.key(clean(raw));
  assert.equal(key({ target: [1, 2] }), key({ target: [1, 2], gap: 2 }));
  assert.notEqual(key({}), key({ keypoint: 1 }));
  assert.notEqual(key({}), key({ gap: 2 }));
  assert.deepEqual([...figure.movedOf({ keypoint: -1 }, 3).data], [1, 1, 1]);
  assert.deepEqual([...figure.movedOf({ keypoint: 1 }, 3).data], [0, 1, 0]);
  assert.deepEqual(figure.movedOf({ keypoint: 1 }, 3).dims, [1, 3]);
});

test("distances are those to each thing, and none to a ball that is not there", () => {
  const [player, enemy, ball] = pong.pointsOf(scene, recorded[0]);
  const rows = figure.distances(scene, recorded[0], [[ball[0] + 0.3, ball[1] - 0.4], player]);
  assert.ok(Math.abs(rows[0][2] - 0.5) < 1e-12);
  assert.equal(rows[1][0], 0);
  assert.ok(Math.abs(rows[1][1] - Math.hypot(player[0] - enemy[0], player[1] - enemy[1])) < 1e-12);
  assert.equal(figure.distances(scene, recorded[0].slice(0, 2), [player])[0][2], null);
});

test("an answer is said in words: what each keypoint is on, what moves, the errors", () => {
  const [player, enemy, ball] = pong.pointsOf(scene, recorded[0]);
  const flat = (points) => ({ data: Float32Array.from(points.flat()), dims: [points.length, 2] });
  const answer = {
    source_keypoints: flat([player, enemy, ball]),
    target_keypoints: flat([[0, -1], enemy, enemy]),
    errors: { data: Float32Array.of(0.00123, 1, 0.0456, 1), dims: [2, 2] },
  };
  const state = { source: recorded[0], target: recorded[0], keypoint: -1 };
  const words = figure.describe({ name: "n" }, state, answer, scene);
  assert.match(words, /^n\. In the source, keypoint 0 is on the player, keypoint 1 is on the enemy, keypoint 2 is on the ball\./);
  assert.match(words, /In the target, keypoint 0 is on nothing, keypoint 1 is on the enemy, keypoint 2 is on the enemy\./);
  assert.match(words, /All keypoints move features: the drawing has an error of 0\.0012, the source in its place 0\.0456\./);
  assert.match(figure.describe({ name: "n" }, { ...state, keypoint: 2 }, answer, scene), /Only keypoint 2 moves features/);
});

test("torch's first answer unpacks to what an engine would have answered", async () => {
  const bytes = Uint8Array.from([...Array(3).fill(51), ...Array(3).fill(102), ...Array(6).fill(255)]);
  const about = { first: [[[0.5, -0.5]], [[0.25, 1]]], errors: [[1, 2], [3, 4]] };
  const answer = await figure.unpack(deflateSync(bytes), about, { map: [1, 1], size: [1, 2] });
  assert.deepEqual(figure.keypointsOf(answer, "source"), [[0.5, -0.5]]);
  assert.deepEqual(figure.keypointsOf(answer, "target"), [[0.25, 1]]);
  assert.deepEqual([...answer.errors.data], [1, 2, 3, 4]);
  assert.deepEqual([...answer.transported.data].map((v) => Math.round(10 * v)), [4, 4, 4]);
  assert.deepEqual(answer.reconstruction.dims, [3, 1, 2]);
  assert.deepEqual([...answer.reconstruction.data], Array(6).fill(1));
});
