// Colours and marks of things that a figure tells apart, by index: colour k goes with mark k.

import { make } from "./core.mjs";

// Okabe and Ito's hues, darker on white and lighter on black. kpbook/widgets/_base.py takes the
// colours of the still pictures from the first list.
const ON_WHITE = ["#d55e00", "#0072b2", "#00805f", "#a3297a", "#7a6200", "#5a3fc0"];
const ON_BLACK = ["#f0883e", "#56b4e9", "#2fc79b", "#f58ac8", "#e6c84a", "#b3a4ff"];
export const SELECTED = "#ffb000";

export const INKS = {
  light: { ink: "#17202b", muted: "#4d5a68", line: "#c3ccd6", halo: "#ffffff", surface: "#ffffff",
    accent: ON_WHITE[1], palette: ON_WHITE },
  dark: { ink: "#edf1f5", muted: "#aab6c3", line: "#46525f", halo: "#0d1116", surface: "#161b22",
    accent: ON_BLACK[1], palette: ON_BLACK },
};

/** Colour k of a theme; a seventh thing begins anew. */
export function colourOf(ink, k) {
  return ink.palette[k % ink.palette.length];
}

const MARKS = [
  "M-8 -8H8V8H-8Z", // square
  "M0 -10L10 0L0 10L-10 0Z", // diamond
  "M9 0A9 9 0 1 1 -9 0A9 9 0 1 1 9 0Z", // circle
  "M0 -10L10 7H-10Z",
  "M0 10L10 -7H-10Z",
  "M10 0L5 8.5H-5L-10 0L-5 -8.5H5Z",
];
const SHAPES = {
  cross: "M-12 0H-4M4 0H12M0 -12V-4M0 4V12",
  dot: "M3.5 0A3.5 3.5 0 1 1 -3.5 0A3.5 3.5 0 1 1 3.5 0Z",
};

function pathOf(shape) {
  return Number.isInteger(shape) ? MARKS[shape % MARKS.length] : (SHAPES[shape] ?? shape);
}

/** A mark (an index, a name of SHAPES or a path) at [x, y], with a halo so that it shows on everything. */
export function strokeMark(context, shape, [x, y], colour, halo, { fill = false, scale = 1 } = {}) {
  const path = new Path2D(pathOf(shape));
  context.save();
  context.translate(x, y);
  context.scale(scale, scale);
  context.lineJoin = "round";
  context.strokeStyle = halo;
  context.lineWidth = 5;
  context.stroke(path);
  context.strokeStyle = context.fillStyle = colour;
  context.lineWidth = 2.25;
  if (fill) context.fill(path);
  context.stroke(path);
  context.restore();
}

/** The same mark as a small picture for a legend or a table's row; `look` is its colour's index or a class. */
export function markIcon(shape, look = shape) {
  const space = "http://www.w3.org/2000/svg";
  const icon = document.createElementNS(space, "svg");
  icon.setAttribute("viewBox", "-13 -13 26 26");
  icon.setAttribute("aria-hidden", "true");
  icon.setAttribute("class", `mark ${Number.isInteger(look) ? `c${look % MARKS.length}` : look}`);
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", pathOf(shape));
  icon.append(path);
  return icon;
}

/** What marks mean: [shape, words, look] each, as a list below a picture. */
export function legend(items) {
  const list = items.map(([shape, words, look]) => make("li", {}, markIcon(shape, look), words));
  return make("ul", { class: "legend" }, ...list);
}

/** A line through places [x, y]. */
export function drawLine(context, places, colour, width = 1, dash = []) {
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.setLineDash(dash);
  context.beginPath();
  for (const place of places) context.lineTo(...place);
  context.stroke();
  context.setLineDash([]);
}

/** A filled circle with a halo; the chosen one is larger and yellow. */
export function drawPoint(context, [x, y], chosen, ink) {
  for (const [radius, colour] of [[chosen ? 6 : 3, ink.halo], [chosen ? 4.5 : 2, chosen ? SELECTED : ink.ink]]) {
    context.beginPath();
    context.arc(x, y, radius, 0, 7);
    context.fillStyle = colour;
    context.fill();
  }
}

/** The palette as CSS: variables of a theme, and the classes of marks. */
export function variables({ palette }) {
  return palette.map((colour, k) => `--c${k}: ${colour};`).join(" ");
}

export const MARK_STYLE = MARKS.map((_, k) => `.mark.c${k} { stroke: var(--c${k}); }`).join("\n");
