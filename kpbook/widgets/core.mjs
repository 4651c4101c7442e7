// Parts that every live figure needs: map arithmetic, seeded noise, theme, canvas and controls.
//
// Conventions of kpbook/grid.py: points are [x, y], x right, y down, -1 and +1 at the centres of
// a map's border cells. Maps are flat Float64Arrays in reading order, cell (i, j) at i * W + j.
// kpbook/widgets/_base.py joins this file and a figure's into one text, so names are unique
// across both and nothing here runs at import.

// ---- maps ------------------------------------------------------------------------------------

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

// ---- bytes -----------------------------------------------------------------------------------

/** The bytes of a trait (a view of zlib-compressed ones), unpacked. */
export async function inflate(view) {
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// ---- numbers and time ------------------------------------------------------------------------

export function clamp(value, low, high) {
  return Math.min(high, Math.max(low, value));
}

/** A finite number clamped to [low, high], or the fallback. */
export function numberIn(value, low, high, fallback) {
  const usable = value !== null && value !== "" && typeof value !== "boolean";
  return usable && Number.isFinite(Number(value)) ? clamp(Number(value), low, high) : fallback;
}

/** Fixed digits with a real minus sign, and no minus before a zero. */
export function formatNumber(value, digits = 2) {
  const text = value.toFixed(digits);
  return Number(text) === 0 ? (0).toFixed(digits) : text.replace("-", "\u2212");
}

/** Call fn at most once per interval, and always once after the last request. */
export function throttled(fn, interval) {
  let timer = 0;
  let last = -Infinity;
  const fire = () => {
    timer = 0;
    last = performance.now();
    fn();
  };
  const request = () => {
    if (!timer) timer = setTimeout(fire, Math.max(0, interval - (performance.now() - last)));
  };
  request.flush = () => {
    if (timer) {
      clearTimeout(timer);
      fire();
    }
  };
  request.cancel = () => clearTimeout(timer);
  return request;
}

/** Call fn once the requests have paused for a while: for text that is read aloud. */
export function settled(fn, pause) {
  let timer = 0;
  const request = () => {
    clearTimeout(timer);
    timer = setTimeout(fn, pause);
  };
  request.cancel = () => clearTimeout(timer);
  return request;
}

// ---- the view in the address -----------------------------------------------------------------

/** "#name?key=value&..." from an object of strings and numbers. */
export function encodeHash(name, fields) {
  const safe = (value) => encodeURIComponent(value).replaceAll("%2C", ",");
  const pairs = Object.entries(fields).map(([key, value]) => `${key}=${safe(value)}`);
  return `#${name}?${pairs.join("&")}`;
}

/** The fields of a hash that is addressed to this name, or null. */
export function decodeHash(name, hash) {
  const head = `#${name}?`;
  if (!hash.startsWith(head)) return null;
  return Object.fromEntries(new URLSearchParams(hash.slice(head.length)));
}

// ---- the page around the figure --------------------------------------------------------------

/** Dark or light? The book says data-theme, JupyterLab data-jp-theme-light, Colab theme. */
export function isDark(doc = document) {
  const html = doc.documentElement;
  const page = html.dataset.theme ?? html.getAttribute("theme");
  if (page === "dark" || page === "light") return page === "dark";
  const lab = doc.body?.dataset.jpThemeLight;
  if (lab !== undefined) return lab === "false";
  return doc.defaultView.matchMedia("(prefers-color-scheme: dark)").matches;
}

/** Call back whenever isDark() may have changed. Returns a function that stops it. */
export function onThemeChange(callback, doc = document) {
  const observer = new MutationObserver(callback);
  observer.observe(doc.documentElement, { attributeFilter: ["data-theme", "theme"] });
  observer.observe(doc.body, { attributeFilter: ["data-jp-theme-light"] });
  const query = doc.defaultView.matchMedia("(prefers-color-scheme: dark)");
  query.addEventListener("change", callback);
  return () => {
    observer.disconnect();
    query.removeEventListener("change", callback);
  };
}

/** The name itself for its first figure on the page, then name-2, name-3, ... */
export function uniqueName(name, doc = document) {
  let unique = name;
  for (let k = 2; doc.getElementById(unique); k++) unique = `${name}-${k}`;
  return unique;
}

/** Size a canvas in CSS pixels, backed by device pixels; returns a context in CSS pixels. */
export function fitCanvas(canvas, width, height) {
  const ratio = canvas.ownerDocument.defaultView.devicePixelRatio || 1;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return context;
}

// ---- controls --------------------------------------------------------------------------------

/** An element with attributes and children; a function as attribute is an event listener. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/**
 * A labelled <input type=range>. `show` words a value; `toSlider` and `fromSlider` bend the
 * scale, for example to a logarithm. Returns {element, input, set(value)}.
 */
export function rangeControl({ id, label, min, max, step, show, onInput, onEnd, ...scale }) {
  const toSlider = scale.toSlider ?? ((v) => v);
  const fromSlider = scale.fromSlider ?? ((v) => v);
  const output = make("output", { for: id });
  const input = make("input", {
    id,
    type: "range",
    min,
    max,
    step,
    input: () => onInput(fromSlider(input.valueAsNumber)),
    change: () => onEnd(),
  });
  const set = (value) => {
    const position = toSlider(value);
    if (Math.abs(input.valueAsNumber - position) > step / 2) input.value = position;
    if (output.value === show(value)) return;
    output.value = show(value);
    input.setAttribute("aria-valuetext", show(value));
  };
  return {
    element: make("div", { class: "range" }, make("label", { for: id }, label), output, input),
    input,
    set,
  };
}

/** A labelled checkbox. Returns {element, input, set(value)}. */
export function checkControl({ id, label, onInput }) {
  const input = make("input", { id, type: "checkbox", input: () => onInput(input.checked) });
  return {
    element: make("div", { class: "check" }, input, make("label", { for: id }, label)),
    input,
    set: (value) => {
      input.checked = value;
    },
  };
}

/**
 * Make an element a handle that is dragged in two dimensions by mouse, pen, finger or arrow keys.
 *
 * toPoint(clientX, clientY) turns a place on the screen into a point, step(dx, dy, large) moves by
 * key, move(point) receives a drag, end() follows each gesture. The grip is kept: the point does
 * not jump to the finger.
 */
export function draggable(element, { toPoint, getPoint, move, step, end }) {
  let grip = null;
  element.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    event.preventDefault(); // no text selection, no page drag
    element.setPointerCapture(event.pointerId);
    element.focus({ preventScroll: true });
    const [x, y] = toPoint(event.clientX, event.clientY);
    const [px, py] = getPoint();
    grip = [px - x, py - y];
  });
  element.addEventListener("pointermove", (event) => {
    if (!grip) return;
    const started = performance.now();
    const [x, y] = toPoint(event.clientX, event.clientY);
    move([x + grip[0], y + grip[1]], started);
  });
  for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) {
    element.addEventListener(name, () => {
      if (grip) end();
      grip = null;
    });
  }
  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  element.addEventListener("keydown", (event) => {
    const arrow = arrows[event.key];
    if (!arrow || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault(); // the page must not scroll
    event.stopPropagation();
    step(arrow[0], arrow[1], event.shiftKey);
    end();
  });
}
