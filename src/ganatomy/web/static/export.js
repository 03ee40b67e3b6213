// @ts-check
/** What is kept of an edit: images, the edit as JSON, and a Python program that draws the image again. */

import { fetchFile } from "./api.js";
import { element, showErrors } from "./page.js";

const SCALE = 8;
const MAX_SIDE = 8192;

/** @typedef {{api: string, name: string, photographs: import("./photograph.js").Photographs, id: () => number, strokes: () => readonly import("./api.js").Stroke[], images: () => {original: ImageBitmap | null, edited: ImageBitmap | null}}} Edited */

export class Export {
  /** @param {Edited} edited */
  constructor(edited) {
    this.edited = edited;
    /** @type {[string, () => unknown][]} */
    const clicks = [
      ["save", () => this.#saveImages(1, "", [this.#after])],
      ["save-large", () => this.#saveImages(SCALE, "-x8", [this.#after])],
      ["save-whole", () => this.#savePhotograph()],
      ["save-pair", () => this.#saveImages(SCALE, "-before-after", [this.edited.images().original, this.#after])],
      ["edits", () => this.#saveEdits()],
      ["save-edits", () => this.#saveEdits()],
      ["python", () => this.#showProgram()],
      ["copy-program", () => navigator.clipboard?.writeText(this.#code.textContent ?? "")],
      ["save-program", () => download(new Blob([this.#code.textContent ?? ""], { type: "text/x-python" }), `edit-${this.edited.id()}.py`)],
      ["close-program", () => element("program", HTMLDialogElement).close()],
    ];
    const menu = element("menu", HTMLDetailsElement);
    const close = () => { menu.open = false; };
    menu.addEventListener("keydown", (event) => { if (event.key === "Escape") { close(); menu.querySelector("summary")?.focus(); } });
    document.addEventListener("click", ({ target }) => { if (!(target instanceof Element && target.closest("#menu > summary"))) close(); });
    for (const [id, run] of clicks) element(id, HTMLButtonElement).addEventListener("click", () => showErrors("save", async () => { await run(); }));
  }

  get #after() {
    const { edited, original } = this.edited.images();
    return edited ?? original;
  }

  get #code() {
    return /** @type {HTMLElement} */ (element("program", HTMLDialogElement).querySelector("code"));
  }

  get #body() {
    return { id: this.edited.id(), strokes: this.edited.strokes() };
  }

  /** @param {number} scale @param {string} suffix @param {(ImageBitmap | null)[]} images */
  async #saveImages(scale, suffix, images) {
    const present = images.filter((image) => image !== null);
    if (present.length) download(await enlarged(present, scale), `${this.edited.name}-${this.edited.id()}${suffix}.png`);
  }

  async #savePhotograph() {
    const { original } = this.edited.images();
    if (!original || !this.#after) return;
    const { blob, name } = await this.edited.photographs.saved(this.edited.id(), original, this.#after);
    download(blob, name);
  }

  async #saveEdits() {
    download(await fetchFile(`${this.edited.api}/edits`, this.#body), `edits-${this.edited.id()}.json`);
  }

  async #showProgram() {
    this.#code.textContent = await (await fetchFile(`${this.edited.api}/snippet`, this.#body)).text();
    element("program", HTMLDialogElement).showModal();
  }
}

/** Images next to each other, enlarged as the page shows them: smooth, or in squares; a very large image is enlarged less. @param {ImageBitmap[]} images @param {number} scale */
function enlarged(images, scale) {
  const { width, height } = images[0];
  const by = Math.max(1, Math.min(scale, Math.floor(MAX_SIDE / Math.max(width * images.length, height))));
  const gap = images.length > 1 ? by : 0;
  const canvas = new OffscreenCanvas((width * by + gap) * images.length - gap, height * by);
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d"));
  Object.assign(context, { imageSmoothingEnabled: !element("main", HTMLElement).classList.contains("pixels"), imageSmoothingQuality: "high" });
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  images.forEach((image, i) => context.drawImage(image, i * (width * by + gap), 0, width * by, height * by));
  return canvas.convertToBlob({ type: "image/png" });
}

/** @param {Blob} blob @param {string} name */
function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
