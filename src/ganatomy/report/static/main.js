/** The views of the page and their URLs: #overview, #units&layer=…, #layer=layer4, #concept=tree, #unit=layer4/17. */

import { load } from "./data.js";
import { cardWidth } from "./card.js";
import { showGallery } from "./gallery.js";
import { showConcept } from "./concept.js";
import { showLayer } from "./layer.js";
import { showUnit } from "./unit.js";

const sections = Object.fromEntries(Array.from(document.querySelectorAll("main > section[data-view]"), (section) => [section.dataset.view, section]));
const baseTitle = document.title;

/** Read the URL: {view, query, anchor}. */
function readUrl() {
  const query = new URLSearchParams(window.location.hash.slice(1));
  const view = ["unit", "concept", "units", "layer"].find((name) => query.has(name)) ?? "overview";
  const anchor = [...query.keys()][0] ?? "";
  return { view, query, anchor };
}

async function show(model, first) {
  const { view, query, anchor } = readUrl();
  if (anchor === "how" || anchor === "main") return document.getElementById(anchor).focus();
  const unit = model.unitByKey.get(query.get("unit"));
  const concept = model.conceptByKey.get(query.get("concept"));
  const layer = model.layers.find((each) => each.name === query.get("layer"));
  if (!{ unit, concept, layer, units: true, overview: true }[view]) return showMissing(query.get(view), view);
  if (unit) {
    const { hash } = window.location;
    await model.fetchUnit(unit);
    if (window.location.hash !== hash) return undefined;
  }
  showError("");
  reveal(view);
  if (view === "unit") showUnit(sections.unit, model, unit, model.conceptByKey.get(query.get("with")));
  if (view === "concept") showConcept(sections.concept, model, concept);
  if (view === "layer") showLayer(sections.layer, model, layer);
  if (view === "units") showGallery(sections.units, model, query, (changed) => refine(model, changed));
  const name = { unit: unit?.key, concept: concept?.name, layer: layer?.name }[view];
  document.title = name ? `${name} – ${baseTitle}` : baseTitle;
  return first && view === "overview" ? undefined : moveFocus(view, anchor);
}

/** Show one view and no other. */
function reveal(view) {
  document.body.dataset.view = view;
  for (const [name, section] of Object.entries(sections)) section.hidden = name !== view;
  for (const link of document.querySelectorAll("nav a[data-view]")) {
    if (link.dataset.view === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

/** Scroll to the view or anchor and focus its heading. */
function moveFocus(view, anchor) {
  const target = view === "overview" ? document.getElementById(anchor) : null;
  if (target && anchor !== "overview") return target.scrollIntoView();
  window.scrollTo(0, 0);
  document.getElementById(`${view}-title`)?.focus({ preventScroll: true });
  return undefined;
}

/** Change the filters of the gallery and replace the URL, without a new history entry. */
function refine(model, query) {
  const text = query.toString().replaceAll("%2F", "/").replaceAll("%3A", ":");
  window.history.replaceState(null, "", `#units${text && `&${text}`}`);
  showGallery(sections.units, model, query, (changed) => refine(model, changed));
}

function showMissing(name, kind) {
  if (!document.body.dataset.ready) reveal("overview");
  showError(`This report has no ${kind} called ${name}.`);
}

function showError(text) {
  const notice = document.getElementById("error");
  notice.textContent = text;
  notice.hidden = !text;
}

/** Arrow keys lead to the neighbours of a unit or a layer, where nothing else takes them. */
function followArrows(event) {
  const rel = { ArrowLeft: "prev", ArrowRight: "next" }[event.key];
  const taken = event.defaultPrevented || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey
    || event.target.closest("input, select, textarea, dialog, .scroll, [role=application]");
  if (rel && !taken) document.querySelector(`section:not([hidden]) > .neighbours [rel=${rel}]`)?.click();
}

reveal(readUrl().view); // before its data is there: no other view is to be seen first
try {
  const model = await load();
  document.body.style.setProperty("--card-width", `${cardWidth(model)}px`);
  await model.readPairs();
  window.addEventListener("hashchange", () => show(model, false));
  document.addEventListener("keydown", followArrows);
  await show(model, true);
  document.body.dataset.ready = "true";
} catch (error) {
  reveal("overview");
  showError(`The data of this page could not be unpacked in this browser (${error.message}). This overview is not affected.`);
  throw error;
}
