// Judge it, without a page: state, what is unpacked, which frames count, words.

import { clamp, formatNumber, inflate, isOn, numberIn, numbersIn } from "./core.mjs";
import { judgePair, smallest } from "./tracking.mjs";

const FITS = ["other", "same"];

/** Plain, safe state from whatever the traits or a link hold. */
export function clean(raw, { about, networks, recorded }) {
  const one = (value, options) => (options.includes(value) ? value : options[0]);
  const network = one(raw.network, networks.map(({ name }) => name));
  const { keypoints } = networks.find(({ name }) => name === network);
  const n = Math.round(numberIn(raw.keypoint, -1, 9999, -1));
  return {
    network,
    object: one(raw.object, about.objects),
    keypoint: n < keypoints ? n : -1,
    frame: Math.round(numberIn(raw.frame, 0, about.episodes * about.T - 1, 0)),
    mu: numbersIn(raw.mu, ...about.limits, about.thresholds),
    fit: one(raw.fit, FITS),
    in_view: isOn(raw.in_view),
    group: one(raw.group, [...Object.keys(recorded.groups), "networks"]),
  };
}

/**
 * The bytes of kpbook.widgets.judge_it: {palette, pictures, seen, tracks}. `tracks` holds one list
 * for the truth and one for each network, each of [x, y] tracks over all frames. A part of the
 * figure without a scene has no palette and no pictures; one without a trajectory has nothing.
 */
export async function unpack(view, about, counts) {
  const flat = await inflate(view);
  const { H, W, T, episodes, colours, objects } = about;
  const frames = 2 * episodes * T;
  let start = 0;
  const take = (n) => flat.slice(start, (start += n));
  const palette = take(3 * colours);
  const common = take(colours ? H * W : 0);
  const pictures = take(colours ? episodes * T * H * W : 0).map((v, i) => (v ? v - 1 : common[i % (H * W)]));
  if (!about.tracks) return { palette, pictures, seen: flat, tracks: [] };
  const seen = take(frames * objects.length);
  const tracks = [objects.length, ...counts].map((points) => {
    const low = new Float64Array(take(16 * points).buffer);
    const step = new Float64Array(take(16 * points).buffer);
    const [high, rest] = [take(2 * points * frames), take(2 * points * frames)];
    const column = (m) => {
      let count = 0;
      return Float64Array.from({ length: frames }, (_, t) => {
        const change = 256 * high[m * frames + t] + rest[m * frames + t];
        count += change % 2 ? -(change + 1) / 2 : change / 2;
        return low[m] + step[m] * count;
      });
    };
    return Array.from({ length: points }, (_, n) => [column(2 * n), column(2 * n + 1)]);
  });
  return { palette, pictures, seen, tracks };
}

/** Which frames the map is fitted on and scored on, and the episode of each scored one. */
export function framesOf({ fit, in_view: inView }, k, seen, { T, episodes, objects }) {
  const half = episodes * T;
  const count = (first) => Array.from({ length: half }, (_, t) => first + t)
    .filter((t) => !inView || seen[t * objects.length + k]);
  const scored = count(half);
  return { fit: fit === "same" ? scored : count(0), scored, episode: scored.map((t) => Math.floor(t / T)) };
}

/** Every keypoint of a network for one object, in the order of the fit; and the metric's choice. */
export function judgeAll(points, truth, frames) {
  const pairs = points.map((z) => judgePair(z, truth, frames));
  const order = [...pairs.keys()].sort((a, b) => pairs[a].fitError - pairs[b].fitError || a - b);
  return { pairs, order, best: smallest(pairs.map(({ fitError }) => fitError)) };
}

/**
 * The frame to which a handle on a path (pixels) is dragged: the nearest, and of a path that comes
 * by again, the one near in time. On a path that does not move, a frame for every few pixels.
 */
export function scrub(path, [x, y], now, from) {
  const width = (c) => Math.max(...path.map((p) => p[c])) - Math.min(...path.map((p) => p[c]));
  if (Math.hypot(width(0), width(1)) < 3) return clamp(Math.round(from + (x - path[0][0]) / 2), 0, path.length - 1);
  const cost = path.map(([u, v], t) => (u - x) ** 2 + (v - y) ** 2 + 0.02 * (t - now) ** 2);
  return smallest(cost);
}

/** Place of an error on a logarithmic axis, 0 to 1. */
export function onAxis(error, [low, high]) {
  return clamp(Math.log(error / low) / Math.log(high / low), 0, 1);
}

/** Three significant digits; a dash for what does not exist. */
export function shortNumber(value) {
  if (value === null || !Number.isFinite(value)) return "–";
  return String(Number(value.toPrecision(3))).replace("-", "\u2212");
}

export function plainNumber(value, digits = 2) {
  return value === null || !Number.isFinite(value) ? "–" : formatNumber(value, digits);
}

export function spoken(object) {
  return object.replaceAll("_", " ");
}

/**
 * Where the threshold stands, in words: `rows` of the recorded runs, the last of which is the recipe's;
 * `still` the error of a constant on the recipe's episodes.
 */
export function describeThreshold(object, mu, k, rows, still) {
  const [hits, runs] = [(row) => row.hits[k], (row) => row.runs].map((of) => rows.reduce((sum, row) => sum + of(row), 0));
  const last = rows.at(-1);
  const counted = last
    ? `${hits} of ${runs} runs track the ${spoken(object)}, of ${last.run}'s ${last.hits[k]} of ${last.runs}`
    : "no runs are recorded";
  const asks = Number.isFinite(still) ? `, which asks for an R² of ${plainNumber(1 - mu / still)} on the recipe's episodes` : "";
  return `At µ = ${shortNumber(mu)}${asks}: ${counted}.`;
}

/** The result in words, for the line that is read aloud. */
export function describe(state, pair, chosen, best, runs) {
  const mu = state.muHere; // null: R² and thresholds are not known yet
  const who = `${state.network}, ${spoken(state.object)}: keypoint ${chosen}${chosen === best ? ", the metric's choice" : ""}. `;
  if (mu === null) return `${who}Error ${shortNumber(pair.error)}, ${plainNumber(pair.px, 1)} pixels.`;
  const tracked = pair.error <= mu ? "tracked" : "not tracked";
  const follows = Number.isFinite(pair.withinR2) ? plainNumber(pair.withinR2) : "undefined, since it stands still";
  const share = runs ? ` Of the recorded runs of ${runs.run}, ${runs.hit} of ${runs.runs} track it.` : "";
  return `${who}Error ${shortNumber(pair.error)}, R² ${plainNumber(pair.r2)}, ${plainNumber(pair.px, 1)} pixels; R² within episodes ${follows}. ` +
    `At µ = ${shortNumber(mu)} it is ${tracked}.${share}`;
}
