// What every live figure is made of: its traits as the only state, one draw a frame, words that are
// read aloud, reset, a link to the view, light and dark.
//
// A figure extends LiveFigure and gives clean(raw) -> state, parts() -> elements, draw(state) and
// describe(state) -> text; where core's toFields is not enough, toFields and fromFields bend a state
// into a link and back.

import {
  checkControl, decodeHash, draggable, encodeHash, isDark, make, onThemeChange, rangeControl, settled, throttled,
  toFields, uniqueName,
} from "./core.mjs";
import { INKS, MARK_STYLE, variables } from "./marks.mjs";

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Put a handle at [x, y], and say where it stands to those who do not see it. */
export function moveHandle(handle, [x, y], now, text) {
  handle.style.transform = `translate(${x}px, ${y}px)`;
  handle.setAttribute("aria-valuenow", String(now));
  handle.setAttribute("aria-valuetext", text);
}

/** A canvas and the caption that names it: {element, canvas, caption}. */
export function captioned(id) {
  const canvas = make("canvas", { role: "img", "aria-labelledby": id });
  const caption = make("figcaption", { id });
  return { element: make("figure", {}, canvas, caption), canvas, caption };
}

/** A labelled <select> over [value, text] pairs. Returns {element, input, set(value)}. */
export function selectControl({ id, label, options, onInput }) {
  const list = options.map(([value, text]) => make("option", { value }, text));
  const input = make("select", { id, change: () => onInput(input.value) }, ...list);
  return {
    element: make("div", { class: "choose" }, make("label", { for: id }, label), input),
    input,
    set: (value) => {
      if (input.value !== String(value)) input.value = String(value);
    },
  };
}

const STYLE = `
:host { display: block; contain: inline-size; scroll-margin: 4rem 0; }
* { box-sizing: border-box; }
.figure {
  --ink: ${INKS.light.ink}; --muted: ${INKS.light.muted}; --line: ${INKS.light.line};
  --surface: ${INKS.light.surface}; --accent: ${INKS.light.accent}; ${variables(INKS.light)}
  container-type: inline-size; color: var(--ink); background: var(--surface);
  border: 1px solid var(--line); border-radius: 8px; padding: 14px; margin: 0;
  font: 14px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
}
.figure[data-theme="dark"] {
  --ink: ${INKS.dark.ink}; --muted: ${INKS.dark.muted}; --line: ${INKS.dark.line};
  --surface: ${INKS.dark.surface}; --accent: ${INKS.dark.accent}; ${variables(INKS.dark)}
  color-scheme: dark;
}
.prompt { margin: 0 0 10px; max-width: 80ch; text-wrap: pretty; }
.top { display: grid; gap: 14px; }
.top > * { min-width: 0; } /* a canvas must not hold its column open */
.stage { position: relative; min-width: 0; }
canvas { display: block; }
figure { margin: 0; min-width: 0; }
figcaption, caption, .hint, .words, .copied, .legend { color: var(--muted); font-size: 13px; }
.handle {
  position: absolute; left: 0; top: 0; width: 44px; height: 44px; margin: -22px 0 0 -22px;
  border-radius: 50%; cursor: grab; touch-action: none; user-select: none;
  -webkit-tap-highlight-color: transparent;
}
.handle:active { cursor: grabbing; }
.handle::before {
  content: ""; position: absolute; inset: 5px; border-radius: 50%;
  border: 2px dashed var(--ink); outline: 2px solid var(--surface); opacity: 0.8;
}
.handle:focus, .handle:focus-visible { outline: none; }
.handle:focus-visible::before { inset: 3px; border: 3px solid var(--accent); opacity: 1; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: 2px; }
th, td { padding: 4px 0 4px 6px; text-align: right; font-weight: 400; white-space: nowrap; }
thead th { color: var(--muted); font-size: 13px; padding-top: 0; padding-bottom: 2px; }
th:first-child { text-align: left; padding-left: 0; white-space: normal; }
tbody tr { border-top: 1px solid var(--line); }
.mark { width: 22px; height: 22px; flex: none; fill: none; stroke-width: 2; overflow: visible; stroke: var(--ink); }
${MARK_STYLE}
.legend { display: flex; flex-wrap: wrap; gap: 2px 14px; margin: 6px 0 0; padding: 0; list-style: none; }
.legend li { display: flex; align-items: center; gap: 5px; }
.legend .mark { width: 16px; height: 16px; }
.mark.dot { fill: var(--ink); }
.controls { display: grid; gap: 8px 28px; margin-top: 12px; padding-top: 12px;
  border-top: 1px solid var(--line); }
.controls > div { display: grid; gap: 8px; align-content: start; }
.range { display: grid; grid-template-columns: 1fr auto; column-gap: 10px; align-items: baseline; }
.range:has(input:disabled) label { color: var(--muted); }
.range input { grid-column: 1 / -1; width: 100%; height: 24px; margin: 0; cursor: pointer;
  accent-color: var(--accent); }
output { font-variant-numeric: tabular-nums; color: var(--muted); }
.choose { display: grid; gap: 2px; }
select { font: inherit; color: inherit; background: var(--surface); border: 1px solid var(--muted);
  border-radius: 6px; padding: 5px 8px; min-height: 34px; max-width: 100%; }
.check, .choice { display: flex; gap: 8px; align-items: center; min-height: 28px; }
.check input, .choice input { width: 18px; height: 18px; margin: 0; accent-color: var(--accent);
  flex: none; cursor: pointer; }
label { cursor: pointer; }
.hidden { display: none; }
.buttons { display: flex; flex-wrap: wrap; gap: 8px; margin-top: 12px; align-items: center; }
button { font: inherit; color: var(--ink); background: transparent; cursor: pointer;
  border: 1px solid var(--muted); border-radius: 6px; padding: 5px 12px; min-height: 34px; }
button:hover { background: color-mix(in srgb, var(--ink) 8%, transparent); }
button:focus-visible, input:focus-visible, select:focus-visible {
  outline: 3px solid var(--accent); outline-offset: 2px; }
.words { margin: 12px 0 0; max-width: 80ch; }
@container (min-width: 620px) { .controls { grid-template-columns: 1fr 1fr; } }
@media (prefers-reduced-motion: no-preference) {
  .handle::before { transition: inset 80ms; }
  button { transition: background 80ms; }
}
`;

// ---- the figure --------------------------------------------------------------------------------

export class LiveFigure {
  /**
   * `traits` are what a reader changes: what a link carries and a reset brings back. `also` names
   * those that only a kernel changes.
   */
  constructor(model, host, { name, title, traits, also = [], style = "" }) {
    this.model = model;
    this.host = host;
    this.title = title;
    this.traits = traits;
    this.also = also;
    this.style = style;
    this.name = host.id = uniqueName(name);
    this.static = model.host === "static-page";
    this.initial = structuredClone(this.raw());
    this.frame = 0;
    this.save = throttled(() => model.save_changes(), 120);
    this.speak = settled(() => this.say(), 350);
    this.undo = [];
  }

  // State. The traits are the truth; `set` writes them, and every change asks for one draw.

  raw() {
    return Object.fromEntries(this.traits.map((name) => [name, this.model.get(name)]));
  }

  state() {
    return this.clean(this.raw());
  }

  set(changes) {
    this.setting = true; // several traits, one change
    for (const [name, value] of Object.entries(changes)) this.model.set(name, value);
    this.setting = false;
    this.save();
    this.changed();
  }

  /** A change has happened, by hand, by a link or from the kernel. */
  changed() {
    this.schedule();
  }

  toFields(state) {
    return toFields(state);
  }

  fromFields(fields) {
    return fields;
  }

  // Life.

  start() {
    this.words = make("p", { class: "words", role: "status", "aria-live": "polite" });
    this.copied = make("span", { class: "copied", role: "status" });
    const link = make("button", { type: "button", click: () => this.copyLink() }, "Copy link to this view");
    const reset = make("button", { type: "button", click: () => this.reset() }, "Reset");
    this.root = make("div", { class: "figure", role: "group", "aria-label": this.title },
      make("p", { class: "prompt" }, this.model.get("prompt")),
      ...this.parts(),
      make("div", { class: "buttons" }, reset, ...this.buttons(), ...(this.static ? [link] : []), this.copied),
      this.words,
      ...this.footer());
    const shadow = this.host.attachShadow({ mode: "open" });
    shadow.append(make("style", {}, STYLE + this.style), this.root);
    this.listen();
    this.followLink();
    this.redraw();
    this.say();
  }

  /** More buttons, between reset and link. */
  buttons() {
    return [];
  }

  /** What stands below the words. */
  footer() {
    return [];
  }

  listen() {
    const names = [...this.traits, ...this.also].map((name) => `change:${name}`).join(" ");
    const changed = () => {
      if (!this.setting) this.changed(); // from the kernel, or from another view of this model
    };
    this.model.on(names, changed);
    this.undo.push(() => this.model.off(names, changed));
    const schedule = () => this.schedule();
    this.undo.push(onThemeChange(schedule));
    const resize = new ResizeObserver(schedule);
    resize.observe(this.root);
    this.undo.push(() => resize.disconnect());
    if (this.static) {
      const follow = () => this.followLink();
      // A link of the text sets the view also when the address already ends in it.
      const again = ({ target }) => {
        if (target.closest?.("a")?.hash === window.location.hash) this.followLink();
      };
      window.addEventListener("hashchange", follow);
      document.addEventListener("click", again);
      this.undo.push(() => window.removeEventListener("hashchange", follow));
      this.undo.push(() => document.removeEventListener("click", again));
    }
  }

  destroy() {
    this.undo.forEach((stop) => stop());
    this.save.flush();
    this.speak.cancel();
    cancelAnimationFrame(this.frame);
  }

  // Drawing and words.

  schedule() {
    if (!this.frame) this.frame = requestAnimationFrame(() => this.redraw());
  }

  redraw() {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    this.theme = isDark() ? "dark" : "light";
    this.root.dataset.theme = this.theme;
    this.draw(this.state());
    this.speak();
  }

  say() {
    setText(this.words, this.describe(this.state()));
  }

  // Links and reset.

  link() {
    return window.location.href.split("#")[0] + encodeHash(this.name, this.toFields(this.state()));
  }

  async copyLink() {
    const link = this.link();
    window.history.replaceState(null, "", link);
    try {
      await navigator.clipboard.writeText(link);
      this.copied.textContent = "Link copied.";
    } catch {
      this.copied.textContent = "The address bar now holds the link.";
    }
  }

  followLink() {
    const fields = this.static ? decodeHash(this.name, window.location.hash) : null;
    if (!fields) return;
    const state = this.clean({ ...structuredClone(this.initial), ...this.fromFields(fields) });
    this.set(Object.fromEntries(this.traits.map((name) => [name, state[name]])));
    const tall = this.host.getBoundingClientRect().height > window.innerHeight;
    this.host.scrollIntoView({ block: tall ? "start" : "nearest" }); // its picture comes first
  }

  reset() {
    this.copied.textContent = "";
    this.set(structuredClone(this.initial));
    this.save.flush();
    if (this.static && decodeHash(this.name, window.location.hash)) {
      window.history.replaceState(null, "", window.location.href.split("#")[0]);
    }
  }

  // Controls that write a trait.

  range(name, label, [min, max], step, show, more = {}) {
    return rangeControl({
      id: name, label, min, max, step, show,
      onInput: (value) => this.set({ [name]: value }),
      onEnd: () => this.save.flush(),
      ...more,
    });
  }

  check(name, label) {
    const onInput = (on) => {
      this.set({ [name]: on });
      this.save.flush();
    };
    return checkControl({ id: name, label, onInput });
  }

  /** `along` holds what else changes when another option is chosen. */
  choose(name, label, options, along = {}) {
    const onInput = (value) => {
      this.set({ [name]: value, ...along });
      this.save.flush();
    };
    return selectControl({ id: name, label, options, onInput });
  }

  /**
   * A handle over a picture: a slider to those who cannot see it. It moves in two dimensions, or,
   * with `line`, along one.
   */
  handle(name, label, [low, high], { end = () => this.save.flush(), line = false, ...drag }) {
    const element = make("div", {
      class: "handle", role: "slider", tabindex: 0,
      "aria-roledescription": line ? undefined : "point, moved in two dimensions by the arrow keys",
      "aria-label": label, "aria-valuemin": low, "aria-valuemax": high, "data-handle": name,
    });
    draggable(element, { end, ...drag });
    return element;
  }
}

/** Put a figure into the front end's place for it; returns what takes it away again. */
export function mount({ model, el }, create) {
  const host = make("div", { "data-lm-suppress-shortcuts": "true" }); // JupyterLab: keys are ours
  el.append(host);
  const view = create(host);
  view.start();
  host.kpbook = view.look(); // for tests and for the curious: the very numbers behind the picture
  // The still picture that stood in for this figure has done its work.
  const still = `[data-kp-still="${CSS.escape(model.get("still_id") ?? "")}"]`;
  document.querySelectorAll(still).forEach((picture) => picture.remove());
  host.dataset.ready = "true";
  return () => view.destroy();
}
