// Training, replayed: one recorded run, checkpoint by checkpoint.
//
// Nothing is computed here but where marks and curves go: keypoints, heat maps, drawings, errors
// and the metric's maps of each checkpoint were recorded (kpbook/sweep/film.py).

import { clamp, fitCanvas, formatNumber, inflate, make, numberIn } from "./core.mjs";
import { chartScales, drawAxes, drawCurve, drawThresholds, inThousands } from "./error_chart.mjs";
import { INKS, LiveFigure, heatOver, markIcon, mount, paintPixels, selectControl, setText, strokeMark, toPixels } from "./figure.mjs";

// ---- state and arithmetic: no page needed ------------------------------------------------------

const SELECTED = "#ffb000";
const PLAY_MS = 700; // a checkpoint, while playing
const LEAP = 5; // checkpoints for an arrow key with shift

/** Plain, safe state from whatever the traits or a link hold. */
export function cleanReplay(raw, { steps, frames, objects }) {
  const whole = (value, top) => Math.round(numberIn(value, 0, top, 0));
  return {
    checkpoint: whole(raw.checkpoint, steps.length - 1),
    frame: whole(raw.frame, frames - 1),
    object: objects.includes(raw.object) ? raw.object : objects[0],
  };
}

/**
 * zlib-compressed bytes to {points, frames, heat, drawn}: float32 points, then uint8 arrays, in the
 * order and the shapes of kpbook.recordings.training_film.
 */
export async function unpackReplay(view, { steps, frames, points, objects, H, W, h, w, drawn }) {
  const flat = (await inflate(view)).buffer;
  let start = 0;
  const take = (Kind, count) => {
    const part = new Kind(flat, start, count);
    start += part.byteLength;
    return part;
  };
  const looks = steps.length * frames;
  return {
    points: take(Float32Array, looks * points * 2),
    frames: take(Uint8ClampedArray, frames * H * W * 3),
    heat: take(Uint8Array, looks * objects.length * h * w),
    drawn: take(Uint8ClampedArray, looks * drawn * drawn * 3),
  };
}

/** Keypoint `which` of a checkpoint in a frame, image coordinates. */
export function pointAt(recorded, { frames, points }, { checkpoint, frame }, which) {
  const k = 2 * ((checkpoint * frames + frame) * points + which);
  return [recorded.points[k], recorded.points[k + 1]];
}

/**
 * Where each object's keypoint says that it is, by the metric's affine map of that checkpoint, and
 * where it is: {object: {said, truth, off}}, pixels.
 */
export function marksAt(recorded, about, state) {
  const { objects, keypoint, linear, offset, truth, H, W } = about;
  const marks = objects.map((object, k) => {
    const [x, y] = pointAt(recorded, about, state, keypoint[state.checkpoint][k]);
    const [A, b] = [linear[state.checkpoint][k], offset[state.checkpoint][k]];
    const said = toPixels([A[0][0] * x + A[0][1] * y + b[0], A[1][0] * x + A[1][1] * y + b[1]], H, W);
    const where = toPixels(truth[state.frame][k], H, W);
    return [object, { said, truth: where, off: Math.hypot(said[0] - where[0], said[1] - where[1]) }];
  });
  return Object.fromEntries(marks);
}

function errorText(error) {
  return Number(error.toPrecision(2)).toString();
}

export function stepText({ steps, images }, checkpoint) {
  const untrained = checkpoint === 0 && steps[0] === 0 ? ", untrained" : "";
  return `step ${inThousands(steps[checkpoint])}${untrained}, ${inThousands(images[checkpoint])} images`;
}

/** The checkpoint in words, for the line that is read aloud. */
export function describeReplay(about, state, marks) {
  const { objects, error, threshold, steps } = about;
  const now = error[state.checkpoint];
  const tracked = objects.filter((_, k) => now[k] <= threshold[k]);
  const others = objects.filter((object) => !tracked.includes(object));
  const each = objects.map(
    (object, k) => `${object} ${errorText(now[k])}, mark ${formatNumber(marks[object].off, 1)} pixels off`,
  );
  const list = (names) => names.join(", ") || "none";
  const place = stepText(about, state.checkpoint);
  return (
    `${place[0].toUpperCase()}${place.slice(1)} of ${inThousands(about.images.at(-1))}. ` +
    `Tracked: ${list(tracked)}; not tracked: ${list(others)}. Errors: ${each.join("; ")}.`
  );
}

// ---- the view ----------------------------------------------------------------------------------

const REPLAY_STYLE = `
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

const REPLAY_TRAITS = ["checkpoint", "frame", "object"];
const ROOM = { left: 44, right: 10, top: 26, bottom: 24 }; // around the chart's box

class ReplayView extends LiveFigure {
  constructor(model, host, recorded) {
    super(model, host, {
      name: "training-replayed", title: "Live figure: training, replayed", traits: REPLAY_TRAITS, style: REPLAY_STYLE,
    });
    this.about = model.get("replay");
    this.recorded = recorded;
    this.timer = 0;
    this.calm = window.matchMedia("(prefers-reduced-motion: reduce)");
    const follow = () => this.stop();
    this.calm.addEventListener("change", follow);
    this.undo.push(() => this.calm.removeEventListener("change", follow));
  }

  clean(raw) {
    return cleanReplay(raw, this.about);
  }

  describe(state) {
    return describeReplay(this.about, state, marksAt(this.recorded, this.about, state));
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
    const place = ([u, v]) => [((u + 0.5) * side) / W, ((v + 0.5) * side) / H];
    for (let k = 0; k < points; k++) {
      const at = place(toPixels(pointAt(this.recorded, this.about, state, k), H, W));
      this.drawDot(context, at, k === chosen, ink);
    }
    const marks = marksAt(this.recorded, this.about, state);
    for (const [object, { said, truth }] of Object.entries(marks)) {
      const colour = ink[object] ?? ink.ink;
      this.drawGap(context, place(said), place(truth), colour, ink.halo);
      strokeMark(context, "cross", place(truth), ink.ink, ink.halo, { scale: 0.8 });
      strokeMark(context, object, place(said), colour, ink.halo);
    }
    this.paintPair(state, rgb, chosen);
    this.paintChart(state, ink);
    this.write(state, marks);
  }

  drawDot(context, [x, y], chosen, ink) {
    for (const [radius, colour] of [[chosen ? 6 : 3, ink.halo], [chosen ? 4.5 : 2, chosen ? SELECTED : ink.ink]]) {
      context.beginPath();
      context.arc(x, y, radius, 0, 7);
      context.fillStyle = colour;
      context.fill();
    }
  }

  /** From where the mark says that the object is to where it is. */
  drawGap(context, from, to, colour, halo) {
    for (const [width, style] of [[4, halo], [1.5, colour]]) {
      context.lineWidth = width;
      context.strokeStyle = style;
      context.beginPath();
      context.moveTo(...from);
      context.lineTo(...to);
      context.stroke();
    }
  }

  paintPair({ checkpoint, frame, object }, rgb, chosen) {
    const { H, W, h, w, drawn, objects, frames, points } = this.about;
    const side = Math.max(90, this.heat.parentElement.clientWidth);
    const at = checkpoint * frames + frame;
    const first = h * w * (at * objects.length + objects.indexOf(object));
    const map = Float32Array.from(this.recorded.heat.subarray(first, first + h * w), (q) => (q / 255) ** 2);
    paintPixels(this.heat, heatOver(map, h, w, rgb, H, W), H, W, side);
    const n = 3 * drawn * drawn;
    paintPixels(this.again, this.recorded.drawn.subarray(n * at, n * (at + 1)), drawn, drawn, side);
    setText(this.heatCaption, `Heat map of keypoint ${chosen}, now the best for the ${object}`);
    setText(this.againCaption, `The frame, drawn again from ${points} points`);
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
    context.strokeStyle = ink.muted;
    context.beginPath();
    context.moveTo(x, ROOM.top - 8);
    context.lineTo(x, box.y + box.h);
    context.stroke();
    drawThresholds(context, this.about, box, this.scales, ink);
    this.about.objects.forEach((_, k) => drawCurve(context, this.about, k, this.scales, ink, checkpoint));
    this.cursor.style.transform = `translate(${x}px, ${ROOM.top - 14}px)`;
    this.cursor.setAttribute("aria-valuenow", String(checkpoint));
    this.cursor.setAttribute("aria-valuetext", stepText(this.about, checkpoint));
  }

  write(state, marks) {
    const { objects, error, threshold, keypoint } = this.about;
    objects.forEach((object, k) => {
      const e = error[state.checkpoint][k];
      const cells = this.cells[object];
      setText(cells.keypoint, String(keypoint[state.checkpoint][k]));
      setText(cells.error, errorText(e));
      setText(cells.tracked, e <= threshold[k] ? "yes" : "no");
      cells.tracked.classList.toggle("yes", e <= threshold[k]);
      setText(cells.off, formatNumber(marks[object].off, 1));
    });
    for (const name of REPLAY_TRAITS) this.controls[name].set(state[name]);
  }

  // Building.

  parts() {
    const id = this.name;
    this.canvas = make("canvas", { role: "img", "aria-label": "The frame: keypoints as dots, what each object's keypoint says as a mark, the truth as a cross" });
    this.heat = make("canvas", { role: "img", "aria-labelledby": `${id}-heat` });
    this.again = make("canvas", { role: "img", "aria-labelledby": `${id}-again` });
    this.heatCaption = make("figcaption", { id: `${id}-heat` });
    this.againCaption = make("figcaption", { id: `${id}-again` });
    this.stage = make("div", { class: "stage" }, this.canvas);
    const pair = make("div", { class: "pair" },
      make("figure", {}, this.heat, this.heatCaption), make("figure", {}, this.again, this.againCaption));
    return [
      make("div", { class: "top" }, this.stage, make("div", { class: "side" }, pair, this.buildTable())),
      this.buildChart(),
      this.buildControls(),
    ];
  }

  buildTable() {
    this.cells = {};
    const head = ["Object", "keypoint", "error", "tracked", "off, px"].map((text) => make("th", { scope: "col" }, text));
    const rows = this.about.objects.map((object) => {
      const names = ["keypoint", "error", "tracked", "off"];
      this.cells[object] = Object.fromEntries(names.map((name) => [name, make("td", { class: name })]));
      return make("tr", { "data-row": object },
        make("th", { scope: "row" }, markIcon(object), object), ...Object.values(this.cells[object]));
    });
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
      marks: () => marksAt(this.recorded, this.about, this.state()),
      points: () => Array.from({ length: this.about.points }, (_, k) => pointAt(this.recorded, this.about, this.state(), k)),
      errors: () => this.about.error[this.state().checkpoint],
      place: (checkpoint) => this.scales.x(this.about.images[checkpoint]), // CSS pixels in the chart
      link: () => this.link(),
    };
  }
}

async function render({ model, el }) {
  const about = model.get("replay");
  const packed = model.get("packed");
  const recorded = await unpackReplay(packed, about);
  return mount({ model, el }, (host) => new ReplayView(model, host, recorded));
}

export default { render };
