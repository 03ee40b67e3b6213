/** The views of the page and their URLs: #overview, #units&layer=…, #concept=tree, #unit=layer4/17. */

import { h } from "./dom.js";
import { load } from "./data.js";
import { CARD, barLegend, cardWidth, unitCard } from "./card.js";
import { select, showGallery } from "./gallery.js";
import { showConcept } from "./concept.js";
import { showUnit } from "./unit.js";

const MAX_CLEAREST = 12;
const sections = Object.fromEntries(["overview", "units", "concept", "unit"].map((name) => [name, document.getElementById(name)]));
const baseTitle = document.title;

/** Read the URL: {view, query, anchor}. */
function readUrl() {
  const query = new URLSearchParams(window.location.hash.slice(1));
  const view = ["unit", "concept", "units"].find((name) => query.has(name)) ?? "overview";
  const anchor = [...query.keys()][0] ?? "";
  return { view, query, anchor };
}

async function show(model, first) {
  const { view, query, anchor } = readUrl();
  if (anchor === "how" || anchor === "main") return document.getElementById(anchor).focus();
  const unit = model.unitByKey.get(query.get("unit"));
  const concept = model.conceptByKey.get(query.get("concept"));
  if ((view === "unit" && !unit) || (view === "concept" && !concept)) return showMissing(query.get(view), view);
  if (unit) {
    const { hash } = window.location;
    await model.fetchUnit(unit);
    if (window.location.hash !== hash) return undefined;
  }
  showError("");
  document.body.dataset.view = view;
  for (const [name, section] of Object.entries(sections)) section.hidden = name !== view;
  for (const link of document.querySelectorAll("nav a[data-view]")) {
    if (link.dataset.view === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (view === "unit") showUnit(sections.unit, model, unit, model.conceptByKey.get(query.get("with")));
  if (view === "concept") showConcept(sections.concept, model, concept);
  if (view === "units") showGallery(sections.units, model, query, (changed) => refine(model, changed));
  document.title = view === "unit" ? `${unit.key} – ${baseTitle}` : view === "concept" ? `${concept.name} – ${baseTitle}` : baseTitle;
  return first && view === "overview" ? undefined : moveFocus(view, anchor);
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
  showError(`This report has no ${kind} called ${name}.`);
}

function showError(text) {
  const notice = document.getElementById("error");
  notice.textContent = text;
  notice.hidden = !text;
}

/** Show the best matched unit of each concept, by IoU; resolves when their images are there. */
async function showClearest(model) {
  const best = select(model, new URLSearchParams("matched=1"));
  const concepts = new Set(best.map((unit) => unit.concept)).size;
  const clearest = best.slice(0, Math.min(MAX_CLEAREST, concepts));
  const cards = document.getElementById("clearest");
  cards.append(...clearest.map((unit) => unitCard(model, unit)));
  cards.before(barLegend(model));
  if (!best.length) cards.append(h("p", { class: "notice" }, "No unit is matched."));
  await model.fetch(clearest.flatMap((unit) => model.topImages(unit).slice(0, CARD)));
}

try {
  const model = await load();
  document.body.style.setProperty("--card-width", `${cardWidth(model)}px`);
  await showClearest(model);
  await model.readPairs();
  window.addEventListener("hashchange", () => show(model, false));
  await show(model, true);
  document.body.dataset.ready = "true";
} catch (error) {
  showError(`The images could not be unpacked in this browser (${error.message}). The charts below are not affected.`);
  throw error;
}
