/** A unit is always the same card: its top images with the region outlined, its label, its IoU beside chance and control. */

import { h, number, swatch } from "./dom.js";
import { cell, paint, sharpCanvas } from "./paint.js";

const GAP = 2;
const COLUMNS = 5;

/** Images on a card. */
export const CARD = 7;

/** What to do when an element comes near the window, or goes. */
const moves = new WeakMap();
const nearby = new IntersectionObserver((entries) => {
  for (const entry of entries) moves.get(entry.target)(entry.isIntersecting);
}, { rootMargin: "400px" });

/** Draw on a canvas when it comes near the window, once `ready` resolves; it takes no memory while it is away. */
function drawNear(canvas, ready, draw) {
  let near = false;
  moves.set(canvas, async (comes) => {
    near = comes;
    if (near) await ready();
    if (near === comes && near) draw();
    else if (!near) canvas.width = 0;
  });
  nearby.observe(canvas);
}

/** The card of a unit, or of one of its pairs where `pair` is given. */
export function unitCard(model, unit, pair = unit) {
  const name = `unit ${unit.number} of ${unit.layer}`;
  const { concept } = pair;
  return h("article", { class: "card" },
    h("a", { href: `#unit=${unit.key}` },
      pictureBlock(model, unit, `Top images of ${name}, with the region where it is on`),
      h("div", { class: "title" },
        concept ? [swatch(concept), h("strong", {}, concept.name)] : h("strong", { class: "missing" }, "unlabelled"),
        h("span", { class: "unit" }, `${unit.layer} · ${unit.number}`)),
      iouBar(model, pair, concept),
      h("div", { class: "small" },
        h("span", {}, `IoU ${number(pair.iou)}`),
        h("span", {}, `${number(pair.lift, 1)} × chance`),
        h("span", {}, standing(pair)))));
}

function standing(pair) {
  if (!pair.concept) return "no matched concept";
  return pair.matched ? "matched" : pair.interpretable ? "interpretable only" : "not interpretable";
}

/** How wide a card is, in CSS pixels: its images, padding and border. */
export function cardWidth(model) {
  return Math.max(230, pictureWidth(model)) + 22;
}

function pictureWidth(model) {
  return COLUMNS * cell(model).width + (COLUMNS - 1) * GAP;
}

/** One large image and six small ones, drawn when they come near. */
function pictureBlock(model, unit, label) {
  const small = cell(model);
  const width = pictureWidth(model);
  const height = 2 * small.height + GAP;
  const pictures = model.pictures(unit).slice(0, CARD);
  if (!pictures.length) return h("div", { class: "absent", style: `height:${height}px` }, "images left out");
  const canvas = h("canvas", { role: "img", "aria-label": label, style: `width:${width}px;height:${height}px` });
  drawNear(canvas, () => model.fetch(pictures), () => {
    const context = sharpCanvas(canvas, width, height);
    const large = { x: 0, y: 0, width: 2 * small.width, height: 2 * small.height };
    paint(context, model, pictures[0], large);
    pictures.slice(1).forEach((picture, i) => {
      const [column, row] = [2 + (i % 3), Math.floor(i / 3)];
      paint(context, model, picture, { x: column * (small.width + GAP), y: row * (small.height + GAP), ...small });
    });
  });
  return canvas;
}

/** A bar from zero, with the chance level and the control marked on it. */
export function iouBar(model, pair, concept) {
  if (!Number.isFinite(pair.iou)) return h("div", { class: "bar", "aria-hidden": "true" });
  const place = (value) => `${Math.min(100, (100 * value) / model.scale)}%`;
  const mark = (kind, value) => Number.isFinite(value) && h("b", { class: kind, style: `left:${place(value)}`, title: `${kind} ${number(value)}` });
  return h("div", { class: "bar", "aria-hidden": "true" },
    h("span", { style: `width:${place(pair.iou)};background:${concept?.colour ?? "currentColor"}` }),
    mark("chance", pair.chance), mark("control", pair.control));
}

/** What the marks on every bar mean. */
export function barLegend(model) {
  return h("p", { class: "key" },
    "Bars: IoU from 0 to ", model.scale.toFixed(1), ". ",
    h("b", { class: "chance" }), " chance, ", h("b", { class: "control" }), " mismatched control.");
}
