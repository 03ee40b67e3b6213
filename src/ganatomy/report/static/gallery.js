/** The gallery: a card for each unit, sorted and filtered; the URL holds its state. */

import { count, h, number, put, range } from "./dom.js";
import { barLegend, unitCard } from "./card.js";

const PAGE = 24;
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
    && (!query.get("matched") || unit.matched)
    && (!minIou || unit.iou >= minIou)
    && words.every((word) => `${unit.concept?.name ?? ""} ${unit.concept?.category ?? ""} ${unit.key}`.toLowerCase().includes(word)));
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
    if (field.type === "checkbox") field.checked = query.has(field.name);
    else field.value = query.get(field.name) ?? field.dataset.start ?? "";
  }
  form.elements.iou.nextElementSibling.textContent = number(Number(form.elements.iou.value), 2);
  const units = select(model, query);
  section.querySelector("output").textContent = `${count(units.length, "unit")} of ${model.units.length.toLocaleString("en")}`;
  section.querySelector(".none").hidden = units.length > 0;
  showCards(section, model, units);
}

/** Show the cards in pages. A page holds its cards only while it is near the window; else it keeps just their height. */
function showCards(section, model, units) {
  section.visibility?.disconnect();
  const pages = range(Math.ceil(units.length / PAGE)).map(() => h("div", { class: "cards" }));
  const fill = (i) => put(pages[i], units.slice(i * PAGE, (i + 1) * PAGE).map((unit) => unitCard(model, unit)));
  put(section.querySelector(".pages"), pages);
  if (pages.length < 2) return pages.length ? fill(0) : undefined;
  fill(0);
  const height = pages[0].offsetHeight;
  pages.slice(1).forEach((page) => { page.style.height = `${height}px`; });
  const update = (entry) => {
    const page = entry.target;
    if (entry.isIntersecting && !page.childElementCount) fill(pages.indexOf(page));
    else if (!entry.isIntersecting && page.childElementCount) {
      page.style.height = `${page.offsetHeight}px`;
      page.replaceChildren();
    }
    if (entry.isIntersecting) page.style.height = "";
  };
  section.visibility = new IntersectionObserver((entries) => entries.forEach(update), { rootMargin: "800px" });
  pages.forEach((page) => section.visibility.observe(page));
  return undefined;
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
      h("label", { class: "check" }, h("input", { type: "checkbox", name: "matched" }), "matched only"),
      h("button", { type: "button", click: () => { section.querySelector("form").reset(); change(); } }, "Clear")),
    h("p", { class: "found" }, h("output", { "aria-live": "polite" })),
    barLegend(model),
    h("p", { class: "none notice", hidden: true }, "No unit matches. Clear a filter to see more."),
    h("div", { class: "pages" }));
}

function readForm(form) {
  const query = new URLSearchParams();
  for (const field of form.elements) {
    if (!field.name) continue;
    if (field.type === "checkbox") field.checked && query.set(field.name, "1");
    else if (field.value && field.value !== (field.dataset.start ?? "")) query.set(field.name, field.value);
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
