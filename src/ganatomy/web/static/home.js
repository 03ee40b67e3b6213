// @ts-check
/** The home page: what can be painted with the units of each study. */

import { h, put } from "./report/dom.js";
import { ROOT, fetchJson, studyUrl } from "./api.js";
import { encode } from "./link.js";
import { showErrors } from "./page.js";

const MAX_BRUSHES = 8;

/** Link the first brushes of a study to the paint page. @param {HTMLElement} item */
async function linkBrushes(item) {
  const { study = "", layer = "" } = item.dataset;
  const brushes = (await fetchJson(`${studyUrl(study)}/layers/${encodeURIComponent(layer)}/brushes`)).slice(0, MAX_BRUSHES);
  const links = brushes.map(async (/** @type {import("./api.js").Brush} */ brush) => {
    const edit = await encode({ id: 0, layer, brush: brush.concept, strokes: [] });
    return h("a", { class: "brush-link", href: `${ROOT}paint/${encodeURIComponent(study)}#${edit}` }, h("i", { class: "swatch", style: `background:${brush.colour}` }), brush.concept);
  });
  put(/** @type {HTMLElement} */ (item.querySelector(".brush-links")), brushes.length ? await Promise.all(links) : "None: no unit of the layer fits a concept.");
}

for (const item of document.querySelectorAll("[data-study]")) {
  if (item instanceof HTMLElement) await showErrors("brushes", () => linkBrushes(item));
}
document.body.dataset.ready = "yes";
