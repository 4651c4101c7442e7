// The soft-argmax playground: the map, its marks and the strips beside it, drawn into a canvas.

import { clamp, formatNumber } from "./core.mjs";
import { INKS, colourOf, drawLine, strokeMark } from "./marks.mjs";

// Shades of the map, from its lowest value to its highest.
const SHADES = {
  light: { low: [243, 245, 248], high: [38, 48, 60] },
  dark: { low: [27, 34, 43], high: [236, 241, 246] },
};

// Shapes nest when they coincide. `hue` is the index of a colour; the truth has the ink's.
export const MARKS = {
  truth: { words: "Truth", shape: "cross" },
  joint: { words: "Joint", shape: "dot", hue: 0 },
  separable: { words: "Separable", shape: "M-6 -6H6V6H-6Z", hue: 2 },
  mode: { words: "Mode", shape: 1, hue: 1 },
};

/** Where things lie on the canvas, CSS pixels: the map, and a strip below and right of it. */
export function planCanvas(width, H, W) {
  const left = 24;
  const top = 14;
  const gap = 12;
  const strip = clamp(Math.round(width * 0.13), 40, 68);
  const room = Math.max(40, width - left - gap - strip - 2);
  const cell = Math.min(room / W, (1.3 * room) / H);
  const map = { x: left, y: top, w: cell * W, h: cell * H };
  const ticks = 20;
  return {
    cell,
    map,
    right: { x: left + map.w + gap, y: top, w: strip, h: map.h },
    below: { x: left, y: top + map.h + ticks, w: map.w, h: strip },
    width,
    height: top + map.h + ticks + strip + 4,
  };
}

/** Map coordinates to CSS pixels of the canvas: the border cells' centres are half a cell in. */
export function toCanvas([x, y], plan, H, W) {
  return [
    plan.map.x + (((x + 1) / 2) * (W - 1) + 0.5) * plan.cell,
    plan.map.y + (((y + 1) / 2) * (H - 1) + 0.5) * plan.cell,
  ];
}

/** The inverse of toCanvas; an axis of one cell has only the coordinate 0. */
export function fromCanvas([px, py], plan, H, W) {
  const back = (p, n) => (n > 1 ? (2 * (p / plan.cell - 0.5)) / (n - 1) - 1 : 0);
  return [back(px - plan.map.x, W), back(py - plan.map.y, H)];
}

/** Paint the map into one pixel a cell; shade 0 is the lowest value, 1 the highest. */
export function paintCells(image, values, theme, bend) {
  const { low, high } = SHADES[theme];
  let [bottom, top] = [Infinity, -Infinity];
  for (const v of values) {
    if (v < bottom) bottom = v;
    if (v > top) top = v;
  }
  if (bend) bottom = 0; // probabilities: white is zero
  const range = top - bottom || 1;
  for (let k = 0; k < values.length; k++) {
    const linear = (values[k] - bottom) / range;
    const shade = bend ? Math.sqrt(linear) : linear;
    for (let c = 0; c < 3; c++) {
      image.data[4 * k + c] = Math.round(low[c] + shade * (high[c] - low[c]));
    }
    image.data[4 * k + 3] = 255;
  }
}

/** One strip: both distributions along an axis, and lines where their means fall. */
function drawProfile(context, box, vertical, profiles, means, ink) {
  const peak = Math.max(...profiles.joint, ...profiles.separable);
  const n = profiles.joint.length;
  const place = (k, p) => {
    const along = (k + 0.5) / n;
    return vertical
      ? [box.x + (p / peak) * box.w, box.y + along * box.h]
      : [box.x + along * box.w, box.y + box.h - (p / peak) * box.h];
  };
  const end = vertical ? [box.x, box.y + box.h] : [box.x + box.w, box.y + box.h];
  drawLine(context, [vertical ? [box.x, box.y] : [box.x, box.y + box.h], end], ink.line);
  for (const name of ["joint", "separable"]) {
    const colour = colourOf(ink, MARKS[name].hue);
    const dash = name === "separable" ? [5, 3] : [];
    drawLine(context, Array.from(profiles[name], (p, k) => place(k, p)), colour, 1.75, dash);
    if (name === "joint") { // its line goes on, round the area below it
      context.lineTo(...place(n - 1, 0));
      context.lineTo(...place(0, 0));
      context.fillStyle = colour;
      context.globalAlpha = 0.16;
      context.fill();
      context.globalAlpha = 1;
    }
    const k = ((means[name] + 1) / 2) * (n - 1);
    drawLine(context, [place(k, 0), place(k, peak)], colour, 1, dash);
  }
}

function drawTicks(context, plan, H, W, ink) {
  context.fillStyle = ink.muted;
  context.font = "11px system-ui, sans-serif";
  context.textBaseline = "middle";
  for (const value of [-1, 0, 1]) {
    const text = value > 0 ? `+${value}` : formatNumber(value, 0);
    const [px, py] = toCanvas([value, value], plan, H, W);
    context.textAlign = "center";
    context.fillText(text, px, plan.map.y + plan.map.h + 10);
    context.textAlign = "right";
    context.fillText(text, plan.map.x - 4, py);
  }
  context.font = "italic 12px system-ui, sans-serif";
  context.textAlign = "center";
  context.fillText("x", toCanvas([0.5, 0], plan, H, W)[0], plan.map.y + plan.map.h + 9);
  context.textAlign = "right";
  context.fillText("y", plan.map.x - 6, toCanvas([0, 0.5], plan, H, W)[1]);
}

export function drawFigure(context, plan, cells, state, result, theme) {
  const ink = INKS[theme];
  const { H, W } = state;
  const { map } = plan;
  const { estimates } = result;
  context.clearRect(0, 0, plan.width, plan.height);
  context.imageSmoothingEnabled = false;
  context.drawImage(cells, map.x, map.y, map.w, map.h);
  context.strokeStyle = ink.line;
  context.lineWidth = 1;
  context.strokeRect(map.x - 0.5, map.y - 0.5, map.w + 1, map.h + 1);
  drawTicks(context, plan, H, W, ink);
  const means = (axis) => ({ joint: estimates.joint[axis], separable: estimates.separable[axis] });
  const along = (axis) => ({ joint: result.joint[axis], separable: result.separable[axis] });
  drawProfile(context, plan.below, false, along("x"), means(0), ink);
  drawProfile(context, plan.right, true, along("y"), means(1), ink);
  for (const name of ["mode", "separable", "truth", "joint"]) {
    const { shape, hue } = MARKS[name];
    const colour = hue === undefined ? ink.ink : colourOf(ink, hue);
    const at = toCanvas(estimates[name], plan, H, W);
    strokeMark(context, shape, at, colour, ink.halo, { fill: name === "joint" });
  }
}
