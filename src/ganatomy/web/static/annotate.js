// @ts-check
/** Questions to people: what is this unit called, does it spoil images, which image is more real? */

import { h, percent, put } from "/static/report/dom.js";
import { base, json } from "./api.js";
import { guarded, part, person } from "./parts.js";

const study = part("main", HTMLElement).dataset.study ?? "";
const api = base(study);
const form = part("who", HTMLFormElement);
const question = part("question", HTMLElement);

/** @param {string} name */
const field = (name) => /** @type {HTMLInputElement} */ (form.elements.namedItem(name));
/** @param {string} name */
const said = (name) => String(new FormData(form).get(name) ?? "").trim();

/** Ask about the next unit. @param {"labels" | "flags"} table */
async function askUnit(table) {
  const layer = encodeURIComponent(said("layer"));
  const task = await json(`${api}/layers/${layer}/tasks/${table}?rater=${encodeURIComponent(said("rater"))}`);
  if (task.unit === null) return put(question, h("p", { class: "answer" }, `All ${task.of} units of ${task.layer} are done. Thank you.`));
  const subject = { layer: task.layer, unit: task.unit, rater: said("rater") };
  const picture = h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Top images" }, h("img", { class: "card-picture", alt: `Top images of unit ${task.unit} of ${task.layer}, outlined where it is on`, src: `${api}/layers/${layer}/units/${task.unit}/card.png` }));
  /** @param {object} answer */
  const send = (answer) => guarded("answer", async () => {
    await json(`${api}/${table}`, { ...subject, ...answer });
    await Promise.all([askUnit(table), results()]);
  });
  put(question,
    h("h2", { id: "asked", tabindex: "-1" }, table === "labels" ? "What do the bright patches show? One or two words." : "Do these images show something broken where the unit is on?"),
    h("p", { class: "small" }, `${task.layer}/${task.unit}; you have done ${task.done} of ${task.of}.`),
    picture,
    table === "labels" ? namer(send) : flagger(send));
  document.body.dataset.asked = `${table} ${task.layer}/${task.unit}`;
  return undefined;
}

/** @param {(answer: object) => void} send */
function namer(send) {
  const words = h("input", { type: "text", name: "words", required: true, maxlength: 100, "aria-label": "One or two words", autocomplete: "off", pattern: "\\s*\\S+(\\s+\\S+)?\\s*", title: "one or two words" });
  setTimeout(() => words.focus());
  return h("form", { submit: (/** @type {Event} */ event) => { event.preventDefault(); send({ words: words.value.trim() }); } }, words, h("button", {}, "That is it"));
}

/** @param {(answer: object) => void} send */
function flagger(send) {
  return h("div", { class: "row" },
    h("button", { type: "button", id: "broken", click: () => send({ artifact: true }) }, "Broken: flag it"),
    h("button", { type: "button", id: "fine", click: () => send({ artifact: false }) }, "Fine"));
}

async function askPair() {
  const listed = said("units").split(/[\s,;]+/).filter(Boolean).map(Number);
  const asked = { layer: said("layer"), rater: said("rater"), units: listed.length ? listed : null };
  const pair = await json(`${api}/pairs`, asked);
  /** @param {"left" | "right"} choice */
  const send = (choice) => guarded("answer", async () => {
    await json(`${api}/preferences`, { comparison: pair.comparison, image: pair.image, rater: asked.rater, choice });
    await Promise.all([askPair(), results()]);
  });
  put(question,
    h("h2", { id: "asked", tabindex: "-1" }, "Which image looks more real?"),
    h("div", { class: "pair" }, /** @type {("left" | "right")[]} */ (["left", "right"]).map((side) => h("button", { type: "button", "aria-label": `The ${side} one`, click: () => send(side) },
      h("img", { alt: "", src: `data:image/png;base64,${pair[side]}` })))));
  document.body.dataset.asked = `pairs ${pair.image}`;
}

/** Show what came of all answers. */
async function results() {
  const [agreed, preferred] = await Promise.all([json(`${api}/agreement`), json(`${api}/preferences`)]);
  put(part("results", HTMLElement),
    h("p", {}, `${agreed.labelled} units were named; in ${agreed.consistent} half of the names or more have a word in common. Of these, dissection labels ${agreed.confident} with IoU above 0.05, and ${agreed.same} by the same word.`),
    preferred.map((/** @type {any} */ row) => h("p", {}, `${row.comparison}: found more real than the original in ${percent(row.share)} of ${row.answers} answers (95 %: ${percent(row.low)} to ${percent(row.high)}).`)));
}

function start() {
  const task = said("task");
  return guarded("question", () => (task === "pairs" ? askPair() : askUnit(task === "flags" ? "flags" : "labels")));
}

form.addEventListener("submit", (event) => { event.preventDefault(); person.is(said("rater")); start(); });
form.addEventListener("input", () => {
  const pairs = form.querySelector(".for-pairs");
  if (pairs instanceof HTMLElement) pairs.hidden = said("task") !== "pairs";
});
field("rater").value = person.name();
guarded("results", results).then(() => { document.body.dataset.ready = "yes"; });
