// Parts that every live figure needs: bytes, numbers, time, links, theme, canvas and controls.

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

/** A state as the fields of a link: lists with commas, flags as 1 and 0. */
export function toFields(state) {
  const plain = (value) => (typeof value === "boolean" ? Number(value) : String(value));
  return Object.fromEntries(Object.entries(state).map(([name, value]) => [name, plain(value)]));
}

/** `count` numbers from a list, or from the text of one in a link, each clamped or its fallback. */
export function numbersIn(value, low, high, fallbacks) {
  const list = typeof value === "string" ? value.split(",") : Array.isArray(value) ? value : [];
  return fallbacks.map((usual, k) => numberIn(list[k], low, high, usual));
}

/** Whether a flag is set, in a trait or in a link; `usual` where it is neither on nor off. */
export function isOn(value, usual = false) {
  if (value === true || value === "1") return true;
  return value === false || value === "0" ? false : usual;
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
    id, type: "range", min, max, step,
    input: () => onInput(fromSlider(input.valueAsNumber)), change: () => onEnd(),
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
