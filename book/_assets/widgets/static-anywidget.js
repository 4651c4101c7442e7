// Draws the live figures of a page that has no kernel.
//
// myst-nb stores in such a page, as JSON, the state of every widget and one "view" for each place
// where a widget is shown. For each view this file imports the widget's own module (the text in
// its `_esm` trait) and gives it the smallest model that an anywidget needs: get, set, on, off and
// save_changes. Nothing is fetched.
(() => {
  "use strict";

  const STATE = 'script[type="application/vnd.jupyter.widget-state+json"]';
  const VIEW = 'script[type="application/vnd.jupyter.widget-view+json"]';
  const SORRY =
    "This live figure could not start in your browser. The text around it says what it shows, " +
    "and the notebook draws it as well.";
  const NEEDS_KERNEL = "This control needs a running notebook.";

  /** JSON, or JSON inside a JSON string: myst-nb has written both. */
  function parse(text) {
    const value = JSON.parse(text);
    return typeof value === "string" ? JSON.parse(value) : value;
  }

  function toDataView(base64) {
    return new DataView(Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)).buffer);
  }

  /** Put the binary parts of a stored model back to their places in its state. */
  function stateOf(record) {
    const state = structuredClone(record.state);
    for (const { path, data } of record.buffers ?? []) {
      const owner = path.slice(0, -1).reduce((object, key) => object[key], state);
      owner[path[path.length - 1]] = toDataView(data);
    }
    return state;
  }

  /** The model that a figure sees; without a kernel, save_changes has nobody to tell. */
  class Model {
    constructor(state) {
      this.state = state;
      this.host = "static-page";
      this.listeners = new Map();
    }

    get(name) {
      return this.state[name];
    }

    set(name, value) {
      const changes = typeof name === "string" ? { [name]: value } : name;
      const changed = Object.keys(changes).filter((key) => this.state[key] !== changes[key]);
      Object.assign(this.state, changes);
      for (const key of changed) this.emit(`change:${key}`, this.state[key]);
      if (changed.length) this.emit("change");
    }

    on(names, callback) {
      for (const name of names.split(" ")) {
        if (!this.listeners.has(name)) this.listeners.set(name, new Set());
        this.listeners.get(name).add(callback);
      }
    }

    off(names, callback) {
      if (names == null) this.listeners.clear();
      else
        for (const name of names.split(" ")) {
          if (callback) this.listeners.get(name)?.delete(callback);
          else this.listeners.delete(name);
        }
    }

    emit(name, value) {
      for (const callback of [...(this.listeners.get(name) ?? [])]) callback(this, value);
    }

    save_changes() {}

    send() {}
  }

  const modules = new Map(); // text of a module -> promise of it: several figures share one

  function load(esm) {
    if (!modules.has(esm)) {
      const url = URL.createObjectURL(new Blob([esm], { type: "text/javascript" }));
      modules.set(esm, import(url).finally(() => URL.revokeObjectURL(url)));
    }
    return modules.get(esm);
  }

  function say(place, text) {
    const note = document.createElement("p");
    note.className = "kp-live-note";
    note.textContent = text;
    place.replaceChildren(note);
  }

  async function draw(record, place, models, id) {
    if (record.model_module !== "anywidget") {
      if (record.state?._view_name) say(place, NEEDS_KERNEL);
      return;
    }
    if (!models.has(id)) models.set(id, new Model(stateOf(record))); // one model, several views
    const model = models.get(id);
    const module = await load(model.get("_esm"));
    const figure = typeof module.default === "function" ? await module.default() : module.default;
    if (!model.ready) model.ready = figure.initialize?.({ model });
    await model.ready;
    if (model.get("_css")) {
      const style = document.createElement("style");
      style.textContent = model.get("_css");
      place.before(style);
    }
    await figure.render({ model, el: place });
    place.dataset.live = "ready";
  }

  function start() {
    let stored = {};
    try {
      for (const script of document.querySelectorAll(STATE)) {
        Object.assign(stored, parse(script.textContent).state);
      }
    } catch (error) {
      console.warn("live figures: the stored state cannot be read", error);
    }
    const models = new Map();
    for (const script of document.querySelectorAll(VIEW)) {
      const place = document.createElement("div");
      place.className = "kp-live";
      script.after(place);
      const fail = (error) => {
        console.warn("live figure: not started", error);
        place.dataset.live = "failed";
        say(place, SORRY);
      };
      try {
        const id = parse(script.textContent).model_id;
        if (!stored[id]) throw new Error(`no stored state for model ${id}`);
        draw(stored[id], place, models, id).catch(fail);
      } catch (error) {
        fail(error);
      }
    }
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
