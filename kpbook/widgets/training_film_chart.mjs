// Errors over images seen, as a chart: its axes, thresholds and curves on a canvas.

import { colourOf, drawLine, strokeMark } from "./marks.mjs";

// ---- arithmetic: no page needed ----------------------------------------------------------------

/** The first checkpoint from which an error stays at or below its threshold; -1 if there is none. */
export function foundSince(errors, threshold) {
  const last = errors.findLastIndex((error) => !(error <= threshold));
  return last + 1 < errors.length ? last + 1 : -1;
}

/**
 * Where images seen and errors go in a chart: x along a square root, so that the first hundred
 * steps have room and 0 a place; y along a logarithm. nearest(x) is the checkpoint there.
 */
export function chartScales({ images, error, threshold }, box) {
  const values = [...error.flat(), ...threshold].filter((v) => v > 0);
  const low = 10 ** Math.floor(Math.log10(Math.min(...values)));
  const high = 1.3 * Math.max(...values);
  const x = (seen) => box.x + box.w * Math.sqrt(seen / images.at(-1));
  const y = (e) => box.y + (box.h * Math.log(high / Math.max(e, low))) / Math.log(high / low);
  const places = images.map(x);
  const nearest = (at) =>
    places.reduce((best, p, k) => (Math.abs(p - at) < Math.abs(places[best] - at) ? k : best), 0);
  return { x, y, low, high, nearest };
}

export function inThousands(count) {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ",");
}

// ---- drawing -----------------------------------------------------------------------------------

const DASHES = [[], [7, 4], [2, 3], [9, 3, 2, 3], [1, 2], [5, 2]]; // a curve has colour, dash and mark k
const TICKS = [0, 1000, 5000, 10000, 20000, 40000];

export function drawAxes(context, about, box, scales, ink) {
  context.font = "11px system-ui, sans-serif";
  context.fillStyle = ink.muted;
  context.textBaseline = "middle";
  for (let power = -6; power < 3; power++) {
    const value = 10 ** power;
    if (value < scales.low * 0.999 || value > scales.high) continue;
    const y = Math.round(scales.y(value)) + 0.5;
    drawLine(context, [[box.x, y], [box.x + box.w, y]], ink.line);
    context.textAlign = "right";
    context.fillText(String(Number(value.toPrecision(1))), box.x - 6, y);
  }
  context.textBaseline = "top";
  let free = -Infinity; // so that labels never touch
  for (const tick of TICKS.filter((seen) => seen <= about.images.at(-1))) {
    const [x, text] = [scales.x(tick), inThousands(tick)];
    context.fillRect(Math.round(x), box.y + box.h, 1, 4);
    const half = context.measureText(text).width / 2;
    if (x - half < free) continue;
    free = x + half + 8;
    context.textAlign = "center";
    context.fillText(text, x, box.y + box.h + 7);
  }
}

export function drawThresholds(context, { objects, threshold }, box, scales, ink) {
  context.fillStyle = ink.ink;
  context.textAlign = "right";
  context.textBaseline = "bottom";
  for (const mu of new Set(threshold)) {
    const y = Math.round(scales.y(mu)) + 0.5;
    drawLine(context, [[box.x, y], [box.x + box.w, y]], ink.ink, 1, [1, 3]);
    const names = objects.filter((_, k) => threshold[k] === mu);
    context.fillText(`µ = ${mu}: ${names.join(", ")}`, box.x + box.w, y - 2);
  }
}

export function drawCurve(context, about, k, scales, ink, checkpoint) {
  const colour = colourOf(ink, k);
  const places = about.images.map((seen, c) => [scales.x(seen), scales.y(about.error[c][k])]);
  drawLine(context, places, colour, 2, DASHES[k % DASHES.length]);
  const since = foundSince(about.error.map((row) => row[k]), about.threshold[k]);
  if (since >= 0) strokeMark(context, k, places[since], colour, ink.halo, { scale: 0.5, fill: true });
  strokeMark(context, k, places[checkpoint], colour, ink.halo, { scale: 0.7 });
}
