// What would the agent do, without a page: state, the map's window, colours and words.

import { clamp, formatNumber } from "./core.mjs";
import { called } from "./engine.mjs";
import { clean as cleanScene } from "./find_cube_state.mjs";

export const WINDOW = 0.25; // metres from the map's middle to its edge
export const CELLS = 25; // along an edge of the map
const EDGE = 0.05; // metres of the map that are always left beyond the hand
const HARDLY = 0.005; // metres: less is not worth an arrow's head or a word

// Dark blue to yellow: brighter all the way, so hues need not be told apart.
const RAMP = [[27, 30, 94], [44, 84, 130], [70, 132, 138], [128, 176, 124], [203, 210, 106], [255, 236, 130]];

/** Plain, safe state from whatever the traits or a link hold. */
export function clean(raw, limits) {
  const { keypoint: _, ...state } = cleanScene(raw, limits);
  return state;
}

/** Unit vectors on the table, to the right and away from the camera. */
export function ways({ R }) {
  return [[R[0], R[1]], [R[6], R[7]]].map(([a, b]) => {
    const length = Math.hypot(a, b) || 1;
    return [a / length, b / length];
  });
}

/** Parts of a vector on the table to the right of the camera and away from it. */
export function alongWays(camera, [x, y]) {
  return ways(camera).map(([a, b]) => a * x + b * y);
}

/**
 * The square of the table that the map shows, seen from above with the camera below it: [right, away]
 * of its middle. It is the table's middle unless the hand would be at its edge.
 */
export function windowOf(camera, hand) {
  return alongWays(camera, hand).map((v) => v - clamp(v, EDGE - WINDOW, WINDOW - EDGE));
}

/** Places [x, y] of the middles of the map's cells, row by row from the farthest. */
export function cellsOf(camera, [right, away]) {
  const [r, a] = ways(camera);
  const at = (k) => WINDOW * ((2 * k + 1) / CELLS - 1);
  return Array.from({ length: CELLS * CELLS }, (_, k) => {
    const p = right + at(k % CELLS);
    const q = away - at(Math.floor(k / CELLS));
    return [p * r[0] + q * a[0], p * r[1] + q * a[1]];
  });
}

/** Where a place is on a map of `side` pixels, kept `margin` inside. */
export function toMap(camera, [right, away], place, side, margin = 0) {
  const [p, q] = alongWays(camera, place);
  const at = (v) => clamp((side * (v / WINDOW + 1)) / 2, margin, side - margin);
  return [at(p - right), at(away - q)];
}

/** The colour of a share of the scale, 0 to 1: [r, g, b]. */
export function colourAt(share) {
  const x = clamp(share, 0, 1) * (RAMP.length - 1);
  const k = Math.min(RAMP.length - 2, Math.floor(x));
  return RAMP[k].map((v, c) => Math.round(v + (x - k) * (RAMP[k + 1][c] - v)));
}

/** Values as colours (uint8, 3 each), and the ends of their scale: {rgb, low, high}. */
export function coloured(values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const rgb = new Uint8ClampedArray(3 * values.length);
  values.forEach((value, k) => rgb.set(colourAt(high > low ? (value - low) / (high - low) : 0.5), 3 * k));
  return { rgb, low, high };
}

/** How an action moves the hand, metres: [x, y, z]. */
export function movement({ action }, { repeat }, step) {
  return action.map((part) => part * step * repeat);
}

/** Is there something up or down to show? 1 up, -1 down, 0 neither. */
export function upOrDown([, , z]) {
  return Math.abs(z) < HARDLY ? 0 : Math.sign(z);
}

/** A value in rewards: digits enough to tell neighbours apart. */
export function shortValue(value) {
  return formatNumber(value, Math.abs(value) < 10 ? 2 : 1);
}

function cm(metres) {
  return formatNumber(100 * metres, 1);
}

/** Where a movement goes, in words. */
export function direction(camera, moved) {
  const [right, away] = alongWays(camera, moved);
  const length = Math.hypot(right, away);
  const parts = [];
  if (length >= HARDLY) {
    const share = 0.38 * length; // sine of 22.5 degrees: eight directions
    const to = [
      ...(Math.abs(right) > share ? [`to the ${right > 0 ? "right" : "left"}`] : []),
      ...(Math.abs(away) > share ? [away > 0 ? "away from the camera" : "towards the camera"] : []),
    ];
    parts.push(`${cm(length)} cm ${to.join(" and ")}`);
  }
  const up = upOrDown(moved);
  if (up) parts.push(`${cm(Math.abs(moved[2]))} cm ${up > 0 ? "up" : "down"}`);
  return parts.join(", and ");
}

/** What the agent believes and would do, for the line that is read aloud. */
export function describe(network, { cube, target }, mind, moved, map, camera) {
  if (!mind) return `${called(network)}: the agent was trained with another network and cannot read this one.`;
  const seen = [["cube", cube], ["target", target]].map(([name, [x, y]], k) => {
    const [a, b] = mind.places[k];
    return `the ${name} at ${cm(a)} and ${cm(b)} cm, ${cm(Math.hypot(a - x, b - y))} cm from where it is`;
  });
  const going = direction(camera, moved);
  const range = map ? `, and between ${shortValue(map.low)} and ${shortValue(map.high)} on the map` : "";
  return (
    `${called(network)}. From the table's middle, the agent sees ${seen.join(", and ")}. ` +
    (going ? `It would move the hand ${going}` : "It would hardly move the hand") +
    `; its critics expect ${shortValue(mind.value)}${range}.`
  );
}
