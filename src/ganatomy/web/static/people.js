// @ts-check
/** What people's answers say, in words, with how many they are and how sure it is. */

import { count, h, number, percent, put } from "./report/dom.js";
import { fetchJson } from "./api.js";

/** @typedef {{comparison: string, share: number | null, low: number, high: number, answers: number, same: number}} Preference */
/** @typedef {{table: "labels" | "flags" | "preferences", comparison: string | null, alpha: number | null, low: number | null, high: number | null, items: number, answers: number, raters: number}} Reliability */

/** Conclusions may stand on answers of at least this alpha (Krippendorff 2004). */
const ENOUGH = 0.667;

/** Show the statistics of all answers. @param {HTMLElement} container @param {string} api */
export async function showResults(container, api) {
  const [agreement, preferences, reliability] = await Promise.all(["agreement", "preferences", "reliability"].map((name) => fetchJson(`${api}/${name}`)));
  put(container,
    h("h3", {}, "What people call units"), labelsText(agreement),
    preferences.length > 0 && h("h3", {}, "Which images people find more real"), preferences.map((/** @type {Preference} */ row) => h("p", {}, preferenceText(row))),
    h("h3", {}, "Do people agree with each other?"), reliability.map((/** @type {Reliability} */ row) => h("p", {}, reliabilityText(row))));
}

/** @param {number} part @param {number} whole @param {[number, number] | null} interval */
function shareText(part, whole, interval) {
  return interval ? `${part} of ${whole} (${percent(part / whole)}; 95 % interval ${percent(interval[0])} to ${percent(interval[1])})` : `${part} of ${whole}`;
}

/** @param {any} found */
function labelsText(found) {
  if (!found.labelled) return h("p", {}, "No unit has a label yet.");
  return [
    h("p", {}, `People named ${count(found.labelled, "unit")}. In ${shareText(found.consistent, found.labelled, found.consistent_interval)} half of the labels or more share a word.`),
    found.confident ? h("p", {}, `Dissection labels ${found.confident} of these with IoU above 0.05. People and dissection use the same word in ${shareText(found.same, found.confident, found.same_interval)}.`)
      : h("p", {}, "Dissection labels none of these with IoU above 0.05."),
  ];
}

/** @param {Preference} row */
function preferenceText(row) {
  const same = row.same ? ` In ${row.same} more, people saw no difference.` : "";
  if (row.share === null) return `${row.comparison}:${same || " no answers yet."}`;
  const verdict = row.low > 0.5 ? "People find the edited images more real" : row.high < 0.5 ? "People find the original images more real" : "No clear preference yet";
  return `${row.comparison}: ${verdict}. The edited image was chosen in ${shareText(Math.round(row.share * row.answers), row.answers, [row.low, row.high])} answers.${same}`;
}

/** @param {Reliability} row */
function reliabilityText(row) {
  const what = { labels: "Labels", flags: "Flags", preferences: row.comparison ?? "" }[row.table];
  const noun = row.table === "preferences" ? "image" : "unit";
  if (row.items === 0) return `${what}: not known yet; no ${noun} has answers of two people.`;
  const size = `${count(row.answers, "answer")} on ${count(row.items, noun)} by ${count(row.raters, "person").replace("persons", "people")}`;
  if (row.alpha === null) return `${what}: everybody gave the same answer every time, so agreement beyond chance cannot be computed (${size}).`;
  const verdict = row.alpha >= ENOUGH ? "they agree well" : (row.low ?? 0) > 0 ? "they agree in part" : "not shown to agree more than by chance";
  return `${what}: ${verdict}. Krippendorff’s α is ${number(row.alpha, 2)} (95 % interval ${number(row.low ?? NaN, 2)} to ${number(row.high ?? NaN, 2)}; ${size}); 1 is full agreement, 0 is chance.`;
}
