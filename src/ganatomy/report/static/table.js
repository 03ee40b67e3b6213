/** A ranked table: its first rows, and a button to show the rest. */

import { h } from "./dom.js";

const FIRST_ROWS = 20;

/** A table with these columns ([name, class]) and one row (a tr element) per item; `row(item, rank)` makes it. */
export function rankedTable(columns, items, row) {
  const body = h("tbody");
  const show = (from, to) => body.append(...items.slice(from, to).map((item, i) => row(item, from + i + 1)));
  show(0, FIRST_ROWS);
  const rest = items.length - FIRST_ROWS;
  const showRest = (event) => {
    show(FIRST_ROWS, items.length);
    event.target.remove();
  };
  return h("div", { class: "scroll" },
    h("table", { class: "ranked" }, h("thead", {}, h("tr", {}, columns.map(([name, kind]) => h("th", { scope: "col", class: kind }, name)))), body),
    rest > 0 && h("button", { type: "button", click: showRest }, `Show ${rest} more`));
}
