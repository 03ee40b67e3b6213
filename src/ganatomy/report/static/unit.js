/** The page of a unit: its top images, a table of its concepts, its histogram, and the curve of one concept. */

import { count, h, number, percent, put, significant } from "./dom.js";
import { barLegend, iouBar } from "./card.js";
import { conceptLink, figure } from "./concept.js";
import { chosenLevel, curveChart } from "./curve.js";
import { png, saveButton, svgPng } from "./download.js";
import { histogramChart } from "./histogram.js";
import { neighbours } from "./layer.js";
import { cell, paint, sharpCanvas } from "./paint.js";
import { rankedTable } from "./table.js";
import { openZoom } from "./zoom.js";

/** Show a unit in a section, once `model.fetchUnit` has loaded it, with the curve of `concept` if the page has it. */
export function showUnit(section, model, unit, concept) {
  const pairs = model.pairsOf(unit);
  const layer = model.layers[unit.depth];
  put(section,
    neighbours(model.units, unit, (other) => [`#unit=${other.key}`, other.key], "units"),
    h("h2", { id: "unit-title", tabindex: "-1" }, "What does ", h("em", {}, unit.key), " draw?"),
    h("p", { class: "answer" }, answer(unit, pairs)),
    h("p", { class: "small" }, `Unit ${unit.name} of ${layer.units} in `, h("a", { href: `#layer=${encodeURIComponent(layer.name)}` }, layer.name), ` (${layer.height}×${layer.width}). ${unit.concept ? `On in ${percent(unit.on)} of all pixels; g` : "G"}reatest activation ${significant(unit.greatest)}; threshold ${significant(unit.threshold)} (the top ${percent(unit.fraction)} of its activations).`),
    topImages(model, unit),
    h("h3", {}, "Which concepts it overlaps with"),
    pairs.length
      ? [barLegend(model), rankedTable(`${fileName(unit)}-concepts`, candidateColumns(model), pairs)]
      : h("p", { class: "notice" }, "No concept beyond chance and control."),
    histogramBlock(model, unit),
    curveBlock(model, unit, concept));
}

function answer(unit, pairs) {
  const best = unit.concept ? unit : closest(pairs);
  const figures = best && `IoU ${number(best.iou)}, chance ${number(best.chance)}, control ${number(best.control)}`;
  if (unit.matched) {
    const others = pairs.filter((pair) => pair.matched && pair.concept !== unit.concept).map((pair) => [", ", conceptLink(pair.concept)]);
    return [conceptLink(unit.concept), ` – matched (${figures})`, others.length > 0 && ["; also matched to ", others.flat().slice(1)], "."];
  }
  if (!best) return "Unlabelled: no concept beyond chance and control.";
  const status = best.interpretable ? "interpretable, but not clear of chance and control" : "not interpretable";
  return [unit.concept ? "Not matched. Its label: " : "Unlabelled: no concept is matched. Closest: ", conceptLink(best.concept), ` – ${status} (${figures}).`];
}

/** Of the pairs of an unlabelled unit, the one that exceeds chance and control most, interpretable ones first. */
function closest(pairs) {
  const score = (pair) => (pair.interpretable ? 1000 : 0) + pair.iou / Math.max(pair.chance, pair.control);
  return pairs.reduce((best, pair) => (!best || score(pair) > score(best) ? pair : best), undefined);
}

function fileName(unit) {
  return unit.key.replaceAll("/", "-");
}

/** All top images at twice the size of a card's, with a switch for the outlines; each opens large. */
function topImages(model, unit) {
  const images = model.topImages(unit);
  if (!images.length) return h("p", { class: "notice" }, "The images of this unit were left out of the page to keep it small; see the notes below.");
  const small = cell(model);
  const box = { x: 0, y: 0, width: 2 * small.width, height: 2 * small.height };
  const toggle = h("input", { type: "checkbox", checked: true, change: () => figures.forEach((f) => f.draw()) });
  const figures = images.map((image, i) => {
    const prompt = model.promptText(image);
    const label = `Image ${image.id}, where unit ${unit.key} reaches ${significant(image.value)}${prompt}`;
    const canvas = h("canvas", { role: "img", "aria-label": label });
    const draw = () => paint(sharpCanvas(canvas, box.width, box.height), model, image, box, toggle.checked);
    draw();
    const open = h("button", { type: "button", class: "image", "aria-label": `Show image ${image.id} large`, click: () => openZoom(model, unit, images, i, toggle.checked) }, canvas);
    return { draw, canvas, element: h("figure", {}, open, h("figcaption", {}, `${i + 1}. image ${image.id} · ${significant(image.value)}${prompt}`)) };
  });
  return [
    h("div", { class: "tools-row" }, h("label", { class: "check" }, toggle, "show where it is on"),
      saveButton("PNG", `${fileName(unit)}.png`, () => png(inOneRow(figures.map((f) => f.canvas))))),
    h("div", { class: "strip" }, figures.map((f) => f.element))];
}

/** Canvases of one size, as one. */
function inOneRow(canvases) {
  const [{ width, height }, gap] = [canvases[0], 4];
  const row = h("canvas", { width: canvases.length * (width + gap) - gap, height });
  canvases.forEach((canvas, i) => row.getContext("2d").drawImage(canvas, i * (width + gap), 0));
  return row;
}

function candidateColumns(model) {
  return [
    { title: "concept", heading: true, value: (pair) => pair.concept.name, cell: (pair) => conceptLink(pair.concept) },
    { title: "category", kind: "small category", value: (pair) => pair.concept.category },
    { title: "matched", value: (pair) => Number(pair.matched), cell: (pair) => (pair.matched ? "yes" : "–") },
    { title: "overlap", kind: "wide", cell: (pair) => iouBar(model, pair, pair.concept) },
    figure("IoU", (pair) => pair.iou),
    figure("× chance", (pair) => pair.lift, 1),
    figure("control", (pair) => pair.control),
    figure("IQR", (pair) => pair.iqr, 3, "accuracy"),
    figure("accuracy", (pair) => pair.accuracy, 2, "accuracy"),
  ];
}

function histogramBlock(model, unit) {
  const chart = histogramChart(unit, model.histogram(unit));
  return [
    h("h3", {}, "How strong it is"),
    h("p", { class: "key" }, "Share of the pixels by activation, on a logarithmic axis, from its levels on the calibration images, between which it is spread evenly. Coloured: above the threshold."),
    h("div", { class: "curve-container" }, chart),
    saveButton("PNG", `${fileName(unit)}-histogram.png`, () => svgPng(chart)),
  ];
}

/** The curve, and a field to select its concept. */
function curveBlock(model, unit, requested) {
  const concepts = model.curveConcepts(unit);
  if (!concepts.length) return null;
  const container = h("div", { class: "curve-container" });
  const show = (concept) => {
    const curve = model.curve(unit, concept);
    const counted = curve.iou.filter(Number.isFinite).length;
    put(container, curveChart(curve, concept), h("p", { class: "small" }, `Level ${chosenLevel(curve)}.`),
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
    saveButton("PNG", `${fileName(unit)}-curve.png`, () => svgPng(container.querySelector("svg"))),
    requested && !concepts.includes(requested) && h("p", { class: "small" }, `The page has no curve for ${requested.name}; see the notes below.`),
  ];
}
