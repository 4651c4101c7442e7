// Run by tests/test_widgets.py: node --test tests/js/
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { pathToFileURL } from "node:url";
import { deflateSync } from "node:zlib";

import { toFields } from "../../kpbook/widgets/core.mjs";
import * as engine from "../../kpbook/widgets/engine.mjs";
import * as figure from "../../kpbook/widgets/find_cube_state.mjs";
import * as pixels from "../../kpbook/widgets/pixels.mjs";

const limits = {
  networks: ["a", "b"],
  poses: 3,
  first: { cube: [0.01, -0.02], target: [-0.1, 0.1], yaw: 20 },
};

test("traits that make no sense become the first view", () => {
  const state = figure.clean({ cube: "x", yaw: null, network: "c", pose: 99, light: "bright" }, limits);
  assert.deepEqual(state.cube, [0.01, -0.02]);
  assert.equal(state.yaw, 20);
  assert.equal(state.network, "a");
  assert.equal(state.pose, 2);
  assert.equal(state.light, 1);
});

test("a place beyond reach is put at its border", () => {
  assert.deepEqual(figure.clean({ cube: [5, -5] }, limits).cube, [0.2, -0.2]);
});

test("a link gives the same view", () => {
  const state = figure.clean(
    { cube: [0.05, 0.06], target: [-0.07, 0.08], yaw: 33, pose: 1, light: 1.2, occluder: true, network: "b", keypoint: 4 },
    limits,
  );
  const fields = Object.fromEntries(
    Object.entries(toFields(state)).map(([k, v]) => [k, String(v)]),
  );
  assert.deepEqual(figure.clean(fields, limits), state);
});

test("distractor and occluder are boxes of their own, after cube and target", () => {
  const names = (more) =>
    figure.boxesOf(figure.clean(more, limits), { cube: [0, 1, 0], target: [0, 0, 1] }).map((b) => b.name);
  assert.deepEqual(names({}), ["cube", "target"]);
  assert.deepEqual(names({ distractor: true, occluder: true }), ["cube", "target", "distractor", "occluder"]);
});

test("the metric's map is applied to the object's own keypoint", () => {
  const network = {
    name: "n",
    assigned: [
      { object: "cube", keypoint: 1, A: [[2, 0], [0, -1]], b: [0.1, 0.2] },
      { object: "target", keypoint: -1, A: null, b: null },
    ],
  };
  const said = figure.saidOf(network, [9, 9, 0.2, 0.4], 5, 9);
  assert.deepEqual(Object.keys(said), ["cube"]);
  assert.ok(Math.abs(said.cube[0] - ((0.5 + 1) / 2) * 8) < 1e-12);
  assert.ok(Math.abs(said.cube[1] - ((-0.2 + 1) / 2) * 4) < 1e-12);
  const words = figure.describe(network, said, { cube: [said.cube[0] + 3, said.cube[1] + 4] });
  assert.match(words, /cube: keypoint 1 is 5\.0 pixels off; target: no keypoint/);
  assert.deepEqual(figure.saidOf(network, [9, 9], 5, 9), {}); // an answer without keypoint 1
  assert.match(figure.describe({ ...network, stranger: true }, {}, {}), /^n: .* is not known/);
});

test("how alike the answers are is said with what the build measured, if it did", () => {
  const alone = engine.describeParity("n", 2e-6, undefined);
  assert.match(alone, /^n: .* by at most 2e\u22126 on the first view \(image coordinates\)/);
  const both = engine.describeParity("n", 2e-6, { keypoints: 3e-7, images: 12 });
  assert.match(both, /onnxruntime and torch by 3e\u22127 on 12 recorded pictures/);
});

test("the border pixels' centres are at -1 and 1", () => {
  assert.deepEqual(pixels.toPixels([-1, 1], 5, 9), [0, 4]);
  assert.deepEqual(pixels.toPixels([-0.25, 0], 5, 9), [3, 2]);
});

// Two poses of 1 x 3 pixels; a zero is what the first row has.
const packed = () => {
  const grey = Uint8Array.from([10, 20, 30, 0, 200, 0, 0, 0, 100]);
  const tenths = Uint16Array.from([1, 65535, 20000, 0, 10000, 0, 0, 0, 65535]);
  return deflateSync(deflateSync(Buffer.concat([Buffer.from(grey), Buffer.from(tenths.buffer, 0, 18)])));
};
const straight = { fx: 3, fy: 3, cx: 1, cy: 0, R: [1, 0, 0, 0, 1, 0, 0, 0, 1], t: [0, 0, 0] };

test("poses unpack to greys and tenths of a millimetre", async () => {
  const poses = await figure.unpackPoses(packed(), 2, 1, 3);
  assert.deepEqual([...poses.grey], [10, 200, 30, 10, 20, 100]);
  assert.deepEqual([...poses.tenths], [1, 10000, 20000, 1, 65535, 65535]);
});

test("a cube is drawn where nothing recorded is nearer, for the network and for the eye alike", async () => {
  const poses = await figure.unpackPoses(packed(), 2, 1, 3);
  const colours = { cube: [0, 1, 0], target: [0, 0, 1] };
  for (const [pose, away, shown] of [[0, 0.9, 1], [0, 1.1, 0], [1, 1.1, 1]]) { // pose 0 has one metre there
    const camera = { ...straight, fx: 20, t: [0, -figure.CUBE, away] };
    const state = { cube: [0, 0], target: [9, 9], yaw: 0, pose, light: 1 };
    const { rgb, mask } = figure.drawState(state, poses, camera, colours);
    assert.deepEqual([...mask], [0, shown, 0]);
    const eye = [...new figure.SharpScene(poses, camera, colours).draw(state)];
    assert.deepEqual(eye.filter((_, k) => k % 4 < 3), [...rgb]);
    assert.deepEqual(eye.filter((_, k) => k % 4 === 3), [255, 255, 255]);
  }
});

test("the picture for the eye forgets the last one, and light changes both alike", async () => {
  const poses = await figure.unpackPoses(packed(), 2, 1, 3);
  const colours = { cube: [0, 1, 0], target: [0, 0, 1] };
  const near = { ...straight, t: [0, -figure.CUBE, 0.1] };
  const scene = new figure.SharpScene(poses, near, colours);
  const state = { cube: [0, 0], target: [9, 9], yaw: 0, pose: 1, light: 1.5 };
  scene.draw({ ...state, pose: 0, light: 0.4, yaw: 45 });
  const { rgb } = figure.drawState(state, poses, near, colours);
  assert.deepEqual([...scene.draw(state)].filter((_, k) => k % 4 < 3), [...rgb]);
  assert.deepEqual([...rgb].slice(0, 3), [15, 15, 15]);
});

test("heat map and drawing of the first view unpack to shares of one", async () => {
  const bytes = deflateSync(Uint8Array.from([0, 255, 51, 102, 0, 255, 0]));
  const { heatmaps, reconstruction } = await figure.unpackDrawn(bytes, { map: [2, 2], again: [1, 1] });
  assert.deepEqual([...heatmaps.data].map((v) => Math.round(10 * v)), [0, 10, 2, 4]);
  assert.deepEqual(heatmaps.dims, [1, 2, 2]);
  assert.deepEqual([...reconstruction.data], [0, 1, 0]);
  const blind = await figure.unpackDrawn(bytes, { map: [2, 2], again: null });
  assert.equal(blind.reconstruction, undefined);
});

test("a network is tried until it is fast once; only a slow start is forgiven", async () => {
  const trial = async (took) => {
    const times = [...took];
    let clock = 0;
    const fast = await engine.fastEnough(async () => (clock += times.shift()), () => clock);
    return { fast, runs: took.length - times.length };
  };
  // As measured on one core, while the browser still compiled.
  assert.deepEqual(await trial([52.6, 16.2, 3.1, 16.4]), { fast: true, runs: 3 });
  assert.deepEqual(await trial([51, 16, 21, 21, 3]), { fast: true, runs: 5 });
  assert.deepEqual(await trial([8]), { fast: true, runs: 1 });
  assert.deepEqual(await trial(Array(20).fill(15)), { fast: false, runs: 8 });
  assert.deepEqual(await trial([300, 120, 3]), { fast: false, runs: 2 });
});

test("the page's engine looks once before it answers, and finds its place after that", async () => {
  const folder = mkdtempSync(join(tmpdir(), "ort-"));
  const runtime = pathToFileURL(join(folder, "ort.mjs"));
  writeFileSync(runtime, `
    export const [env, runs, closed] = [{ wasm: {} }, [], []];
    export class Tensor { constructor(type, data, dims) { Object.assign(this, { data, dims }); } }
    export const InferenceSession = { create: async (model) => ({
      run: async ({ images: { data, dims } }) =>
        (runs.push([model, ...dims].join(" ")), { keypoints: { data, dims: [1, 1, 2] } }),
      release: async () => closed.push(model),
    }) };`);
  const { runs, closed } = await import(runtime.href);
  const image = (...numbers) => ({ images: { data: Float32Array.from(numbers), dims: [1, 2] } });
  const opened = await engine.browserEngine(runtime.href, "a.onnx", image(0.5, -0.5));
  assert.deepEqual(runs, ["a.onnx 1 2"]);
  assert.deepEqual([...opened.first.keypoints.data], [0.5, -0.5]);
  const { keypoints } = await opened.run({ inputs: image(0.25, 1) });
  assert.deepEqual({ ...keypoints, data: [...keypoints.data] }, { data: [0.25, 1], dims: [1, 2] });
  assert.equal(runs.length, 2);
  assert.equal(await opened.settle(), "page");
  assert.equal(runs.length, 3);
  await opened.close();
  assert.deepEqual(closed, ["a.onnx"]);
  rmSync(folder, { recursive: true });
});

test("planes are channels first, from 0 to 1", () => {
  const { data, dims } = engine.toInput(Uint8Array.from([255, 0, 51, 0, 255, 102]), 1, 2);
  assert.deepEqual(dims, [1, 3, 1, 2]);
  assert.deepEqual([...data].map((v) => Math.round(10 * v)), [10, 0, 0, 10, 2, 4]);
});

test("of several waiting requests only the last is run", async () => {
  const [ran, done] = [[], []];
  const open = [];
  const run = (x) => new Promise((resolve) => {
    ran.push(x);
    open.push(() => resolve(10 * x));
  });
  const ask = engine.latestOnly(run, (y) => done.push(y), () => {});
  ask(1);
  ask(2);
  ask(3);
  open.shift()();
  await new Promise((f) => setTimeout(f, 5));
  open.shift()();
  await new Promise((f) => setTimeout(f, 5));
  assert.deepEqual(ran, [1, 3]);
  assert.deepEqual(done, [10, 30]);
});

test("a failure is told, and the next request is run", async () => {
  const told = [];
  const run = (x) => (x === 1 ? Promise.reject(new Error("no")) : Promise.resolve(x));
  const done = [];
  const ask = engine.latestOnly(run, (y) => done.push(y), (error) => told.push(error.message));
  await ask(1);
  await ask(2);
  assert.deepEqual(told, ["no"]);
  assert.deepEqual(done, [2]);
});

test("a browser without WebAssembly is told so", async () => {
  const kept = globalThis.WebAssembly;
  delete globalThis.WebAssembly;
  try {
    await assert.rejects(engine.browserEngine("http://127.0.0.1/none.mjs", "none.onnx"), /no WebAssembly/);
  } finally {
    globalThis.WebAssembly = kept;
  }
});

test("the kernel is asked by message and answers the one that asked", async () => {
  let hear;
  const sent = [];
  const model = {
    on: (name, callback) => (hear = callback),
    off: () => {},
    send: (content, _, buffers) => sent.push([content, buffers]),
  };
  const inputs = { a: { data: Float32Array.of(1, 2), dims: [1, 2] }, b: { data: Float32Array.of(3), dims: [1] } };
  const asked = engine.kernelEngine(model, "n").run({ inputs });
  assert.equal(sent[0][0].network, "n");
  assert.deepEqual(sent[0][0].shapes, { a: [1, 2], b: [1] });
  assert.deepEqual(sent[0][1].map((buffer) => [...new Float32Array(buffer)]), [[1, 2], [3]]);
  hear({ answer: "another figure's 1", shapes: {} }, []);
  const bytes = new Uint8Array(Float32Array.of(0.5, 0.25).buffer);
  hear({ answer: sent[0][0].question, shapes: { keypoints: [1, 2] } }, [new DataView(bytes.buffer)]);
  const { keypoints } = await asked;
  assert.deepEqual([...keypoints.data], [0.5, 0.25]);
});

test("the heat map is that of the chosen keypoint, or nothing where only another one's is known", () => {
  const heatmaps = { data: Float32Array.of(0, 1, 2, 3, 4, 5), dims: [3, 1, 2] };
  assert.deepEqual([...figure.heatmapOf({ heatmaps }, 1).map], [2, 3]);
  assert.deepEqual([...figure.heatmapOf({ heatmaps, only: 7 }, 7).map], [0, 1]);
  assert.equal(figure.heatmapOf({ heatmaps, only: 7 }, 1), null);
  assert.equal(figure.heatmapOf({}, 0), null);
});

test("a keypoint that the answer lacks becomes the cube's", () => {
  const answer = { keypoints: { data: new Float32Array(8) } };
  const chosen = (keypoint, assigned) => figure.selected({ keypoint }, { assigned }, answer);
  assert.equal(chosen(3, [{ keypoint: 1 }]), 3);
  assert.equal(chosen(4, [{ keypoint: 1 }]), 1);
  assert.equal(chosen(-1, [{ keypoint: -1 }]), 0);
  assert.equal(chosen(-1, []), 0);
});

test("an arrow key moves along the table, that way on the screen, and not beyond reach", () => {
  const behind = { R: [0, 1, 0, 0, 0, -1, -1, 0, 0] }; // looks along -x: right is +y, away is -x
  assert.deepEqual(figure.stepped([0, 0], behind, 1, 0, false), [0, 0.005]);
  assert.deepEqual(figure.stepped([0, 0], behind, 0, -1, true), [-0.05, 0]);
  assert.deepEqual(figure.stepped([0, 0.19], behind, 1, 0, true), [0, 0.2]);
});

test("one engine a network, opened once, closed and opened anew once forgotten", async () => {
  const [opened, closed] = [[], []];
  const engines = new engine.Engines(async (name) => {
    opened.push(name);
    if (name === "bad") throw new Error("no");
    return { close: () => closed.push(name) };
  });
  assert.equal(engines.get("a"), engines.get("a"));
  await assert.rejects(engines.get("bad"), /no/);
  assert.deepEqual([...engines.failed], ["bad"]);
  engines.forget(engines.failed);
  await assert.rejects(engines.get("bad"), /no/);
  engines.forget();
  await new Promise((f) => setTimeout(f, 5));
  assert.deepEqual([opened, closed], [["a", "bad", "bad"], ["a"]]);
});
