/** A heat map: IoU of the units of a layer with the concepts that any of them matches. */

import { count, h, number, put } from "./dom.js";
import { conceptLink } from "./concept.js";
import { png, saveButton } from "./download.js";

const ROW = 20;
const MAX_ROWS = 40;
const LEAST_WIDTH = 3;
const MOST_WIDTH = 14;

/** The heat map of units; `pairs` are those of the layer, and concepts folded into others are shown on demand. */
export function heatMap(model, name, units, pairs) {
  const concepts = matchedConcepts(model, pairs);
  if (!concepts.length) return null;
  const leading = concepts.filter((concept) => model.folds.get(concept)?.[0] === concept);
  const container = h("div", { class: "heat-map" });
  const show = (shown) => put(container, drawing(model, name, ordered(units, shown), pairs, shown.slice(0, MAX_ROWS)));
  show(leading);
  const toggle = h("input", { type: "checkbox", change: (event) => show(event.target.checked ? concepts : leading) });
  return [
    h("h3", {}, "Units and concepts"),
    h("p", { class: "lead" }, "One column a unit, ordered by label; the stronger its colour, the greater the IoU, where it is beyond chance and control. A line below marks a matched pair. Point at a place to read it, choose it to see the unit; the keyboard does the same by arrow keys and Enter.",
      leading.length > MAX_ROWS ? ` The first ${MAX_ROWS} of ${count(leading.length, "concept")} are shown.` : ""),
    leading.length < concepts.length && h("label", { class: "check" }, toggle, "also concepts that the same units overlap with"),
    container,
  ];
}

/** The concepts with a matched unit, in the order of the overview. */
function matchedConcepts(model, pairs) {
  const matched = new Set(pairs.filter((pair) => pair.matched).map((pair) => pair.concept));
  return model.foldOrder.filter((concept) => matched.has(concept));
}

/** Units by their label, in the order of the concepts, the greatest IoU first; unlabelled ones last. */
function ordered(units, concepts) {
  const place = new Map(concepts.map((concept, i) => [concept, i]));
  const of = (unit) => (unit.concept ? place.get(unit.concept) ?? concepts.length : Infinity);
  return [...units].sort((a, b) => (of(a) === of(b) ? (b.iou || 0) - (a.iou || 0) : of(a) < of(b) ? -1 : 1));
}

function drawing(model, name, units, pairs, concepts) {
  const column = Math.max(LEAST_WIDTH, Math.min(MOST_WIDTH, Math.floor(900 / units.length)));
  const [width, height] = [column * units.length, ROW * concepts.length];
  const label = `IoU of ${count(units.length, "unit")} of ${name} with ${count(concepts.length, "concept")}: move with the arrow keys, press Enter to see the unit`;
  const canvas = h("canvas", { width, height, tabindex: 0, role: "application", "aria-label": label, "aria-describedby": "heat-cell" });
  const shown = pairsByPlace(units, concepts, pairs);
  drawPairs(canvas, shown, units.length, column, model.scale);
  const output = h("output", { id: "heat-cell", class: "small", "aria-live": "polite" }, "\u00a0");
  const cursor = h("span", { class: "heat-cursor", style: `width:${column}px;height:${ROW}px`, hidden: true });
  const at = ([x, y]) => ({ unit: units[x], concept: concepts[y], pair: shown.get(y * units.length + x) });
  const open = ({ unit, concept }) => {
    if (unit && concept) window.location.hash = `#unit=${unit.key}&with=${encodeURIComponent(concept.key)}`;
  };
  const under = (event) => {
    const box = canvas.getBoundingClientRect();
    return [Math.floor((event.clientX - box.x) / column), Math.floor((event.clientY - box.y) / ROW)];
  };
  canvas.addEventListener("pointermove", (event) => { output.textContent = description(at(under(event))); });
  canvas.addEventListener("click", (event) => open(at(under(event))));
  moveByKeys(canvas, [units.length, concepts.length], (place) => {
    cursor.hidden = false;
    cursor.style.left = `${place[0] * column}px`;
    cursor.style.top = `${place[1] * ROW}px`;
    cursor.scrollIntoView({ block: "nearest", inline: "nearest" });
    output.textContent = description(at(place));
  }, (place) => open(at(place)));
  return [
    h("div", { class: "heat-rows" },
      h("ul", { "aria-label": "Concepts of the rows" }, concepts.map((concept) => h("li", {}, conceptLink(concept)))),
      h("div", { class: "scroll", role: "group", "aria-label": `Heat map of ${name}` }, canvas, cursor)),
    h("p", { class: "tools-row" }, output, saveButton("PNG", `${name}-heat-map.png`, () => png(captioned(canvas, concepts)))),
  ];
}

/** The pairs of the heat map by their place: row times the number of units, plus column. */
function pairsByPlace(units, concepts, pairs) {
  const [columns, rows] = [units, concepts].map((items) => new Map(items.map((item, i) => [item, i])));
  const shown = new Map();
  for (const pair of pairs) {
    const row = rows.get(pair.concept);
    if (row !== undefined) shown.set(row * units.length + columns.get(pair.unit), pair);
  }
  return shown;
}

/** Let keys move a cursor over columns and rows: `go(place)` shows it at [column, row], `choose(place)` takes it. */
function moveByKeys(canvas, [columns, rows], go, choose) {
  let place = [0, 0];
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1], Home: [-columns, 0], End: [columns, 0], PageUp: [0, -rows], PageDown: [0, rows] };
  const within = (value, size) => Math.max(0, Math.min(size - 1, value));
  canvas.addEventListener("focus", () => canvas.matches(":focus-visible") && go(place));
  canvas.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "Enter" || event.key === " ") choose(place);
    else if (steps[event.key]) {
      const [x, y] = steps[event.key];
      place = [within(place[0] + x, columns), within(place[1] + y, rows)];
      go(place);
    } else return;
    event.preventDefault();
  });
}

function description({ unit, concept, pair }) {
  if (!unit || !concept) return "\u00a0";
  return `${unit.key} (${unit.concept?.name ?? "unlabelled"}) with ${concept.name}: ${pair ? `IoU ${number(pair.iou)}${pair.matched ? ", matched" : ""}` : "not beyond chance and control"}`;
}

/** Draw each pair in the colour of its concept; how opaque it is says how great its IoU. */
function drawPairs(canvas, pairs, units, column, scale) {
  const context = canvas.getContext("2d");
  for (const [place, pair] of pairs) {
    const [x, y] = [(place % units) * column, Math.floor(place / units) * ROW];
    context.globalAlpha = Math.min(1, 0.08 + pair.iou / scale);
    context.fillStyle = pair.concept.colour;
    context.fillRect(x, y + 1, column, ROW - 2);
    context.globalAlpha = 1;
    if (pair.matched) context.fillRect(x, y + ROW - 4, column, 3);
  }
}

/** The heat map with the names of its rows, on white. */
function captioned(canvas, concepts) {
  const names = 130;
  const whole = h("canvas", { width: canvas.width + names, height: canvas.height });
  const context = whole.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, whole.width, whole.height);
  context.fillStyle = "#1d2127";
  context.font = "13px system-ui, sans-serif";
  context.textAlign = "right";
  concepts.forEach((concept, i) => context.fillText(concept.name, names - 8, i * ROW + 14, names - 12));
  context.drawImage(canvas, names, 0);
  return whole;
}
