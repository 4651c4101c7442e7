// Transport: two frames of Pong to rearrange, and how a trained Transporter draws the second from
// the first: features are taken out around the keypoints of both and put in around the second's.

import { AskingFigure } from "./asking.mjs";
import { checkControl, make } from "./core.mjs";
import { called, toInput } from "./engine.mjs";
import { captioned, mount, moveHandle, selectControl, setText } from "./figure.mjs";
import { INKS, colourOf, legend, markIcon, strokeMark } from "./marks.mjs";
import { asPixels, paintPixels, toPixels, toStage } from "./pixels.mjs";
import { drawField, middles } from "./pong_scene.mjs";
import {
  FRAMES, clean, describe, distances, key, keypointsOf, movedOf, placed, short, unpack,
} from "./transport_state.mjs";

const STEP = 2; // of the field's pixels, for an arrow key; with shift five times that
const BALL = 2;

const STYLE = `
.pictures { display: grid; grid-template-columns: 1fr 1fr; gap: 12px; }
.pictures figure { display: grid; gap: 4px; align-content: start; }
.stage { width: 100%; aspect-ratio: 1; overflow: hidden; }
.hint { margin: 8px 0; max-width: 100ch; }
.handle::before { inset: 7px; border-color: #fff; outline-color: #0008; }
.handle:focus-visible::before { inset: 5px; }
.handle.hidden { display: none; }
.mark.grip { stroke-dasharray: 5 3; }
.tables { display: grid; gap: 12px 28px; margin-top: 12px; align-items: start; }
tbody th { display: flex; align-items: center; gap: 6px; }
tbody th .mark { width: 16px; height: 16px; }
thead th[colspan] { text-align: center; }
td.yes { font-weight: 700; }
@container (min-width: 620px) {
  .pictures { grid-template-columns: repeat(3, 1fr); }
  .tables { grid-template-columns: 1.3fr 1fr; }
}
`;

const VIEWS = {
  suppressed: "Suppressed features",
  transported: "Transported features",
  reconstruction: "Reconstruction",
  again: "Target, to compare",
};
const TRAITS = ["source", "target", "gap", "keypoint"];

class TransportView extends AskingFigure {
  constructor(model, host, drawn) {
    super(model, host, { name: "transport", title: "Live figure: transport", traits: TRAITS, style: STYLE });
    this.scene = model.get("scene");
    this.keypoints = this.networks[0].keypoints;
    this.drawnByTorch = drawn;
    this.pictures = {}; // frame -> the last one drawn of it
    this.balls = {}; // frame -> where its ball was before it was taken away
  }

  clean(raw) {
    return clean(raw, this.scene, this.keypoints);
  }

  // Asking the network.

  networkOf() {
    return this.networks[0];
  }

  key(state) {
    return key(state);
  }

  inputs(state) {
    const [H, W] = this.scene.size;
    const frames = FRAMES.map((frame) => [frame, toInput(this.picture(frame, state), H, W)]);
    return { ...Object.fromEntries(frames), moved: movedOf(state, this.keypoints) };
  }

  firstState() {
    return this.clean(this.scene.first);
  }

  firstAnswer() {
    return { ...this.drawnByTorch, of: key(this.firstState()) };
  }

  points(answer) {
    return FRAMES.flatMap((frame) => keypointsOf(answer, frame).flat());
  }

  firstPoints({ first }) {
    return first.flat(2);
  }

  // Drawing.

  /** A frame's picture, uint8 H x W x 3. */
  picture(frame, state) {
    const of = String(state[frame]);
    if (this.pictures[frame]?.of !== of) this.pictures[frame] = { of, rgb: drawField(this.scene, state[frame]) };
    return this.pictures[frame].rgb;
  }

  draw(state) {
    const side = Math.max(100, this.frames.source.stage.clientWidth);
    for (const frame of FRAMES) this.drawFrame(frame, state, side);
    const [H, W] = this.scene.size;
    for (const [name, { canvas }] of Object.entries(this.views)) {
      const { rgb, h, w } = name === "again" ? { rgb: this.picture("target", state), h: H, w: W } : asPixels(this.result[name]);
      paintPixels(canvas, rgb, h, w, side);
    }
    this.fillTables(state);
    this.showControls(state);
  }

  drawFrame(frame, state, side) {
    const [H, W] = this.scene.size;
    const { canvas, caption, handles } = this.frames[frame];
    const context = paintPixels(canvas, this.picture(frame, state), H, W, side);
    const ink = INKS[this.theme];
    keypointsOf(this.result, frame).forEach((point, n) => {
      const scale = state.keypoint < 0 || state.keypoint === n ? 0.8 : 0.4;
      const at = toStage(toPixels(point, H, W), side, H, W);
      strokeMark(context, n, at, colourOf(ink, n), ink.halo, { scale });
    });
    setText(caption, this.frameCaption(frame, state));
    const [tall] = this.scene.field;
    const places = middles(this.scene, state[frame]);
    handles.forEach((handle, k) => {
      handle.classList.toggle("hidden", !places[k]);
      if (!places[k]) return;
      const [x, y] = places[k];
      const at = [x, y].map((value) => ((value + 0.5) * side) / tall);
      moveHandle(handle, at, Math.round(y), k === BALL ? `x ${x}, y ${y}` : `y ${y}`);
    });
  }

  frameCaption(frame, state) {
    const { recorded } = this.scene;
    const [name, usual, words] = frame === "source"
      ? ["Source", recorded[0], "as recorded"]
      : ["Target", recorded[state.gap], `${state.gap} ${state.gap === 1 ? "step" : "steps"} later`];
    return `${name}: ${String(state[frame]) === String(usual) ? words : "as you placed it"}`;
  }

  fillTables(state) {
    FRAMES.forEach((frame, f) => {
      distances(this.scene, state[frame], keypointsOf(this.result, frame)).forEach((row, n) => {
        row.forEach((d, k) => {
          const cell = this.cells[n][f * row.length + k];
          setText(cell, d === null ? "\u2013" : d.toFixed(2));
          cell.classList.toggle("yes", d !== null && d <= this.scene.radius);
        });
      });
    });
    this.result.errors.data.forEach((error, k) => setText(this.errors[k], short(error)));
  }

  describe(state) {
    if (!this.current()) return `${called(this.network())} has not answered for these frames yet.`;
    return describe(this.network(), state, this.result, this.scene);
  }

  // Building.

  parts() {
    this.frames = Object.fromEntries(FRAMES.map((frame) => [frame, this.buildFrame(frame)]));
    this.views = Object.fromEntries(Object.keys(VIEWS).map((name) => [name, captioned(`${this.name}-${name}`)]));
    for (const [name, { element, canvas, caption }] of Object.entries(this.views)) {
      setText(caption, VIEWS[name]);
      element.replaceChildren(caption, canvas);
      canvas.setAttribute("aria-describedby", `${this.name}-about`);
    }
    const pictures = [...Object.values(this.frames), ...Object.values(this.views)];
    const marks = Array.from({ length: this.keypoints }, (_, n) => [n, `keypoint ${n}`]);
    const ring = ["M11 0A11 11 0 1 1 -11 0A11 11 0 1 1 11 0Z", "ring: drag it to move a paddle or the ball", "grip"];
    const about = "Suppressed: the source's features, taken out around the keypoints of both frames. Transported: the " +
      "target's features put in around its keypoints; the network draws from these alone. Colours: the " +
      `${this.networks[0].channels} channels on their three principal axes, as red, green and blue; grey is zero.`;
    return [
      make("div", { class: "pictures" }, ...pictures.map(({ element }) => element)),
      legend([...marks, ring]),
      make("p", { class: "hint", id: `${this.name}-about` }, about),
      this.note,
      make("div", { class: "tables" }, this.buildDistances(), this.buildErrors()),
      this.buildControls(),
    ];
  }

  buildFrame(frame) {
    const { element, canvas, caption } = captioned(`${this.name}-${frame}`);
    const handles = this.scene.things.map((_, k) => this.buildHandle(frame, k, canvas));
    const stage = make("div", { class: "stage" }, canvas, ...handles);
    element.replaceChildren(caption, stage);
    return { element, canvas, caption, stage, handles };
  }

  buildHandle(frame, k, canvas) {
    const [tall, wide] = this.scene.field;
    const { name } = this.scene.things[k];
    const place = () => middles(this.scene, this.state()[frame])[k];
    const put = (point) => this.set({ [frame]: placed(this.state()[frame], k, point, this.scene) });
    return this.handle(`${frame}-${name}`, `${name} in the ${frame}: drag, or arrow keys`, [0, tall - 1], {
      line: k !== BALL,
      toPoint: (clientX, clientY) => {
        const box = canvas.getBoundingClientRect();
        return [((clientX - box.left) * wide) / box.width, ((clientY - box.top) * tall) / box.height];
      },
      getPoint: place,
      move: (point, started) => {
        this.begun = started;
        put(point);
      },
      step: (dx, dy, large) => {
        const step = large ? 5 * STEP : STEP;
        const [x, y] = place();
        put([x + step * dx, y + step * dy]);
      },
    });
  }

  buildDistances() {
    const names = this.scene.things.map(({ name }) => name);
    const head = (text, more = {}) => make("th", { scope: "col", ...more }, text);
    this.cells = Array.from({ length: this.keypoints }, () => [...names, ...names].map(() => make("td")));
    const rows = this.cells.map((cells, n) =>
      make("tr", {}, make("th", { scope: "row", "aria-label": `keypoint ${n}` }, markIcon(n), String(n)), ...cells));
    return make("table", {},
      make("caption", {}, `Distance of each keypoint to each thing, image coordinates; bold: at most ${this.scene.radius}`),
      make("thead", {},
        make("tr", {}, make("td"), ...FRAMES.map((frame) => head(frame, { scope: "colgroup", colspan: names.length }))),
        make("tr", {}, make("td"), ...FRAMES.flatMap(() => names.map((name) => head(name))))),
      make("tbody", {}, ...rows));
  }

  buildErrors() {
    this.errors = Array.from({ length: 4 }, () => make("td"));
    const row = (label, cells) => make("tr", {}, make("th", { scope: "row" }, label), ...cells);
    const head = ["weighted", "plain"].map((text) => make("th", { scope: "col" }, text));
    return make("table", {},
      make("caption", {}, "Squared error, pixels weighted as in training and plain"),
      make("thead", {}, make("tr", {}, make("td"), ...head)),
      make("tbody", {},
        row("the drawing", this.errors.slice(0, 2)), row("the source in its place", this.errors.slice(2))));
  }

  buildControls() {
    const each = Array.from({ length: this.keypoints }, (_, n) => [n, `only keypoint ${n}`]);
    const c = (this.controls = {
      keypoint: selectControl({
        id: `${this.name}-keypoint`, label: "Which keypoints move features", options: [[-1, "all of them"], ...each],
        onInput: (value) => {
          this.set({ keypoint: Number(value) });
          this.save.flush();
        },
      }),
      gap: this.range("gap", "Steps from source to target, as recorded", [1, this.scene.recorded.length - 1], 1,
        (v) => String(Math.round(v)), { onInput: (gap) => this.set({ gap, target: [] }) }),
      ...Object.fromEntries(FRAMES.map((frame) => [frame, checkControl({
        id: `${this.name}-${frame}-ball`, label: `A ball in the ${frame}`, onInput: (on) => this.setBall(frame, on),
      })])),
    });
    return make("div", { class: "controls" },
      make("div", {}, c.keypoint.element, c.gap.element), make("div", {}, c.source.element, c.target.element));
  }

  setBall(frame, there) {
    const { [frame]: places, gap } = this.state();
    if (!there) this.balls[frame] = places.slice(2);
    const back = this.balls[frame] ?? this.scene.recorded[frame === "source" ? 0 : gap].slice(2);
    this.set({ [frame]: [...places.slice(0, 2), ...(there ? back : [])] });
    this.save.flush();
  }

  showControls(state) {
    this.controls.keypoint.set(state.keypoint);
    this.controls.gap.set(state.gap);
    for (const frame of FRAMES) this.controls[frame].set(state[frame].length > 2);
  }

  look() {
    return {
      ...super.look(),
      pixels: () => FRAMES.map((frame) => [...this.picture(frame, this.state())]),
      distances: () => FRAMES.map((frame) =>
        distances(this.scene, this.state()[frame], keypointsOf(this.result, frame))),
    };
  }
}

async function render({ model, el }) {
  const drawn = await unpack(model.get("drawn"), model.get("networks")[0], model.get("scene"));
  return mount({ model, el }, (host) => new TransportView(model, host, drawn));
}

export default { render };
