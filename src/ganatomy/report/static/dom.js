/** Helpers to make elements and to format numbers. */

const SVG = "http://www.w3.org/2000/svg";

/** Make an element: h("a", {href: "#"}, "text", child). A property that is a function becomes a listener. */
export function h(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/** Make an SVG element. */
export function s(tag, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === false || value === undefined || value === null) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else if (name === "style") element.style.cssText = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  return put(element, ...children);
}

/** Replace the children of an element. Children may be nested lists; null, undefined and false are skipped. */
export function put(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A number with three digits after the point; a dash if it is missing. */
export function number(value, digits = 3) {
  return Number.isFinite(value) ? value.toFixed(digits) : "–";
}

/** A number with three significant digits. */
export function significant(value) {
  if (!Number.isFinite(value)) return "–";
  return value === 0 ? "0" : Number(value.toPrecision(3)).toString().replace("-", "−");
}

/** A share as a percentage with two significant digits. */
export function percent(share) {
  return Number.isFinite(share) ? `${Number((100 * share).toPrecision(2))} %` : "–";
}

/** "1 unit", "960 units". */
export function count(n, noun) {
  return `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;
}

/** A square in the colour of a concept. */
export function swatch(concept) {
  return h("i", { class: "swatch", style: `background:${concept.colour}` });
}

/** A sequence of numbers from 0 to n - 1. */
export function range(n) {
  return Array.from({ length: n }, (_, i) => i);
}
