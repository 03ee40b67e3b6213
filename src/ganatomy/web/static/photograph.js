// @ts-check
/** A photograph of one's own: opened, inverted by the server, and saved at its own size with the change on it. */

import { ApiError, fetchJson } from "./api.js";
import { keepFile, keptFile } from "./kept_files.js";

const POLL_MS = 300;
const PNG_SIDE = 256;
const LARGE_SIDE = 512;

/** @typedef {{id: number, share: number, finished: boolean, reason: string | null, error: number | null, kept: number | null, place: string | null, distance: number | null}} State */
/** @typedef {{name: string, whole: ImageBitmap, left: number, top: number, width: number, height: number}} Opened */

export class Photographs {
  /** @param {string} api @param {{width: number, height: number}} size of the model's images @param {(text: string) => void} showStatus */
  constructor(api, size, showStatus) {
    this.api = api;
    this.size = size;
    this.showStatus = showStatus;
    /** @type {Map<number, Opened>} */
    this.opened = new Map();
    /** @type {Map<number, {name: string, about: string}>} */
    this.inverted = new Map();
  }

  /** Open a file; resolves to the id of its image once it is inverted. @param {File} file */
  async open(file) {
    this.showStatus(`Opening ${file.name}…`);
    const opened = await read(file, this.size);
    /** @type {State} */
    const state = await fetchJson(`${this.api}/photographs`, await this.#part(opened));
    await this.#finish(state, opened);
    await keepFile(state.id, file);
    return state.id;
  }

  /**
   * Take up a photograph again, after a reload or from a link; resolves to its id, another one where the server had
   * forgotten it and this browser has the file.
   * @param {number} id
   */
  async reopen(id) {
    if (this.opened.has(id)) return id;
    const file = await keptFile(id);
    /** @type {State | null} */
    const state = await fetchJson(`${this.api}/photographs/${id}`).catch(unlessUnknown);
    if (!state && file) return this.open(file);
    if (!state) throw new Error("The strokes of the address are of a photograph that the server does not have: open the photograph again.");
    await this.#finish(state, file ? await read(file, this.size) : null);
    return id;
  }

  /** Wait until a photograph is inverted, and keep what is known of it. @param {State} state @param {Opened | null} opened */
  async #finish(state, opened) {
    const name = opened?.name ?? "The photograph";
    while (!state.finished) {
      if (state.reason) throw new Error(state.reason);
      this.showStatus(`Finding how the model draws ${name}: ${Math.round(100 * state.share)} %`);
      await new Promise((resolve) => { setTimeout(resolve, POLL_MS); });
      state = await fetchJson(`${this.api}/photographs/${state.id}`);
    }
    if (opened) this.opened.set(state.id, opened);
    this.inverted.set(state.id, { name, about: `${name}${about(state, opened, this.size)}` });
  }

  /** The part that becomes the model's image, at most twice its size; of large ones as large, as the server takes no more than 1 MiB. @param {Opened} opened */
  #part({ whole, left, top, width, height }) {
    const most = this.size.width > LARGE_SIDE ? this.size.width : 2 * this.size.width;
    const scale = Math.min(1, most / width);
    const canvas = new OffscreenCanvas(Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale)));
    const context = context2d(canvas);
    context.fillStyle = "#fff"; // what is transparent becomes white
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.imageSmoothingQuality = "high";
    context.drawImage(whole, left, top, width, height, 0, 0, canvas.width, canvas.height);
    return canvas.convertToBlob(canvas.width > PNG_SIDE ? { type: "image/jpeg", quality: 0.9 } : { type: "image/png" });
  }

  /** The photograph at its own size, with the change of its image, which is enlarged. @param {number} id @param {ImageBitmap} before @param {ImageBitmap} after */
  async saved(id, before, after) {
    const opened = this.opened.get(id);
    if (!opened) throw new Error("This browser does not have the photograph's file; open it again to save it at its own size.");
    const { whole, left, top, width, height } = opened;
    const canvas = new OffscreenCanvas(whole.width, whole.height);
    const context = context2d(canvas);
    context.drawImage(whole, 0, 0);
    const part = context.getImageData(left, top, width, height);
    addEnlarged(part, pixels(before), pixels(after));
    context.putImageData(part, left, top);
    return { blob: await canvas.convertToBlob({ type: "image/png" }), name: `${opened.name}-edited.png` };
  }
}

/** The largest middle part of an image that has the shape of another. @param {{width: number, height: number}} image @param {{width: number, height: number}} shape */
function middle(image, shape) {
  const scale = Math.min(image.width / shape.width, image.height / shape.height);
  const [width, height] = [Math.max(1, Math.round(shape.width * scale)), Math.max(1, Math.round(shape.height * scale))];
  return { left: Math.round((image.width - width) / 2), top: Math.round((image.height - height) / 2), width, height };
}

/** Add the difference of two small images to a large one: bilinear, at the centres of its pixels. @param {ImageData} large @param {ImageData} before @param {ImageData} after */
function addEnlarged(large, before, after) {
  const change = Float32Array.from(after.data, (value, i) => value - before.data[i]);
  const rows = places(large.height, before.height);
  const columns = places(large.width, before.width);
  rows.forEach(([above, below, down], y) => columns.forEach(([left, right, across], x) => {
    for (let colour = 0; colour < 3; colour++) {
      const at = (/** @type {number} */ row, /** @type {number} */ column) => change[4 * (row * before.width + column) + colour];
      const [upper, lower] = [above, below].map((row) => at(row, left) * (1 - across) + at(row, right) * across);
      large.data[4 * (y * large.width + x) + colour] += upper * (1 - down) + lower * down;
    }
  }));
}

/** For each of `count` pixels the two of `small` that it lies between, and how near to the second. @param {number} count @param {number} small @returns {[number, number, number][]} */
function places(count, small) {
  return Array.from({ length: count }, (_, i) => {
    const at = Math.min(Math.max(((i + 0.5) * small) / count - 0.5, 0), small - 1);
    const first = Math.floor(at);
    return [first, Math.min(first + 1, small - 1), at - first];
  });
}

/** @param {ImageBitmap} image */
function pixels(image) {
  const context = context2d(new OffscreenCanvas(image.width, image.height));
  context.drawImage(image, 0, 0);
  return context.getImageData(0, 0, image.width, image.height);
}

/** @param {OffscreenCanvas} canvas */
const context2d = (canvas) => /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));

/** What to know of an opened photograph. @param {State} state @param {Opened | null} opened @param {{width: number, height: number}} size */
function about(state, opened, size) {
  const smaller = opened && opened.width > size.width ? ` The model paints ${size.width} × ${size.height} pixels; saved at its own size, the change is enlarged to ${opened.width} × ${opened.height}.` : "";
  const times = (state.distance ?? 0).toFixed(1);
  const far = state.place === "inside" ? "" : ` It is ${state.place} of what the model draws, ${times} times as far from its images as they are from each other: edits may fail.`;
  return `: the model draws it with a mean error of ${(100 * (state.error ?? 0)).toFixed(1)} %, and ${Math.round(100 * (state.kept ?? 0))} % of its pixels keep their label.${far}${smaller} What you do not paint on stays the photograph's.`;
}

/** Nothing, of an id that the server does not know. @param {unknown} error */
function unlessUnknown(error) {
  if (error instanceof ApiError && error.status === 404) return null;
  throw error;
}

/** @param {File} file @param {{width: number, height: number}} size @returns {Promise<Opened>} */
async function read(file, size) {
  const whole = await createImageBitmap(file, { imageOrientation: "from-image" }).catch(() => { throw new Error(`${file.name} is not an image that this browser can read.`); });
  return { name: file.name.replace(/\.\w+$/, ""), whole, ...middle(whole, size) };
}
