// @ts-check
/** The effect of strokes on each concept: two bars, before and after. */

import { h, percent, put } from "/static/report/dom.js";

const MAX_ROWS = 10;
const MIN_CHANGE = 0.0005;

/**
 * @param {HTMLElement} container
 * @param {{changes: import("./api.js").Change[], pixels: number} | null} result
 * @param {{colour: (concept: string | null) => string}} palette
 */
export function showChanges(container, result, palette) {
  if (!result) return put(container, h("p", { class: "small" }, "Nothing has been painted."));
  const rows = result.changes.filter((row) => Math.abs(row.after - row.before) >= MIN_CHANGE).slice(0, MAX_ROWS);
  if (!rows.length) return put(container, h("p", { class: "small" }, "No concept changed."));
  const most = Math.max(...rows.map((row) => Math.max(row.before, row.after)));
  return put(container, h("table", { class: "changes" },
    h("thead", {}, h("tr", {}, ["concept", "before and after", "change"].map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", {}, rows.map((row) => h("tr", {},
      h("th", { scope: "row" }, h("i", { class: "swatch", style: `background:${palette.colour(row.concept)}` }), row.concept),
      h("td", { class: "wide" }, bar(row.before / most, "var(--quiet)", "before"), bar(row.after / most, palette.colour(row.concept), "after")),
      h("td", { class: "figure" }, change(row)))))));
}

/** @param {number} share @param {string} colour @param {string} name */
function bar(share, colour, name) {
  return h("div", { class: `bar ${name}` }, h("span", { style: `width:${100 * share}%;background:${colour}` }));
}

/** @param {import("./api.js").Change} row */
function change(row) {
  const difference = row.after - row.before;
  return `${difference < 0 ? "−" : "+"}${percent(Math.abs(difference))}`;
}
