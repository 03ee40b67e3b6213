// @ts-check
/** The source of a clone: an image with a marker on the place that is taken. */

import { fetchImage } from "./api.js";
import { drawMarker, fit } from "./canvas.js";
import { element, showErrors, validImageId } from "./page.js";

/** @typedef {[number, number]} Point */

const STEP = 1 / 32;
/** @type {Record<string, Point>} */
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class ClonePicker {
  /** @param {string} api @param {() => void} onChange runs when another place is picked */
  constructor(api, onChange) {
    this.api = api;
    this.onChange = onChange;
    this.id = 0;
    /** The place to take from; null until one is picked. @type {Point | null} */
    this.at = null;
    /** How far the stroke in progress has gone. @type {Point} */
    this.offset = [0, 0];
    this.image = element("source-image", HTMLCanvasElement);
    this.overlay = element("source-overlay", HTMLCanvasElement);
    this.overlay.addEventListener("pointerdown", (event) => this.#press(event));
    this.overlay.addEventListener("keydown", (event) => this.#key(event));
    const number = element("source-id", HTMLInputElement);
    number.addEventListener("change", () => this.open(Number(number.value)));
    element("source-previous", HTMLButtonElement).addEventListener("click", () => this.open(this.id - 1));
    element("source-next", HTMLButtonElement).addEventListener("click", () => this.open(this.id + 1));
    new ResizeObserver(() => this.#draw()).observe(this.overlay);
  }

  /** What a stroke takes from, if it was picked. @returns {import("./api.js").CloneSource | null} */
  get source() {
    return this.at && { id: this.id, seed: 0, at: this.at };
  }

  /** Show an image to take from; another one has no place picked yet. @param {number} id */
  async open(id) {
    const imageId = validImageId(id);
    if (imageId !== this.id) this.#pickAt(null);
    this.id = imageId;
    element("source-id", HTMLInputElement).value = String(imageId);
    await showErrors("source", async () => {
      const bitmap = await fetchImage(`${this.api}/images/${imageId}.png`);
      if (imageId !== this.id) return;
      fit(this.image, bitmap.width, bitmap.height);
      this.image.getContext("2d")?.drawImage(bitmap, 0, 0);
      this.#draw();
    });
  }

  /** Take from a place of an image. @param {number} id @param {Point} at */
  async pick(id, at) {
    if (id !== this.id) await this.open(id);
    this.#pickAt(at);
  }

  /** Move the marker with the brush. @param {Point} offset */
  follow(offset) {
    this.offset = offset;
    this.#draw();
  }

  /** @param {Point | null} at */
  #pickAt(at) {
    this.at = at;
    this.#draw();
    this.onChange();
  }

  /** @param {PointerEvent} event */
  #press(event) {
    const box = this.overlay.getBoundingClientRect();
    this.#pickAt([clamp((event.clientX - box.x) / box.width), clamp((event.clientY - box.y) / box.height)]);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const step = ARROWS[event.key];
    if (!step && event.key !== " ") return;
    event.preventDefault();
    const [x, y] = this.at ?? [0.5, 0.5];
    this.#pickAt(step && this.at ? [clamp(x + step[0] * STEP), clamp(y + step[1] * STEP)] : [x, y]);
  }

  #draw() {
    const { clientWidth: width, clientHeight: height } = this.overlay;
    const ratio = window.devicePixelRatio || 1;
    Object.assign(this.overlay, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
    const context = this.overlay.getContext("2d");
    if (!context || !width || !this.at) return;
    context.scale(ratio, ratio);
    drawMarker(context, [(this.at[0] + this.offset[0]) * width, (this.at[1] + this.offset[1]) * height]);
  }
}

/** @param {number} share */
const clamp = (share) => Math.min(1, Math.max(0, share));
