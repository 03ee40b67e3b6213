/** The page of a concept: cards of the units matched to it, and a table of all units that overlap with it. */

import { count, h, number, percent, put, swatch } from "./dom.js";
import { barLegend, iouBar, thumbnail, unitCard } from "./card.js";
import { rankedTable } from "./table.js";

const CARDS = 60;

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
    sameUnits(model, concept),
    layerCounts(model, concept, matched),
    matched.length > 0 && [h("h3", {}, "Units matched to it, best first"), barLegend(model),
      h("div", { class: "cards" }, matched.slice(0, CARDS).map((pair) => unitCard(model, pair.unit, pair))),
      matched.length > CARDS && h("p", {}, h("a", { class: "more", href: `#units&label=${encodeURIComponent(concept.key)}&sort=iou` }, `All ${matched.length}`))],
    h("h3", {}, "Units that overlap with it beyond chance and control"),
    ranked.length
      ? rankedTable(`units-${concept.key}`, rankedColumns(model, concept), ranked)
      : h("p", { class: "notice" }, "There are none."));
}

/** Which concepts the same units overlap with. */
function sameUnits(model, concept) {
  const fold = model.folds.get(concept) ?? [];
  const others = fold.filter((other) => other !== concept);
  return others.length > 0 && h("p", {}, "The same units overlap with ",
    others.map((other, i) => [i ? ", " : "", conceptLink(other)]), `: over all units, IoU correlates with that of ${fold[0].name} by ${model.facts.alike} or more.`);
}

/** A link to a concept, with its colour. */
export function conceptLink(concept) {
  return h("a", { href: `#concept=${encodeURIComponent(concept.key)}` }, swatch(concept), concept.name);
}

/** How many matched units each layer has, as links into the gallery. */
function layerCounts(model, concept, matched) {
  if (!matched.length) return null;
  const counts = model.layers.map((layer) => [layer.name, matched.filter((pair) => pair.unit.layer === layer.name).length]);
  return h("ul", { class: "chips", "aria-label": "Matched units per layer" }, counts.map(([name, n]) => h("li", { class: n ? "" : "missing" },
    n ? h("a", { href: `#units&label=${encodeURIComponent(concept.key)}&layer=${encodeURIComponent(name)}` }, name, " ", h("b", {}, n)) : `${name} –`)));
}

function rankedColumns(model, concept) {
  const label = ({ unit }) => (unit.concept === concept ? "this" : unit.concept ? conceptLink(unit.concept) : "–");
  return [
    { title: "rank", kind: "small", cell: (pair, rank) => rank },
    { title: "image", cell: (pair) => thumbnail(model, pair.unit) },
    { title: "unit", heading: true, value: (pair) => pair.unit.key, cell: ({ unit }) => h("a", { href: `#unit=${unit.key}&with=${encodeURIComponent(concept.key)}` }, unit.key) },
    { title: "matched", value: (pair) => Number(pair.matched), cell: (pair) => (pair.matched ? "yes" : "–") },
    { title: "label", value: (pair) => pair.unit.concept?.name ?? "", cell: label },
    { title: "overlap", kind: "wide", cell: (pair) => iouBar(model, pair, concept) },
    ...["IoU", "control", "IQR"].map((title) => figure(title, (pair) => pair[title.toLowerCase()])),
  ];
}

/** A column of numbers. */
export function figure(title, value, digits = 3, kind = "") {
  return { title, kind: `figure ${kind}`.trim(), value, cell: (item) => number(value(item), digits) };
}
