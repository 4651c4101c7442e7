// Run by tests/test_widgets.py: node --test tests/js/
import assert from "node:assert/strict";
import test from "node:test";

import * as scene from "../../kpbook/widgets/push_scene.mjs";

const near = (got, want, tolerance = 1e-9) =>
  assert.ok(Math.abs(got - want) <= tolerance, `got ${got}, expected ${want}`);

// One metre above the origin, looking straight down: x of the world to the right, y up the image.
const above = {
  fx: 100, fy: 100, cx: 31.5, cy: 31.5,
  R: [1, 0, 0, 0, -1, 0, 0, 0, -1],
  t: [0, 0, 1],
};
const box = (more) => ({ colour: [1, 0.5, 0], centre: [0, 0, 0], half: [0.1, 0.05, 0.02], yaw: 0, ...more });

test("a point below the camera is seen where the pinhole says", () => {
  const { pixel, depth } = scene.projectPoint(above, [0.1, 0.2, 0.5]);
  near(pixel[0], 31.5 + 20);
  near(pixel[1], 31.5 - 40);
  near(depth, 0.5);
});

test("a pixel's point on a plane projects back onto the pixel", () => {
  const point = scene.pointOnPlane(above, [40, 10], 0.3);
  near(point[2], 0.3);
  const { pixel } = scene.projectPoint(above, point);
  near(pixel[0], 40);
  near(pixel[1], 10);
});

test("a camera with more pixels sees the same: the image's edges stay", () => {
  const sharp = scene.resized(above, 4);
  const place = (camera, side) => scene.projectPoint(camera, [0.1, 0.2, 0.5]).pixel.map((v) => (v + 0.5) / side);
  const [[x, y], [u, v]] = [place(above, 64), place(sharp, 256)];
  near(u, x);
  near(v, y);
});

test("a picture with a fourth channel keeps it", () => {
  const H = 16;
  const camera = { ...above, cx: 7.5, cy: 7.5 };
  const draw = (channels) => {
    const picture = new Uint8ClampedArray(channels * H * H).fill(9);
    scene.drawBoxes(picture, new Float64Array(H * H).fill(9), H, H, camera, [box()]);
    return [...picture];
  };
  const four = draw(4);
  assert.deepEqual(four.filter((_, k) => k % 4 < 3), draw(3));
  assert.ok(four.every((value, k) => k % 4 < 3 || value === 9));
});

test("a plane behind the camera has no point", () => {
  assert.equal(scene.pointOnPlane(above, [40, 10], 2), null);
});

test("from above one sees the lid alone, with all of the light", () => {
  const [lid, ...rest] = scene.visibleFaces(above, box());
  assert.equal(rest.length, 0);
  near(lid.colour[0], 255 * 0.9375);
  near(lid.colour[1], 255 * 0.5 * 0.9375);
});

test("a quarter turn exchanges the sides", () => {
  const H = 64;
  const count = (yaw) => {
    const mask = scene.drawBoxes(
      new Uint8ClampedArray(3 * H * H), new Float64Array(H * H).fill(9), H, H, above, [box({ yaw })],
    );
    const rows = new Set();
    const columns = new Set();
    mask.forEach((m, k) => m && (rows.add(Math.floor(k / H)), columns.add(k % H)));
    return [columns.size, rows.size];
  };
  const [across, along] = count(0);
  assert.ok(across > along);
  assert.deepEqual(count(Math.PI / 2), [along, across]);
});

test("what is deeper than the recorded depth is not drawn", () => {
  const H = 16;
  const camera = { ...above, cx: 7.5, cy: 7.5 };
  const rgb = new Uint8ClampedArray(3 * H * H).fill(7);
  const depth = new Float64Array(H * H).fill(0.5);
  const mask = scene.drawBoxes(rgb, depth, H, H, camera, [box()]);
  assert.ok(mask.every((m) => m === 0));
  assert.ok(rgb.every((c) => c === 7));
});

test("a polygon holds its border, whichever way it turns", () => {
  const square = [[0, 0], [4, 0], [4, 4], [0, 4]];
  for (const polygon of [square, [...square].reverse()]) {
    assert.ok(scene.insideConvex(polygon, 2, 2));
    assert.ok(scene.insideConvex(polygon, 4, 2));
    assert.ok(!scene.insideConvex(polygon, 4.01, 2));
  }
});

test("a box behind the camera is not drawn", () => {
  assert.equal(scene.visibleFaces(above, box({ centre: [0, 0, 3] })).length, 0);
});
