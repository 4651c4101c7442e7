// What would the agent do: the arrow over the scene, and the map of values, drawn into canvases.

import { colourOf, strokeMark } from "./marks.mjs";
import { paintPixels } from "./pixels.mjs";

const ARROW = "#ffb000";
const HEAD = 11; // pixels
const RIM = "#17202b"; // around the arrow: the picture below is light in either theme
const UP = "M0 -7L7 5H-7Z";
const DOWN = "M0 7L7 -5H-7Z";

/** An arrow from one point to another, and beyond its end a mark if the way is also up (1) or down (-1). */
export function drawArrow(context, [x, y], [u, v], up, scale = 1) {
  const length = Math.hypot(u - x, v - y);
  const angle = Math.atan2(v - y, u - x);
  const head = Math.min(HEAD * scale, 0.8 * length);
  const shape = new Path2D();
  if (length > 1) {
    shape.moveTo(0, 0);
    shape.lineTo(length - head, 0);
    shape.moveTo(length, 0);
    shape.lineTo(length - head, 0.55 * head);
    shape.lineTo(length - head, -0.55 * head);
    shape.closePath();
  }
  context.save();
  context.translate(x, y);
  context.rotate(angle);
  context.lineJoin = context.lineCap = "round";
  for (const [colour, width] of [[RIM, 6], [ARROW, 3]]) {
    context.strokeStyle = colour;
    context.lineWidth = width * scale;
    context.stroke(shape);
  }
  context.fillStyle = ARROW;
  context.fill(shape);
  context.restore();
  const beside = [u + 15 * scale * Math.cos(angle), v + 15 * scale * Math.sin(angle)];
  if (up) strokeMark(context, up > 0 ? UP : DOWN, beside, ARROW, RIM, { fill: true, scale });
}

/** Marks of what the agent sees: cube, target and hand, at points of a canvas. */
export function drawSeenThings(context, points, ink, scale = 1) {
  points.forEach((at, k) => {
    if (at) strokeMark(context, k, at, colourOf(ink, k), ink.halo, { scale });
  });
}

/** Coloured cells as a map, N x N. */
export function drawCells(canvas, side, rgb, N) {
  return paintPixels(canvas, rgb, N, N, side);
}
