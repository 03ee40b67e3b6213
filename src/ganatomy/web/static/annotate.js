// @ts-check
/** Questions to raters: what does this unit show, does it cause artifacts, which image is more real? */

import { h, percent, put } from "/static/report/dom.js";
import { studyUrl, fetchJson } from "./api.js";
import { element, showErrors, rater } from "./page.js";

const study = element("main", HTMLElement).dataset.study ?? "";
const api = studyUrl(study);
const form = element("task-form", HTMLFormElement);
const question = element("question", HTMLElement);

/** @param {string} name */
const field = (name) => /** @type {HTMLInputElement} */ (form.elements.namedItem(name));
/** @param {string} name */
const value = (name) => String(new FormData(form).get(name) ?? "").trim();

/** Ask about the next unit. @param {"labels" | "flags"} table */
async function askUnit(table) {
  const layer = encodeURIComponent(value("layer"));
  const task = await fetchJson(`${api}/layers/${layer}/tasks/${table}?rater=${encodeURIComponent(value("rater"))}`);
  if (task.unit === null) return put(question, h("p", { class: "answer" }, `All ${task.of} units of ${task.layer} are done. Thank you.`));
  const subject = { layer: task.layer, unit: task.unit, rater: value("rater") };
  const topImages = h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Top images" }, h("img", { class: "unit-card", alt: `Top images of unit ${task.unit} of ${task.layer}, outlined where it is on`, src: `${api}/layers/${layer}/units/${task.unit}/card.png` }));
  /** @param {object} answer */
  const send = (answer) => showErrors("answer", async () => {
    await fetchJson(`${api}/${table}`, { ...subject, ...answer });
    await Promise.all([askUnit(table), results()]);
  });
  put(question,
    h("h2", { id: "question-title", tabindex: "-1" }, table === "labels" ? "What do the bright patches show? One or two words." : "Do these images show something broken where the unit is on?"),
    h("p", { class: "small" }, `${task.layer}/${task.unit}; you have done ${task.done} of ${task.of}.`),
    topImages,
    table === "labels" ? labelForm(send) : flagButtons(send));
  document.body.dataset.question = `${table} ${task.layer}/${task.unit}`;
  return undefined;
}

/** @param {(answer: object) => void} send */
function labelForm(send) {
  const words = h("input", { type: "text", name: "words", required: true, maxlength: 100, "aria-label": "One or two words", autocomplete: "off", pattern: "\\s*\\S+(\\s+\\S+)?\\s*", title: "one or two words" });
  setTimeout(() => words.focus());
  return h("form", { submit: (/** @type {Event} */ event) => { event.preventDefault(); send({ words: words.value.trim() }); } }, words, h("button", {}, "Submit"));
}

/** @param {(answer: object) => void} send */
function flagButtons(send) {
  return h("div", { class: "row" },
    h("button", { type: "button", id: "broken", click: () => send({ artifact: true }) }, "Broken: flag it"),
    h("button", { type: "button", id: "fine", click: () => send({ artifact: false }) }, "Fine"));
}

async function askPair() {
  const units = value("units").split(/[\s,;]+/).filter(Boolean).map(Number);
  const body = { layer: value("layer"), rater: value("rater"), units: units.length ? units : null };
  const pair = await fetchJson(`${api}/pairs`, body);
  /** @param {"left" | "right"} choice */
  const send = (choice) => showErrors("answer", async () => {
    await fetchJson(`${api}/preferences`, { comparison: pair.comparison, image: pair.image, rater: body.rater, choice });
    await Promise.all([askPair(), results()]);
  });
  put(question,
    h("h2", { id: "question-title", tabindex: "-1" }, "Which image is more realistic?"),
    h("div", { class: "pair" }, /** @type {("left" | "right")[]} */ (["left", "right"]).map((side) => h("button", { type: "button", "aria-label": `The ${side} one`, click: () => send(side) },
      h("img", { alt: "", src: `data:image/png;base64,${pair[side]}` })))));
  document.body.dataset.question = `pairs ${pair.image}`;
}

/** Show the statistics of all answers. */
async function results() {
  const [agreement, preferences] = await Promise.all([fetchJson(`${api}/agreement`), fetchJson(`${api}/preferences`)]);
  put(element("results", HTMLElement),
    h("p", {}, `${agreement.labelled} units have labels; for ${agreement.consistent} at least half of the labels share a word. Of these, dissection labels ${agreement.confident} with IoU above 0.05, and ${agreement.same} by the same word.`),
    preferences.map((/** @type {any} */ row) => h("p", {}, `${row.comparison}: found more real than the original in ${percent(row.share)} of ${row.answers} answers (95 %: ${percent(row.low)} to ${percent(row.high)}).`)));
}

function start() {
  const task = value("task");
  return showErrors("question", () => (task === "pairs" ? askPair() : askUnit(task === "flags" ? "flags" : "labels")));
}

form.addEventListener("submit", (event) => { event.preventDefault(); rater.setName(value("rater")); start(); });
form.addEventListener("input", () => {
  const pairs = form.querySelector(".for-pairs");
  if (pairs instanceof HTMLElement) pairs.hidden = value("task") !== "pairs";
});
field("rater").value = rater.name();
showErrors("results", results).then(() => { document.body.dataset.ready = "yes"; });
