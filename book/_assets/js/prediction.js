// Predictions that are made: a form under each question; what answers it is folded until the reader
// reveals it, and the page says how near the guess was. Nothing is stored or sent.
document.addEventListener("DOMContentLoaded", () => {
  "use strict";

  const boxes = [...document.querySelectorAll(".kp-prediction")];
  const claims = [...document.querySelectorAll("data.kp-numbers")].map((element) => ({
    element,
    numbers: JSON.parse(element.value || element.getAttribute("value")),
  }));
  const follows = (a, b) => a.compareDocumentPosition(b) & Node.DOCUMENT_POSITION_FOLLOWING;

  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === undefined) continue;
      if (typeof value === "function") element.addEventListener(name, value);
      else element.setAttribute(name, value);
    }
    element.append(...children);
    return element;
  }

  // ---- numbers in words ------------------------------------------------------------------------

  function inWords(value, percent = false) {
    if (Array.isArray(value)) return value.map((each) => inWords(each)).join(", ");
    if (typeof value !== "number") return String(value);
    const x = percent ? 100 * value : value;
    const small = x !== 0 && (Math.abs(x) < 1e-3 || Math.abs(x) >= 1e6);
    const text = small ? x.toExponential(1) : String(Number(x.toPrecision(3)));
    return text.replace("-", "\u2212") + (percent ? " %" : "");
  }

  /** How far a guess is from the answer, in words. */
  function howNear(guess, answer, percent) {
    if (guess === answer) return "exactly right";
    const ratio = guess / answer;
    if (Math.abs(ratio - 1) <= 0.1) return "within 10 %";
    if (!(answer > 0 && guess > 0)) return `off by ${inWords(Math.abs(guess - answer), percent)}`;
    const side = guess > answer ? "large" : "small";
    const times = Math.max(ratio, 1 / ratio);
    if (times < 2) return `${inWords(Math.abs(ratio - 1), true)} too ${side}`;
    return `${inWords(Number(times.toPrecision(2)))} times too ${side}`;
  }

  // ---- the fields: each gives its element, read() -> a guess, null or an Error, and says(guess, answer)

  let count = 0;
  const fieldMakers = {
    number({ label }) {
      const id = `kp-guess-${(count += 1)}`;
      const percent = label.endsWith("%");
      const input = make("input", { id, type: "text", inputmode: "decimal", autocomplete: "off" });
      return {
        element: make("p", { class: "kp-field" }, make("label", { for: id }, label), input),
        input,
        read() {
          const text = input.value.trim().replace("%", "").replace(",", ".").replace("\u2212", "-").trim();
          if (!text) return null;
          const value = Number(text) / (percent ? 100 : 1);
          return Number.isFinite(value) ? value : new Error(`Type a number for "${label}", such as ${percent ? 25 : 0.25}.`);
        },
        says(guess, answer) {
          const found = `${label.replace(/,? *%$/, "")}: ${inWords(answer, percent)}`;
          if (guess === null) return found;
          const near = Number.isFinite(answer) ? `, ${howNear(guess, answer, percent)}` : "";
          return `${found}. You said ${inWords(guess, percent)}${near}`;
        },
      };
    },

    choice({ options, label }, question) {
      const { element, inputs } = optionsOf("radio", options, label, question);
      return {
        element,
        input: inputs[0],
        read: () => {
          const chosen = inputs.findIndex((input) => input.checked);
          return chosen < 0 ? null : options[chosen];
        },
        says: (guess, answer) =>
          `${label || "Found"}: ${answer}` +
          (guess === null ? "" : guess === answer ? ". You said so" : `. You said: ${guess}`),
      };
    },

    ticks({ options, label }, question) {
      const { element, inputs } = optionsOf("checkbox", options, label, question);
      return {
        element,
        input: inputs[0],
        read: () => {
          const chosen = options.filter((_, k) => inputs[k].checked);
          return chosen.length ? chosen : null;
        },
        says(guess, answer) {
          const found = `${label || "Found"}: ${answer.length ? answer.join(", ") : "none"}`;
          if (guess === null) return found;
          const right = options.filter((o) => guess.includes(o) === answer.includes(o)).length;
          return `${found}. You have ${right} of ${options.length} boxes right`;
        },
      };
    },

    place({ label }) {
      const where = { at: null };
      const handle = make("span", { class: "kp-mark", "aria-hidden": "true" });
      const found = make("span", { class: "kp-mark kp-found", "aria-hidden": "true" });
      const map = make("div", {
        class: "kp-map", role: "slider", tabindex: 0, "aria-label": label,
        "aria-roledescription": "place on a map, moved by the arrow keys",
        "aria-valuemin": -1, "aria-valuemax": 1, "aria-valuenow": 0, "aria-valuetext": "not set",
      }, found, handle);
      const put = (mark, [x, y]) => {
        mark.style.left = `${50 * (x + 1)}%`;
        mark.style.top = `${50 * (y + 1)}%`;
        mark.classList.add("kp-set");
      };
      const set = (x, y) => {
        const clip = (v) => Math.round(100 * Math.min(1, Math.max(-1, v))) / 100;
        where.at = [clip(x), clip(y)];
        put(handle, where.at);
        map.setAttribute("aria-valuenow", where.at[0]);
        map.setAttribute("aria-valuetext", `x ${where.at[0]}, y ${where.at[1]}`);
      };
      map.addEventListener("click", (event) => {
        const box = map.getBoundingClientRect();
        set((2 * (event.clientX - box.left)) / box.width - 1, (2 * (event.clientY - box.top)) / box.height - 1);
      });
      const steps = { ArrowLeft: [-0.05, 0], ArrowRight: [0.05, 0], ArrowUp: [0, -0.05], ArrowDown: [0, 0.05] };
      map.addEventListener("keydown", (event) => {
        const step = steps[event.key];
        if (!step) return;
        event.preventDefault();
        const [x, y] = where.at ?? [0, 0];
        set(x + step[0], y + step[1]);
      });
      return {
        element: make("div", { class: "kp-field" }, make("span", {}, label), map),
        input: map,
        read: () => where.at,
        says(guess, answer) {
          put(found, answer);
          const text = `${label}: (${inWords(answer)})`;
          if (guess === null) return text;
          const off = Math.hypot(guess[0] - answer[0], guess[1] - answer[1]);
          return `${text}. You said (${inWords(guess)}), ${inWords(off)} away`;
        },
      };
    },
  };

  function optionsOf(type, options, label, question) {
    const name = `kp-guess-${(count += 1)}`;
    const inputs = options.map((_, k) => make("input", { type, name, id: `${name}-${k}` }));
    const labels = options.map((text, k) => make("label", { for: `${name}-${k}` }, inputs[k], ` ${text}`));
    const legend = make("legend", { class: label ? "kp-row" : "kp-unseen" }, label || question);
    return { element: make("fieldset", { class: "kp-field" }, legend, ...labels), inputs };
  }

  // ---- what is folded --------------------------------------------------------------------------

  /**
   * What lies between a question and its answer: outputs of code that is seen, cells whose code is
   * folded, and the prose after the first cell.
   */
  function toFold(box, last) {
    const folded = [];
    let begun = false;
    for (let each = box.nextElementSibling; each; each = each.nextElementSibling) {
      const is = (name) => each.classList.contains(name);
      begun ||= is("cell");
      if (is("cell") && !is("tag_hide-input")) folded.push(...each.querySelectorAll(":scope > .cell_output"));
      else if (begun && !is("tag_live")) folded.push(each); // its code, too, would tell
      if (each.contains(last)) break;
    }
    return folded;
  }

  function prepare(box) {
    const fields = JSON.parse(box.querySelector(".kp-fields").dataset.fields);
    const claim = claims.find(
      ({ element, numbers }) => follows(box, element) && fields.every(({ name }) => name in numbers),
    );
    if (!claim) {
      box.dataset.state = "without an answer"; // tests/test_predictions.py looks for these
      return;
    }
    const question = box.querySelector("p:not(.admonition-title)")?.textContent ?? "";
    const parts = fields.map((field) => ({ ...fieldMakers[field.kind](field, question), name: field.name }));
    const folded = toFold(box, claim.element);
    const said = make("p", { class: "kp-said", role: "status", tabindex: -1 });
    const wrong = make("p", { class: "kp-wrong", role: "alert" });
    const note = make("p", { class: "kp-note" }, "Folded until you reveal it, above.");

    function reveal(compare) {
      if (box.dataset.state === "revealed") return;
      const guesses = parts.map((part) => (compare ? part.read() : null));
      const bad = guesses.find((guess) => guess instanceof Error);
      parts.forEach(({ input }, k) => {
        if (guesses[k] instanceof Error) input.setAttribute("aria-invalid", "true");
        else input.removeAttribute("aria-invalid");
      });
      wrong.textContent = bad ? bad.message : compare && guesses.every((g) => g === null) ? "Make a guess first." : "";
      if (wrong.textContent) {
        parts[Math.max(0, guesses.indexOf(bad))].input.focus();
        return;
      }
      said.textContent = parts.map((part, k) => `${part.says(guesses[k], claim.numbers[part.name])}.`).join(" ");
      for (const each of folded) each.hidden = false;
      note.remove();
      form.querySelector(".kp-buttons").remove();
      for (const input of form.querySelectorAll("input")) input.disabled = true;
      box.dataset.state = "revealed";
      dispatchEvent(new Event("resize")); // what was folded may have to be measured
    }

    const form = make("form", { class: "kp-guess", novalidate: "" },
      ...parts.map((part) => part.element), wrong,
      make("p", { class: "kp-buttons" },
        make("button", { type: "submit" }, "Reveal"),
        make("button", { type: "button", class: "kp-reveal", click: () => { reveal(false); said.focus(); } },
          "Reveal without a guess")),
      said);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      reveal(true);
      if (box.dataset.state === "revealed") said.focus();
    });
    box.append(form);
    for (const each of folded) each.hidden = true;
    folded[0]?.before(note);
    box.dataset.state = "asked";
    return reveal;
  }

  const reveals = boxes.map(prepare).filter(Boolean);
  const revealAll = () => reveals.forEach((reveal) => reveal(false));
  if (reveals.length > 1) {
    boxes.find((box) => box.dataset.state === "asked").querySelector(".kp-buttons").append(
      make("button", { type: "button", class: "kp-reveal-all", click: revealAll }, "Reveal all on this page"));
  }
  addEventListener("beforeprint", revealAll); // paper shows everything
});
