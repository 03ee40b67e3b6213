/** The page of a concept: cards of the units matched to it, and a table of all units that overlap with it. */

import { count, h, number, percent, put, swatch } from "./dom.js";
import { barLegend, iouBar, unitCard } from "./card.js";
import { rankedTable } from "./table.js";

const CARDS = 60;
const RANKED = [[""], ["unit"], ["matched"], ["label"], ["", "wide"], ["IoU", "figure"], ["control", "figure"], ["IQR", "figure"]];

/** Show a concept in a section. */
export function showConcept(section, model, concept) {
  const ranked = model.pairsWith(concept);
  const matched = ranked.filter((pair) => pair.matched);
  const labelled = matched.filter((pair) => pair.unit.concept === concept).length;
  put(section,
    h("h2", { id: "concept-title", tabindex: "-1" }, "Which units match ", swatch(concept), h("em", {}, concept.name), "?"),
    h("p", { class: "lead" },
      `${count(matched.length, "unit")} matched to it, ${labelled} of them labelled so; the others match another concept better. `,
      `${concept.name} (${concept.category}) covers ${percent(concept.share)} of the pixels, its chance level, `,
      `and occurs in ${count(concept.images ?? 0, "image")}.`,
      concept.rare ? " That is too rare to score." : ""),
    layerCounts(model, concept, matched),
    matched.length > 0 && [h("h3", {}, "Units matched to it, best first"), barLegend(model),
      h("div", { class: "cards" }, matched.slice(0, CARDS).map((pair) => unitCard(model, pair.unit, pair))),
      matched.length > CARDS && h("p", {}, h("a", { class: "more", href: `#units&label=${encodeURIComponent(concept.key)}&sort=iou` }, `All ${matched.length}`))],
    h("h3", {}, "Units that overlap with it beyond chance and control, ranked"),
    ranked.length
      ? rankedTable(RANKED, ranked, (pair, rank) => rankedUnit(model, pair, rank))
      : h("p", { class: "notice" }, "There are none."));
}

/** How many matched units each layer has, as links into the gallery. */
function layerCounts(model, concept, matched) {
  if (!matched.length) return null;
  const counts = model.layers.map((layer) => [layer.name, matched.filter((pair) => pair.unit.layer === layer.name).length]);
  return h("ul", { class: "chips", "aria-label": "Matched units per layer" }, counts.map(([name, n]) => h("li", { class: n ? "" : "missing" },
    n ? h("a", { href: `#units&label=${encodeURIComponent(concept.key)}&layer=${encodeURIComponent(name)}` }, name, " ", h("b", {}, n)) : `${name} –`)));
}

function rankedUnit(model, pair, rank) {
  const { unit, concept } = pair;
  const isLabel = unit.concept === concept;
  return h("tr", {},
    h("td", { class: "small" }, rank),
    h("th", { scope: "row" }, h("a", { href: `#unit=${unit.key}&with=${encodeURIComponent(concept.key)}` }, unit.key)),
    h("td", {}, pair.matched ? "yes" : "–"),
    h("td", {}, isLabel ? "this" : unit.concept ? h("a", { href: `#concept=${encodeURIComponent(unit.concept.key)}` }, swatch(unit.concept), unit.concept.name) : "–"),
    h("td", { class: "wide" }, iouBar(model, pair, concept)),
    [pair.iou, pair.control, pair.iqr].map((value) => h("td", { class: "figure" }, number(value))));
}
