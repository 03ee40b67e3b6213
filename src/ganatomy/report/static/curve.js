/** The curve of a pair: IoU and IQR over the levels, with the chosen level marked. */

import { number, percent, range, s } from "./dom.js";

const [WIDTH, HEIGHT] = [560, 230];
const MARGIN = { left: 42, right: 12, top: 14, bottom: 48 };

/** An SVG of the curve; x is the share of pixels above the level, on a logarithmic scale. */
export function curveChart(curve, concept) {
  const lowest = Math.log10(Math.min(...curve.fraction));
  const top = niceTop(Math.max(...[...curve.iou, ...curve.iqr].filter(Number.isFinite)));
  const x = (fraction) => MARGIN.left + (1 - Math.log10(fraction) / lowest) * (WIDTH - MARGIN.left - MARGIN.right);
  const y = (value) => HEIGHT - MARGIN.bottom - (value / top) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  const known = (values, i) => Number.isFinite(values[i]);
  const step = (values, i) => {
    const isolated = !known(values, i - 1) && !known(values, i + 1);
    return `${known(values, i - 1) ? "L" : "M"}${x(curve.fraction[i]).toFixed(1)} ${y(values[i]).toFixed(1)}${isolated ? "m-1 0h2" : ""}`;
  };
  const path = (values) => range(values.length).filter((i) => known(values, i)).map((i) => step(values, i)).join("");
  const chosen = x(curve.fraction[curve.chosen]);
  const right = chosen < WIDTH / 2;
  return s("svg", { class: "curve", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": describe(curve, concept) },
    grid(lowest, x, y, top),
    s("line", { class: "chosen", x1: chosen, x2: chosen, y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom }),
    s("path", { class: "iqr", d: path(curve.iqr) }),
    s("path", { class: "iou", d: path(curve.iou), style: `stroke:${concept.colour}` }),
    s("circle", { cx: chosen, cy: y(curve.iou[curve.chosen]), r: 4, fill: concept.colour }),
    s("text", { x: chosen + (right ? 8 : -8), y: MARGIN.top + 8, "text-anchor": right ? "start" : "end" },
      `top ${percent(curve.fraction[curve.chosen])}: IoU ${number(curve.iou[curve.chosen])}, IQR ${number(curve.iqr[curve.chosen])}`));
}

function describe(curve, concept) {
  return `IoU and IQR with ${concept.name} over ${curve.iou.length} levels; chosen: the top ${percent(curve.fraction[curve.chosen])} `
    + `of activations, IoU ${number(curve.iou[curve.chosen])}, IQR ${number(curve.iqr[curve.chosen])}`;
}

function grid(lowest, x, y, top) {
  const steps = range(5).map((i) => (top * i) / 4);
  const decades = range(1 - Math.round(lowest)).map((i) => 10 ** -i);
  return s("g", { class: "grid" },
    steps.map((value) => [
      s("line", { x1: MARGIN.left, x2: WIDTH - MARGIN.right, y1: y(value), y2: y(value) }),
      s("text", { x: MARGIN.left - 6, y: y(value) + 4, "text-anchor": "end" }, number(value, 2))]).flat(),
    decades.map((value) => s("text", { x: x(value), y: HEIGHT - MARGIN.bottom + 20, "text-anchor": value === 1 ? "end" : "middle" }, percent(value))),
    s("text", { x: (MARGIN.left + WIDTH - MARGIN.right) / 2, y: HEIGHT - 5, "text-anchor": "middle" }, "share of the unit’s activations above the level"));
}

/** The end of the y axis: a tenth, a fifth, half or a whole of a power of ten. */
function niceTop(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1e-4)));
  return [1, 2, 4, 6, 8, 10].map((m) => m * power).find((end) => end >= value);
}
