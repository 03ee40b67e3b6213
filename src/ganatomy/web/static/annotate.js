// @ts-check
/** Questions to raters: what does this unit show, does it cause artifacts, which image is more real? */

import { h, put } from "./report/dom.js";
import { studyUrl, fetchJson } from "./api.js";
import { element, showErrors, rater, isTyping } from "./page.js";
import { showResults } from "./people.js";

/** The label of who sees nothing in common. */
const UNCLEAR = "unclear";
const MAX_RECENT = 9;
const MAX_SKIPPED = 500;

const study = element("main", HTMLElement).dataset.study ?? "";
const api = studyUrl(study);
const form = element("task-form", HTMLFormElement);
const question = element("question", HTMLElement);

/** Asks the question before again; none before the first answer. @type {(() => Promise<void>)[]} */
const answered = [];
/** Units or images that were skipped, by task and layer. @type {Map<string, number[]>} */
const skipped = new Map();
/** Labels of this visit, the last one first. @type {string[]} */
let recent = [];

/** @param {string} name */
const field = (name) => /** @type {HTMLInputElement} */ (form.elements.namedItem(name));
/** @param {string} name */
const value = (name) => String(new FormData(form).get(name) ?? "").trim();

/** What was skipped of a task. @param {string} key @returns {number[]} */
function skippedOf(key) {
  if (!skipped.has(key)) skipped.set(key, []);
  return /** @type {number[]} */ (skipped.get(key));
}

/** @typedef {{layer: string, unit: number, done: number, of: number}} UnitTask */

/** Ask about the next unit. @param {"labels" | "flags"} table */
async function askUnit(table) {
  const layer = value("layer");
  const skips = skippedOf(`${table} ${layer}`);
  const query = new URLSearchParams([["rater", value("rater")], ...skips.map((unit) => ["skip", String(unit)])]);
  const task = await fetchJson(`${api}/layers/${encodeURIComponent(layer)}/tasks/${table}?${query}`);
  if (task.unit === null) put(question, h("p", { class: "answer" }, `All ${task.of} units of ${task.layer} are done. Thank you.`), controls(null));
  else await showUnit(table, task);
}

/**
 * Wait for the images of a question, so that its buttons do not move below the pointer. Without them it can still be skipped.
 * @param {HTMLElement[]} shown
 */
async function loaded(shown) {
  const images = shown.flatMap((each) => [...each.querySelectorAll("img")]);
  await Promise.all(images.map((image) => image.decode().catch(() => {})));
}

/** Show the question about one unit. @param {"labels" | "flags"} table @param {UnitTask} task */
async function showUnit(table, task) {
  const images = topImages(task);
  await loaded([images]);
  const subject = { layer: task.layer, unit: task.unit, rater: value("rater") };
  const next = () => Promise.all([askUnit(table), results()]);
  /** @param {object} answer */
  const send = (answer) => showErrors("answer", async () => {
    await fetchJson(`${api}/${table}`, { ...subject, ...answer });
    answered.push(() => showUnit(table, task));
    await next();
  });
  const skip = () => showErrors("answer", async () => {
    const skips = skippedOf(`${table} ${task.layer}`);
    if (skips.length < MAX_SKIPPED) skips.push(task.unit);
    await next();
  });
  put(question,
    h("h2", { id: "question-title", tabindex: "-1" }, table === "labels" ? "What do the bright patches show? One or two words." : "Do these images show something broken where the unit is on?"),
    h("p", { class: "small" }, `${task.layer}/${task.unit}; you have done ${task.done} of ${task.of}.`),
    images,
    table === "labels" ? labelForm(send) : flagButtons(send),
    controls(skip));
  question.querySelector("input")?.focus();
  document.body.dataset.question = `${table} ${task.layer}/${task.unit}`;
}

/** All top images of a unit: one row, or two where the window is narrow. @param {UnitTask} task */
function topImages({ layer, unit }) {
  const url = `${api}/layers/${encodeURIComponent(layer)}/units/${unit}/card.png`;
  return h("picture", {},
    h("source", { media: "(max-width: 720px)", srcset: `${url}?columns=5` }),
    h("img", { class: "unit-card", alt: `Top images of unit ${unit} of ${layer}, outlined where it is on`, src: `${url}?columns=10` }));
}

/** A button with the key that presses it. @param {string} key @param {string} text @param {() => void} click @param {object} [more] */
function keyButton(key, text, click, more = {}) {
  return h("button", { type: "button", "data-key": key, "aria-keyshortcuts": key, click, ...more }, `${text} `, h("kbd", { "aria-hidden": "true" }, key === "Escape" ? "Esc" : key));
}

/** @param {(answer: object) => void} send */
function labelForm(send) {
  const words = h("input", { type: "text", name: "words", required: true, maxlength: 100, "aria-label": "One or two words", autocomplete: "off", pattern: "\\s*\\S+(\\s+\\S+)?\\s*", title: "one or two words" });
  /** @param {string} label */
  const answer = (label) => {
    if (label !== UNCLEAR) recent = [label, ...recent.filter((each) => each !== label)].slice(0, MAX_RECENT);
    send({ words: label });
  };
  return [
    h("form", { submit: (/** @type {Event} */ event) => { event.preventDefault(); answer(words.value.trim().toLowerCase()); } }, words, h("button", {}, "Submit")),
    h("div", { class: "row" },
      recent.map((label, i) => keyButton(String(i + 1), i === 0 ? `The same: ${label}` : label, () => answer(label))),
      keyButton("0", "Unclear: nothing in common", () => answer(UNCLEAR), { id: "unclear" })),
  ];
}

/** @param {(answer: object) => void} send */
function flagButtons(send) {
  return h("div", { class: "row" },
    keyButton("1", "Broken: flag it", () => send({ artifact: true }), { id: "broken" }),
    keyButton("2", "Fine", () => send({ artifact: false }), { id: "fine" }));
}

/** Buttons below each question. @param {(() => void) | null} skip */
function controls(skip) {
  return h("div", { class: "row" },
    skip && keyButton("Escape", "Skip", skip, { id: "skip" }),
    h("button", { type: "button", id: "undo", disabled: !answered.length, title: "Ctrl+Z", click: undo }, "Undo: answer the last one again"));
}

/** Ask the last question again; the new answer replaces the old one. */
function undo() {
  const ask = answered.pop();
  return ask && showErrors("question", ask);
}

/** Ask which of two images is more real. @param {number | null} [again] the image that is asked about again */
async function askPair(again = null) {
  const units = value("units").split(/[\s,;]+/).filter(Boolean).map(Number);
  const key = `pairs ${value("layer")} ${units}`;
  const body = { layer: value("layer"), rater: value("rater"), units: units.length ? units : null, skip: skippedOf(key), image: again };
  const pair = await fetchJson(`${api}/pairs`, body);
  /** @param {"left" | "right" | "same"} choice */
  const send = (choice) => showErrors("answer", async () => {
    await fetchJson(`${api}/preferences`, { comparison: pair.comparison, image: pair.image, rater: body.rater, choice });
    answered.push(() => askPair(pair.image));
    await Promise.all([askPair(), results()]);
  });
  const skip = () => showErrors("answer", async () => {
    if (skippedOf(key).length < MAX_SKIPPED) skippedOf(key).push(pair.image);
    await askPair();
  });
  const sides = /** @type {["left" | "right", string, string][]} */ ([["left", "A", "1"], ["right", "B", "2"]]);
  const buttons = sides.map(([side, letter, number]) => h("button", { type: "button", "data-key": number, "aria-keyshortcuts": number, click: () => send(side) },
    h("img", { alt: "", src: `data:image/png;base64,${pair[side]}` }), h("span", {}, `${letter} `, h("kbd", { "aria-hidden": "true" }, number))));
  await loaded(buttons);
  put(question,
    h("h2", { id: "question-title", tabindex: "-1" }, "Which image is more realistic?"),
    h("div", { class: "pair" }, buttons),
    h("div", { class: "row" }, keyButton("3", "The same: I see no difference", () => send("same"), { id: "same" })),
    controls(skip));
  document.body.dataset.question = `pairs ${pair.image}`;
}

const results = () => showResults(element("results", HTMLElement), api);

function start() {
  const task = value("task");
  answered.length = 0;
  return showErrors("question", () => (task === "pairs" ? askPair() : askUnit(task === "flags" ? "flags" : "labels")));
}

/** Keys press buttons, but not while somebody types words. @param {KeyboardEvent} event */
function press(event) {
  const typing = isTyping(event);
  const empty = typing && event.target instanceof HTMLInputElement && event.target.name === "words" && !event.target.value;
  if ((typing && !empty && event.key !== "Escape") || event.altKey) return;
  if (event.ctrlKey || event.metaKey) {
    if (event.key === "z" && answered.length) undo();
    return;
  }
  const button = question.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
  if (!(button instanceof HTMLButtonElement)) return;
  event.preventDefault();
  button.click();
}

document.addEventListener("keydown", press);
form.addEventListener("submit", (event) => { event.preventDefault(); rater.setName(value("rater")); start(); });
form.addEventListener("input", () => {
  const pairs = form.querySelector(".for-pairs");
  if (pairs instanceof HTMLElement) pairs.hidden = value("task") !== "pairs";
});
field("rater").value = rater.name();
showErrors("results", results).then(() => { document.body.dataset.ready = "yes"; });
