// @ts-check
/** Units of one image: where a unit is active, the image without it, and the units that are active at a point. */

import { h, number, percent, put } from "/static/report/dom.js";
import { studyUrl, fetchImage, fetchJson } from "./api.js";
import { fit } from "./canvas.js";
import { showChanges } from "./changes.js";
import { encode } from "./link.js";
import { element, showErrors, rater, validImageId } from "./page.js";
import { OwnSets } from "./tools.js";

/** @typedef {import("./api.js").ActiveUnit} ActiveUnit */
/** @typedef {import("./api.js").Study} Study */
/** @typedef {[number, number]} Point */

const STEP = 1 / 32;
const HIGHLIGHT = [255, 225, 77];
const TOP_UNITS = 20;
const MAX_HIGHLIGHTED = 4;
const MAX_PICKED = 16;
/** @type {Record<string, Point>} */
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * The unit that the URL names, or the concept with the best units of the layer for it.
 * @typedef {{key: string, layer: string, units: number[], caption: string}} Selection
 */

class ImageInspector {
  /** @param {Study} study */
  constructor(study) {
    this.study = study;
    this.api = studyUrl(study.name);
    this.sets = new OwnSets(study.name);
    this.id = 0;
    /** @type {Selection | null} */
    this.selection = null;
    /** Number of the newest request; results of older ones are dropped. */
    this.request = 0;
    /** @type {Point} */
    this.cursor = [0.5, 0.5];
    /** @type {Set<number>} */
    this.picked = new Set();
    /** @type {{layer: string, units: number[]}} */
    this.ownSet = { layer: study.layer, units: [] };
    /** @type {Map<string, string>} */
    this.colours = new Map();
    put(element("layer", HTMLSelectElement), study.layers.map((layer) => h("option", { value: layer.name, selected: layer.name === study.layer }, layer.name)));
    this.#listen();
  }

  get layer() {
    return element("layer", HTMLSelectElement).value;
  }

  /** @param {string | null} concept */
  colour(concept) {
    return (concept && this.colours.get(concept)) || "#858b95";
  }

  /** Show what the URL names. */
  openUrl() {
    return showErrors("address", async () => {
      this.selection = null;
      await this.#loadColours();
      try {
        this.selection = await this.#readUrl(new URLSearchParams(window.location.hash.slice(1)));
      } finally {
        await this.#showImage();
      }
    });
  }

  /** @param {URLSearchParams} query @returns {Promise<Selection | null>} */
  async #readUrl(query) {
    const concept = query.get("concept");
    const key = query.get("unit") ?? "";
    const slash = key.lastIndexOf("/");
    const layerOfUnit = this.study.layers.find((each) => each.name === key.slice(0, slash));
    if (layerOfUnit && Number(key.slice(slash + 1)) < layerOfUnit.units) {
      element("layer", HTMLSelectElement).value = layerOfUnit.name;
      return { key, layer: layerOfUnit.name, units: [Number(key.slice(slash + 1))], caption: `Without ${key}` };
    }
    if (!concept) return null;
    const { layer } = this;
    const ranking = await fetchJson(`${this.#layerUrl(layer)}/ranking?concept=${encodeURIComponent(concept)}&top=${TOP_UNITS}`);
    const by = ranking.by === "ace" ? "ACE" : "IoU";
    return { key: concept, layer, units: ranking.units, caption: `Without the ${ranking.units.length} units of ${layer} that are best for ${concept} (${by})` };
  }

  /** The URL of a layer. @param {string} layer */
  #layerUrl(layer) {
    return `${this.api}/layers/${encodeURIComponent(layer)}`;
  }

  async #loadColours() {
    for (const brush of await fetchJson(`${this.#layerUrl(this.layer)}/brushes`)) this.colours.set(brush.concept, brush.colour);
  }

  /** @param {number} id */
  async goTo(id) {
    this.id = validImageId(id);
    element("id", HTMLInputElement).value = String(this.id);
    put(element("active-units", HTMLElement));
    await showErrors("image", () => this.#showImage());
  }

  async #showImage() {
    const request = ++this.request;
    const { id, selection } = this;
    const bitmap = await fetchImage(`${this.api}/images/${id}.png`);
    const maps = selection ? await Promise.all(selection.units.slice(0, MAX_HIGHLIGHTED).map((unit) => fetchImage(`${this.#layerUrl(selection.layer)}/units/${unit}/map.png?id=${id}`))) : [];
    if (request !== this.request) return;
    const canvas = element("image", HTMLCanvasElement);
    fit(canvas, bitmap.width, bitmap.height);
    canvas.getContext("2d")?.drawImage(bitmap, 0, 0);
    this.#highlight(maps);
    element("pick", HTMLButtonElement).setAttribute("aria-pressed", String(this.picked.has(id)));
    this.#showOwnSet();
    this.#showPicked();
    await this.#showAblation(request);
    if (request === this.request) document.body.dataset.live = `${id} ${selection?.key ?? ""}`;
  }

  /** Highlight active pixels: the maximum over the maps. @param {ImageBitmap[]} maps */
  #highlight(maps) {
    const overlay = element("overlay", HTMLCanvasElement);
    Object.assign(overlay, { width: this.study.width, height: this.study.height });
    const context = overlay.getContext("2d", { willReadFrequently: true });
    if (!maps.length || !context) return;
    context.globalCompositeOperation = "lighten";
    for (const map of maps) context.drawImage(map, 0, 0);
    const pixels = context.getImageData(0, 0, overlay.width, overlay.height);
    for (let i = 0; i < pixels.data.length; i += 4) {
      const share = pixels.data[i] / 255; // of the greatest activation of the sample, which few pixels come near
      pixels.data.set([...HIGHLIGHT, 230 * Math.sqrt(share)], i);
    }
    context.putImageData(pixels, 0, 0);
  }

  /** Show the image without the selected units, the effect of that, and annotations. @param {number} request */
  async #showAblation(request) {
    const container = element("about-unit", HTMLElement);
    const { id, selection } = this;
    if (!selection) return put(container);
    const { layer, units } = selection;
    const body = { id, strokes: [{ action: "remove", layer, units, points: [] }] };
    const [ablated, result] = await Promise.all([fetchImage(`${this.api}/paint`, body), fetchJson(`${this.api}/changes`, body)]);
    if (request !== this.request) return undefined;
    const canvas = h("canvas", { role: "img", "aria-label": selection.caption, width: ablated.width, height: ablated.height });
    canvas.getContext("2d").drawImage(ablated, 0, 0);
    const changes = h("div");
    showChanges(changes, result, this);
    const annotations = h("div", { id: "annotations" });
    put(container,
      h("h3", {}, selection.caption),
      units.length > 1 && h("ul", { class: "chips", "aria-label": "These units, best first" }, units.map((unit) => h("li", {}, h("a", { href: `#unit=${layer}/${unit}` }, String(unit))))),
      units.length > 1 && h("p", { class: "small" }, `The best ${Math.min(MAX_HIGHLIGHTED, units.length)} are highlighted in the image.`),
      h("div", { class: "ablation" }, canvas, changes),
      h("button", { type: "button", id: "add", click: () => this.#add(layer, units) }, units.length > 1 ? "Add them to my set" : "Add to my set"),
      annotations);
    return units.length === 1 ? this.#showAnnotations(annotations, layer, units[0]) : undefined;
  }

  /** Show the annotations of a unit, and buttons to flag it. @param {HTMLElement} container @param {string} layer @param {number} unit */
  async #showAnnotations(container, layer, unit) {
    const annotations = await fetchJson(`${this.#layerUrl(layer)}/units/${unit}/annotations`).catch(() => null);
    if (!annotations) return; // the server stores no annotations
    const name = h("input", { type: "text", "aria-label": "Your name", placeholder: "your name", maxlength: 100, autocomplete: "nickname", required: true, value: rater.name() });
    /** @param {boolean} artifact */
    const flag = (artifact) => name.reportValidity() && showErrors("flag", async () => {
      rater.setName(name.value.trim());
      await fetchJson(`${this.api}/flags`, { layer, unit, rater: name.value.trim(), artifact });
      await this.#showAnnotations(container, layer, unit);
    });
    const flagged = annotations.flags.filter((/** @type {[string, boolean]} */ [, artifact]) => artifact).length;
    put(container,
      h("h3", {}, "Human annotations"),
      annotations.labels.length > 0 && h("p", { class: "small" }, annotations.labels.map((/** @type {[string, string]} */ [who, words]) => `${words} (${who})`).join(", ")),
      h("p", { class: "small" }, annotations.flags.length ? `Flagged as an artifact by ${flagged} of ${annotations.flags.length} raters.` : "Not rated yet."),
      h("div", { class: "row" }, name,
        h("button", { type: "button", id: "flag", click: () => flag(true) }, "Flag as artifact"),
        h("button", { type: "button", id: "fine", click: () => flag(false) }, "Not an artifact")));
  }

  /** @param {string} layer @param {number[]} units */
  #add(layer, units) {
    const before = this.ownSet.layer === layer ? this.ownSet.units : [];
    this.ownSet = { layer, units: [...new Set([...before, ...units])] };
    this.#showOwnSet();
  }

  /** Show the new set: its units, and a field for its name. */
  #showOwnSet() {
    const { layer, units } = this.ownSet;
    const container = element("own-set", HTMLElement);
    if (!units.length) return put(container);
    const name = h("input", { type: "text", "aria-label": "Name of the set", placeholder: "a name", maxlength: 60 });
    const save = async () => {
      const setName = name.value.trim() || `units ${units.slice(0, 6).join(", ")}${units.length > 6 ? ` … (${units.length})` : ""}`;
      this.sets.save({ name: setName, layer, units: [...units] });
      this.ownSet = { layer, units: [] };
      const fragment = await encode({ id: this.id, layer, brush: `own ${setName}`, strokes: [] });
      put(container, h("p", { class: "small" }, `Saved: ${setName} is a brush now. `, h("a", { href: `/paint/${encodeURIComponent(this.study.name)}#${fragment}` }, "Paint with it")));
    };
    return put(container,
      h("h3", {}, `My set of ${layer}`),
      h("ul", { class: "chips" }, units.map((unit) => h("li", {}, h("a", { href: `#unit=${layer}/${unit}` }, String(unit)),
        h("button", { type: "button", "aria-label": `Remove ${unit}`, click: () => { this.ownSet.units = units.filter((other) => other !== unit); this.#showOwnSet(); } }, "×")))),
      h("form", { submit: (/** @type {Event} */ event) => { event.preventDefault(); save(); } }, name, h("button", {}, "Save as a brush")));
  }

  /** @param {Point} at */
  async #showActive(at) {
    const body = { id: this.id, layer: this.layer, points: [at], radius: 0.02, top: 12 };
    const { units, concepts } = await fetchJson(`${this.api}/active`, body);
    if (body.id === this.id) put(element("active-units", HTMLElement),
      h("h3", {}, "Units that explain this point: ", concepts.length ? h("em", {}, concepts.join(", ")) : "no concept of the segmenter"),
      unitList(units));
  }

  #showPicked() {
    const container = element("picked", HTMLElement);
    if (!this.picked.size) return put(container);
    const ids = [...this.picked];
    const list = h("div", { "aria-live": "polite" });
    const showCommon = () => showErrors("common", async () => put(list, unitList(await fetchJson(`${this.api}/common`, { ids, layer: this.layer, top: 12 }))));
    return put(container,
      h("h3", {}, `Picked: ${ids.length}`),
      h("div", { class: "film" }, ids.map((id) => h("button", { type: "button", "aria-label": `Image ${id}`, click: () => this.goTo(id) },
        h("img", { alt: "", src: `${this.api}/images/${id}.png`, width: this.study.width, height: this.study.height })))),
      h("button", { type: "button", id: "common", click: showCommon }, `Which units of ${this.layer} are active in all of them?`), list);
  }

  #listen() {
    element("previous", HTMLButtonElement).addEventListener("click", () => this.goTo(this.id - 1));
    element("next", HTMLButtonElement).addEventListener("click", () => this.goTo(this.id + 1));
    const id = element("id", HTMLInputElement);
    id.addEventListener("change", () => this.goTo(Number(id.value)));
    element("pick", HTMLButtonElement).addEventListener("click", () => {
      if (!this.picked.delete(this.id) && this.picked.size < MAX_PICKED) this.picked.add(this.id);
      element("pick", HTMLButtonElement).setAttribute("aria-pressed", String(this.picked.has(this.id)));
      this.#showPicked();
    });
    element("layer", HTMLSelectElement).addEventListener("change", () => {
      if (this.selection && !window.location.hash.includes("unit=")) this.openUrl(); // another layer has other units for the concept
      else showErrors("layer", () => this.#loadColours());
      put(element("active-units", HTMLElement));
      this.#showPicked();
    });
    const overlay = element("overlay", HTMLCanvasElement);
    overlay.addEventListener("click", (event) => {
      const box = overlay.getBoundingClientRect();
      this.cursor = [(event.clientX - box.x) / box.width, (event.clientY - box.y) / box.height];
      showErrors("active", () => this.#showActive(this.cursor));
    });
    overlay.addEventListener("keydown", (event) => {
      const step = ARROWS[event.key];
      if (step) this.cursor = [Math.min(1, Math.max(0, this.cursor[0] + step[0] * STEP)), Math.min(1, Math.max(0, this.cursor[1] + step[1] * STEP))];
      if (step || event.key === "Enter") {
        event.preventDefault();
        showErrors("active", () => this.#showActive(this.cursor));
      }
    });
    window.addEventListener("hashchange", () => this.openUrl());
  }
}

/** Units as links, with the quantile of their activation. @param {ActiveUnit[]} units */
function unitList(units) {
  return h("ol", { class: "active" }, units.map((row) => h("li", {},
    h("a", { href: `#unit=${row.layer}/${row.unit}` }, `${row.layer}/${row.unit}`),
    row.label ? h("span", {}, row.label, row.matched ? "" : h("small", {}, " (not matched)")) : h("span", { class: "missing" }, "unlabelled"),
    h("span", { class: "small" }, `IoU ${number(row.iou ?? NaN, 2)}`),
    h("span", { class: "small" }, row.quantile >= 1 ? "the maximum" : `higher than on ${percent(row.quantile)}`))));
}

async function start() {
  const name = element("live", HTMLElement).dataset.study;
  const study = /** @type {Study[]} */ (await fetchJson("/api/studies")).find((each) => each.name === name);
  if (study) await new ImageInspector(study).openUrl();
}

showErrors("start", start);
