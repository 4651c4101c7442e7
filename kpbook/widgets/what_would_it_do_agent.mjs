// What would the agent do: what it reads of a scene, its actor and its critics, in plain arithmetic.
//
// kpbook/control/weights.py is the same in NumPy. An agent is {hand, relative, velocity, repeat,
// scale, keypoint, weights, farthest}, as the page stores it, and with its networks {actor, critics}.

import { clamp, inflate } from "./core.mjs";

/** The weights of all agents, float16 whose low bytes come first, as Float32Array. */
export async function unpackWeights(view) {
  const bytes = await inflate(view);
  const n = bytes.length / 2;
  return Float32Array.from({ length: n }, (_, k) => fromHalf(bytes[k] | (bytes[n + k] << 8)));
}

/** The number that 16 bits of IEEE 754 stand for. */
export function fromHalf(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1024 + fraction) * 2 ** (exponent - 25);
}

/** Each agent with its networks, cut one after the other from all weights. */
export function withNetworks(agents, flat) {
  let start = 0;
  const take = (count) => flat.subarray(start, (start += count));
  const layer = (n, m) => ({
    weight: take(n * m), bias: take(m), out: new Float32Array(m), alive: new Int32Array(n), // inputs that are not 0
  });
  const layersOf = (sizes) => sizes.slice(1).map((m, k) => layer(sizes[k], m));
  return agents.map((agent) => {
    const [actor, ...critics] = agent.networks.map(layersOf);
    return { ...agent, actor, critics };
  });
}

/**
 * A network's output, in an array of its own that the next call changes. ReLU lies between layers,
 * so half of what goes in is 0 and left out; four rows at a time take half the time of one.
 */
function through(layers, input) {
  let x = input;
  layers.forEach(({ weight, bias, out, alive }, k) => {
    const m = out.length;
    let count = 0;
    for (let i = 0; i < x.length; i++) if (x[i] !== 0) alive[count++] = i;
    out.set(bias);
    let i = 0;
    for (; i + 3 < count; i += 4) {
      const [a, b, c, d] = [alive[i], alive[i + 1], alive[i + 2], alive[i + 3]];
      const [xa, xb, xc, xd] = [x[a], x[b], x[c], x[d]];
      let [wa, wb, wc, wd] = [a * m, b * m, c * m, d * m];
      for (let j = 0; j < m; j++) {
        out[j] += xa * weight[wa++] + xb * weight[wb++] + xc * weight[wc++] + xd * weight[wd++];
      }
    }
    for (; i < count; i++) {
      const v = x[alive[i]];
      for (let j = 0, w = alive[i] * m; j < m; j++, w++) out[j] += v * weight[w];
    }
    if (k < layers.length - 1) for (let j = 0; j < m; j++) if (out[j] < 0) out[j] = 0;
    x = out;
  });
  return x;
}

/** Mean positions of some heat maps ({data, dims: [N, h, w]}), map coordinates, [x, y] each. */
export function expectation({ data, dims: [, h, w] }, keypoints) {
  return keypoints.map((n) => {
    let [x, y] = [0, 0];
    for (let v = 0, k = n * h * w; v < h; v++) {
      for (let u = 0; u < w; u++, k++) {
        x += data[k] * ((2 * u) / (w - 1) - 1);
        y += data[k] * ((2 * v) / (h - 1) - 1);
      }
    }
    return [x, y];
  });
}

/** Where on the table cube, target and hand are by their keypoints, map coordinates: metres, [x, y] each. */
export function placesOf({ weights, farthest }, keypoints) {
  return keypoints.map(([x, y], k) => {
    const terms = [1, x, y, x * x, x * y, y * y];
    return [0, 1].map((d) => {
      const sum = terms.reduce((all, term, i) => all + term * weights[k][i][d], 0);
      return clamp(sum, -farthest, farthest);
    });
  });
}

/**
 * What a policy reads when an episode begins, already scaled: the hand rests, nothing has moved.
 * `hand` is where it is measured, [x, y, z]; an agent that does not measure it takes it as seen.
 */
export function readFirst(agent, [cube, target, seen], hand) {
  const read = [...cube, ...(agent.hand ? [...hand, 0, 0, 0] : seen)];
  const less = (a, b) => [a[0] - b[0], a[1] - b[1]];
  if (agent.relative) read.push(...less(cube, agent.hand ? hand : seen));
  if (agent.velocity) read.push(0, 0, 0, 0, 0, 0);
  read.push(...target);
  if (agent.relative) read.push(...less(target, cube));
  return read.map((value, k) => value * agent.scale[k]);
}

/** The actor's own action, three numbers in [-1, 1]. */
export function act({ actor }, read) {
  return Array.from(through(actor, read), Math.tanh);
}

/** What the critics expect, the smaller of the two, in rewards. */
export function valueOf({ critics }, read, action) {
  const both = [...read, ...action];
  return Math.min(...critics.map((critic) => through(critic, both)[0]));
}

/** What an agent makes of a scene: {places: as it sees them, hand: as it knows it, action, value}. */
export function think(agent, places, hand) {
  const read = readFirst(agent, places, hand);
  const action = act(agent, read);
  const known = agent.hand ? hand.slice(0, 2) : places[2];
  return { places, hand: known, action, value: valueOf(agent, read, action) };
}

/** The value of other places [x, y] of the hand at the same height, the actor's own action at each. */
export function valuesAt(agent, places, hand, points) {
  return Float32Array.from(points, ([x, y]) =>
    think(agent, [places[0], places[1], [x, y]], [x, y, hand[2]]).value);
}
