// @ts-check
/** The effect of strokes: what was painted, in words, then two bars for each other concept that changed. */

import { h, put } from "./report/dom.js";

/** @typedef {import("./api.js").Change} Change */
/** @typedef {{colour: (concept: string | null) => string}} Palette */

const MAX_ROWS = 8;
const MIN_POINTS = 0.05;

/** @param {HTMLElement} container @param {{changes: Change[], pixels: number} | null} result @param {Palette} palette */
export function showChanges(container, result, palette) {
  if (!result) return put(container, h("p", { class: "small" }, "Nothing has been painted."));
  const painted = result.changes.filter((row) => row.painted);
  const others = result.changes.filter((row) => !row.painted && Math.abs(row.points) >= MIN_POINTS).slice(0, MAX_ROWS);
  return put(container,
    painted.map((row) => h("p", { class: "painted", style: `border-color:${palette.colour(row.concept)}` }, h("strong", {}, row.sentence), h("small", {}, `${(100 * row.before).toFixed(1)} % of the image before, ${(100 * row.after).toFixed(1)} % after`))),
    others.length ? table(others, palette, painted.length > 0) : !painted.length && h("p", { class: "small" }, "No concept changed."),
    h("p", { class: "small" }, "As the segmenter sees the image. A point is 1 % of the image."));
}

/** @param {Change[]} rows @param {Palette} palette @param {boolean} isOther */
function table(rows, palette, isOther) {
  const most = Math.max(...rows.map((row) => Math.max(row.before, row.after)));
  return h("table", { class: "changes" },
    h("thead", {}, h("tr", {}, [isOther ? "also changed" : "concept", "before and after", "points"].map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", {}, rows.map((row) => h("tr", {},
      h("th", { scope: "row" }, h("i", { class: "swatch", style: `background:${palette.colour(row.concept)}` }), row.concept),
      h("td", { class: "wide" }, bar(row.before / most, "var(--quiet)", "before"), bar(row.after / most, palette.colour(row.concept), "after")),
      h("td", { class: "figure" }, `${row.points < 0 ? "−" : "+"}${Math.abs(row.points).toFixed(1)}`)))));
}

/** @param {number} share @param {string} colour @param {string} name */
function bar(share, colour, name) {
  return h("div", { class: `bar ${name}` }, h("span", { style: `width:${100 * share}%;background:${colour}` }));
}
