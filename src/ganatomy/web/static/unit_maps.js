// @ts-check
/** Where units are active in an image: their outlines, or a heat map, with a legend; and the point that was asked about. */

import { h, put, significant } from "./report/dom.js";
import { element, storage } from "./page.js";

const SIDE = 512;
const KEY = "ganatomy map";
/** From no activation to the greatest: the stops of a scale whose lightness rises evenly. */
const STOPS = [[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]];
const OPACITY = 0.8;

/** @typedef {{bitmap: ImageBitmap, threshold: number, greatest: number}} UnitMap */

/** The colour of a share of the greatest activation. @param {number} share */
function heatColour(share) {
  const at = Math.min(share, 1) * (STOPS.length - 1);
  const low = Math.min(Math.floor(at), STOPS.length - 2);
  return STOPS[low].map((value, i) => Math.round(value + (at - low) * (STOPS[low + 1][i] - value)));
}

export class UnitMaps {
  constructor() {
    this.canvas = element("overlay", HTMLCanvasElement);
    this.legend = element("legend", HTMLElement);
    this.kind = storage.read(KEY) === "heat" ? "heat" : "outline";
    /** @type {UnitMap[]} */
    this.maps = [];
  }

  /** Show the maps of some units, all of the size of the image. @param {UnitMap[]} maps @param {number} width @param {number} height */
  show(maps, width, height) {
    this.maps = maps;
    const scale = Math.max(1, Math.round(SIDE / Math.max(width, height)));
    Object.assign(this.canvas, { width: width * scale, height: height * scale });
    this.legend.hidden = !maps.length;
    if (!maps.length) return;
    if (this.kind === "heat") this.#drawHeat(width, height, scale);
    else this.#drawOutlines(width, height, scale);
    this.#showLegend(() => this.show(maps, width, height));
  }

  /** The shares of the greatest activation in a map. @param {UnitMap} map @param {number} width @param {number} height */
  #shares(map, width, height) {
    const context = /** @type {OffscreenCanvasRenderingContext2D} */ (new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true }));
    context.drawImage(map.bitmap, 0, 0);
    const { data } = context.getImageData(0, 0, width, height);
    return Float32Array.from({ length: width * height }, (_, i) => data[4 * i] / 255);
  }

  /** @param {number} width @param {number} height @param {number} scale */
  #drawHeat(width, height, scale) {
    const all = this.maps.map((map) => this.#shares(map, width, height));
    const image = new ImageData(width, height);
    for (let i = 0; i < width * height; i++) {
      const share = Math.max(...all.map((shares) => shares[i]));
      image.data.set([...heatColour(share), 255 * OPACITY * Math.min(1, 4 * share)], 4 * i); // no activation hides nothing
    }
    const small = new OffscreenCanvas(width, height);
    small.getContext("2d")?.putImageData(image, 0, 0);
    this.canvas.getContext("2d")?.drawImage(small, 0, 0, width * scale, height * scale);
  }

  /** @param {number} width @param {number} height @param {number} scale */
  #drawOutlines(width, height, scale) {
    const context = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext("2d"));
    for (const map of this.maps) {
      const on = this.#shares(map, width, height).map((share) => Number(share > map.threshold / map.greatest));
      context.beginPath();
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
          const i = y * width + x;
          if (x > 0 && on[i] !== on[i - 1]) line(context, x, y, x, y + 1, scale);
          if (y > 0 && on[i] !== on[i - width]) line(context, x, y, x + 1, y, scale);
        }
      }
      for (const [colour, thick] of /** @type {[string, number][]} */ ([["#000", 5], ["#ffe14d", 2.5]])) {
        Object.assign(context, { strokeStyle: colour, lineWidth: thick * Math.max(1, this.canvas.width / SIDE), lineCap: "square" });
        context.stroke();
      }
    }
  }

  /** Say what is drawn, with a choice of the other. @param {() => void} redraw */
  #showLegend(redraw) {
    const [first] = this.maps;
    const several = this.maps.length > 1;
    const choose = (/** @type {string} */ kind) => {
      this.kind = kind;
      storage.write(KEY, kind);
      redraw();
      /** @type {HTMLElement | null} */ (this.legend.querySelector("input:checked"))?.focus();
    };
    const radio = (/** @type {string} */ kind, /** @type {string} */ text) => h("label", {}, h("input", { type: "radio", name: "map", value: kind, checked: this.kind === kind, change: () => choose(kind) }), ` ${text}`);
    const scale = h("span", { class: "heat-scale", style: `background:linear-gradient(to right, ${STOPS.map((stop) => `rgb(${stop.join(" ")})`).join(", ")})` });
    const outline = several ? "Outlined: where each is on, above its threshold." : `Outlined: where it is on, above its threshold of ${significant(first.threshold)}.`;
    put(this.legend,
      h("fieldset", { class: "choice" }, h("legend", { class: "visually-hidden" }, "How activation is shown"), radio("outline", "Outline"), radio("heat", "Heat map")),
      this.kind === "heat"
        ? h("p", { class: "scale-row" }, "0 ", scale, several ? " each unit’s greatest of the sample" : ` ${significant(first.greatest)}, its greatest of the sample`)
        : h("p", {}, outline));
  }
}

/** Add a line between two corners of pixels. @param {CanvasRenderingContext2D} context @param {number} x @param {number} y @param {number} toX @param {number} toY @param {number} scale */
function line(context, x, y, toX, toY, scale) {
  context.moveTo(x * scale, y * scale);
  context.lineTo(toX * scale, toY * scale);
}

/** Mark a point of the image, shares of its width and height; null: none. @param {[number, number] | null} at */
export function markPoint(at) {
  const marker = element("marker", HTMLElement);
  marker.hidden = at === null;
  if (at) marker.style.cssText = `left:${100 * at[0]}%;top:${100 * at[1]}%`;
}
