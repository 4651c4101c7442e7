// Judge it: a recorded trajectory, a network's keypoints on it, and every number of the metric.
//
// The page holds positions, not numbers: maps, errors, R² and capability are computed here
// (tracking.mjs). Only the rivals' table comes from Python, since it asks for all keypoints at once.

import { clamp, formatNumber, make, rangeControl } from "./core.mjs";
import { LiveFigure, mount, moveHandle, setText } from "./figure.mjs";
import { drawRanks, drawRuns, drawScene, errorAt, rankAt, rankPlace, runPlace } from "./judge_charts.mjs";
import {
  clean, describe, describeThreshold, framesOf, judgeAll, plainNumber, scrub, shortNumber, spoken, unpack,
} from "./judge_state.mjs";
import { INKS, colourOf, markIcon } from "./marks.mjs";
import { toPixels, toStage } from "./pixels.mjs";
import { applyAffine, capabilityOf, judgePair, judgeWithin, pick } from "./tracking.mjs";

const STYLE = `
.stage { width: 100%; aspect-ratio: 1; overflow: hidden; }
.chosen { display: grid; gap: 8px 16px; grid-template-columns: 1fr 1fr; margin-bottom: 14px; align-items: end; }
.chosen select { width: 100%; }
.side { display: grid; gap: 12px; align-content: start; min-width: 0; }
.legend { gap: 0 14px; margin-top: 4px; }
.legend span { display: inline-flex; align-items: center; gap: 4px; }
.legend svg { width: 18px; height: 18px; }
.map { font-size: 13px; color: var(--muted); font-variant-numeric: tabular-nums; margin: 6px 0 0; }
.chart { position: relative; height: 168px; }
.small::before { inset: 12px; border-style: solid; border-color: var(--accent); opacity: 1; }
.small:focus-visible::before { inset: 9px; }
.runs { position: relative; margin-top: 14px; padding-top: 12px; border-top: 1px solid var(--line); }
.runs canvas { position: absolute; pointer-events: none; }
.runs table { table-layout: fixed; }
.runs th:first-child { width: 25%; overflow-wrap: anywhere; font-size: 13px; line-height: 1.25; }
.runs th:nth-child(3), .runs td:nth-child(3) { width: 68px; }
.runs th:nth-child(4), .runs td:nth-child(4) { width: 44px; }
.runs thead th { height: 44px; vertical-align: bottom; white-space: normal; line-height: 1.2; }
.runs tr.mine th, .runs tr.mine td { font-weight: 600; }
.wide { grid-template-columns: minmax(0, 1fr); gap: 12px 20px; }
.threshold { display: grid; gap: 8px 28px; margin-top: 10px; align-items: end; }
.rivals { margin-top: 14px; padding-top: 12px; border-top: 1px solid var(--line); }
.rivals th { white-space: normal; line-height: 1.25; }
.sr { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
@container (min-width: 620px) {
  .top { grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); }
  .chosen { grid-template-columns: 1.2fr 1fr 1.2fr 1fr; }
  .chosen.two { grid-template-columns: 1fr 1fr; }
  .wide { grid-template-columns: minmax(0, 2fr) minmax(0, 3fr); }
  .threshold { grid-template-columns: 1fr 1fr; }
}
`;
const TRAITS = ["network", "object", "keypoint", "frame", "mu", "fit", "in_view", "group"];
// What each part of the figure shows; `facts` are the numbers of its table. Without `tells` nothing is
// said of thresholds and R², which come later.
const ALL = ["error", "r2", "px", "within", "withinR2", "needed", "tracked"];
const PARTS = {
  all: { title: "judge it", scene: true, keypoints: true, episodes: true, runs: true, rivals: true, tells: true, facts: ALL },
  map: { title: "the affine map", scene: true, keypoints: true, facts: ["error", "px"] },
  threshold: { title: "the threshold over runs", runs: true, facts: [] },
  fit: { title: "where the map is fitted", keypoints: true, episodes: true, tells: true, facts: ["error", "r2", "within", "withinR2"] },
};
const GROUP_LABELS = { networks: "Networks of chapter 3", ablation: "The recipe, less one part", scenes: "The recipe, other scenes" };
const FACTS = {
  error: "Error, mean squared", r2: "R²", px: "Root mean square, pixels", within: "Error within episodes",
  withinR2: "R² within episodes", needed: "R² that µ asks for; below 0 a constant will do", tracked: "Tracked",
};

class JudgeItView extends LiveFigure {
  constructor(model, host, data) {
    const about = model.get("about");
    super(model, host, { name: "judging", title: `Live figure: ${PARTS[about.part].title}`, traits: TRAITS, style: STYLE });
    this.about = about;
    this.shows = PARTS[about.part];
    this.networks = model.get("networks");
    this.recorded = model.get("recorded");
    this.data = data;
    this.times = []; // ms to compute and draw once
  }

  clean(raw) {
    return clean(raw, this);
  }

  // What is computed: anew only when it would differ.

  found(state = this.state()) {
    const { network, object, fit, in_view: inView } = state;
    if (!this.about.tracks) {
      const k = this.about.objects.indexOf(object);
      const pair = { baseline: this.recorded.still[k] ?? NaN };
      return { k, pair, mu: state.mu[k], network: this.networks.find(({ name }) => name === network) };
    }
    const key = JSON.stringify([network, object, fit, inView]);
    if (this.key !== key) {
      this.key = key;
      const k = this.about.objects.indexOf(object);
      const index = this.networks.findIndex(({ name }) => name === network);
      const [truth, points] = [this.data.tracks[0][k], this.data.tracks[index + 1]];
      const frames = { ...framesOf(state, k, this.data.seen, this.about), H: this.about.H, W: this.about.W };
      this.judged = { ...judgeAll(points, truth, frames), k, truth, points, frames, network: this.networks[index] };
    }
    const chosen = state.keypoint >= 0 ? state.keypoint : this.judged.best;
    const { pairs, points, truth, frames, k } = this.judged;
    const pair = { ...pairs[chosen], ...judgeWithin(points[chosen], truth, frames) };
    return { ...this.judged, chosen, pair, mu: state.mu[k] };
  }

  /** Rows of the table of runs, with how many track. */
  counted(state) {
    const { errors, groups } = this.recorded;
    return (groups[state.group] ?? []).map((run) => ({ run, errors: errors[run], ...capabilityOf(errors[run], state.mu) }));
  }

  // Drawing.

  draw(state) {
    const started = performance.now();
    this.ink = INKS[this.theme];
    const found = this.found(state);
    if (this.shows.scene) this.paintScene(state, found);
    if (this.shows.keypoints) this.paintKeypoints(found);
    if (this.shows.runs) this.paintRuns(state, found);
    this.write(state, found);
    this.times.push(performance.now() - started);
    if (this.times.length > 1000) this.times.shift();
  }

  /** What the picture shows of the frame's episode, places in CSS pixels. */
  paths({ frame, in_view: inView }, { pair, truth, points, chosen, k }) {
    const { H, W, T, episodes, objects } = this.about;
    const side = Math.max(200, this.stage.clientWidth);
    const first = (episodes + Math.floor(frame / T)) * T;
    const frames = Array.from({ length: T }, (_, t) => first + t);
    const z = pick(points[chosen], frames);
    const places = ([xs, ys]) => frames.map((_, t) => toStage(toPixels([xs[t], ys[t]], H, W), side, H, W));
    const counts = (t) => !inView || this.data.seen[(first + t) * objects.length + k] === 1;
    const [real, said, raw] = [pick(truth, frames), applyAffine(pair, z), z].map(places);
    return { frame, now: frame % T, side, real, said, raw, counts };
  }

  paintScene(state, found) {
    const { side, now, real, said } = (this.path = this.paths(state, found));
    drawScene(this.canvas, this.data, this.about, this.path, found.k, this.ink);
    const at = real[now].map((v) => clamp(v, 8, side - 8));
    const off = (Math.hypot(real[now][0] - said[now][0], real[now][1] - said[now][1]) * this.about.W) / side;
    moveHandle(this.handles.frame, at, state.frame + 1, `${this.frameWords(state.frame)}; the guess is ${plainNumber(off, 1)} pixels off`);
  }

  frameWords(frame) {
    const { T, episodes } = this.about;
    return `episode ${Math.floor(frame / T) + 1} of ${episodes}, frame ${(frame % T) + 1} of ${T}`;
  }

  paintKeypoints(found) {
    const { pairs, order, chosen } = found;
    const { clientWidth: w, clientHeight: h } = this.chart;
    this.chartSize = { w, h, count: order.length, limits: this.about.limits };
    drawRanks(this.chartCanvas, this.chartSize, this.shows.tells ? found : { ...found, mu: null }, this.ink);
    const rank = order.indexOf(chosen);
    this.handles.keypoint.setAttribute("aria-valuemax", String(order.length));
    moveHandle(this.handles.keypoint, rankPlace(rank, pairs[chosen].error, this.chartSize), rank + 1,
      `keypoint ${chosen}, number ${rank + 1} of ${order.length} by its fit, error ${shortNumber(pairs[chosen].error)}`);
  }

  paintRuns(state, { k, mu, network }) {
    const rows = this.counted(state);
    if (!rows.length) return;
    this.fillRuns(state, rows, k, network.name);
    const [home, axis] = [this.runs, this.axisCell].map((element) => element.getBoundingClientRect());
    const [left, top, w, h] = [axis.left - home.left, axis.top - home.top, axis.width, home.bottom - axis.top];
    Object.assign(this.runsCanvas.style, { left: `${left}px`, top: `${top}px` });
    this.runsWidth = w;
    const middles = this.runRows.map((row) => row.getBoundingClientRect()).map((box) => box.top + box.height / 2 - axis.top);
    const dots = rows.map(({ errors }, i) => ({ errors: errors.map((run) => run[k]), middle: middles[i] }));
    const { limits } = this.about;
    drawRuns(this.runsCanvas, { w, h, head: axis.height, rows: dots, mu, limits, colour: colourOf(this.ink, k) }, this.ink);
    const [hits, runs] = [(row) => row.hits[k], (row) => row.runs].map((of) => rows.reduce((sum, row) => sum + of(row), 0));
    moveHandle(this.handles.mu, [left + runPlace(mu, w, limits), top + 16], shortNumber(mu),
      `µ of the ${spoken(state.object)} is ${shortNumber(mu)}; ${hits} of ${runs} runs track it`);
  }

  /** The words of the table of runs; its rows are made anew when the group changes. */
  fillRuns(state, rows, k, mine) {
    if (this.shownGroup !== state.group) {
      this.shownGroup = state.group;
      this.runRows = rows.map(({ run }) => make("tr", { "data-run": run },
        make("th", { scope: "row" }, run), make("td", {}, make("span", { class: "sr" })),
        make("td", { class: "hit" }), make("td", { class: "overall" })));
      this.runsBody.replaceChildren(...this.runRows);
    }
    setText(this.hitHead, `track the ${spoken(state.object)}`);
    rows.forEach(({ run, errors, hits, runs, overall }, i) => {
      const [, cell, hit, all] = this.runRows[i].children;
      const known = errors.map((one) => one[k]).filter((v) => v !== null);
      setText(cell.firstChild, known.length
        ? `errors from ${shortNumber(Math.min(...known))} to ${shortNumber(Math.max(...known))}` : "never seen");
      setText(hit, `${hits[k]} of ${runs}`);
      setText(all, formatNumber(overall));
      this.runRows[i].classList.toggle("mine", run === mine);
    });
  }

  write(state, found) {
    const { network, k, mu } = found;
    if (this.shows.keypoints) this.writePair(found);
    if (this.shows.scene) this.writeMap(found);
    this.controls.mu.element.firstChild.textContent = `µ, largest error of a tracked ${spoken(state.object)}`;
    this.controls.mu.set(mu);
    for (const name of ["network", "object", "frame", "fit", "in_view", "group"]) this.controls[name].set(state[name]);
    if (this.shows.rivals) this.writeRivals(state, network);
  }

  /** The numbers of the keypoint that is judged. */
  writePair({ pair, pairs, chosen, best, mu }) {
    const needed = 1 - mu / pair.baseline;
    const said = {
      ...Object.fromEntries(["error", "within"].map((name) => [name, shortNumber(pair[name])])),
      ...Object.fromEntries(["r2", "withinR2"].map((name) => [name, plainNumber(pair[name], 3)])),
      px: plainNumber(pair.px), needed: plainNumber(needed, 3),
      tracked: pair.error <= mu ? "yes" : "no",
    };
    for (const name of this.shows.facts) setText(this.facts[name], said[name]);
    const [fitted, scored] = [pairs[chosen].fitError, pair.error].map(shortNumber);
    setText(this.caption, `Keypoint ${chosen}${chosen === best ? ", the metric's choice" : ""}: ` +
      (fitted === scored ? `error ${scored}` : `error ${fitted} where it was fitted, ${scored} where it is scored`));
  }

  writeMap({ pair, k }) {
    const { A, b } = pair;
    const term = (v, x) => `${v < 0 ? "\u2212" : "+"} ${formatNumber(Math.abs(v))}${x}`;
    const line = (o) => `${formatNumber(A[o][0])} x ${term(A[o][1], " y")} ${term(b[o], "")}`;
    setText(this.map, `Its map: (${line(0)}, ${line(1)})`);
    this.truthKey.replaceChildren(markIcon(k), `the ${spoken(this.about.objects[k])}, solid path`);
  }

  /** What the other metrics say: numbers of kpbook.judge, but for the thresholds. */
  writeRivals({ mu, fit, in_view: inView }, { name, metrics, errors }) {
    const yes = errors.map((error, k) => error <= mu[k]);
    const rows = metrics.map(({ metric, objects, all }) =>
      [metric, ...this.about.objects.map((_, k) => (objects.length ? plainNumber(objects[k]) : "")), plainNumber(all)]);
    rows.push(["tracked, at these µ", ...yes.map((on) => (on ? "yes" : "no")), `${yes.filter(Boolean).length} of ${yes.length}`]);
    const other = fit === "same" || inView ? `; the numbers above are ${fit === "same" ? "fitted where they are scored" : ""}` +
      `${fit === "same" && inView ? ", " : ""}${inView ? "of frames in view" : ""}, so they differ` : "";
    const text = JSON.stringify([name, rows, other]);
    if (this.rivalText === text) return;
    this.rivalText = text;
    setText(this.rivalCaption, `${name} by every metric, as kpbook.judge says: maps fitted on ${this.about.episodes} episodes, ` +
      `the metric's keypoints, scored on the ${this.about.episodes} others, all frames${other}`);
    this.rivalBody.replaceChildren(...rows.map(([metric, ...cells]) =>
      make("tr", { "data-metric": metric }, make("th", { scope: "row" }, metric), ...cells.map((cell) => make("td", {}, cell)))));
  }

  describe(state) {
    const { pair, chosen, best, k, mu } = this.found(state);
    if (!this.about.tracks) return describeThreshold(state.object, mu, k, this.counted(state), pair.baseline);
    const row = this.counted(state).find(({ run }) => run === state.network);
    const runs = row && { run: row.run, hit: row.hits[k], runs: row.runs };
    return describe({ ...state, muHere: this.shows.tells ? mu : null }, pair, chosen, best, runs);
  }

  // Building.

  parts() {
    const c = (this.controls = this.buildControls());
    this.handles = { frame: this.buildFrameHandle(), keypoint: this.buildKeypointHandle(), mu: this.buildMuHandle() };
    const { scene, keypoints, episodes, runs, rivals } = this.shows;
    const chosen = [
      keypoints && c.network, c.object, episodes && c.fit, episodes && c.in_view,
      runs && !keypoints && Object.keys(this.recorded.groups).length && c.group,
    ].filter(Boolean).map(({ element }) => element);
    return [
      make("div", { class: episodes ? "chosen" : "chosen two" }, ...chosen),
      keypoints && make("div", { class: scene ? "top" : "" }, ...(scene ? [this.buildScene()] : []), this.buildSide()),
      runs && this.buildRuns(),
      rivals && this.buildRivals(),
    ].filter(Boolean);
  }

  buildControls() {
    const logLimits = this.about.limits.map((v) => Math.log10(v));
    const auto = { keypoint: -1 };
    return {
      network: this.choose("network", "Network", this.networks.map(({ name }) => [name, name]), auto),
      object: this.choose("object", "Object", this.about.objects.map((name) => [name, spoken(name)]), auto),
      fit: this.choose("fit", "Maps are fitted on", [["other", "other episodes"], ["same", "the frames that are scored"]]),
      in_view: this.check("in_view", "Only frames in view"),
      frame: this.range("frame", "Frame", [0, this.about.episodes * this.about.T - 1], 1, (v) => this.frameWords(Math.round(v))),
      group: this.choose("group", "Recorded runs", Object.keys(this.recorded.groups).map((name) => [name, GROUP_LABELS[name]])),
      mu: rangeControl({
        id: "mu", label: "µ", min: logLimits[0], max: logLimits[1], step: 0.005, show: shortNumber,
        toSlider: Math.log10, fromSlider: (v) => 10 ** v,
        onInput: (value) => this.setMu(value), onEnd: () => this.save.flush(),
      }),
    };
  }

  setMu(value) {
    const { mu, object } = this.state();
    mu[this.about.objects.indexOf(object)] = Number(clamp(value, ...this.about.limits).toPrecision(3));
    this.set({ mu });
  }

  buildFrameHandle() {
    const { T, episodes } = this.about;
    const toStage = (x, y) => {
      const box = this.canvas.getBoundingClientRect();
      return [x - box.left, y - box.top];
    };
    return this.handle("frame", "Frame: drag along the path, or arrow keys", [1, episodes * T], {
      toPoint: toStage,
      getPoint: () => {
        this.grabbed = this.path.now;
        return this.path.real[this.path.now];
      },
      move: (point) => {
        const { frame } = this.state();
        this.set({ frame: frame - (frame % T) + scrub(this.path.real, point, frame % T, this.grabbed) });
      },
      step: (dx, dy, large) => {
        const frame = this.state().frame + dx * (large ? 5 : 1) + dy * T; // down: the next episode
        if (frame >= 0 && frame < episodes * T) this.set({ frame });
      },
    });
  }

  /** Choose the keypoint with this rank in the order of the fit. */
  chooseRank(rank) {
    const { order } = this.found();
    this.set({ keypoint: order[clamp(rank, 0, order.length - 1)] });
  }

  buildKeypointHandle() {
    const toChart = (x) => [x - this.chart.getBoundingClientRect().left, 0];
    const rank = () => {
      const { order, chosen } = this.found();
      return order.indexOf(chosen);
    };
    const handle = this.handle("keypoint", "Keypoint: drag, or arrow keys", [1, 1], {
      toPoint: toChart,
      getPoint: () => rankPlace(rank(), 1, this.chartSize),
      move: ([x]) => this.chooseRank(rankAt(x, this.chartSize)),
      step: (dx, dy, large) => this.chooseRank(rank() + (dx - dy) * (large ? 5 : 1)),
      line: true,
    });
    handle.classList.add("small");
    return handle;
  }

  buildMuHandle() {
    const { limits } = this.about;
    const mu = () => this.found().mu;
    const handle = this.handle("mu", "Threshold µ: drag, or arrow keys", limits, {
      toPoint: (x) => [x - this.runsCanvas.getBoundingClientRect().left, 0],
      getPoint: () => [runPlace(mu(), this.runsWidth, limits), 0],
      move: ([x]) => this.setMu(errorAt(x, this.runsWidth, limits)),
      step: (dx, dy, large) => this.setMu(mu() * 10 ** ((dx - dy) * (large ? 0.25 : 0.05))),
      line: true,
    });
    handle.classList.add("small");
    return handle;
  }

  buildScene() {
    this.canvas = make("canvas", { role: "img", "aria-label":
      "A recorded frame; the object's path in this episode, its keypoint's guess of it, and lines between the two" });
    this.stage = make("div", { class: "stage" }, this.canvas, this.handles.frame);
    this.truthKey = make("span");
    this.map = make("p", { class: "map" });
    const key = (mark, words) => make("span", {}, markIcon(mark, "key"), words);
    return make("div", {}, this.stage,
      make("div", { class: "legend" }, this.truthKey, key("cross", "its keypoint, mapped, dashed"), key("dot", "the keypoint itself, dotted")),
      this.map, this.controls.frame.element);
  }

  buildSide() {
    this.facts = {};
    const rows = this.shows.facts.map((name) =>
      make("tr", {}, make("th", { scope: "row" }, FACTS[name]), (this.facts[name] = make("td", { "data-fact": name }))));
    const full = this.shows.tells ? ", full if at most µ" : "";
    this.chartCanvas = make("canvas", { role: "img", "aria-label":
      `Every keypoint's error for this object: a dash where its map was fitted, a dot where it is scored${full}`,
      click: (event) => {
        this.chooseRank(rankAt(event.offsetX, this.chartSize));
        this.save.flush();
      } });
    this.chart = make("div", { class: "chart" }, this.chartCanvas, this.handles.keypoint);
    this.caption = make("figcaption");
    return make("div", { class: this.shows.scene ? "side" : "side wide" },
      make("table", {}, make("tbody", {}, ...rows)),
      make("figure", {}, this.chart, this.caption,
        make("div", { class: "legend" }, `All keypoints: dash, error of the fit; dot, error where scored${full}`)));
  }

  buildRuns() {
    const controls = make("div", { class: "threshold" }, this.controls.mu.element);
    if (!Object.keys(this.recorded.groups).length) {
      const sorry = "The book's recorded runs are not beside this figure, so it cannot count how many of them track.";
      return make("div", { class: "runs" }, make("p", { class: "hint" }, sorry), controls);
    }
    if (this.shows.keypoints) controls.prepend(this.controls.group.element);
    const head = (text) => make("th", { scope: "col" }, text);
    [this.axisCell, this.hitHead] = [make("th", { scope: "col" }, make("span", { class: "sr" }, "tracking error")), head("")];
    this.runsBody = make("tbody");
    this.runsCanvas = make("canvas", { "aria-hidden": "true" });
    this.runs = make("div", { class: "runs" }, make("table", {}, make("thead", {}, make("tr", {},
      head("Each dot is a run"), this.axisCell, this.hitHead, head("share of all"))), this.runsBody), this.runsCanvas, this.handles.mu);
    return make("div", {}, this.runs, controls);
  }

  buildRivals() {
    this.rivalCaption = make("caption");
    this.rivalBody = make("tbody");
    const head = ["metric", ...this.about.objects.map(spoken), "all"].map((text) => make("th", { scope: "col" }, text));
    return make("div", { class: "rivals" }, make("table", {}, this.rivalCaption,
      make("thead", {}, make("tr", {}, ...head)), this.rivalBody));
  }

  buttons() {
    const button = (words, changes) => make("button", { type: "button", click: () => this.set(changes()) }, words);
    return [
      this.shows.keypoints && button("The metric's keypoint", () => ({ keypoint: -1 })),
      this.shows.runs && button("The paper's µ", () => ({ mu: [...this.about.thresholds] })),
    ].filter(Boolean);
  }

  footer() {
    if (!this.about.tracks) return [];
    this.parity = make("p", { class: "hint parity" });
    const off = Math.max(...this.networks.flatMap(({ errors, chosen }, i) => errors.map((error, k) => {
      const frames = { ...framesOf({ fit: "other", in_view: false }, k, this.data.seen, this.about), H: 2, W: 2 };
      return Math.abs(judgePair(this.data.tracks[i + 1][chosen[k]], this.data.tracks[0][k], frames).error - error);
    })));
    setText(this.parity, `This page's errors and those of kpbook.judge differ by at most ` +
      `${off.toExponential(0).replace("-", "\u2212")}.`);
    this.off = off;
    return [this.parity];
  }

  look() {
    return {
      state: () => this.state(),
      judged: () => {
        const { pair, chosen, best, order, mu, k } = this.found();
        return { ...pair, chosen, best, order, mu, k };
      },
      runs: () => this.counted(this.state()),
      path: () => ({ real: this.path.real, said: this.path.said, raw: this.path.raw, now: this.path.now }),
      parity: () => this.off,
      link: () => this.link(),
      redraw: () => this.redraw(),
      times: () => this.times.splice(0),
      compute: () => {
        this.key = "";
        const started = performance.now();
        this.found();
        return performance.now() - started;
      },
    };
  }
}

async function render({ model, el }) {
  const counts = model.get("networks").map(({ keypoints }) => keypoints);
  const data = await unpack(model.get("packed"), model.get("about"), counts);
  return mount({ model, el }, (host) => new JudgeItView(model, host, data));
}

export default { render };
