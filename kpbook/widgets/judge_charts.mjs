// Judge it: its three pictures, drawn into a canvas from numbers and places.

import { clamp, fitCanvas } from "./core.mjs";
import { onAxis } from "./judge_state.mjs";
import { colourOf, drawLine, strokeMark } from "./marks.mjs";
import { paintPixels } from "./pixels.mjs";

const EDGE = { left: 40, right: 16, top: 8, bottom: 20 }; // round the chart of keypoints, CSS pixels

function drawDot(context, [x, y], radius, colour, full) {
  context.beginPath();
  context.arc(x, y, radius, 0, 7);
  context.fillStyle = context.strokeStyle = colour;
  context.lineWidth = 1.25;
  if (full) context.fill();
  else context.stroke();
}

function startChart(canvas, w, h, ink) {
  const context = fitCanvas(canvas, w, h);
  context.clearRect(0, 0, w, h);
  context.font = "11px system-ui, sans-serif";
  context.fillStyle = ink.muted;
  return context;
}

/** Powers of ten on an axis of errors. */
function ticksOf([low, high]) {
  return [1e-4, 1e-3, 1e-2, 1e-1, 1].filter((tick) => tick >= low && tick <= high);
}

/** One frame, paler, so that lines show on it: towards the page's own colour. */
function paleFrame({ palette, pictures }, frame, H, W, surface) {
  const page = [1, 3, 5].map((k) => parseInt(surface.slice(k, k + 2), 16));
  const pale = palette.map((value, k) => Math.round(0.55 * value + 0.45 * page[k % 3]));
  const rgb = new Uint8ClampedArray(3 * H * W);
  for (let p = 0; p < H * W; p++) {
    const colour = 3 * pictures[frame * H * W + p];
    for (let c = 0; c < 3; c++) rgb[3 * p + c] = pale[colour + c];
  }
  return rgb;
}

/**
 * The frame with the paths of its episode: `real` the object's, `said` the mapped keypoint's, `raw`
 * the keypoint's own, in CSS pixels; `k` the object's colour and mark. A frame that does not count is
 * dotted and hollow.
 */
export function drawScene(canvas, data, { H, W }, { frame, now, side, real, said, raw, counts }, k, ink) {
  const colour = colourOf(ink, k);
  const context = paintPixels(canvas, paleFrame(data, frame, H, W, ink.surface), H, W, side);
  drawLine(context, raw, ink.halo, 3.5);
  drawLine(context, raw, ink.ink, 1.75, [1.5, 3]);
  real.forEach((place, t) => drawLine(context, [place, said[t]], ink.muted, 1, counts(t) ? [] : [2, 3]));
  drawLine(context, real, colour, 2.25);
  drawLine(context, said, ink.ink, 1.5, [5, 3]);
  real.forEach((place, t) => drawDot(context, place, 2.5, colour, counts(t)));
  said.forEach((place, t) => drawDot(context, place, 2.5, ink.ink, counts(t)));
  drawLine(context, [real[now], said[now]], ink.halo, 5);
  drawLine(context, [real[now], said[now]], ink.ink, 2.5);
  strokeMark(context, "dot", raw[now], ink.ink, ink.halo);
  strokeMark(context, "cross", said[now], ink.ink, ink.halo);
  strokeMark(context, k, real[now], colour, ink.halo);
}

/** Place of a rank and an error in the chart of keypoints; `w` by `h` CSS pixels. */
export function rankPlace(rank, error, { w, h, count, limits }) {
  const [across, up] = [w - EDGE.left - EDGE.right, h - EDGE.top - EDGE.bottom];
  return [EDGE.left + ((rank + 0.5) * across) / count, EDGE.top + (1 - onAxis(error, limits)) * up];
}

/** The rank nearest to a place in that chart. */
export function rankAt(x, { w, count }) {
  return clamp(Math.round(((x - EDGE.left) * count) / (w - EDGE.left - EDGE.right) - 0.5), 0, count - 1);
}

/** Every keypoint in the order of its fit: a dash where it was fitted, a dot where it is scored; `mu` may be null. */
export function drawRanks(canvas, size, { pairs, order, chosen, mu }, ink) {
  const { w, h } = size;
  const context = startChart(canvas, w, h, ink);
  const across = (error) => [[EDGE.left, rankPlace(0, error, size)[1]], [w - EDGE.right, rankPlace(0, error, size)[1]]];
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (const tick of ticksOf(size.limits)) {
    drawLine(context, across(tick), ink.line, 1);
    context.fillText(String(tick), EDGE.left - 6, across(tick)[0][1]);
  }
  context.textAlign = "left";
  context.fillText("best fit first", EDGE.left, h - 8);
  if (mu !== null) {
    drawLine(context, across(mu), ink.accent, 1.75, [6, 4]);
    context.fillStyle = ink.accent;
    context.fillText("µ", w - EDGE.right + 5, across(mu)[0][1]);
  }
  order.forEach((n, rank) => {
    const { fitError, error } = pairs[n];
    if (!Number.isFinite(error)) return;
    const [x, fitted] = rankPlace(rank, fitError, size);
    drawLine(context, [[x - 3.5, fitted], [x + 3.5, fitted]], ink.muted, 1.75);
    drawDot(context, rankPlace(rank, error, size), n === chosen ? 4.5 : 3, ink.ink, mu === null || error <= mu);
  });
}

/** Place of an error across the table of runs, `w` CSS pixels wide, and back. */
export function runPlace(error, w, limits) {
  return 10 + onAxis(error, limits) * (w - 24);
}

export function errorAt(x, w, [low, high]) {
  return low * (high / low) ** clamp((x - 10) / (w - 24), 0, 1);
}

/**
 * A dot for each run, full if tracked: `rows` of {errors, middle}, null for no number. The axis
 * stands in the table's head, `head` CSS pixels high.
 */
export function drawRuns(canvas, { w, h, head, rows, mu, limits, colour }, ink) {
  const context = startChart(canvas, w, h, ink);
  context.textAlign = "center";
  const ticks = ticksOf(limits);
  const apart = runPlace(ticks[1], w, limits) - runPlace(ticks[0], w, limits);
  ticks.forEach((tick, i) => {
    const x = runPlace(tick, w, limits);
    drawLine(context, [[x, head - 2], [x, h]], ink.line, 1);
    if (apart > 40 || i % 2 === 0) context.fillText(String(tick), Math.max(16, x), head - 8);
  });
  for (const { errors, middle } of rows) {
    const n = errors.length;
    errors.forEach((error, r) => {
      if (error === null) return;
      const spread = n > 1 ? (((7 * r) % n) / (n - 1) - 0.5) * 11 : 0; // so that dots lie apart
      drawDot(context, [runPlace(error, w, limits), middle + spread], 2.5, colour, error <= mu);
    });
  }
  const x = runPlace(mu, w, limits);
  drawLine(context, [[x, 12], [x, h]], ink.accent, 1.75, [6, 4]);
}
