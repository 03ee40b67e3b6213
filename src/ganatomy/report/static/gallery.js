/** The gallery: a card for each unit, sorted and filtered; the URL holds its state. */

import { count, h, number, put, range } from "./dom.js";
import { barLegend, unitCard } from "./card.js";

const PAGE = 24;
/** Pages that are never emptied, so that they are there in print. */
const KEPT = 10;
const SORTS = {
  variety: "best of each concept",
  iou: "IoU",
  lift: "lift over chance",
  label: "label",
  layer: "layer and unit",
};

/** The units that match a query, in its order. */
export function select(model, query) {
  const words = (query.get("q") ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  const minIou = Number(query.get("iou") ?? 0);
  const matching = model.units.filter((unit) =>
    (!query.get("label") || hasConcept(unit, model.conceptByKey.get(query.get("label"))))
    && (!query.get("category") || unit.concept?.category === query.get("category"))
    && (!query.get("layer") || unit.layer === query.get("layer"))
    && (query.get("matched") !== "1" || unit.matched)
    && (query.get("matched") !== "0" || !unit.concept)
    && (!minIou || unit.iou >= minIou)
    && words.every((word) => `${unit.concept?.name ?? ""} ${unit.concept?.category ?? ""} ${unit.key} ${unit.name}`.toLowerCase().includes(word)));
  return sorted(matching, query.get("sort") ?? "variety");
}

/** Whether a unit is labelled with this concept or matched to it. */
function hasConcept(unit, concept) {
  return unit.concept === concept || unit.matches.has(concept);
}

function sorted(units, order) {
  const finite = (value) => (Number.isFinite(value) ? value : -1);
  const by = (value) => (a, b) => finite(value(b)) - finite(value(a));
  if (order === "layer") return units;
  if (order === "lift") return units.sort(by((u) => u.lift));
  units.sort(by((u) => u.iou));
  if (order === "label") return units.sort((a, b) => (a.concept?.name ?? "\uffff").localeCompare(b.concept?.name ?? "\uffff"));
  if (order === "variety") {
    const counts = new Map();
    const round = new Map(units.map((unit) => {
      const n = unit.concept && unit.matched ? counts.get(unit.concept) ?? 0 : Infinity;
      counts.set(unit.concept, n + 1);
      return [unit, n];
    }));
    units.sort((a, b) => (round.get(a) === round.get(b) ? 0 : round.get(a) - round.get(b)));
  }
  return units;
}

/** Show the gallery in a section; `go(query)` changes the URL without a new history entry. */
export function showGallery(section, model, query, go) {
  if (!section.querySelector("form")) build(section, model, go);
  const form = section.querySelector("form");
  for (const field of form.elements) {
    if (!field.name || document.activeElement === field) continue;
    field.value = query.get(field.name) ?? field.dataset.start ?? "";
  }
  form.elements.iou.nextElementSibling.textContent = number(Number(form.elements.iou.value), 2);
  const units = select(model, query);
  section.querySelector("output").textContent = `${count(units.length, "unit")} of ${model.units.length.toLocaleString("en")}`;
  section.querySelector(".none").hidden = units.length > 0;
  showCards(section, model, units);
}

/** Show the cards in pages. Of many pages the later ones hold their cards only near the window; else they keep just their height. */
function showCards(section, model, units) {
  section.visibility?.disconnect();
  const pages = range(Math.ceil(units.length / PAGE)).map(() => h("div", { class: "cards" }));
  const fill = (i) => put(pages[i], units.slice(i * PAGE, (i + 1) * PAGE).map((unit) => unitCard(model, unit)));
  put(section.querySelector(".pages"), pages);
  if (!pages.length) return;
  fill(0);
  const height = pages[0].offsetHeight;
  pages.slice(1).forEach((page) => { page.style.height = `${height}px`; });
  section.querySelector(".left").textContent = pages.length > KEPT
    ? `The first ${KEPT * PAGE} of ${units.length} units are printed; filter them to print others.` : "";
  fillKept(pages, fill, 1);
  const update = (entry) => {
    const page = entry.target;
    if (entry.isIntersecting && !page.childElementCount) fill(pages.indexOf(page));
    else if (!entry.isIntersecting && page.childElementCount && pages.indexOf(page) >= KEPT) {
      page.style.height = `${page.offsetHeight}px`;
      page.replaceChildren();
    }
    if (entry.isIntersecting) page.style.height = "";
  };
  section.visibility = new IntersectionObserver((entries) => entries.forEach(update), { rootMargin: "800px" });
  pages.forEach((page) => section.visibility.observe(page));
}

/** Fill the pages that are kept, one at a time. */
function fillKept(pages, fill, place) {
  if (place >= Math.min(KEPT, pages.length)) return;
  setTimeout(() => {
    if (!pages[place].isConnected) return;
    if (!pages[place].childElementCount) fill(place);
    pages[place].style.height = "";
    fillKept(pages, fill, place + 1);
  });
}

function build(section, model, go) {
  const change = () => go(readForm(section.querySelector("form")));
  section.append(
    h("h2", { id: "units-title", tabindex: "-1" }, "All units"),
    h("form", { role: "search", "aria-label": "Filter the units", input: change, submit: (event) => event.preventDefault() },
      field("Search", h("input", { type: "search", name: "q", placeholder: "tree, layer4/17 …" })),
      field("Concept", h("select", { name: "label" }, h("option", { value: "" }, "any"), labelOptions(model))),
      field("Category", h("select", { name: "category" }, h("option", { value: "" }, "any"), options(categories(model)))),
      field("Layer", h("select", { name: "layer" }, h("option", { value: "" }, "any"), options(model.layers.map((l) => l.name)))),
      field("Min IoU", h("input", { type: "range", name: "iou", min: 0, max: model.scale, step: 0.01, value: 0, "data-start": 0 }), h("span", { class: "value" })),
      field("Order", h("select", { name: "sort", "data-start": "variety" }, Object.entries(SORTS).map(([value, text]) => h("option", { value }, text)))),
      field("Match", h("select", { name: "matched" }, h("option", { value: "" }, "any"), h("option", { value: "1" }, "matched"), h("option", { value: "0" }, "unlabelled"))),
      h("button", { type: "button", click: () => { section.querySelector("form").reset(); change(); } }, "Clear")),
    h("p", { class: "found" }, h("output", { "aria-live": "polite" })),
    barLegend(model),
    h("p", { class: "none notice", hidden: true }, "No unit matches. Clear a filter to see more."),
    h("div", { class: "pages" }),
    h("p", { class: "left" }));
}

function readForm(form) {
  const query = new URLSearchParams();
  for (const field of form.elements) {
    if (field.name && field.value && field.value !== (field.dataset.start ?? "")) query.set(field.name, field.value);
  }
  return query;
}

function field(name, control, ...after) {
  return h("label", {}, h("span", {}, name), control, after);
}

function options(names) {
  return names.map((name) => h("option", { value: name }, name));
}

function categories(model) {
  return [...new Set(model.units.map((unit) => unit.concept?.category).filter(Boolean))];
}

function labelOptions(model) {
  const used = [...new Set(model.units.map((unit) => unit.concept).filter(Boolean))];
  used.sort((a, b) => a.key.localeCompare(b.key));
  return used.map((concept) => h("option", { value: concept.key }, concept.key));
}
