// @ts-check
/** Inside a picture: where a unit is on, what goes without it, which units are active where one clicks. */

import { h, number, percent, put } from "/static/report/dom.js";
import { base, image, json } from "./api.js";
import { showChanges } from "./changes.js";
import { OwnSets } from "./tools.js";

/** @typedef {import("./api.js").ActiveUnit} ActiveUnit */
/** @typedef {import("./api.js").Study} Study */
/** @typedef {[number, number]} Point */

const STEP = 1 / 32;
const GLOW = [255, 225, 77];
/** @type {Record<string, Point>} */
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** @template {HTMLElement} T @param {string} id @param {new () => T} kind @returns {T} */
function part(id, kind) {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`the page lacks ${id}`);
  return found;
}

class Inside {
  /** @param {Study} study */
  constructor(study) {
    this.study = study;
    this.api = base(study.name);
    this.sets = new OwnSets(study.name);
    this.id = 0;
    /** @type {{layer: string, unit: number} | null} the one that the address names */
    this.unit = null;
    /** @type {Point} */
    this.cursor = [0.5, 0.5];
    /** @type {Set<number>} */
    this.picked = new Set();
    /** @type {{layer: string, units: number[]}} */
    this.own = { layer: study.layer, units: [] };
    /** @type {Map<string, string>} */
    this.colours = new Map();
    put(part("layer", HTMLSelectElement), study.layers.map((layer) => h("option", { value: layer.name, selected: layer.name === study.layer }, layer.name)));
    this.#listen();
  }

  get layer() {
    return part("layer", HTMLSelectElement).value;
  }

  /** @param {string | null} concept */
  colour(concept) {
    return (concept && this.colours.get(concept)) || "#858b95";
  }

  /** Show what the address asks for. */
  async follow() {
    const key = new URLSearchParams(window.location.hash.slice(1)).get("unit") ?? "";
    const slash = key.lastIndexOf("/");
    const layer = key.slice(0, slash);
    const known = this.study.layers.find((each) => each.name === layer);
    this.unit = known && Number(key.slice(slash + 1)) < known.units ? { layer, unit: Number(key.slice(slash + 1)) } : null;
    if (this.unit) part("layer", HTMLSelectElement).value = layer;
    await this.#colours();
    await this.#picture();
  }

  async #colours() {
    for (const brush of await json(`${this.api}/layers/${encodeURIComponent(this.layer)}/brushes`)) this.colours.set(brush.concept, brush.colour);
  }

  /** @param {number} id */
  async goTo(id) {
    this.id = Math.max(0, Math.floor(id) || 0);
    part("id", HTMLInputElement).value = String(this.id);
    put(part("found", HTMLElement));
    await this.#picture();
  }

  async #picture() {
    const bitmap = await image(`${this.api}/pictures/${this.id}.png`);
    const canvas = part("picture", HTMLCanvasElement);
    Object.assign(canvas, { width: bitmap.width, height: bitmap.height });
    canvas.getContext("2d")?.drawImage(bitmap, 0, 0);
    part("pick", HTMLButtonElement).setAttribute("aria-pressed", String(this.picked.has(this.id)));
    await Promise.all([this.#heat(), this.#without()]);
    this.#ownSet();
    this.#showPicked();
    document.body.dataset.live = `${this.id} ${this.unit ? `${this.unit.layer}/${this.unit.unit}` : ""}`;
  }

  /** Let the unit glow over the picture. */
  async #heat() {
    const overlay = part("overlay", HTMLCanvasElement);
    Object.assign(overlay, { width: this.study.width, height: this.study.height });
    const context = overlay.getContext("2d", { willReadFrequently: true });
    if (!this.unit || !context) return;
    const { layer, unit } = this.unit;
    const heat = await image(`${this.api}/layers/${encodeURIComponent(layer)}/units/${unit}/map.png?id=${this.id}`);
    context.drawImage(heat, 0, 0);
    const pixels = context.getImageData(0, 0, overlay.width, overlay.height);
    for (let i = 0; i < pixels.data.length; i += 4) {
      const strength = pixels.data[i];
      pixels.data.set([...GLOW, 0.8 * strength], i);
    }
    context.putImageData(pixels, 0, 0);
  }

  /** Show the picture without the unit, and what that changed. */
  async #without() {
    const place = part("about-unit", HTMLElement);
    if (!this.unit) return put(place);
    const { layer, unit } = this.unit;
    const asked = { id: this.id, strokes: [{ action: "remove", layer, units: [unit], points: [] }] };
    const [without, told] = await Promise.all([image(`${this.api}/paint`, asked), json(`${this.api}/changes`, asked)]);
    const canvas = h("canvas", { role: "img", "aria-label": `The picture without unit ${unit} of ${layer}`, width: without.width, height: without.height });
    canvas.getContext("2d").drawImage(without, 0, 0);
    const changes = h("div");
    showChanges(changes, told, this);
    put(place,
      h("h3", {}, `Without ${layer}/${unit}`),
      h("div", { class: "without" }, canvas, changes),
      h("button", { type: "button", click: () => this.#add(layer, unit) }, "Add to my set"));
    return undefined;
  }

  /** @param {string} layer @param {number} unit */
  #add(layer, unit) {
    if (this.own.layer !== layer) this.own = { layer, units: [] };
    if (!this.own.units.includes(unit)) this.own.units.push(unit);
    this.#ownSet();
  }

  /** The set that is being built: its units, and a name for it. */
  #ownSet() {
    const { layer, units } = this.own;
    const place = part("own-set", HTMLElement);
    if (!units.length) return put(place);
    const name = h("input", { type: "text", "aria-label": "Name of the set", placeholder: "a name", maxlength: 60 });
    const keep = () => {
      const called = name.value.trim() || `units ${units.join(", ")}`;
      this.sets.keep({ name: called, layer, units: [...units] });
      this.own = { layer, units: [] };
      put(place, h("p", { class: "small" }, `Kept: ${called} is a brush now. `, h("a", { href: `/paint/${encodeURIComponent(this.study.name)}` }, "Paint with it")));
    };
    return put(place,
      h("h3", {}, `My set of ${layer}`),
      h("ul", { class: "chips" }, units.map((unit) => h("li", {}, h("a", { href: `#unit=${layer}/${unit}` }, String(unit)),
        h("button", { type: "button", "aria-label": `Take ${unit} out`, click: () => { this.own.units = units.filter((other) => other !== unit); this.#ownSet(); } }, "×")))),
      h("form", { submit: (/** @type {Event} */ event) => { event.preventDefault(); keep(); } }, name, h("button", {}, "Keep as a brush")));
  }

  /** @param {Point} at */
  async #ask(at) {
    const asked = { id: this.id, layer: this.layer, points: [at], radius: 0.02, top: 12 };
    const { units, concepts } = await json(`${this.api}/active`, asked);
    put(part("found", HTMLElement),
      h("h3", {}, "Most active here: ", concepts.length ? h("em", {}, concepts.join(", ")) : "nothing that the segmenter knows"),
      unitList(units));
  }

  #showPicked() {
    const place = part("picked", HTMLElement);
    if (!this.picked.size) return put(place);
    const ids = [...this.picked];
    const answer = h("div", { "aria-live": "polite" });
    const ask = async () => put(answer, unitList(await json(`${this.api}/common`, { ids, layer: this.layer, top: 12 })));
    return put(place,
      h("h3", {}, `Picked: ${ids.length}`),
      h("div", { class: "film" }, ids.map((id) => h("button", { type: "button", "aria-label": `Picture ${id}`, click: () => this.goTo(id) },
        h("img", { alt: "", src: `${this.api}/pictures/${id}.png`, width: this.study.width, height: this.study.height })))),
      h("button", { type: "button", id: "common", click: ask }, `Which units of ${this.layer} light up in all of them?`), answer);
  }

  #listen() {
    part("previous", HTMLButtonElement).addEventListener("click", () => this.goTo(this.id - 1));
    part("next", HTMLButtonElement).addEventListener("click", () => this.goTo(this.id + 1));
    const id = part("id", HTMLInputElement);
    id.addEventListener("change", () => this.goTo(Number(id.value)));
    part("pick", HTMLButtonElement).addEventListener("click", () => {
      if (!this.picked.delete(this.id)) this.picked.add(this.id);
      part("pick", HTMLButtonElement).setAttribute("aria-pressed", String(this.picked.has(this.id)));
      this.#showPicked();
    });
    part("layer", HTMLSelectElement).addEventListener("change", () => { this.#colours(); this.#showPicked(); });
    const overlay = part("overlay", HTMLCanvasElement);
    overlay.addEventListener("click", (event) => {
      const box = overlay.getBoundingClientRect();
      this.cursor = [(event.clientX - box.x) / box.width, (event.clientY - box.y) / box.height];
      this.#ask(this.cursor);
    });
    overlay.addEventListener("keydown", (event) => {
      const step = ARROWS[event.key];
      if (step) this.cursor = [Math.min(1, Math.max(0, this.cursor[0] + step[0] * STEP)), Math.min(1, Math.max(0, this.cursor[1] + step[1] * STEP))];
      if (step || event.key === "Enter") {
        event.preventDefault();
        this.#ask(this.cursor);
      }
    });
    window.addEventListener("hashchange", () => this.follow());
  }
}

/** Units as links, with how unusual their activity is. @param {ActiveUnit[]} units */
function unitList(units) {
  return h("ol", { class: "active" }, units.map((row) => h("li", {},
    h("a", { href: `#unit=${row.layer}/${row.unit}` }, `${row.layer}/${row.unit}`),
    h("span", {}, row.label ?? "–"),
    h("span", { class: "small" }, `IoU ${number(row.iou ?? NaN, 2)}`),
    h("span", { class: "small" }, row.quantile >= 1 ? "as high as it gets" : `higher than on ${percent(row.quantile)}`))));
}

async function start() {
  const name = part("live", HTMLElement).dataset.study;
  const study = /** @type {Study[]} */ (await json("/api/studies")).find((each) => each.name === name);
  if (study) await new Inside(study).follow();
}

start().catch((error) => {
  part("told", HTMLElement).textContent = error.message;
});
