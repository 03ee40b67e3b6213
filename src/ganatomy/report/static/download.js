/** Save tables as CSV and drawings as PNG. */

import { h } from "./dom.js";

/** A button that saves what `make` returns, a Blob or a promise of one, under a name; `name` may be a function. */
export function saveButton(text, name, make) {
  const save = async () => {
    const url = URL.createObjectURL(await make());
    h("a", { href: url, download: typeof name === "function" ? name() : name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60000);
  };
  return h("button", { type: "button", class: "save", click: save }, `Save as ${text}`);
}

/** Rows of values as a CSV file; a missing number is an empty cell. */
export function csv(rows) {
  const cell = (value) => {
    if (value === null || value === undefined || Number.isNaN(value)) return "";
    const text = typeof value === "number" ? String(Number(value.toPrecision(6))) : String(value);
    return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return new Blob([rows.map((row) => `${row.map(cell).join(",")}\n`).join("")], { type: "text/csv" });
}

/** A canvas as a PNG file. */
export function png(canvas) {
  return new Promise((done) => { canvas.toBlob(done, "image/png"); });
}

/** An SVG on the page as a PNG file, twice as large, on the background of the page. */
export async function svgPng(svg) {
  const { width, height } = svg.getBoundingClientRect();
  const copy = svg.cloneNode(true);
  const originals = [svg, ...svg.querySelectorAll("*")];
  [copy, ...copy.querySelectorAll("*")].forEach((element, i) => {
    const style = getComputedStyle(originals[i]);
    element.setAttribute("style", SVG_STYLES.map((name) => `${name}:${style.getPropertyValue(name)}`).join(";"));
  });
  Object.entries({ width, height, xmlns: "http://www.w3.org/2000/svg" }).forEach(([name, value]) => copy.setAttribute(name, value));
  const image = new Image();
  image.src = `data:image/svg+xml,${encodeURIComponent(new XMLSerializer().serializeToString(copy))}`;
  await image.decode();
  const canvas = h("canvas", { width: 2 * width, height: 2 * height });
  const context = canvas.getContext("2d");
  context.fillStyle = getComputedStyle(document.body).backgroundColor;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  return png(canvas);
}

const SVG_STYLES = ["fill", "stroke", "stroke-width", "stroke-dasharray", "fill-opacity", "paint-order", "font", "color", "opacity"];
