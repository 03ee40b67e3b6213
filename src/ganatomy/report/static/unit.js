/** The page of a unit: its top images, a table of its concepts, and the curve of one of them. */

import { count, h, number, percent, put, significant, swatch } from "./dom.js";
import { barLegend, iouBar } from "./card.js";
import { curveChart } from "./curve.js";
import { cell, paint, sharpCanvas } from "./paint.js";
import { rankedTable } from "./table.js";

const COLUMNS_OF_CANDIDATES = [
  ["concept"], ["category", "category"], ["matched"], ["", "wide"], ["IoU", "figure"], ["× chance", "figure"], ["control", "figure"], ["IQR", "figure"], ["accuracy", "figure accuracy"],
];

/** Show a unit in a section, once `model.fetchUnit` has loaded it, with the curve of `concept` if the page has it. */
export function showUnit(section, model, unit, concept) {
  const pairs = model.pairsOf(unit);
  const layer = model.layers[unit.depth];
  put(section,
    neighbours(model, unit),
    h("h2", { id: "unit-title", tabindex: "-1" }, "What does ", h("em", {}, unit.key), " draw?"),
    h("p", { class: "answer" }, answer(unit, pairs)),
    h("p", { class: "small" }, `Unit ${unit.number} of ${layer.units} in ${layer.name} (${layer.height}×${layer.width}). ${unit.concept ? `On in ${percent(unit.on)} of all pixels; g` : "G"}reatest activation ${significant(unit.greatest)}; threshold ${significant(unit.threshold)} (the top ${percent(unit.fraction)} of its activations).`),
    topImages(model, unit),
    h("h3", {}, "Which concepts it overlaps with"),
    pairs.length
      ? [barLegend(model), rankedTable(COLUMNS_OF_CANDIDATES, pairs, (pair) => candidate(model, pair))]
      : h("p", { class: "notice" }, "No concept beyond chance and control."),
    curveBlock(model, unit, concept));
}

function answer(unit, pairs) {
  const link = (concept) => h("a", { href: `#concept=${encodeURIComponent(concept.key)}` }, swatch(concept), concept.name);
  const best = unit.concept ? unit : closest(pairs);
  const figures = best && `IoU ${number(best.iou)}, chance ${number(best.chance)}, control ${number(best.control)}`;
  if (unit.matched) {
    const others = pairs.filter((pair) => pair.matched && pair.concept !== unit.concept).map((pair) => [", ", link(pair.concept)]);
    return [link(unit.concept), ` – matched (${figures})`, others.length > 0 && ["; also matched to ", others.flat().slice(1)], "."];
  }
  if (!best) return "Unlabelled: no concept beyond chance and control.";
  const status = best.interpretable ? "interpretable, but not clear of chance and control" : "not interpretable";
  return [unit.concept ? "Not matched. Its label: " : "Unlabelled: no concept is matched. Closest: ", link(best.concept), ` – ${status} (${figures}).`];
}

/** Of the pairs of an unlabelled unit, the one that exceeds chance and control most, interpretable ones first. */
function closest(pairs) {
  const score = (pair) => (pair.interpretable ? 1000 : 0) + pair.iou / Math.max(pair.chance, pair.control);
  return pairs.reduce((best, pair) => (!best || score(pair) > score(best) ? pair : best), undefined);
}

function neighbours(model, unit) {
  const link = (other, text, rel) => other && h("a", { href: `#unit=${other.key}`, rel }, text);
  const [before, after] = [model.units[unit.index - 1], model.units[unit.index + 1]];
  return h("nav", { class: "neighbours", "aria-label": "Neighbouring units" },
    link(before, `← ${before?.key}`, "prev"), link(after, `${after?.key} →`, "next"));
}

/** All top images at twice the size of a card's, with a switch for the outlines. */
function topImages(model, unit) {
  const images = model.topImages(unit);
  if (!images.length) return h("p", { class: "notice" }, "The images of this unit were left out of the page to keep it small; see the notes below.");
  const small = cell(model);
  const box = { x: 0, y: 0, width: 2 * small.width, height: 2 * small.height };
  const figures = images.map((image, i) => {
    const label = `Image ${image.id}, where unit ${unit.key} reaches ${significant(image.value)}`;
    const canvas = h("canvas", { role: "img", "aria-label": label });
    const draw = (region) => paint(sharpCanvas(canvas, box.width, box.height), model, image, box, region);
    draw(true);
    return { draw, element: h("figure", {}, canvas, h("figcaption", {}, `${i + 1}. image ${image.id} · ${significant(image.value)}`)) };
  });
  const toggle = h("input", { type: "checkbox", checked: true, change: (event) => figures.forEach((f) => f.draw(event.target.checked)) });
  return [h("label", { class: "check" }, toggle, "show where it is on"), h("div", { class: "strip" }, figures.map((f) => f.element))];
}

function candidate(model, pair) {
  const { concept } = pair;
  return h("tr", {},
    h("th", { scope: "row" }, h("a", { href: `#concept=${encodeURIComponent(concept.key)}` }, swatch(concept), concept.name)),
    h("td", { class: "small category" }, concept.category),
    h("td", {}, pair.matched ? "yes" : "–"),
    h("td", { class: "wide" }, iouBar(model, pair, concept)),
    [[pair.iou], [pair.lift, 1], [pair.control], [pair.iqr]].map(([value, digits]) => h("td", { class: "figure" }, number(value, digits))),
    h("td", { class: "figure accuracy" }, number(pair.accuracy, 2)));
}

/** The curve, and a field to select its concept. */
function curveBlock(model, unit, requested) {
  const concepts = model.curveConcepts(unit);
  if (!concepts.length) return null;
  const container = h("div", { class: "curve-container" });
  const show = (concept) => {
    const curve = model.curve(unit, concept);
    const counted = curve.iou.filter(Number.isFinite).length;
    put(container, curveChart(curve, concept),
      counted < curve.iou.length && h("p", { class: "small" }, `IoU was counted at ${count(counted, "level")} of ${curve.iou.length}, IQR at all.`));
  };
  const first = concepts.includes(requested) ? requested : concepts[0];
  const picker = h("select", { change: (event) => show(model.conceptByKey.get(event.target.value)) },
    concepts.map((concept) => h("option", { value: concept.key, selected: concept === first }, concept.key)));
  show(first);
  return [
    h("h3", {}, "How the overlap depends on the threshold"),
    h("label", { class: "pick" }, h("span", {}, "Concept"), picker),
    h("p", { class: "key" }, h("span", { class: "line solid" }), " IoU on the evaluation images, ",
      h("span", { class: "line dashed" }), " IQR on the validation images, which chooses the level (the upright line)."),
    container,
    requested && !concepts.includes(requested) && h("p", { class: "small" }, `The page has no curve for ${requested.name}; see the notes below.`),
  ];
}
