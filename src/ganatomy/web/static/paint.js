// @ts-check
/** The page to paint with units: an image, a brush, strokes and their effect. The URL holds the whole edit. */

import { h, put } from "./report/dom.js";
import { ApiError, ROOT, studyUrl, fetchDrawn, fetchImage, fetchJson, newestOnly } from "./api.js";
import { PaintCanvas } from "./canvas.js";
import { showChanges } from "./changes.js";
import { ClonePicker } from "./clone.js";
import { Export } from "./export.js";
import { History } from "./history.js";
import { encode, MAX_STROKES, decodeEdit } from "./link.js";
import { element, imageIds, isPhotograph, isTyping, showErrors, validImageId } from "./page.js";
import { Photographs } from "./photograph.js";
import { Tools } from "./tools.js";

/** @typedef {import("./api.js").Stroke} Stroke */
/** @typedef {import("./api.js").Study} Study */

const OTHER_IMAGES = 8;
const REPLAY_MS = 450;

class Studio {
  /** @param {Study} study @param {Tools} tools */
  constructor(study, tools) {
    this.study = study;
    this.tools = tools;
    this.api = studyUrl(study.name);
    this.stream = crypto.randomUUID();
    this.requestNumber = 0;
    this.id = 0;
    this.history = new History();
    /** Identifies the running replay; another value stops it. @type {object | null} */
    this.replay = null;
    this.clone = new ClonePicker(this.api, () => this.#cloneChanged());
    this.canvas = new PaintCanvas(element("image", HTMLCanvasElement), element("overlay", HTMLCanvasElement), {
      radius: () => tools.radius,
      colour: () => tools.pathColour,
      source: () => (tools.action === "clone" && this.clone.id === this.id ? this.clone.at : null),
      onMove: (offset) => this.clone.follow(offset),
      onPick: (at) => this.#pick(at),
      onChange: (points) => this.#preview(points),
      onEnd: (points) => this.#addStroke(points),
    });
    this.photographs = new Photographs(this.api, study, showStatus);
    this.amongImages = 0;
    this.exports = new Export({ api: this.api, name: study.name, photographs: this.photographs, id: () => this.id, strokes: () => this.history.strokes, images: () => this.canvas.images });
    this.paint = newestOnly((strokes) => showErrors("paint", () => this.#paint(strokes)));
    this.measure = newestOnly((strokes) => showErrors("changes", () => this.#measure(strokes)));
    this.saveToUrl = newestOnly(async () => window.history.replaceState(null, "", `#${await this.#encoded()}`));
    this.#listen();
  }

  /** Go to an image and apply the strokes to it. @param {number} id */
  async goTo(id) {
    const imageId = validImageId(id);
    const isOther = imageId !== this.id;
    this.id = imageId;
    element("id", HTMLInputElement).value = String(imageId);
    for (const id of ["save-whole", "about-photograph"]) element(id, HTMLElement).hidden = !isPhotograph(imageId);
    element("about-photograph", HTMLElement).textContent = this.photographs.inverted.get(imageId)?.about ?? "";
    this.#showNeighbours();
    await showErrors("image", async () => {
      const original = await fetchImage(`${this.api}/images/${imageId}.png`);
      if (imageId === this.id) this.canvas.show(isOther ? { original, edited: null } : { original });
    });
    if (imageId === this.id) this.#refresh();
  }

  /** Load an edit, without history. @param {import("./link.js").Edit} edit */
  async restore(edit) {
    showStatus("Listing the brushes…");
    await this.tools.load(edit.layer, edit.brush);
    this.#actionChanged();
    this.history = new History(edit.strokes);
    this.#showPasted([]);
    const id = await this.#imageOf(edit);
    showStatus(`Drawing image ${id}…`);
    await this.goTo(id);
    showStatus("");
  }

  /** The image of an edit; image 0 where its photograph cannot be had. @param {import("./link.js").Edit} edit */
  async #imageOf(edit) {
    let id = isPhotograph(edit.id) ? 0 : edit.id;
    await showErrors("link", async () => {
      if (isPhotograph(edit.id)) id = await this.photographs.reopen(edit.id);
      if (edit.warning) throw new Error(edit.warning);
    });
    return id;
  }

  /** Update the page after a change of strokes. */
  changed() {
    this.#showPasted([]);
    this.#refresh();
  }

  /** Draw, list, measure and save the current strokes. */
  #refresh() {
    const { strokes } = this.history;
    this.replay = null;
    this.paint(strokes);
    this.measure(strokes);
    this.saveToUrl(null);
    this.#list();
    element("undo", HTMLButtonElement).disabled = !this.history.past.length;
    element("redo", HTMLButtonElement).disabled = !this.history.future.length;
    for (const id of ["clear", "replay", "paste", "edits", "python", "save-pair"]) element(id, HTMLButtonElement).disabled = !strokes.length;
    this.#showSplit(strokes.length > 0);
  }

  #encoded() {
    return encode({ id: this.id, layer: this.tools.layer, brush: this.tools.selected, strokes: this.history.strokes });
  }

  /** @param {readonly Stroke[]} strokes */
  async #paint(strokes) {
    const start = performance.now();
    const body = { id: this.id, strokes, stream: this.stream, number: ++this.requestNumber };
    document.body.dataset.drawing = String(body.number);
    const { image: edited, pause } = await fetchDrawn(`${this.api}/paint`, body);
    if (body.id !== this.id) return;
    this.canvas.show(strokes.length ? { edited } : { edited, original: edited });
    showStatus(strokes.length ? `drawn in ${Math.round(performance.now() - start)} ms` : "");
    if (pause) await new Promise((resolve) => { setTimeout(resolve, pause); });
    document.body.dataset.drawn = String(body.number);
  }

  /** @param {readonly Stroke[]} strokes */
  async #measure(strokes) {
    const container = element("changes", HTMLElement);
    container.setAttribute("aria-busy", String(strokes.length > 0)); // what stands there is of other strokes
    if (!strokes.length) return showChanges(container, null, this.tools);
    const body = { id: this.id, strokes, stream: this.stream, number: ++this.requestNumber };
    const changes = await fetchJson(`${this.api}/changes`, body);
    if (body.id !== this.id || strokes !== this.history.strokes) return undefined;
    container.removeAttribute("aria-busy");
    return showChanges(container, changes, this.tools);
  }

  /** @param {[number, number][]} points */
  #preview(points) {
    this.replay = null;
    const stroke = this.tools.stroke(points, this.clone.source);
    if (stroke && this.history.strokes.length < MAX_STROKES) this.paint([...this.history.strokes, stroke]);
  }

  /** @param {[number, number][]} points */
  #addStroke(points) {
    const stroke = this.tools.stroke(points, this.clone.source);
    if (!stroke) return showStatus(this.tools.action === "clone" ? "Pick the place to take from first." : "Choose a brush first.");
    if (this.history.strokes.length >= MAX_STROKES) return showStatus(`${MAX_STROKES} strokes is the limit; delete some.`);
    this.history.add(stroke);
    return this.changed();
  }

  /** Take from a place of this image. @param {[number, number]} at */
  #pick(at) {
    this.#setPicking(false);
    this.tools.action = "clone";
    this.clone.pick(this.id, at);
  }

  /** @param {boolean} picking */
  #setPicking(picking) {
    this.canvas.picking = picking;
    element("take", HTMLButtonElement).setAttribute("aria-pressed", String(picking));
    if (picking) this.canvas.overlay.focus();
    this.#cloneChanged();
  }

  #cloneChanged() {
    element("about-clone", HTMLElement).textContent = this.canvas?.picking ? "Now click on the large image, or press the space bar there."
      : this.clone.at ? "Paint on the large image: the marker moves with the brush." : "Click on what is to be copied, here or with Alt in the large image.";
    this.canvas?.drawOverlay();
  }

  #actionChanged() {
    if (this.tools.action === "clone" && !this.clone.at) this.clone.open(this.id);
    this.#setPicking(false);
    this.#showGrid();
  }

  /** Draw the grid of the layer that is edited, if it is to be shown. */
  #showGrid() {
    const layer = this.study.layers.find(({ name }) => name === this.tools.layer);
    const button = element("grid", HTMLButtonElement);
    button.textContent = layer ? `Grid of ${layer.name}` : "Grid";
    this.canvas.grid = layer && button.getAttribute("aria-pressed") === "true" ? [layer.height, layer.width] : null;
    this.canvas.drawOverlay();
  }

  /** The handle between before and after is there once something is painted. @param {boolean} painted */
  #showSplit(painted) {
    const split = element("split", HTMLInputElement);
    split.hidden = !painted;
    if (!painted) split.value = "0";
    this.#compare(Number(split.value));
  }

  #list() {
    const { strokes } = this.history;
    element("no-strokes", HTMLElement).hidden = strokes.length > 0;
    put(element("strokes", HTMLElement), strokes.map((stroke, index) => h("li",
      {
        tabindex: "0",
        pointerenter: () => this.canvas.highlight([stroke]),
        pointerleave: () => this.canvas.highlight([]),
        focusin: () => this.canvas.highlight([stroke]),
        focusout: () => this.canvas.highlight([]),
      },
      h("i", { class: "swatch", style: `background:${stroke.action === "clone" ? "#ff5fd2" : this.tools.colour(stroke.concept)}` }),
      h("span", {}, describe(stroke)),
      h("button", { type: "button", "aria-label": `Delete stroke ${index + 1}`, click: () => this.#delete(index) }, "×"))));
  }

  /** @param {number} index */
  #delete(index) {
    this.history.remove(index);
    this.canvas.highlight([]);
    this.changed();
    const buttons = element("strokes", HTMLElement).querySelectorAll("button");
    (buttons[Math.min(index, buttons.length - 1)] ?? element("undo", HTMLButtonElement)).focus();
  }

  /** List the photographs that are open, and the images about the last one of the model's. */
  #showNeighbours() {
    const film = element("film", HTMLElement);
    if (!isPhotograph(this.id)) this.amongImages = this.id;
    const photographs = this.photographs.inverted.entries();
    put(film, [
      ...Array.from(photographs, ([id, { name }]) => this.#thumbnail(id, name, `${this.api}/images/${id}.png`)),
      ...imageIds(this.amongImages - 3, OTHER_IMAGES).map((id) => this.#thumbnail(id, `Image ${id}`, `${this.api}/images/${id}.png`)),
    ]);
    const current = /** @type {HTMLElement | null} */ (film.querySelector("[aria-current]"));
    if (current) film.scrollLeft = current.offsetLeft - film.offsetLeft - (film.clientWidth - current.offsetWidth) / 2;
  }

  async #paste() {
    const { strokes } = this.history;
    const ids = imageIds(isPhotograph(this.id) ? 0 : this.id + 1, OTHER_IMAGES);
    const { images } = await fetchJson(`${this.api}/generate`, { ids, strokes });
    if (strokes === this.history.strokes) this.#showPasted(ids.map((id, i) => this.#thumbnail(id, `Continue with image ${id}`, `${this.api}/images/${id}.png`, `data:image/png;base64,${images[i]}`)));
  }

  /** @param {HTMLElement[]} frames */
  #showPasted(frames) {
    put(element("pasted", HTMLElement), frames);
  }

  /** A button with small images, which opens the first. @param {number} id @param {string} name @param {string[]} images @returns {HTMLElement} */
  #thumbnail(id, name, ...images) {
    return h("button", { type: "button", "aria-label": name, "aria-current": id === this.id ? "true" : false, click: () => this.goTo(id) },
      images.map((src) => h("img", { alt: "", src, width: this.study.width, height: this.study.height })));
  }

  /** Go to a neighbour; from a photograph, back to the images of the model. @param {number} by */
  #step(by) {
    return this.goTo(isPhotograph(this.id) ? this.amongImages : this.id + by);
  }

  async #replay() {
    const { strokes } = this.history;
    const current = {};
    this.replay = current;
    for (let i = 0; i <= strokes.length && this.replay === current; i++) {
      this.canvas.highlight(strokes.slice(Math.max(0, i - 1), i));
      this.paint(strokes.slice(0, i));
      await new Promise((resolve) => { setTimeout(resolve, REPLAY_MS); });
    }
    this.canvas.highlight([]);
  }

  /** Open the photograph that was chosen; its strokes begin anew. @param {HTMLInputElement} input */
  async #open(input) {
    const [file] = input.files ?? [];
    if (!file) return;
    input.value = ""; // the same file may be chosen again
    const id = await this.photographs.open(file).finally(() => showStatus(""));
    this.history = new History();
    await this.goTo(id);
  }

  async #link() {
    window.history.replaceState(null, "", `#${await this.#encoded()}`);
    const copied = await navigator.clipboard?.writeText(window.location.href).then(() => true, () => false);
    const without = isPhotograph(this.id) ? " Whoever opens it sees the photograph, as long as the server keeps it." : "";
    showStatus(`The address of this page is the link${copied ? "; it was copied" : ": copy it from there"}.${without}`);
  }

  #listen() {
    /** @type {[string, () => unknown][]} */
    const clicks = [
      ["undo", () => this.history.undo() && this.changed()],
      ["redo", () => this.history.redo() && this.changed()],
      ["clear", () => { this.history.clear(); this.changed(); }],
      ["replay", () => this.#replay()],
      ["previous", () => this.#step(-1)],
      ["next", () => this.#step(1)],
      ["random", () => this.goTo(Math.floor(Math.random() * 1e6))],
      ["whole", () => this.#addStroke([])],
      ["take", () => this.#setPicking(!this.canvas.picking)],
      ["grid", () => { toggle("grid"); this.#showGrid(); }],
      ["pixels", () => element("main", HTMLElement).classList.toggle("pixels", toggle("pixels"))],
      ["link", () => this.#link()],
      ["paste", () => showErrors("paste", () => this.#paste())],
    ];
    for (const [id, run] of clicks) element(id, HTMLButtonElement).addEventListener("click", run);
    const file = element("photograph", HTMLInputElement);
    file.addEventListener("change", () => showErrors("photograph", () => this.#open(file)));
    const number = element("id", HTMLInputElement);
    number.addEventListener("change", () => this.goTo(Number(number.value)));
    const split = element("split", HTMLInputElement);
    split.addEventListener("input", () => this.#compare(Number(split.value)));
    this.#listenForOriginal(split);
    this.tools.form.addEventListener("change", () => this.saveToUrl(null));
    this.tools.form.addEventListener("input", ({ target }) => {
      if (target instanceof HTMLInputElement && target.name === "action") this.#actionChanged();
      if (target instanceof HTMLSelectElement) this.#showGrid();
    });
    document.addEventListener("keydown", (event) => this.#shortcut(event));
  }

  /** @param {HTMLInputElement} split */
  #listenForOriginal(split) {
    const button = element("original", HTMLButtonElement);
    const show = () => { button.setAttribute("aria-pressed", "true"); this.#compare(1); };
    const hide = () => { button.setAttribute("aria-pressed", "false"); this.#compare(Number(split.value)); };
    button.addEventListener("pointerdown", show);
    for (const name of ["pointerup", "pointerleave", "blur"]) button.addEventListener(name, hide);
    button.addEventListener("keydown", (event) => { if (event.key === " " || event.key === "Enter") show(); });
    button.addEventListener("keyup", hide);
    document.addEventListener("keydown", (event) => { if (event.key.toLowerCase() === "c" && !event.ctrlKey && !event.metaKey && !isTyping(event)) show(); });
    document.addEventListener("keyup", (event) => { if (event.key.toLowerCase() === "c") hide(); });
    window.addEventListener("blur", hide);
  }

  /** @param {number} share */
  #compare(share) {
    this.canvas.split = share;
    this.canvas.draw();
  }

  /** @param {KeyboardEvent} event */
  #shortcut(event) {
    if (isTyping(event) || !(event.ctrlKey || event.metaKey)) return;
    const key = event.key.toLowerCase();
    const undo = key === "z" && !event.shiftKey;
    if (!undo && !(key === "y" || key === "z")) return;
    event.preventDefault();
    if (undo ? this.history.undo() : this.history.redo()) this.changed();
  }
}

/** Say below the image what is being done, or was. @param {string} text */
function showStatus(text) {
  element("status", HTMLElement).textContent = text;
}

/** Press a button, or release it; returns whether it is pressed. @param {string} id */
function toggle(id) {
  const button = element(id, HTMLButtonElement);
  const pressed = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", String(pressed));
  return pressed;
}

/** Describe a stroke. @param {Stroke} stroke */
function describe(stroke) {
  if (stroke.action === "clone") return `clone from image ${stroke.source?.id}${stroke.layers ? ` (${stroke.layers.join(", ")})` : ""}`;
  const subject = stroke.concept ?? `${stroke.units?.length ?? 0} own units`;
  const strength = stroke.multiple !== 1 ? `${stroke.multiple.toFixed(1)} ×` : stroke.strength < 1 ? `${Math.round(100 * stroke.strength)} %` : "";
  const units = stroke.by === "best" ? "measured setting" : stroke.by === "all" ? "all units" : stroke.top ? `${stroke.top} units of ${stroke.layer}` : "";
  const steps = stroke.at_steps ? `steps ${stroke.at_steps}` : "";
  const details = [stroke.points.length ? "" : "whole image", units, steps, strength].filter(Boolean).join(", ");
  return `${stroke.action} ${subject}${details && ` (${details})`}`;
}

/** The edit of the address; an address without one opens on a good image, with a brush that works. @param {Study} study */
async function openingEdit(study) {
  const text = window.location.hash.slice(1);
  const edit = await decodeEdit(text, study);
  if (text) return edit;
  showStatus("Drawing images, to begin with a good one…");
  /** @type {import("./api.js").Start} */
  const { id, layer, concept } = await fetchJson(`${studyUrl(study.name)}/start`);
  return { ...edit, id, layer, brush: concept ?? "" };
}

async function start() {
  const name = element("main", HTMLElement).dataset.study ?? "";
  const study = /** @type {Study[]} */ (await fetchJson(`${ROOT}api/studies`)).find((each) => each.name === name);
  if (!study) throw new ApiError(404, `No study ${name} is served.`);
  const tools = new Tools(element("tools", HTMLFormElement), study);
  const studio = new Studio(study, tools);
  const restore = async () => studio.restore(await openingEdit(study));
  window.addEventListener("hashchange", () => showErrors("address", restore));
  await restore();
  document.querySelector(".opening")?.remove();
  document.body.dataset.ready = "yes";
  tools.settings.follow();
}

showErrors("start", start).then(() => { if (!document.body.dataset.ready) showStatus(""); });
