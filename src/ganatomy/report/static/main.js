/** The page's views and their addresses: #overview, #units&layer=…, #concept=tree, #unit=layer4/17. */

import { h } from "./dom.js";
import { load } from "./data.js";
import { CARD, barLegend, cardWidth, unitCard } from "./card.js";
import { select, showGallery } from "./gallery.js";
import { showConcept } from "./concept.js";
import { showUnit } from "./unit.js";

const CLEAREST = 12;
const sections = Object.fromEntries(["overview", "units", "concept", "unit"].map((name) => [name, document.getElementById(name)]));
const home = document.title;

/** Read the address: {view, query, anchor}. */
function address() {
  const query = new URLSearchParams(window.location.hash.slice(1));
  const view = ["unit", "concept", "units"].find((name) => query.has(name)) ?? "overview";
  const anchor = [...query.keys()][0] ?? "";
  return { view, query, anchor };
}

async function show(model, first) {
  const { view, query, anchor } = address();
  if (anchor === "how" || anchor === "main") return document.getElementById(anchor).focus();
  const unit = model.unitByKey.get(query.get("unit"));
  const concept = model.conceptByKey.get(query.get("concept"));
  if ((view === "unit" && !unit) || (view === "concept" && !concept)) return missing(query.get(view), view);
  if (unit) {
    const { hash } = window.location;
    await model.fetchUnit(unit);
    if (window.location.hash !== hash) return undefined;
  }
  trouble("");
  document.body.dataset.view = view;
  for (const [name, section] of Object.entries(sections)) section.hidden = name !== view;
  for (const link of document.querySelectorAll("nav a[data-view]")) {
    if (link.dataset.view === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (view === "unit") showUnit(sections.unit, model, unit, model.conceptByKey.get(query.get("with")));
  if (view === "concept") showConcept(sections.concept, model, concept);
  if (view === "units") showGallery(sections.units, model, query, (wanted) => refine(model, wanted));
  document.title = view === "unit" ? `${unit.key} – ${home}` : view === "concept" ? `${concept.name} – ${home}` : home;
  return first && view === "overview" ? undefined : place(view, anchor);
}

/** Move the eye and the keyboard to what was asked for. */
function place(view, anchor) {
  const target = view === "overview" ? document.getElementById(anchor) : null;
  if (target && anchor !== "overview") return target.scrollIntoView();
  window.scrollTo(0, 0);
  document.getElementById(`${view}-title`)?.focus({ preventScroll: true });
  return undefined;
}

/** Change the gallery's filters: the address follows, the history does not fill up. */
function refine(model, query) {
  const text = query.toString().replaceAll("%2F", "/").replaceAll("%3A", ":");
  window.history.replaceState(null, "", `#units${text && `&${text}`}`);
  showGallery(sections.units, model, query, (wanted) => refine(model, wanted));
}

function missing(name, kind) {
  trouble(`This report has no ${kind} called ${name}.`);
}

function trouble(text) {
  const notice = document.getElementById("trouble");
  notice.textContent = text;
  notice.hidden = !text;
}

/** Show the best matched unit of each concept, by IoU; resolves when their images are there. */
async function showClearest(model) {
  const best = select(model, new URLSearchParams("matched=1"));
  const concepts = new Set(best.map((unit) => unit.concept)).size;
  const clearest = best.slice(0, Math.min(CLEAREST, concepts));
  const cards = document.getElementById("clearest");
  cards.append(...clearest.map((unit) => unitCard(model, unit)));
  cards.before(barLegend(model));
  if (!best.length) cards.append(h("p", { class: "notice" }, "No unit is matched."));
  await model.fetch(clearest.flatMap((unit) => model.pictures(unit).slice(0, CARD)));
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
  trouble(`The images could not be unpacked in this browser (${error.message}). The charts below still hold.`);
  throw error;
}
