/** The card of a unit: its top images with the region outlined, its label, and its IoU with chance and control. */

import { h, number, swatch } from "./dom.js";
import { cell, paint, sharpCanvas } from "./paint.js";

const GAP = 2;
const COLUMNS = 5;

/** Number of images on a card. */
export const CARD = 7;

/** What to do when an element comes near the window or leaves. */
const visibilityHandlers = new WeakMap();
const visibility = new IntersectionObserver((entries) => {
  for (const entry of entries) visibilityHandlers.get(entry.target)(entry.isIntersecting);
}, { rootMargin: "400px" });

/** Draw on a canvas when it comes near the window, once `ready` resolves; far from it the canvas is emptied to save memory. */
function drawWhenNear(canvas, ready, draw) {
  let near = false;
  visibilityHandlers.set(canvas, async (isNear) => {
    near = isNear;
    if (near) await ready();
    if (near === isNear && near) draw();
    else if (!near) canvas.width = 0;
  });
  visibility.observe(canvas);
}

/** The card of a unit, or of one of its pairs where `pair` is given. */
export function unitCard(model, unit, pair = unit) {
  const name = `unit ${unit.number} of ${unit.layer}`;
  const { concept } = pair;
  return h("article", { class: "card" },
    h("a", { href: `#unit=${unit.key}` },
      topImageBlock(model, unit, `Top images of ${name}, with the region where it is on`),
      h("div", { class: "title" },
        concept ? [swatch(concept), h("strong", {}, concept.name)] : h("strong", { class: "missing" }, "unlabelled"),
        h("span", { class: "unit" }, `${unit.layer} · ${unit.number}`)),
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

/** One large image and six small ones, drawn when they come near the window. */
function topImageBlock(model, unit, label) {
  const small = cell(model);
  const width = imagesWidth(model);
  const height = 2 * small.height + GAP;
  const images = model.topImages(unit).slice(0, CARD);
  if (!images.length) return h("div", { class: "absent", style: `height:${height}px` }, "images left out");
  const canvas = h("canvas", { role: "img", "aria-label": label, style: `width:${width}px;height:${height}px` });
  drawWhenNear(canvas, () => model.fetch(images), () => {
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
