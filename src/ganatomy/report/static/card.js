/** The card of a unit: its top images with the region outlined, its label, and its IoU with chance and control. */

import { h, number, swatch } from "./dom.js";
import { drawSoon } from "./canvases.js";
import { cell, paint, sharpCanvas } from "./paint.js";

const GAP = 2;
const COLUMNS = 5;
const IMAGES = 7;

/** The card of a unit, or of one of its pairs where `pair` is given. */
export function unitCard(model, unit, pair = unit) {
  const name = `unit ${unit.name} of ${unit.layer}`;
  const { concept } = pair;
  return h("article", { class: "card" },
    h("a", { href: `#unit=${unit.key}` },
      topImageBlock(model, unit, `Top images of ${name}, with the region where it is on`),
      h("div", { class: "title" },
        concept ? [swatch(concept), h("strong", {}, concept.name)] : h("strong", { class: "missing" }, "unlabelled"),
        h("span", { class: "unit" }, `${unit.layer} · ${unit.name}`)),
      iouBar(model, pair, concept),
      h("div", { class: "small" },
        h("span", {}, `IoU ${number(pair.iou)}`),
        h("span", {}, `${number(pair.lift, 1)} × chance`),
        h("span", {}, matchStatus(pair)))));
}

function matchStatus(pair) {
  if (!pair.concept) return "no matched concept";
  return pair.matched ? "matched" : pair.interpretable ? "interpretable only" : "not interpretable";
}

/** How wide a card is, in CSS pixels: its images, padding and border. */
export function cardWidth(model) {
  return Math.max(230, imagesWidth(model)) + 22;
}

function imagesWidth(model) {
  return COLUMNS * cell(model).width + (COLUMNS - 1) * GAP;
}

/** One large image and six small ones. */
function topImageBlock(model, unit, label) {
  const small = cell(model);
  const width = imagesWidth(model);
  const height = 2 * small.height + GAP;
  const images = model.topImages(unit).slice(0, IMAGES);
  if (!images.length) return h("div", { class: "absent", style: `height:${height}px` }, "images left out");
  const canvas = h("canvas", { role: "img", "aria-label": label, style: `width:${width}px;height:${height}px` });
  drawSoon(canvas, () => model.fetch(images), () => {
    const context = sharpCanvas(canvas, width, height);
    const large = { x: 0, y: 0, width: 2 * small.width, height: 2 * small.height };
    paint(context, model, images[0], large);
    images.slice(1).forEach((image, i) => {
      const [column, row] = [2 + (i % 3), Math.floor(i / 3)];
      paint(context, model, image, { x: column * (small.width + GAP), y: row * (small.height + GAP), ...small });
    });
  });
  return canvas;
}

/** The best image of a unit, small, as a link to the unit; null where the page has none. */
export function thumbnail(model, unit) {
  const image = model.topImages(unit)[0];
  if (!image) return null;
  const { width, height } = cell(model);
  const canvas = h("canvas", { role: "img", "aria-label": `Top image of unit ${unit.key}`, style: `width:${width}px;height:${height}px` });
  drawSoon(canvas, () => model.fetch([image]), () => paint(sharpCanvas(canvas, width, height), model, image, { x: 0, y: 0, width, height }));
  return h("a", { href: `#unit=${unit.key}`, tabindex: -1, "aria-label": `Unit ${unit.key}` }, canvas);
}

/** A bar of the IoU, with marks at the chance level and the control. */
export function iouBar(model, pair, concept) {
  if (!Number.isFinite(pair.iou)) return h("div", { class: "bar", "aria-hidden": "true" });
  const position = (value) => `${Math.min(100, (100 * value) / model.scale)}%`;
  const mark = (kind, value) => Number.isFinite(value) && h("b", { class: kind, style: `left:${position(value)}`, title: `${kind} ${number(value)}` });
  return h("div", { class: "bar", "aria-hidden": "true" },
    h("span", { style: `width:${position(pair.iou)};background:${concept?.colour ?? "currentColor"}` }),
    mark("chance", pair.chance), mark("control", pair.control));
}

/** The legend of the bars. */
export function barLegend(model) {
  return h("p", { class: "key" },
    "Bars: IoU from 0 to ", model.scale.toFixed(1), ". ",
    h("b", { class: "chance" }), " chance, ", h("b", { class: "control" }), " mismatched control.");
}
