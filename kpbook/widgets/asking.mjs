// A live figure in which a network answers, in the page or in the kernel: kpbook/widgets/_networks.py
// is its other half. Nothing is loaded until the reader first touches the figure.

import { make } from "./core.mjs";
import {
  Engines, browserEngine, called, describeParity, farthest, kernelEngine, latestOnly, siteFile,
} from "./engine.mjs";
import { LiveFigure, setText } from "./figure.mjs";

const PATIENCE = 16; // ms: what comes within a frame is drawn together with what was moved
const OTHER = 1e-3; // image coordinates: rounding differs by less, another network by more

/**
 * A figure extends it and gives, beside LiveFigure's parts:
 * networkOf(state), the entry of `networks`, {name, label, file}, that looks;
 * inputs(state), what it looks at, as an engine takes it, and key(state), a text that tells its values;
 * firstState(name), what the page was made with, firstAnswer(), what torch found then, with `of`: its key;
 * points(answer), all keypoints in a row, and firstPoints(network), the same of torch's first answer.
 */
export class AskingFigure extends LiveFigure {
  constructor(model, host, options) {
    super(model, host, { ...options, also: ["engine", "address"] });
    this.networks = model.get("networks");
    this.engines = new Engines((name) => this.open(name));
    this.changes = 0;
    this.parities = {};
    this.settled = new WeakSet(); // engines
    this.places = {}; // network -> where it runs: page or worker
    this.times = []; // ms from a gesture to its last draw call
    this.note = make("p", { class: "hint", role: "status" });
    this.parity = make("p", { class: "hint parity" });
    this.ask = latestOnly(
      (asked) => this.engines.get(asked.network).then((engine) => engine.run(asked)),
      (found, asked) => this.answer(found, asked),
      (error) => this.sorry(error),
    );
    this.where = this.answersFrom();
  }

  start() {
    this.result = this.firstAnswer();
    super.start();
    // A page loads nothing before the first touch; a kernel is there anyway.
    if (this.inKernel() && !this.current()) this.changed();
  }

  network() {
    return this.networkOf(this.state());
  }

  /** Is what is shown an answer to the state? */
  current() {
    return this.result.of === this.key(this.state());
  }

  /** Does the kernel answer, and not the page? */
  inKernel() {
    const { engine, address } = this.answersFrom();
    return engine === "kernel" || (engine === "auto" && !this.static && !address);
  }

  answersFrom() {
    return { engine: this.model.get("engine"), address: this.model.get("address") };
  }

  /** The engine of one network: in the kernel or in the page. */
  async open(name) {
    if (this.gone) throw new Error("the figure is gone");
    if (!this.inKernel()) return this.browser(name);
    if (this.static) throw new Error("this page has no kernel", { cause: "option" });
    return kernelEngine(this.model, name);
  }

  /** The page's engine; and say how far its answer for the first view is from torch's. */
  async browser(name) {
    const { address } = this.where;
    if (!this.static && !address) {
      throw new Error("outside the book the option address says where its files are", { cause: "option" });
    }
    const at = (path) => (address ? new URL(path, address).href : siteFile(path));
    const network = this.networks.find((one) => one.name === name);
    const file = at(`live/${encodeURIComponent(network.file)}`);
    const example = this.inputs(this.firstState(name));
    const engine = await browserEngine(at("onnxruntime/ort.wasm.bundle.min.mjs"), file, example);
    const off = farthest(this.firstPoints(network), this.points(engine.first));
    this.parities[name] = off;
    if (off > OTHER) {
      this.disown(network, engine.first);
    } else {
      const built = network.file.replace(".onnx", "");
      import(at("live/parity.mjs"))
        .catch(() => ({ default: {} }))
        .then((all) => setText(this.parity, describeParity(called(network), off, all.default[built])));
    }
    return engine;
  }

  /** After the first answer: let the page's engine find its place. */
  async settle(name) {
    const engine = await this.engines.get(name);
    if (!engine.settle || this.settled.has(engine)) return;
    this.settled.add(engine);
    this.places[name] = await engine.settle();
  }

  /** The file is not the network that the page was made with: it answers, its keypoints unnamed. */
  disown(network, answer) {
    const other = { ...network, stranger: true, ...this.stranger(answer) };
    this.networks = this.networks.map((one) => (one === network ? other : one));
    setText(
      this.parity,
      `${network.file} holds another network than this page was made with. Its keypoints are shown; ` +
        "which of them belong to the objects is not known.",
    );
  }

  /** What else is not true of another network than the page's. */
  stranger() {
    return {};
  }

  changed() {
    const started = this.begun ?? performance.now();
    this.begun = null;
    const where = this.answersFrom();
    if (where.engine !== this.where.engine || where.address !== this.where.address) {
      this.where = where;
      this.engines.forget();
    }
    clearTimeout(this.late);
    this.late = setTimeout(() => this.schedule(), PATIENCE); // a slow network: the picture moves first
    const state = this.state();
    const { name } = this.networkOf(state);
    if (name !== this.shown) {
      this.shown = name;
      this.result = this.firstAnswer(); // until this network has answered
    }
    this.changes += 1;
    this.ask({ network: name, inputs: this.inputs(state), of: this.key(state), started });
  }

  answer(found, asked) {
    if (this.gone || asked.network !== this.network().name) return;
    this.result = { ...found, of: asked.of };
    this.host.dataset.engine = "ready";
    setText(this.note, "");
    clearTimeout(this.late);
    this.redraw();
    this.times.push(performance.now() - asked.started);
    if (this.times.length > 1000) this.times.shift();
    this.settle(asked.network).catch(() => {}); // what fails here fails at the next question, too
  }

  sorry(error) {
    if (this.gone) return;
    if (this.host.dataset.engine !== "failed") console.warn(`${this.name}: no answer`, error);
    const what = this.host.dataset.engine === "ready" ? "answer any more" : "start";
    const known = this.inKernel() || error.cause === "option";
    this.host.dataset.engine = "failed";
    this.engines.failed.add(this.network().name);
    setText(
      this.note,
      (known ? `The network did not answer: ${error.message}. ` : `The network could not ${what} in this browser. `) +
        "The marks stay where they were; the scene can still be moved. Reset tries again.",
    );
    this.schedule();
  }

  /** Start anew what has failed. */
  reset() {
    this.engines.forget(this.engines.failed);
    super.reset();
  }

  footer() {
    return [this.parity];
  }

  destroy() {
    this.gone = true;
    super.destroy();
    clearTimeout(this.late);
    this.engines.forget();
  }

  look() {
    return {
      state: () => this.state(),
      points: () => [...this.points(this.result)],
      found: () => Object.fromEntries(
        Object.entries(this.result).flatMap(([name, part]) => (part?.data ? [[name, [...part.data]]] : []))),
      parities: () => this.parities,
      places: () => this.places,
      changes: () => this.changes,
      current: () => this.current(),
      times: () => this.times.splice(0),
      redraw: () => this.redraw(),
    };
  }
}
