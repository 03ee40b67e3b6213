/** How the activations of a unit are spread over the pixels, with the threshold marked. */

import { percent, range, s, significant } from "./dom.js";

const [FRAME_WIDTH, FRAME_HEIGHT] = [560, 190];
const FRAME = { left: 68, right: 12, top: 14, bottom: 40 };
const LEAST_SHARE = 1e-5;

/** An SVG of a histogram {low, high, shares}; shares are on a logarithmic axis, as most pixels are near zero. */
export function histogramChart(unit, { low, high, shares }) {
  const [inner, bottom] = [FRAME_WIDTH - FRAME.left - FRAME.right, FRAME_HEIGHT - FRAME.bottom];
  const x = (value) => FRAME.left + ((value - low) / (high - low || 1)) * inner;
  const y = (share) => bottom - Math.max(0, 1 - Math.log10(share) / Math.log10(LEAST_SHARE)) * (bottom - FRAME.top);
  const step = (high - low) / shares.length;
  const on = (i) => low + (i + 0.5) * step > unit.threshold;
  const marks = range(6).map((i) => 10 ** -i);
  const threshold = Number.isFinite(unit.threshold) && unit.threshold >= low && unit.threshold <= high ? x(unit.threshold) : null;
  const right = threshold < FRAME_WIDTH / 2;
  return s("svg", { class: "histogram", viewBox: `0 0 ${FRAME_WIDTH} ${FRAME_HEIGHT}`, role: "img", "aria-label": summary(unit, low, high) },
    s("g", { class: "grid" },
      marks.map((share) => [s("line", { x1: FRAME.left, x2: FRAME_WIDTH - FRAME.right, y1: y(share), y2: y(share) }),
        s("text", { x: FRAME.left - 6, y: y(share) + 4, "text-anchor": "end" }, percent(share))]).flat(),
      [low, (low + high) / 2, high].map((value, i) => s("text", { x: x(value), y: bottom + 18, "text-anchor": ["start", "middle", "end"][i] }, significant(value))),
      s("text", { x: FRAME.left + inner / 2, y: FRAME_HEIGHT - 4, "text-anchor": "middle" }, "activation")),
    shares.map((share, i) => share > 0 && s("rect", { class: on(i) ? "on" : "off", x: x(low + i * step) + 0.5, width: Math.max(0.5, inner / shares.length - 1), y: y(share), height: bottom - y(share), style: on(i) && unit.concept ? `fill:${unit.concept.colour}` : undefined })),
    threshold !== null && [
      s("line", { class: "chosen", x1: threshold, x2: threshold, y1: FRAME.top, y2: bottom }),
      s("text", { x: threshold + (right ? 6 : -6), y: FRAME.top + 9, "text-anchor": right ? "start" : "end" }, `threshold ${significant(unit.threshold)}`)]);
}

function summary(unit, low, high) {
  return `Share of the pixels by activation of unit ${unit.key}, from ${significant(low)} to ${significant(high)}; threshold ${significant(unit.threshold)}`;
}
