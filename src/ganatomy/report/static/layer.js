/** The page of a layer: its counts, a heat map of its units and concepts, its clearest units, and a table of all units. */

import { count, h, number, put } from "./dom.js";
import { barLegend, iouBar, thumbnail, unitCard } from "./card.js";
import { conceptLink, figure } from "./concept.js";
import { select } from "./gallery.js";
import { heatMap } from "./heat.js";
import { rankedTable } from "./table.js";

const BEST_CARDS = 12;

/** Show a layer in a section. */
export function showLayer(section, model, layer) {
  const units = model.units.filter((unit) => unit.layer === layer.name);
  const pairs = model.pairsOfLayer(layer);
  const matched = units.filter((unit) => unit.matched);
  const concepts = new Set(matched.map((unit) => unit.concept)).size;
  const clearest = oneOfEachFold(model, select(model, new URLSearchParams({ layer: layer.name, matched: "1", sort: "iou" }))).slice(0, BEST_CARDS);
  const gallery = `#units&layer=${encodeURIComponent(layer.name)}`;
  put(section,
    neighbours(model.layers, layer, (other) => [`#layer=${encodeURIComponent(other.name)}`, other.name], "layers"),
    h("h2", { id: "layer-title", tabindex: "-1" }, "What does ", h("em", {}, layer.name), " draw?"),
    h("p", { class: "lead" },
      `${count(units.length, "unit")} of ${layer.height}×${layer.width} places. ${matched.length} match a concept, `,
      `${count(concepts, "concept")} in all, with a mean IoU of ${number(mean(matched.map((unit) => unit.iou)))}; `,
      h("a", { href: `${gallery}&matched=0` }, `${units.filter((unit) => !unit.concept).length} have no label`), "."),
    clearest.length > 0 && [h("h3", {}, "The clearest unit of each concept"), barLegend(model),
      h("div", { class: "cards" }, clearest.map((unit) => unitCard(model, unit)))],
    h("p", {}, h("a", { class: "more", href: gallery }, `All ${units.length} as cards`)),
    heatMap(model, layer.name, units, pairs),
    h("h3", {}, "All units"),
    rankedTable(`${layer.name}-units`, unitColumns(model), select(model, new URLSearchParams({ layer: layer.name, sort: "iou" }))));
}

/** The first of these units for each fold of concepts. */
function oneOfEachFold(model, units) {
  const seen = new Set();
  return units.filter((unit) => {
    const lead = model.folds.get(unit.concept)?.[0] ?? unit.concept;
    return !seen.has(lead) && seen.add(lead);
  });
}

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Links to what comes before and after an item; `address(other)` is its URL and its name. */
export function neighbours(items, item, address, what) {
  const place = items.indexOf(item);
  const link = (other, rel, text) => other && h("a", { href: address(other)[0], rel }, text(address(other)[1]));
  return h("nav", { class: "neighbours", "aria-label": `Neighbouring ${what}` },
    link(items[place - 1], "prev", (name) => `← ${name}`), link(items[place + 1], "next", (name) => `${name} →`));
}

function unitColumns(model) {
  return [
    { title: "image", cell: (unit) => thumbnail(model, unit) },
    { title: "unit", heading: true, value: (unit) => unit.number, cell: (unit) => h("a", { href: `#unit=${unit.key}` }, unit.name) },
    { title: "label", value: (unit) => unit.concept?.name ?? "", cell: (unit) => (unit.concept ? conceptLink(unit.concept) : h("span", { class: "missing" }, "unlabelled")) },
    { title: "overlap", kind: "wide", cell: (unit) => iouBar(model, unit, unit.concept) },
    figure("IoU", (unit) => unit.iou),
    figure("× chance", (unit) => unit.lift, 1, "category"),
    figure("control", (unit) => unit.control),
    figure("IQR", (unit) => unit.iqr, 3, "category"),
    figure("greatest", (unit) => unit.greatest, 2, "category"),
  ];
}
