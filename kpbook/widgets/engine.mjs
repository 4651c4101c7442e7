// Who answers a figure's question "what does the network see here?": the page itself, by
// onnxruntime-web from the book's own files, or the kernel of a live notebook, by torch.
//
// An engine is {run({inputs}), close()}; `run` takes what the network's inputs are called, such as
// {images}, and promises what its outputs are called, such as {keypoints, heatmaps, reconstruction}:
// flat Float32Arrays, {data, dims} each. The dims of an input begin with the 1 of a batch of one.

/** The address of a file under the built book's `_static`. */
export function siteFile(path, doc = document) {
  const root = doc.documentElement.dataset.content_root ?? "./";
  return new URL(`${root}_static/${path}`, doc.baseURI).href;
}

/**
 * onnxruntime-web, loaded once, and a session a network, as {load, run, close}. It is also sent to
 * a worker as text, so it uses nothing from outside itself.
 */
function inference() {
  let runtime = null;
  let failures = 0;
  const sessions = new Map();
  const start = async (address) => {
    // What has failed once is remembered under its address, so another trial needs another one.
    const ort = await import(failures ? `${address}?trial=${failures}` : address);
    ort.env.wasm.numThreads = 1; // a plain host sends no headers for more
    // The wasm alone: its JavaScript half is in the bundle.
    ort.env.wasm.wasmPaths = { wasm: new URL("ort-wasm-simd-threaded.wasm", address).href };
    return ort;
  };
  return {
    async load({ address, model, id }) {
      try {
        const { InferenceSession, Tensor } = await (runtime ??= start(address));
        // The file was simplified when it was written; level "all" only takes longer.
        const options = { executionProviders: ["wasm"], graphOptimizationLevel: "extended" };
        const session = await InferenceSession.create(model, options);
        sessions.set(id, { session, Tensor });
      } catch (error) {
        runtime = null;
        failures += 1;
        throw error;
      }
    },
    async run({ id, inputs }) {
      const { session, Tensor } = sessions.get(id);
      const fed = Object.entries(inputs).map(([name, { data, dims }]) => [name, new Tensor("float32", data, dims)]);
      const found = await session.run(Object.fromEntries(fed));
      const plain = ({ data: values, dims }) => ({ data: values, dims: dims.slice(1) });
      return Object.fromEntries(Object.entries(found).map(([name, t]) => [name, plain(t)]));
    },
    async close({ id }) {
      await sessions.get(id)?.session.release();
      sessions.delete(id);
    },
  };
}

/** The worker's side: questions in, answers or errors out, their numbers handed over, not copied. */
function answerQuestions(jobs) {
  self.onmessage = async ({ data: { question, job, ...given } }) => {
    try {
      const found = await jobs[job](given);
      const owned = Object.values(found ?? {}).map(({ data }) => data.buffer);
      self.postMessage({ question, found }, owned);
    } catch (error) {
      self.postMessage({ question, error: String(error?.message ?? error) });
    }
  };
}

/** `inference` in a worker: the same three functions. */
function inferenceElsewhere() {
  const text = new Blob([`(${answerQuestions})((${inference})())`], { type: "text/javascript" });
  const worker = new Worker(URL.createObjectURL(text), { type: "module" });
  const waiting = new Map();
  let next = 0;
  worker.onmessage = ({ data: { question, found, error } }) => {
    const asked = waiting.get(question);
    waiting.delete(question);
    if (error === undefined) asked.resolve(found);
    else asked.reject(new Error(error));
  };
  let dead = null;
  worker.onerror = (event) => {
    dead = new Error(event.message ?? "the worker could not start");
    delete places.worker; // the next network gets a new one
    for (const asked of waiting.values()) asked.reject(dead);
    waiting.clear();
  };
  const ask = (job) => (given) =>
    new Promise((resolve, reject) => {
      if (dead) {
        reject(dead);
        return;
      }
      waiting.set(++next, { resolve, reject });
      worker.postMessage({ question: next, job, ...given });
    });
  return { load: ask("load"), run: ask("run"), close: ask("close") };
}

const SLOW = globalThis.KPBOOK_SLOW_MS ?? 8; // what takes longer would make the page stutter
const TRIALS = 8;
const HOPELESS = 6 * SLOW; // no further trial
const places = {}; // one runtime for all figures of a page, and one more if a network is slow
let sessions = 0;

/**
 * Whether one of several trials takes SLOW at most, for a promise-returning `run`. The first also
 * allocates, and while the browser still compiles, on the same core, the next few take turns with
 * that; so no time but the best says anything of the network.
 */
export async function fastEnough(run, now = () => performance.now()) {
  for (let k = 0; k < TRIALS; k++) {
    const begun = now();
    await run();
    const took = now() - begun;
    if (took <= SLOW) return true;
    if (k > 0 && took > HOPELESS) break;
  }
  return false;
}

/**
 * An engine in the page. `model` is the address of the ONNX file, `first` what it finds in the
 * inputs `example`. `settle()`, to be called once it has answered, tries how fast it is: a network
 * that needs more than SLOW moves to a worker, and answers from the page until it is there. It
 * promises the place: "page" or "worker".
 */
export async function browserEngine(address, model, example) {
  if (typeof WebAssembly === "undefined") throw new Error("this browser has no WebAssembly");
  const id = ++sessions;
  const start = async (name, open) => {
    const place = (places[name] ??= open());
    await place.load({ address, model, id });
    return { name, run: (given) => place.run({ id, ...given }), close: () => place.close({ id }) };
  };
  let at = await start("page", inference);
  let answer = null; // the last one, found or still to be found
  const run = ({ inputs }) => (answer = at.run({ inputs }));
  const settle = async () => {
    if (await fastEnough(() => run({ inputs: example }))) return at.name;
    const here = at;
    try {
      at = await start("worker", inferenceElsewhere);
    } catch {
      return at.name; // no worker to be had: slow, but it answers
    }
    await answer.catch(() => {}); // whoever asked hears of it
    await here.close();
    return at.name;
  };
  const engine = { name: "browser", run, settle, close: () => at.close() };
  try {
    return { ...engine, first: await run({ inputs: example }) };
  } catch (error) {
    await engine.close();
    throw error;
  }
}

const PATIENCE = 30_000; // ms

/** An engine in the kernel: one message out, one back. */
export function kernelEngine(model, network) {
  const me = String(Math.random()); // all views of a model hear all answers
  let next = 0;
  const waiting = new Map();
  const hear = (content, buffers) => {
    const asked = waiting.get(content?.answer);
    if (!asked) return;
    waiting.delete(content.answer);
    if (content.error) asked.reject(new Error(content.error));
    else {
      const parts = Object.entries(content.shapes).map(([name, dims], k) => {
        const b = buffers[k];
        const bytes = b.buffer ? b.buffer.slice(b.byteOffset, b.byteOffset + b.byteLength) : b;
        return [name, { data: new Float32Array(bytes), dims }];
      });
      asked.resolve(Object.fromEntries(parts));
    }
  };
  model.on("msg:custom", hear);
  return {
    name: "kernel",
    run: ({ inputs }) =>
      new Promise((resolve, reject) => {
        const question = `${me} ${++next}`;
        const late = () => {
          waiting.delete(question);
          reject(new Error(`no answer within ${PATIENCE / 1000} seconds; is it running?`));
        };
        const timer = setTimeout(late, PATIENCE);
        const settle = (end) => (value) => {
          clearTimeout(timer);
          end(value);
        };
        waiting.set(question, { resolve: settle(resolve), reject: settle(reject) });
        const shapes = Object.entries(inputs).map(([name, { dims }]) => [name, dims]);
        const buffers = Object.values(inputs).map(({ data }) => data.slice().buffer);
        model.send({ question, network, shapes: Object.fromEntries(shapes) }, undefined, buffers);
      }),
    close() {
      model.off("msg:custom", hear);
      for (const asked of waiting.values()) asked.reject(new Error("the figure is gone"));
      waiting.clear();
    },
  };
}

/** One engine for each network, each opened once; what has failed is opened anew once forgotten. */
export class Engines {
  constructor(open) {
    this.open = open;
    this.opened = new Map();
    this.failed = new Set();
  }

  get(name) {
    if (!this.opened.has(name)) {
      const ready = this.open(name);
      ready.catch(() => this.failed.add(name));
      this.opened.set(name, ready);
    }
    return this.opened.get(name);
  }

  forget(names = [...this.opened.keys()]) {
    for (const name of names) {
      this.opened.get(name)?.then((engine) => engine.close()).catch(() => {});
      this.opened.delete(name);
      this.failed.delete(name);
    }
  }
}

/**
 * Run an engine for the latest request only: what is asked while it works waits, and of several
 * waiting ones only the last is run. Returns ask(input), which calls done(result, input).
 */
export function latestOnly(run, done, failed) {
  let busy = false;
  let waiting = null;
  return async function ask(input) {
    if (busy) {
      waiting = input;
      return;
    }
    busy = true;
    try {
      done(await run(input), input);
    } catch (error) {
      failed(error);
    } finally {
      busy = false;
    }
    if (waiting !== null) {
      const next = waiting;
      waiting = null;
      ask(next);
    }
  };
}

/** uint8 pixels (H x W x 3) as a network's input: one image, float32 3 x H x W in [0, 1]. */
export function toInput(rgb, H, W) {
  const data = new Float32Array(3 * H * W);
  for (let k = 0; k < H * W; k++) {
    for (let c = 0; c < 3; c++) data[c * H * W + k] = rgb[3 * k + c] / 255;
  }
  return { data, dims: [1, 3, H, W] };
}

/** What a network is called in sentences. */
export function called({ label, name }) {
  return label ?? name;
}

/** Largest difference of two answers; infinite where they are not of one length. */
export function farthest(ours, theirs) {
  if (ours.length !== theirs.length) return Infinity;
  return ours.reduce((most, value, k) => Math.max(most, Math.abs(value - theirs[k])), 0);
}

/** How alike the answers are; `built` is what the book's build measured in onnxruntime, if known. */
export function describeParity(name, off, built) {
  const short = (value) => value.toExponential(0).replace("-", "\u2212");
  const here = `this browser and torch differ by at most ${short(off)} on the first view`;
  const there = built
    ? `; onnxruntime and torch by ${short(built.keypoints)} on ${built.images} recorded pictures`
    : "";
  return `${name}: the keypoints of ${here}${there} (image coordinates).`;
}
