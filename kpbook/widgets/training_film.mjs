// Training, replayed: one recorded run, checkpoint by checkpoint.
//
// Nothing is computed here but where marks and curves go: keypoints, heat maps, drawings, errors
// and the metric's maps of each checkpoint were recorded (kpbook/sweep/film.py).

import { clamp, fitCanvas, formatNumber, make } from "./core.mjs";
import { LiveFigure, captioned, mount, moveHandle, selectControl, setText } from "./figure.mjs";
import { INKS, colourOf, drawLine, drawPoint, markIcon, strokeMark } from "./marks.mjs";
import { heatOver, paintPixels, toPixels, toStage } from "./pixels.mjs";
import { chartScales, drawAxes, drawCurve, drawThresholds } from "./training_film_chart.mjs";
import { clean, describe, errorText, marksAt, pointAt, stepText, unpack } from "./training_film_state.mjs";

const PLAY_MS = 700; // a checkpoint, while playing
const LEAP = 5; // checkpoints for an arrow key with shift

const STYLE = `
.stage { width: 100%; aspect-ratio: 1; overflow: hidden; }
.side { display: grid; gap: 12px; align-content: start; min-width: 0; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 12px; }
.chart { position: relative; margin-top: 16px; }
.chart canvas { cursor: pointer; touch-action: pan-y; }
.chart .handle { cursor: ew-resize; touch-action: pan-y; }
.chart .handle::before { inset: 13px; border-style: solid; background: var(--surface); opacity: 1; }
.chart .handle:focus-visible::before { inset: 11px; }
tbody th { display: flex; align-items: center; gap: 7px; line-height: 1.25; }
td.error { min-width: 4em; } /* or the columns jump while it plays */
td.yes { font-weight: 600; }
@container (min-width: 620px) {
  .top { grid-template-columns: minmax(0, 1fr) minmax(0, 1.1fr); align-items: start; }
}
`;

const TRAITS = ["checkpoint", "frame", "object"];
const ROOM = { left: 44, right: 10, top: 26, bottom: 24 }; // around the chart's box

class FilmView extends LiveFigure {
  constructor(model, host, recorded) {
    super(model, host, {
      name: "training-replayed", title: "Live figure: training, replayed", traits: TRAITS, style: STYLE,
    });
    this.about = model.get("about");
    this.recorded = recorded;
    this.timer = 0;
    this.calm = window.matchMedia("(prefers-reduced-motion: reduce)");
    const follow = () => this.stop();
    this.calm.addEventListener("change", follow);
    this.undo.push(() => this.calm.removeEventListener("change", follow));
  }

  clean(raw) {
    return clean(raw, this.about);
  }

  describe(state) {
    return describe(this.about, state, marksAt(this.recorded, this.about, state));
  }

  // Going through the run.

  goTo(checkpoint) {
    this.stop();
    this.set({ checkpoint: clamp(checkpoint, 0, this.about.steps.length - 1) });
  }

  /** One checkpoint on; from the last one back to the first. */
  next() {
    this.set({ checkpoint: (this.state().checkpoint + 1) % this.about.steps.length });
  }

  toggle() {
    if (this.timer) return this.stop();
    this.next();
    if (this.calm.matches || this.atEnd()) return this.save.flush(); // calm: no motion unasked
    this.words.setAttribute("aria-live", "off"); // a checkpoint every moment is too much to hear
    this.timer = setInterval(() => {
      this.next();
      if (this.atEnd()) this.stop();
    }, PLAY_MS);
    this.labelPlayer();
  }

  atEnd() {
    return this.state().checkpoint === this.about.steps.length - 1;
  }

  stop() {
    if (this.timer) {
      clearInterval(this.timer);
      this.timer = 0;
      this.words.setAttribute("aria-live", "polite");
      this.save.flush();
    }
    this.labelPlayer();
  }

  labelPlayer() {
    setText(this.player, this.timer ? "Stop" : this.calm.matches ? "Next checkpoint" : "Play");
  }

  reset() {
    this.stop();
    super.reset();
  }

  destroy() {
    clearInterval(this.timer);
    super.destroy();
  }

  // Drawing.

  draw(state) {
    const { H, W, points, objects, keypoint } = this.about;
    const n = 3 * H * W;
    const rgb = this.recorded.frames.subarray(n * state.frame, n * (state.frame + 1));
    const chosen = keypoint[state.checkpoint][objects.indexOf(state.object)];
    const side = Math.max(200, this.stage.clientWidth);
    const ink = INKS[this.theme];
    const context = paintPixels(this.canvas, rgb, H, W, side);
    const place = (pixel) => toStage(pixel, side, H, W);
    for (let k = 0; k < points; k++) {
      drawPoint(context, place(toPixels(pointAt(this.recorded, this.about, state, k), H, W)), k === chosen, ink);
    }
    const marks = marksAt(this.recorded, this.about, state);
    marks.forEach(({ said, truth }, k) => {
      const colour = colourOf(ink, k);
      const gap = [place(said), place(truth)]; // from where the mark says that it is to where it is
      drawLine(context, gap, ink.halo, 4);
      drawLine(context, gap, colour, 1.5);
      strokeMark(context, "cross", place(truth), ink.ink, ink.halo, { scale: 0.8 });
      strokeMark(context, k, place(said), colour, ink.halo);
    });
    this.paintPair(state, rgb, chosen);
    this.paintChart(state, ink);
    this.write(state, marks);
  }

  paintPair({ checkpoint, frame, object }, rgb, chosen) {
    const { H, W, h, w, drawn, objects, frames, points } = this.about;
    const side = Math.max(90, this.heat.element.clientWidth);
    const at = checkpoint * frames + frame;
    const first = h * w * (at * objects.length + objects.indexOf(object));
    const map = Float32Array.from(this.recorded.heat.subarray(first, first + h * w), (q) => (q / 255) ** 2);
    paintPixels(this.heat.canvas, heatOver(map, h, w, rgb, H, W), H, W, side);
    const n = 3 * drawn * drawn;
    paintPixels(this.again.canvas, this.recorded.drawn.subarray(n * at, n * (at + 1)), drawn, drawn, side);
    setText(this.heat.caption, `Heat map of keypoint ${chosen}, now the best for the ${object}`);
    setText(this.again.caption, `The frame, drawn again from ${points} points`);
  }

  paintChart({ checkpoint }, ink) {
    const width = Math.max(260, this.chart.clientWidth);
    const height = width < 480 ? 210 : 240;
    const box = { x: ROOM.left, y: ROOM.top, w: width - ROOM.left - ROOM.right, h: height - ROOM.top - ROOM.bottom };
    const context = fitCanvas(this.curves, width, height);
    context.clearRect(0, 0, width, height);
    this.scales = chartScales(this.about, box);
    drawAxes(context, this.about, box, this.scales, ink);
    const x = Math.round(this.scales.x(this.about.images[checkpoint])) + 0.5;
    drawLine(context, [[x, ROOM.top - 8], [x, box.y + box.h]], ink.muted);
    drawThresholds(context, this.about, box, this.scales, ink);
    this.about.objects.forEach((_, k) => drawCurve(context, this.about, k, this.scales, ink, checkpoint));
    moveHandle(this.cursor, [x, ROOM.top - 14], checkpoint, stepText(this.about, checkpoint));
  }

  write(state, marks) {
    const { objects, error, threshold, keypoint } = this.about;
    objects.forEach((_, k) => {
      const e = error[state.checkpoint][k];
      const cells = this.cells[k];
      setText(cells.keypoint, String(keypoint[state.checkpoint][k]));
      setText(cells.error, errorText(e));
      setText(cells.tracked, e <= threshold[k] ? "yes" : "no");
      cells.tracked.classList.toggle("yes", e <= threshold[k]);
      setText(cells.off, formatNumber(marks[k].off, 1));
    });
    for (const name of TRAITS) this.controls[name].set(state[name]);
  }

  // Building.

  parts() {
    this.canvas = make("canvas", { role: "img", "aria-label": "The frame: keypoints as dots, what each object's keypoint says as a mark, the truth as a cross" });
    [this.heat, this.again] = ["heat", "again"].map((what) => captioned(`${this.name}-${what}`));
    this.stage = make("div", { class: "stage" }, this.canvas);
    const pair = make("div", { class: "pair" }, this.heat.element, this.again.element);
    return [
      make("div", { class: "top" }, this.stage, make("div", { class: "side" }, pair, this.buildTable())),
      this.buildChart(),
      this.buildControls(),
    ];
  }

  buildTable() {
    const head = ["Object", "keypoint", "error", "tracked", "off, px"].map((text) => make("th", { scope: "col" }, text));
    const names = ["keypoint", "error", "tracked", "off"];
    this.cells = this.about.objects.map(() =>
      Object.fromEntries(names.map((name) => [name, make("td", { class: name })])));
    const rows = this.about.objects.map((object, k) =>
      make("tr", { "data-row": object },
        make("th", { scope: "row" }, markIcon(k), object), ...Object.values(this.cells[k])));
    return make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows));
  }

  buildChart() {
    const label = "Error of each object over the images seen; the table has the numbers at the cursor";
    this.curves = make("canvas", {
      role: "img", "aria-label": label,
      click: (event) => this.goTo(this.scales.nearest(event.offsetX)),
    });
    this.cursor = this.buildCursor();
    this.chart = make("div", { class: "chart" }, this.curves, this.cursor);
    const caption = make("figcaption", {},
      "Error on held-out episodes over the images seen so far, along a square root. A filled mark: " +
      "tracked from here on, at or below the threshold µ (dotted).");
    return make("figure", {}, this.chart, caption);
  }

  buildCursor() {
    const last = this.about.steps.length - 1;
    const here = () => this.state().checkpoint;
    const cursor = this.handle("checkpoint", "Checkpoint: drag, or arrow keys", [0, last], {
      toPoint: (clientX) => [clientX - this.curves.getBoundingClientRect().left, 0],
      getPoint: () => [this.scales.x(this.about.images[here()]), 0],
      move: ([x]) => this.goTo(this.scales.nearest(x)),
      step: (dx, dy, large) => this.goTo(here() + (dx - dy) * (large ? LEAP : 1)),
      line: true,
    });
    cursor.setAttribute("aria-orientation", "horizontal");
    cursor.addEventListener("keydown", (event) => {
      const place = { Home: 0, End: last }[event.key];
      if (place === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault(); // the page must not scroll
      event.stopPropagation();
      this.goTo(place);
      this.save.flush();
    });
    return cursor;
  }

  buildControls() {
    const { objects, steps, labels } = this.about;
    const c = (this.controls = {
      checkpoint: this.range("checkpoint", "Checkpoint", [0, steps.length - 1], 1,
        (k) => stepText(this.about, Math.round(k)),
        { onInput: (value) => this.goTo(Math.round(value)) }),
      frame: selectControl({
        id: "frame", label: "Frame, of episodes that the training never saw",
        options: labels.map((label, k) => [k, label]),
        onInput: (value) => this.pick({ frame: Number(value) }), // a select speaks in words
      }),
      object: this.choose("object", "Heat map of the keypoint that is best for",
        objects.map((name) => [name, `the ${name}`])),
    });
    return make("div", { class: "controls" },
      make("div", {}, c.checkpoint.element), make("div", {}, c.frame.element, c.object.element));
  }

  pick(changes) {
    this.set(changes);
    this.save.flush();
  }

  buttons() {
    this.player = make("button", { type: "button", click: () => this.toggle() });
    this.labelPlayer();
    return [this.player];
  }

  look() {
    return {
      state: () => this.state(),
      marks: () => {
        const marks = marksAt(this.recorded, this.about, this.state());
        return Object.fromEntries(this.about.objects.map((object, k) => [object, marks[k]]));
      },
      points: () => Array.from({ length: this.about.points }, (_, k) => pointAt(this.recorded, this.about, this.state(), k)),
      errors: () => this.about.error[this.state().checkpoint],
      place: (checkpoint) => this.scales.x(this.about.images[checkpoint]), // CSS pixels in the chart
      link: () => this.link(),
    };
  }
}

async function render({ model, el }) {
  const recorded = await unpack(model.get("packed"), model.get("about"));
  return mount({ model, el }, (host) => new FilmView(model, host, recorded));
}

export default { render };
