// The tracking metric of kpbook.metric, for one pair of a keypoint and an object at a time: affine
// map, error, R², and both within episodes; and capability over runs. The same steps and the same
// limits of rounding as kpbook/metric/_maps.py, so that a test can hold the two together.
//
// A track is [x, y], two Float64Arrays over frames. Lengths are image coordinates.

const EPSILON = 2 ** -52;
const ROUNDINGS = 16; // motion below so many roundings of a coordinate's own size is none
const COLLINEAR = 1e-6; // below this 1 - r**2 the normal equations lose too many digits

function dot(a, b) {
  let sum = 0;
  for (let t = 0; t < a.length; t++) sum += a[t] * b[t];
  return sum;
}

function meanSquare(a) {
  return dot(a, a) / a.length;
}

/** The frames of a track whose numbers are given. */
export function pick(track, frames) {
  return track.map((column) => {
    const picked = new Float64Array(frames.length);
    for (let t = 0; t < frames.length; t++) picked[t] = column[frames[t]];
    return picked;
  });
}

/** A column without its mean, and the mean. First value exactly: what stands still becomes 0. */
function aboutMean(column) {
  const n = column.length;
  const values = new Float64Array(n);
  let sum = 0;
  for (let t = 0; t < n; t++) sum += values[t] = column[t] - column[0];
  for (let t = 0; t < n; t++) values[t] -= sum / n;
  return { values, mean: column[0] + sum / n };
}

/** A column without each episode's mean; `episode` has one label a frame, 0, 1, 2, ... */
function aboutEachMean(column, episode) {
  const values = new Float64Array(column.length);
  const [first, sum, count] = [[], [], []];
  for (let t = 0; t < column.length; t++) {
    const e = episode[t];
    if (first[e] === undefined) [first[e], sum[e], count[e]] = [column[t], 0, 0];
    sum[e] += values[t] = column[t] - first[e];
    count[e] += 1;
  }
  for (let t = 0; t < column.length; t++) values[t] -= sum[episode[t]] / count[episode[t]];
  return values;
}

/** Singular values and vectors of two columns, by Jacobi's rotations: {p, q, s, v}. */
function twoColumnSvd(first, second) {
  let [p, q] = [Float64Array.from(first), Float64Array.from(second)];
  let v = [[1, 0], [0, 1]]; // rows: directions of p and q in the given columns
  for (let sweep = 0; sweep < 8; sweep++) {
    const [pp, qq, pq] = [dot(p, p), dot(q, q), dot(p, q)];
    if (Math.abs(pq) <= EPSILON * Math.sqrt(pp * qq)) break;
    const zeta = (qq - pp) / (2 * pq);
    const tangent = (zeta < 0 ? -1 : 1) / (Math.abs(zeta) + Math.hypot(1, zeta));
    const cos = 1 / Math.hypot(1, tangent);
    const sin = cos * tangent;
    const turned = p.map((x, t) => cos * x - sin * q[t]);
    q = q.map((x, t) => sin * p[t] + cos * x);
    p = turned;
    v = [0, 1].map((i) => v[0].map((_, j) => (i ? sin * v[0][j] + cos * v[1][j] : cos * v[0][j] - sin * v[1][j])));
  }
  const s = [Math.sqrt(dot(p, p)), Math.sqrt(dot(q, q))];
  return s[0] >= s[1] ? { p, q, s, v } : { p: q, q: p, s: [s[1], s[0]], v: [v[1], v[0]] };
}

/** Coefficients of a keypoint that hardly leaves a line: of all that fit, the smallest. */
function alongLine(x, unit, y, cutoff) {
  const { p, q, s, v } = twoColumnSvd(...x.map((column, i) => column.map((value) => value * unit[i])));
  const along = y.map((column) => [dot(p, column) / s[0] ** 2, s[1] > 0 ? dot(q, column) / s[1] ** 2 : 0]);
  if (s[1] > s[0] * Math.max(cutoff, x[0].length * EPSILON)) {
    return along.map((w) => [0, 1].map((i) => unit[i] * (v[0][i] * w[0] + v[1][i] * w[1])));
  }
  const direction = [v[0][0] / unit[0], v[0][1] / unit[1]]; // y follows along it, and not across
  const length = direction[0] ** 2 + direction[1] ** 2;
  return along.map((w) => direction.map((d) => (d * w[0]) / length));
}

/**
 * A of the least-squares map from one centred track to another, and the sum of squares that is
 * left. `size` is the mean square of each coordinate before it was centred.
 */
function fitLinear(x, y, size) {
  const n = x[0].length;
  const squares = x.map((column) => dot(column, column));
  const noise = size.map((square) => ROUNDINGS * EPSILON * Math.sqrt(square));
  const unit = squares.map((zz, i) => (zz > n * noise[i] ** 2 ? 1 / Math.sqrt(zz) : 0));
  const all = dot(y[0], y[0]) + dot(y[1], y[1]);
  const r = dot(x[0], x[1]) * unit[0] * unit[1];
  const rest = 1 - r ** 2;
  if (rest < COLLINEAR) {
    const cutoff = 2 * Math.max(noise[0] * unit[0], noise[1] * unit[1]) * Math.sqrt(n);
    const A = alongLine(x, unit, y, cutoff);
    let left = 0;
    for (let t = 0; t < n; t++) {
      for (let o = 0; o < 2; o++) left += (y[o][t] - A[o][0] * x[0][t] - A[o][1] * x[1][t]) ** 2;
    }
    return { A, left };
  }
  let explained = 0;
  const A = y.map((column) => {
    const [a, b] = x.map((z, i) => dot(z, column) * unit[i]);
    const solved = [(a - r * b) / rest, (b - r * a) / rest];
    explained += solved[0] * a + solved[1] * b;
    return [solved[0] * unit[0], solved[1] * unit[1]];
  });
  return { A, left: Math.max(0, all - explained) };
}

/** The affine map z -> A z + b, its error on these frames, and the object's mean. */
function fitAffine(z, y) {
  const [zs, ys] = [z.map(aboutMean), y.map(aboutMean)];
  const values = (columns) => columns.map((column) => column.values);
  const size = zs.map(({ values: v, mean }) => mean ** 2 + meanSquare(v));
  const { A, left } = fitLinear(values(zs), values(ys), size);
  const constant = ys.map(({ mean }) => mean);
  const b = constant.map((mean, o) => mean - A[o][0] * zs[0].mean - A[o][1] * zs[1].mean);
  return { A, b, error: left / z[0].length, constant };
}

/** A z + b for every frame. */
export function applyAffine({ A, b }, [x, y]) {
  return [0, 1].map((o) => {
    const said = new Float64Array(x.length);
    for (let t = 0; t < x.length; t++) said[t] = A[o][0] * x[t] + A[o][1] * y[t] + b[o];
    return said;
  });
}

function roundingOf(track) {
  return track.reduce((sum, column) => sum + (ROUNDINGS * EPSILON) ** 2 * meanSquare(column), 0);
}

/** Error of a map on frames, per coordinate and in all; that of its constant; and R². */
function scoreMap(map, z, y) {
  const said = applyAffine(map, z);
  const off = [0, 0];
  let baseline = 0;
  for (let o = 0; o < 2; o++) {
    for (let t = 0; t < y[o].length; t++) {
      off[o] += (y[o][t] - said[o][t]) ** 2 / y[o].length;
      baseline += (y[o][t] - map.constant[o]) ** 2 / y[o].length;
    }
  }
  const error = off[0] + off[1];
  return { error, off, baseline, r2: baseline > roundingOf(y) ? 1 - error / baseline : NaN };
}

/** Error about each episode's mean with a linear part of its own, and the share of motion followed. */
function scoreWithin(z, y, episode) {
  const [zs, ys] = [z, y].map((track) => track.map((column) => aboutEachMean(column, episode)));
  const still = meanSquare(ys[0]) + meanSquare(ys[1]);
  if (!(still > roundingOf(y))) return { within: NaN, withinR2: NaN };
  const centred = [zs, ys].map((track) => track.map((column) => aboutMean(column).values));
  const { A } = fitLinear(...centred, z.map(meanSquare));
  const { error } = scoreMap({ A, b: [0, 0], constant: [0, 0] }, zs, ys);
  return { within: error, withinR2: 1 - error / still };
}

/**
 * One pair of a keypoint's and an object's track over all frames: map, error of the fit, error, R²,
 * root mean square in pixels. `fit` and `scored` are numbers of frames.
 */
export function judgePair(z, y, { fit, scored, H, W }) {
  if (!fit.length || !scored.length) {
    const A = [[NaN, NaN], [NaN, NaN]];
    return { A, b: [NaN, NaN], fitError: NaN, error: NaN, r2: NaN, baseline: NaN, px: NaN };
  }
  const map = fitAffine(pick(z, fit), pick(y, fit));
  const { error, off, baseline, r2 } = scoreMap(map, pick(z, scored), pick(y, scored));
  const px = Math.sqrt(off[0] * ((W - 1) / 2) ** 2 + off[1] * ((H - 1) / 2) ** 2);
  return { A: map.A, b: map.b, fitError: map.error, error, r2, baseline, px };
}

/** The same pair within episodes; `episode` is the label of each scored frame. */
export function judgeWithin(z, y, { scored, episode }) {
  if (!scored.length) return { within: NaN, withinR2: NaN };
  return scoreWithin(pick(z, scored), pick(y, scored), episode);
}

/** Index of the smallest number, the first among equals; -1 if none is a number. */
export function smallest(values) {
  let best = -1;
  values.forEach((v, i) => {
    if (!Number.isNaN(v) && !(values[best] <= v)) best = i;
  });
  return best;
}

/**
 * kpbook.metric.tracking_capability: errors[run][object], null where never seen, and a threshold
 * for each object -> how many runs track each, and the share over all of them.
 */
export function capabilityOf(errors, mu) {
  const hits = mu.map((most, k) => errors.filter((run) => run[k] !== null && run[k] <= most).length);
  const overall = hits.reduce((sum, hit) => sum + hit, 0) / (errors.length * mu.length);
  return { hits, runs: errors.length, overall };
}
