// What would the agent do: the scene of "Find the cube", and a trained agent's next action in it.
//
// A network's heat maps say where cube, target and hand are; the agent's own fit maps them to the
// table; actor and critics run here, in plain JavaScript (what_would_it_do_agent.mjs).

import { clamp, make } from "./core.mjs";
import { called } from "./engine.mjs";
import { captioned, mount, setText } from "./figure.mjs";
import { FindCubeView, STYLE as SCENE_STYLE, unpacked } from "./find_cube.mjs";
import { drawHeat, drawSeen } from "./find_cube_scene.mjs";
import { CUBE } from "./find_cube_state.mjs";
import { INKS } from "./marks.mjs";
import { paintPixels, toStage } from "./pixels.mjs";
import { projectPoint } from "./push_scene.mjs";
import { expectation, placesOf, readFirst, think, unpackWeights, valuesAt, withNetworks } from "./what_would_it_do_agent.mjs";
import { drawArrow, drawCells, drawSeenThings } from "./what_would_it_do_scene.mjs";
import {
  CELLS, cellsOf, clean, colourAt, coloured, describe, movement, shortValue, toMap, upOrDown, windowOf,
} from "./what_would_it_do_state.mjs";

const STYLE = `
${SCENE_STYLE}
.side { display: grid; gap: 12px; align-content: start; }
.views { grid-template-columns: 1fr 1fr; }
.views figure { display: block; }
.views canvas, .map canvas { margin: 4px 0; }
.scale { display: flex; gap: 8px; align-items: center; font-size: 13px; color: var(--muted);
  font-variant-numeric: tabular-nums; }
.blind { margin: 0; }
.mark.arrow { stroke: #17202b; fill: #ffb000; stroke-width: 1.5; }
.views.hidden, .blind.hidden { display: none; }
.scale.hidden { display: flex; visibility: hidden; }
@container (min-width: 620px) {
  .top { grid-template-columns: minmax(0, 1.45fr) minmax(0, 1fr); }
  .views { grid-template-columns: 1fr 1fr; }
  .views figure { display: block; }
}
`;

const TRAITS = ["cube", "target", "yaw", "pose", "light", "distractor", "occluder", "network"];
const ARROW = "M-11 -2H2V-7L11 0L2 7V2H-11Z";
const BAR = 64; // cells of the colour scale
const SLICE = 8; // ms of the map's making at a time
const GREY = Uint8ClampedArray.of(128, 128, 128);
const NOBODY = { data: new Float32Array(0), dims: [0, 2] };

class WhatWouldItDoView extends FindCubeView {
  constructor(model, host, parts, weights) {
    super(model, host, parts, {
      name: "what-would-it-do", title: "Live figure: what would the agent do", traits: TRAITS, style: STYLE,
    });
    const agents = withNetworks(this.networks.map(({ agent }) => agent), weights);
    this.networks = this.networks.map((network, k) => ({ ...network, agent: agents[k] }));
    this.cost = { action: 0, map: 0 }; // ms
  }

  clean(raw) {
    return clean(raw, this.limits());
  }

  // Asking the network, if there is one.

  firstAnswer() {
    if (this.network().file) return super.firstAnswer();
    return { keypoints: NOBODY, of: this.key(this.state()) };
  }

  changed() {
    if (this.network().file) {
      super.changed();
      return;
    }
    this.shown = this.network().name;
    this.begun = null;
    this.result = this.firstAnswer();
    this.changes += 1;
    setText(this.note, "");
    this.schedule();
  }

  // What the agent makes of it.

  hand(state) {
    return this.scene.hands[state.pose];
  }

  /** Where the agent believes cube, target and hand to be, metres; null if it cannot read the network. */
  believed(state) {
    const { agent, file, seen, stranger } = this.network();
    if (stranger) return null;
    if (!file) return [state.cube, state.target, this.hand(state).slice(0, 2)];
    const { heatmaps, only } = this.result;
    const all = heatmaps && only === undefined; // and not those of the first view's picture
    return placesOf(agent, all ? expectation(heatmaps, agent.keypoint) : seen);
  }

  mind(state = this.state()) {
    const started = performance.now();
    const places = this.believed(state);
    const mind = places && think(this.network().agent, places, this.hand(state));
    this.cost.action = performance.now() - started;
    return mind;
  }

  moved(mind) {
    return movement(mind, this.network().agent, this.scene.step);
  }

  /**
   * The map of values, or null while none of this agent is there. It costs as much as some hundred
   * actions, so it is made in slices: the last one is shown until the next is done.
   */
  map(state, mind) {
    const { name } = this.network();
    const wish = { name, places: mind.places, known: mind.hand, hand: this.hand(state) };
    this.wished = JSON.stringify(wish);
    if (this.mapped?.of !== this.wished && !this.making) this.startMap(wish);
    return this.mapped?.name === name ? this.mapped : null;
  }

  startMap(wish) {
    const { camera } = this.scene;
    const middle = windowOf(camera, wish.known);
    const cells = cellsOf(camera, middle);
    this.making = { ...wish, of: this.wished, agent: this.network().agent, middle, cells, values: [], cost: 0 };
    this.timer = setTimeout(() => this.sliceMap());
  }

  sliceMap() {
    const { agent, places, hand, cells, values, ...about } = this.making;
    const started = performance.now();
    while (values.length < cells.length && performance.now() < started + SLICE) {
      values.push(...valuesAt(agent, places, hand, cells.slice(values.length, values.length + CELLS)));
    }
    this.making.cost += performance.now() - started;
    if (values.length < cells.length) {
      this.timer = setTimeout(() => this.sliceMap());
      return;
    }
    this.cost.map = this.making.cost;
    this.making = null;
    this.mapped = { name: about.name, of: about.of, middle: about.middle, values, ...coloured(values) };
    this.schedule();
  }

  // Drawing.

  draw(state) {
    const side = Math.max(200, this.stage.clientWidth);
    const context = this.drawnSharp(state).paint(this.canvas, side);
    const mind = this.mind(state);
    if (mind) this.drawMind(context, side, state, mind);
    this.paintMap(state, mind);
    this.paintViews(state);
    this.placeHandles(state, side);
    this.showControls(state);
  }

  drawMind(context, side, state, mind) {
    const { H, W } = this.poses;
    const at = (point) => toStage(projectPoint(this.scene.camera, point).pixel, side, H, W);
    const hand = this.hand(state);
    const [x, y, z] = hand;
    const moved = this.moved(mind);
    const [cube, target] = mind.places;
    const seen = [[...cube, CUBE], [...target, 0], [...mind.hand, z]].map(at);
    drawSeenThings(context, seen, INKS[this.theme]);
    drawArrow(context, at(hand), at([x + moved[0], y + moved[1], z]), upOrDown(moved));
  }

  paintMap(state, mind) {
    const { canvas, caption, element } = this.values;
    const side = clamp(element.clientWidth, 120, 330);
    const map = mind && this.map(state, mind);
    const height = Math.round(100 * this.hand(state)[2]);
    const what = `What the critics expect for the hand at each place ${height} cm above the table`;
    setText(caption, mind ? `${what}: seen from above, the camera below` : "No map: the agent cannot read this network.");
    this.scale.classList.toggle("hidden", !map);
    if (!map) {
      drawCells(canvas, side, GREY, 1);
      return;
    }
    const { camera } = this.scene;
    const { rgb, low, high, middle } = map;
    const context = drawCells(canvas, side, rgb, CELLS);
    const on = (place) => toMap(camera, middle, place, side, 8);
    const [x, y] = mind.hand;
    const moved = this.moved(mind);
    drawSeenThings(context, [...mind.places.slice(0, 2), mind.hand].map(on), INKS[this.theme], 0.8);
    drawArrow(context, on(mind.hand), on([x + moved[0], y + moved[1]]), 0, 0.8);
    const ramp = Array.from({ length: BAR }, (_, k) => colourAt(k / (BAR - 1))).flat();
    paintPixels(this.bar, ramp, 1, BAR, Math.max(40, side - 110), 14);
    setText(this.ends[0], shortValue(low));
    setText(this.ends[1], shortValue(high));
  }

  paintViews(state) {
    const { file, agent } = this.network();
    this.views.classList.toggle("hidden", !file);
    this.blind.classList.toggle("hidden", Boolean(file));
    if (!file) return;
    const { H, W } = this.poses;
    const seen = { ...this.drawn(state), H, W };
    const side = clamp(this.heat.element.clientWidth, 64, 192);
    drawSeen(this.eye.canvas, side, seen);
    const [keypoint] = agent.keypoint;
    const known = drawHeat(this.heat.canvas, side, seen, this.result, keypoint);
    setText(this.eye.caption, `What the network sees: ${W} × ${H} pixels`);
    setText(this.heat.caption,
      `Heat map of keypoint ${keypoint}, the cube's${known ? "" : ": the network has not answered yet"}`);
  }

  describe(state) {
    const network = this.network();
    if (!this.current()) return `${called(network)} has not answered for this scene yet.`;
    const mind = this.mind(state);
    const map = this.mapped?.of === this.wished ? this.mapped : null;
    return describe(network, state, mind, mind && this.moved(mind), map, this.scene.camera);
  }

  // Building.

  parts() {
    this.canvas = make("canvas", { role: "img",
      "aria-label": "The scene, marks where the agent sees cube, target and hand, and an arrow for what it would do" });
    [this.eye, this.heat, this.values] = ["eye", "heat", "values"].map((what) => captioned(`${this.name}-${what}`));
    this.handles = Object.fromEntries(["cube", "target"].map((object) => [object, this.buildHandle(object)]));
    this.stage = make("div", { class: "stage" }, this.canvas, this.handles.target, this.handles.cube);
    this.bar = make("canvas", { "aria-hidden": "true" });
    this.ends = [make("span"), make("span")];
    this.scale = make("div", { class: "scale" }, this.ends[0], this.bar, this.ends[1]);
    this.values.element.classList.add("map");
    this.values.element.append(this.scale);
    this.views = make("div", { class: "views" }, this.eye.element, this.heat.element);
    this.blind = make("p", { class: "hint blind" },
      "This agent reads the true places of cube and target: no network looks, so nothing can be hidden from it.");
    return [
      make("div", { class: "top" }, this.stage,
        make("div", { class: "side" }, this.values.element, this.views, this.blind)),
      this.buildLegend(),
      this.note,
      this.buildControls(),
    ];
  }

  meanings() {
    const seen = ["cube, as the agent sees it", "target, as the agent sees it", "hand at rest, as the agent knows it"];
    const arrow = [ARROW, "what the agent would do; a triangle at its end: up or down as well", "arrow"];
    return [...seen.map((words, k) => [k, words]), arrow];
  }

  buildControls() {
    const c = (this.controls = {
      network: this.choose("network", "What the agent sees with", this.networks.map(({ name, label }) => [name, label])),
      pose: this.range("pose", "Pose of the arm", [0, this.scene.poses - 1], 1,
        (v) => `${Math.round(v) + 1} of ${this.scene.poses}`),
      light: this.range("light", "Light", [0.4, 1.6], 0.05, (v) => `${Math.round(100 * v)} %`),
      distractor: this.check("distractor", "An orange box that no network has seen"),
      occluder: this.check("occluder", "A grey wall"),
    });
    return make("div", { class: "controls" },
      make("div", {}, c.network.element, c.pose.element),
      make("div", {}, c.light.element, c.distractor.element, c.occluder.element));
  }

  showControls(state) {
    for (const name of ["network", "pose", "light"]) this.controls[name].set(state[name]);
    this.showBoxes(state);
  }

  destroy() {
    clearTimeout(this.timer);
    super.destroy();
  }

  look() {
    return {
      ...super.look(),
      mind: () => this.mind(),
      read: () => {
        const state = this.state();
        return readFirst(this.network().agent, this.believed(state), this.hand(state));
      },
      map: () => {
        const { values, low, high, middle } = this.mapped;
        return { values, low, high, middle };
      },
      mapped: () => this.mapped?.of === this.wished,
      cost: () => this.cost,
      moved: () => this.moved(this.mind()),
    };
  }
}

async function render({ model, el }) {
  const [parts, weights] = [await unpacked(model), await unpackWeights(model.get("weights"))];
  return mount({ model, el }, (host) => new WhatWouldItDoView(model, host, parts, weights));
}

export default { render };
