// Heat maps: softmax, what each read-out says of it, and seeded noise.
//
// Conventions of kpbook/grid.py: points are [x, y], x right, y down, -1 and +1 at the centres of
// a map's border cells. Maps are flat Float64Arrays in reading order, cell (i, j) at i * W + j.

/** Coordinates of n cell centres; a single cell sits at 0. */
export function axisCoordinates(n) {
  return Float64Array.from({ length: n }, (_, i) => (n > 1 ? (2 * i) / (n - 1) - 1 : 0));
}

/** Softmax of values / temperature. The maximum is taken out first, so nothing overflows. */
export function softmax(values, temperature = 1) {
  let top = -Infinity;
  for (const v of values) if (v > top) top = v;
  const p = new Float64Array(values.length);
  let total = 0;
  for (let k = 0; k < p.length; k++) total += p[k] = Math.exp((values[k] - top) / temperature);
  for (let k = 0; k < p.length; k++) p[k] /= total;
  return p;
}

/** Sums over rows and over columns: {x: Float64Array(W), y: Float64Array(H)}. */
export function axisSums(map, H, W) {
  const x = new Float64Array(W);
  const y = new Float64Array(H);
  for (let i = 0; i < H; i++) {
    for (let j = 0; j < W; j++) {
      x[j] += map[i * W + j];
      y[i] += map[i * W + j];
    }
  }
  return { x, y };
}

/** Mean position along one axis of a distribution over its cells. */
export function meanPosition(p) {
  const c = axisCoordinates(p.length);
  return p.reduce((sum, pk, k) => sum + pk * c[k], 0);
}

/**
 * The distributions behind both estimates, {heatmap, joint: {x, y}, separable: {x, y}}: `joint`
 * holds the marginals of the softmax over all cells, `separable` the softmax of the mean logit
 * over the other axis (Boney et al. 2021, eq. 3). The second is not the first's marginal.
 */
export function distributions(logits, H, W, temperature) {
  const heatmap = softmax(logits, temperature);
  const sums = axisSums(logits, H, W);
  return {
    heatmap,
    joint: axisSums(heatmap, H, W),
    separable: {
      x: softmax(sums.x.map((s) => s / H), temperature),
      y: softmax(sums.y.map((s) => s / W), temperature),
    },
  };
}

/** kpbook.soft_argmax for one map. */
export function softArgmax(logits, H, W, temperature = 1, separable = false) {
  const { x, y } = distributions(logits, H, W, temperature)[separable ? "separable" : "joint"];
  return [meanPosition(x), meanPosition(y)];
}

/** kpbook.mode: the centre of the best cell; among equals the first in reading order. */
export function mode(logits, H, W) {
  let best = 0;
  for (let k = 1; k < logits.length; k++) if (logits[k] > logits[best]) best = k;
  return [axisCoordinates(W)[best % W], axisCoordinates(H)[Math.floor(best / W)]];
}

/** kpbook.presence, form "equation": tanh of the mean logit. */
export function presence(logits) {
  return Math.tanh(logits.reduce((sum, a) => sum + a, 0) / logits.length);
}

/** kpbook.spread: root-mean-square distance of the mass from its mean, map units. */
export function spread(heatmap, H, W) {
  let variance = 0;
  for (const p of Object.values(axisSums(heatmap, H, W))) {
    const mean = meanPosition(p);
    const c = axisCoordinates(p.length);
    variance += p.reduce((sum, pk, k) => sum + pk * (c[k] - mean) ** 2, 0);
  }
  return Math.sqrt(variance);
}

/** Distance of two points, counted in cells of the map. */
export function distanceInCells([ax, ay], [bx, by], H, W) {
  return Math.hypot(((ax - bx) * (W - 1)) / 2, ((ay - by) * (H - 1)) / 2);
}

// ---- seeded noise ----------------------------------------------------------------------------

/** mulberry32: 32 bits of state, the same numbers on every machine. Returns () => [0, 1). */
export function mulberry32(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** n standard normal numbers from one seed (Box and Muller, the cosine half). */
export function gaussianNoise(n, seed) {
  const uniform = mulberry32(seed);
  return Float64Array.from({ length: n }, () => {
    const radius = Math.sqrt(-2 * Math.log(1 - uniform())); // 1 - u is never 0
    return radius * Math.cos(2 * Math.PI * uniform());
  });
}
