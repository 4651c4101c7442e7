// Run by tests/test_widgets.py: node --test tests/js/
import assert from "node:assert/strict";
import test from "node:test";

import * as core from "../../kpbook/widgets/core.mjs";
import * as maps from "../../kpbook/widgets/maps.mjs";
import * as marks from "../../kpbook/widgets/marks.mjs";

const near = (got, want, tolerance = 1e-12) =>
  assert.ok(Math.abs(got - want) <= tolerance, `got ${got}, expected ${want}`);

test("border cells are centred on -1 and +1, a single cell on 0", () => {
  assert.deepEqual([...maps.axisCoordinates(5)], [-1, -0.5, 0, 0.5, 1]);
  assert.deepEqual([...maps.axisCoordinates(1)], [0]);
});

test("softmax sums to one and survives logits that overflow exp", () => {
  const p = maps.softmax([1e4, 1e4 - 1, -1e4]);
  near(p[0] + p[1] + p[2], 1);
  near(p[0] / p[1], Math.E, 1e-9);
});

test("temperature divides the logits", () => {
  const p = maps.softmax([2, 0], 2);
  near(p[0] / p[1], Math.E);
});

test("two equal cells put the joint estimate between them", () => {
  const [H, W] = [5, 9];
  const logits = new Float64Array(H * W).fill(-50);
  logits[2 * W] = logits[2 * W + 6] = 0; // x = -1 and x = +0.5
  const [x, y] = maps.softArgmax(logits, H, W);
  near(x, -0.25);
  near(y, 0);
});

test("the separable form averages logits: it is not the marginal of the joint one", () => {
  const [H, W] = [3, 7];
  const logits = new Float64Array(H * W);
  logits[W + 6] = 6; // one cell, row 1, column 6
  const c = maps.axisCoordinates(W);
  const weight = Math.exp(6 / H); // the mean over the column holds a third of the logit
  near(maps.softArgmax(logits, H, W, 1, true)[0], (c[6] * weight - 1) / (weight + W - 1));
  assert.ok(maps.softArgmax(logits, H, W)[0] > 0.9);
});

test("the mode is the first of equal cells in reading order, as [x, y]", () => {
  const logits = [0, 0, 1, 0, 0, 1];
  assert.deepEqual(maps.mode(logits, 2, 3), [1, -1]);
});

test("distance in cells scales each axis by its own number of cells", () => {
  near(maps.distanceInCells([-1, 0], [1, 0], 24, 32), 31);
  near(maps.distanceInCells([0, -1], [0, 1], 24, 32), 23);
});

test("noise has mean 0 and variance 1, repeats with its seed and differs between seeds", () => {
  const a = maps.gaussianNoise(20000, 3);
  assert.deepEqual(a, maps.gaussianNoise(20000, 3));
  assert.notDeepEqual(a, maps.gaussianNoise(20000, 4));
  const mean = a.reduce((s, v) => s + v, 0) / a.length;
  near(mean, 0, 0.03);
  near(a.reduce((s, v) => s + (v - mean) ** 2, 0) / a.length, 1, 0.05);
});

test("numbers are shown with a real minus, never as minus zero", () => {
  assert.equal(core.formatNumber(-0.5), "\u22120.50");
  assert.equal(core.formatNumber(-0.001), "0.00");
});

test("numberIn clamps numbers and replaces what is none", () => {
  assert.equal(core.numberIn("3", 0, 2, 1), 2);
  for (const junk of [undefined, null, "", "x", NaN, {}, true]) {
    assert.equal(core.numberIn(junk, 0, 2, 1), 1);
  }
});

test("a hash is read back only by the figure that it names", () => {
  const hash = core.encodeHash("fig", { a: "1,2", b: 3 });
  assert.deepEqual(core.decodeHash("fig", hash), { a: "1,2", b: "3" });
  assert.equal(hash, "#fig?a=1,2&b=3");
  const odd = core.encodeHash("fig", { a: "x+y & z=#1?%" });
  assert.deepEqual(core.decodeHash("fig", odd), { a: "x+y & z=#1?%" });
  assert.equal(core.decodeHash("fig-2", hash), null);
  assert.equal(core.decodeHash("fig", "#fig-2?a=1"), null);
  assert.equal(core.decodeHash("fig", "#a-heading"), null);
});

test("a throttled call runs at most once an interval, and once after the last request", async () => {
  let calls = 0;
  const request = core.throttled(() => calls++, 40);
  for (let k = 0; k < 5; k++) request();
  await new Promise((done) => setTimeout(done, 20));
  request();
  assert.equal(calls, 1);
  await new Promise((done) => setTimeout(done, 80));
  assert.equal(calls, 2);
  request();
  request.flush();
  assert.equal(calls, 3);
});

test("settled text waits for a pause", async () => {
  let calls = 0;
  const request = core.settled(() => calls++, 30);
  for (let k = 0; k < 4; k++) {
    request();
    await new Promise((done) => setTimeout(done, 10));
  }
  assert.equal(calls, 0);
  await new Promise((done) => setTimeout(done, 80));
  assert.equal(calls, 1);
});

test("dark or light: the page's own word first, then JupyterLab's, then the system's", () => {
  const page = (html, body, system) => ({
    documentElement: { dataset: html, getAttribute: () => null },
    body: { dataset: body },
    defaultView: { matchMedia: () => ({ matches: system }) },
  });
  assert.equal(core.isDark(page({ theme: "light" }, {}, true)), false);
  assert.equal(core.isDark(page({ theme: "dark" }, {}, false)), true);
  assert.equal(core.isDark(page({}, { jpThemeLight: "false" }, false)), true);
  assert.equal(core.isDark(page({}, { jpThemeLight: "true" }, true)), false);
  assert.equal(core.isDark(page({}, {}, true)), true);
});

test("several figures of one kind get names of their own", () => {
  const taken = new Set(["fig", "fig-2"]);
  assert.equal(core.uniqueName("fig", { getElementById: (id) => taken.has(id) }), "fig-3");
});

test("numbers come from a list or from its text in a link, each with a fallback of its own", () => {
  assert.deepEqual(core.numbersIn([0.5, "x"], -1, 1, [0, 0.25]), [0.5, 0.25]);
  assert.deepEqual(core.numbersIn("0.5,-7", -1, 1, [0, 0.25]), [0.5, -1]);
  for (const junk of [undefined, null, 3, {}, "", true]) {
    assert.deepEqual(core.numbersIn(junk, -1, 1, [0, 0.25]), [0, 0.25]);
  }
});

test("a flag is on or off, in a trait or in a link; anything else is what is usual", () => {
  for (const usual of [true, false]) {
    assert.deepEqual([true, "1", false, "0"].map((v) => core.isOn(v, usual)), [true, true, false, false]);
    assert.ok([undefined, null, 1, 0, "maybe", NaN].every((v) => core.isOn(v, usual) === usual));
  }
});

test("colours go by index, in both themes, and begin anew after the last", () => {
  const { light, dark } = marks.INKS;
  assert.equal(new Set([...light.palette, ...dark.palette]).size, 12);
  assert.equal(marks.colourOf(light, 1), light.palette[1]);
  assert.equal(marks.colourOf(dark, 8), dark.palette[2]);
});
