// @ts-check
/** The settings of the brush: action, units, size and strength. */

import { h, percent, put } from "/static/report/dom.js";
import { studyUrl, fetchJson } from "./api.js";
import { storage } from "./page.js";

/** @typedef {import("./api.js").Stroke} Stroke */
/** @typedef {import("./api.js").Brush} Brush */
/** @typedef {{name: string, layer: string, units: number[]}} OwnSet */
/** @typedef {{key: string, name: string, colour: string, concept: string | null, units: number[] | null, note: string, measured: boolean}} BrushChoice */

const MAX_LISTED = 24;
const MAX_UNITS = 60;
const OWN_COLOUR = "#858b95";

/** Sets of units with names, stored in the browser. */
export class OwnSets {
  /** @param {string} study */
  constructor(study) {
    this.key = `ganatomy sets ${study}`;
  }

  /** @returns {OwnSet[]} */
  all() {
    try {
      const sets = JSON.parse(storage.read(this.key) ?? "[]");
      return Array.isArray(sets) ? sets.filter((set) => typeof set?.name === "string" && Array.isArray(set.units)) : [];
    } catch {
      return [];
    }
  }

  /** @param {OwnSet} set replaces a set of the same name */
  save(set) {
    this.remove(set.name);
    storage.write(this.key, JSON.stringify([...this.all(), set]));
  }

  /** @param {string} name */
  remove(name) {
    storage.write(this.key, JSON.stringify(this.all().filter((set) => set.name !== name)));
  }
}

export class Tools {
  /** @param {HTMLFormElement} form @param {import("./api.js").Study} study */
  constructor(form, study) {
    this.form = form;
    this.study = study;
    this.sets = new OwnSets(study.name);
    /** @type {BrushChoice[]} */
    this.choices = [];
    /** @type {Map<string, string>} */
    this.colours = new Map();
    this.selected = "";
    put(this.#field("layer"), study.layers.map((layer) => h("option", { value: layer.name }, `${layer.name}: ${layer.units} units, ${layer.height} × ${layer.width}`)));
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", (event) => this.#changed(event));
    document.getElementById("add-set")?.addEventListener("click", () => this.#addSet());
  }

  /** The selected brush, if any. @returns {BrushChoice | undefined} */
  get brush() {
    return this.choices.find((choice) => choice.key === this.selected);
  }

  /** The radius of the brush, as a share of the image's width. */
  get radius() {
    return Number(this.#field("size").value);
  }

  /** The selected layer. */
  get layer() {
    return this.#field("layer").value;
  }

  /** @param {string | null} concept */
  colour(concept) {
    return (concept && this.colours.get(concept)) || OWN_COLOUR;
  }

  /** The stroke of the brush along a path; null without a brush. @param {[number, number][]} points @returns {Stroke | null} */
  stroke(points) {
    const { brush } = this;
    if (!brush) return null;
    const strength = Number(this.#field("strength").value);
    const action = this.#action();
    return {
      action,
      layer: this.layer,
      concept: brush.concept,
      units: brush.units,
      by: /** @type {"best" | "ace" | "iou" | null} */ (this.#field("by").value || (this.#measured ? "best" : null)),
      top: Number(this.#field("top").value),
      strength: Math.min(1, strength),
      multiple: action === "draw" ? Math.max(1, strength) : 1,
      points,
      radius: this.radius,
    };
  }

  /** List the brushes of a layer, with one of them selected. @param {string} layer @param {string} [brush] */
  async load(layer, brush) {
    if (brush) this.selected = brush;
    this.#field("layer").value = layer;
    /** @type {Brush[]} */
    const brushes = await fetchJson(`${studyUrl(this.study.name)}/layers/${encodeURIComponent(layer)}/brushes`);
    if (layer !== this.layer) return; // another layer was selected meanwhile
    for (const { concept, colour } of brushes) this.colours.set(concept, colour);
    const own = this.sets.all().filter((set) => set.layer === layer);
    this.choices = [
      ...own.map((set) => ({ key: `own ${set.name}`, name: set.name, colour: OWN_COLOUR, concept: null, units: set.units, note: `${set.units.length} own units`, measured: false })),
      ...brushes.map(({ concept, colour, by, iou }) => ({ key: concept, name: concept, colour, concept, units: null, note: by === "best" ? "measured" : by === "ace" ? "ACE" : `IoU ${iou.toFixed(2)}`, measured: by === "best" })),
    ];
    this.#field("top").max = String(Math.min(MAX_UNITS, this.study.layers.find((each) => each.name === layer)?.units ?? MAX_UNITS));
    if (!this.brush) this.selected = this.choices[0]?.key ?? "";
    this.#resetStrength();
    this.#field("find").hidden = this.choices.length <= MAX_LISTED;
    this.#list();
    this.#showValues();
  }

  #list() {
    const word = this.#field("find").value.trim().toLowerCase();
    const matching = this.choices.filter((choice) => choice.key === this.selected || choice.name.toLowerCase().includes(word));
    const shown = word ? matching : matching.slice(0, MAX_LISTED);
    const list = document.getElementById("brushes");
    if (!list) return;
    put(list, shown.map((choice) => h("label", {},
      h("input", { type: "radio", name: "brush", value: choice.key, checked: choice.key === this.selected }),
      h("i", { class: "swatch", style: `background:${choice.colour}` }),
      h("span", {}, choice.name), h("small", {}, choice.note),
      choice.key.startsWith("own ") && h("button", { type: "button", "aria-label": `Forget ${choice.name}`, click: () => { this.sets.remove(choice.name); this.load(this.layer); } }, "×"))),
    shown.length ? null : h("p", { class: "small" }, this.choices.length ? "No brush has this name." : "No unit of this layer draws a concept of the study."));
  }

  /** @param {Event} event */
  async #changed(event) {
    const { target } = event;
    if (!(target instanceof HTMLInputElement || target instanceof HTMLSelectElement)) return;
    const measured = this.#measured;
    if (target.name === "brush") this.selected = target.value;
    if (target.name === "find") this.#list();
    if (target.name === "layer") await this.load(target.value);
    if (target.name === "action" || this.#measured !== measured) this.#resetStrength();
    this.#showValues();
  }

  /** Whether strokes use the measured setting of the brush: units, layers and strength. */
  get #measured() {
    return Boolean(this.brush?.measured) && this.#action() === "draw" && !this.#field("by").value;
  }

  /** Set the strength to its default: 1 to remove or with a measured setting, else 2, which works for most models. */
  #resetStrength() {
    const strength = this.#field("strength");
    const drawing = this.#action() === "draw";
    strength.max = drawing ? "4" : "1";
    strength.value = drawing && !this.#measured ? "2" : "1";
  }

  /** Show the value of each slider. */
  #showValues() {
    /** @type {Record<string, (value: number) => string>} */
    const formats = { size: (value) => percent(2 * value), top: String, strength: (value) => (value > 1 ? `${value.toFixed(1)} ×` : percent(value)) };
    for (const [name, format] of Object.entries(formats)) {
      const field = this.#field(name);
      if (field.nextElementSibling) field.nextElementSibling.textContent = format(Number(field.value));
    }
    const { brush } = this;
    this.#field("top").disabled = (brush?.units !== null && brush !== undefined) || this.#measured;
  }

  #addSet() {
    const text = this.#field("units").value;
    const units = [...new Set(text.split(/[\s,;]+/).filter(Boolean).map(Number))];
    const count = this.study.layers.find((layer) => layer.name === this.layer)?.units ?? 0;
    const invalid = units.find((unit) => !Number.isInteger(unit) || unit < 0 || unit >= count);
    this.#field("units").setCustomValidity(!units.length || invalid !== undefined ? `Give numbers from 0 to ${count - 1}, with commas between them.` : "");
    if (!this.form.reportValidity()) return;
    this.sets.save({ name: `units ${units.join(", ")}`, layer: this.layer, units });
    this.selected = `own units ${units.join(", ")}`;
    this.load(this.layer);
  }

  /** @returns {"draw" | "remove"} */
  #action() {
    return new FormData(this.form).get("action") === "remove" ? "remove" : "draw";
  }

  /** @param {string} name @returns {HTMLInputElement} */
  #field(name) {
    return /** @type {HTMLInputElement} */ (this.form.elements.namedItem(name));
  }
}
