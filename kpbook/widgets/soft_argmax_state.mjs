// The soft-argmax playground, without a page: state, the map of logits, its read-outs, words, links.

import { formatNumber, isOn, numberIn } from "./core.mjs";
import { distanceInCells, distributions, meanPosition, mode, presence, spread } from "./maps.mjs";

export const LIMITS = {
  height: [-10, 12],
  temperature: [0.05, 20],
  noise: [0, 4],
  background: [-10, 8],
  shift: [-10, 10],
};
export const SECOND_BLOB = { x: -0.5, y: 0.45, height: 6 };
const DEFAULTS = { temperature: 1, noise: 0, background: -4, shift: 0, seed: 0, sigma: 2.2 };
const NEAR = 3; // a cell belongs to a blob up to this many standard deviations

/** Plain, safe state from whatever the traits or a link hold. */
export function clean(raw) {
  const size = Array.isArray(raw.size) ? raw.size : [];
  const [H, W] = [24, 32].map((n, k) => Math.round(numberIn(size[k], 1, 256, n)));
  const given = Array.isArray(raw.blobs) && raw.blobs.length ? raw.blobs.slice(0, 2) : [{}];
  const blobs = given.map((blob, k) => {
    const usual = k ? SECOND_BLOB : { x: 0.55, y: -0.4, height: 6 };
    return {
      x: round(numberIn(blob?.x, -1, 1, usual.x)),
      y: round(numberIn(blob?.y, -1, 1, usual.y)),
      height: numberIn(blob?.height, ...LIMITS.height, usual.height),
    };
  });
  const state = { H, W, blobs, relu: isOn(raw.relu) };
  for (const name of ["temperature", "noise", "background", "shift"]) {
    state[name] = numberIn(raw[name], ...LIMITS[name], DEFAULTS[name]);
  }
  state.seed = Math.round(numberIn(raw.seed, 0, 2 ** 32 - 1, DEFAULTS.seed));
  state.sigma = numberIn(raw.sigma, 0.1, 64, DEFAULTS.sigma);
  state.show = raw.show === "logits" ? "logits" : "probability";
  return state;
}

/** Four decimals: what a link carries, so that a link gives the same view to the last digit. */
export function round(value) {
  return Math.round(value * 1e4) / 1e4;
}

/**
 * The logits of a state: background, blobs that rise from it to their height, noise, a constant
 * added to all, and at last the ReLU. `unit` is standard normal noise, one number a cell.
 */
export function makeLogits({ H, W, blobs, background, noise, shift, relu, sigma }, unit) {
  const logits = new Float64Array(H * W).fill(background + shift);
  for (const blob of blobs) {
    const column = (blob.x + 1) * 0.5 * (W - 1);
    const row = (blob.y + 1) * 0.5 * (H - 1);
    const gx = Float64Array.from({ length: W }, (_, j) => bump((j - column) / sigma));
    for (let i = 0; i < H; i++) {
      const rise = (blob.height - background) * bump((i - row) / sigma);
      for (let j = 0; j < W; j++) logits[i * W + j] += rise * gx[j];
    }
  }
  if (noise > 0) for (let k = 0; k < logits.length; k++) logits[k] += noise * unit[k];
  return relu ? logits.map((a) => Math.max(0, a)) : logits;
}

function bump(z) {
  return Math.exp(-0.5 * z * z);
}

/** Every number that the figure shows, and the distributions behind them. */
export function readOut(state, logits) {
  const { H, W, blobs, temperature, sigma } = state;
  const { heatmap, joint, separable } = distributions(logits, H, W, temperature);
  const truth = [blobs[0].x, blobs[0].y];
  const points = {
    joint: [meanPosition(joint.x), meanPosition(joint.y)],
    separable: [meanPosition(separable.x), meanPosition(separable.y)],
    mode: mode(logits, H, W),
  };
  const off = ([name, point]) => [name, distanceInCells(point, truth, H, W)];
  return {
    heatmap,
    joint,
    separable,
    estimates: {
      truth,
      ...points,
      error_cells: Object.fromEntries(Object.entries(points).map(off)),
      presence: presence(logits),
      spread: spread(heatmap, H, W),
      mass: massNear(heatmap, state, NEAR * sigma),
    },
  };
}

/** Shares of the probability within `radius` cells of each blob, and the rest. */
export function massNear(heatmap, { H, W, blobs }, radius) {
  const near = blobs.map(() => 0);
  for (let i = 0; i < H; i++) {
    for (let j = 0; j < W; j++) {
      const d = blobs.map(({ x, y }) =>
        Math.hypot(j - ((x + 1) / 2) * (W - 1), i - ((y + 1) / 2) * (H - 1)),
      );
      const k = d.length > 1 && d[1] < d[0] ? 1 : 0;
      if (d[k] <= radius) near[k] += heatmap[i * W + j];
    }
  }
  return { blobs: near, elsewhere: Math.max(0, 1 - near.reduce((a, b) => a + b, 0)) };
}

/** The estimates in words, for the line that is read aloud. */
export function describe({ joint, separable, mode: peak, error_cells, presence: m, mass }) {
  const at = ([x, y]) => `x ${formatNumber(x)}, y ${formatNumber(y)}`;
  const off = (cells) => `${formatNumber(cells, 1)} cells from blob 1`;
  const share = Math.round(100 * mass.elsewhere);
  return (
    `Joint estimate: ${at(joint)}, ${off(error_cells.joint)}. ` +
    `Separable: ${at(separable)}, ${off(error_cells.separable)}. ` +
    `Mode: ${at(peak)}, ${off(error_cells.mode)}. ` +
    `Presence ${formatNumber(m)}. ${share} % of the probability lies away from the blobs.`
  );
}

/** A state as the fields of a link. */
export function toFields(state) {
  const fields = {};
  state.blobs.forEach(({ x, y, height }, k) => {
    fields[`blob${k + 1}`] = `${x},${y},${height}`;
  });
  for (const name of ["temperature", "noise", "background", "shift", "seed"]) fields[name] = state[name];
  return { ...fields, relu: state.relu ? 1 : 0, show: state.show };
}

/** The fields of a link as raw state: clean it before use. */
export function fromFields(fields) {
  const blobs = ["blob1", "blob2"]
    .filter((name) => fields[name] !== undefined)
    .map((name) => {
      const [x, y, height] = fields[name].split(",");
      return { x, y, height };
    });
  return blobs.length ? { ...fields, blobs } : fields;
}
