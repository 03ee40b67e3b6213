/** A ranked table: sorted by the column whose heading is chosen, saved as CSV; its first rows, and a button for the rest. */

import { h, put, range } from "./dom.js";
import { csv, saveButton } from "./download.js";

const FIRST_ROWS = 20;

/**
 * A table of items. A column is {title, kind, value, cell, heading}: `value(item)` is what it is sorted by and what the
 * CSV holds, a number or a text; `cell(item, rank)` is what it shows, the value where there is none; a `heading` column
 * names the row. A column without a value is not sorted.
 */
export function rankedTable(name, columns, items) {
  const body = h("tbody");
  const more = h("button", { type: "button", click: () => fill(items.length) });
  let order = items;
  const fill = (rows) => {
    put(body, order.slice(0, rows).map((item, i) => tableRow(columns, item, i + 1)));
    more.textContent = `Show ${items.length - rows} more`;
    more.hidden = rows >= items.length;
  };
  const heads = columns.map((column) => tableHead(column, (direction) => {
    for (const other of heads) other.removeAttribute("aria-sort");
    order = sortedBy(items, column.value, direction);
    fill(more.hidden ? items.length : FIRST_ROWS);
  }));
  fill(FIRST_ROWS);
  const valued = columns.filter((column) => column.value);
  const rows = () => [valued.map((column) => column.title), ...order.map((item) => valued.map((column) => column.value(item)))];
  return [
    h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": name },
      h("table", { class: "ranked" }, h("thead", {}, h("tr", {}, heads)), body)),
    h("p", { class: "tools-row" }, more, saveButton("CSV", `${name.replaceAll(/[^\w-]+/g, "-")}.csv`, () => csv(rows()))),
  ];
}

function tableHead(column, sort) {
  if (!column.value) return h("td", { class: column.kind }, column.title);
  const head = h("th", { scope: "col", class: column.kind });
  const choose = () => {
    const direction = head.getAttribute("aria-sort") === "descending" ? "ascending" : "descending";
    sort(direction);
    head.setAttribute("aria-sort", direction);
  };
  return put(head, h("button", { type: "button", class: "sort", click: choose }, column.title));
}

function tableRow(columns, item, rank) {
  return h("tr", {}, columns.map((column) => {
    const shown = column.cell ? column.cell(item, rank) : column.value(item);
    return column.heading ? h("th", { scope: "row", class: column.kind }, shown) : h("td", { class: column.kind }, shown);
  }));
}

/** Items by a value, missing ones last; a text in the order of letters when it descends, as a reader expects. */
function sortedBy(items, value, direction) {
  const sign = direction === "descending" ? -1 : 1;
  const values = items.map(value);
  const missing = (v) => v === "" || v === null || v === undefined || Number.isNaN(v);
  return range(items.length).sort((i, j) => {
    const [a, b] = [values[i], values[j]];
    if (missing(a) || missing(b)) return missing(a) - missing(b);
    return typeof a === "string" ? -sign * a.localeCompare(b) : sign * (a - b);
  }).map((i) => items[i]);
}
