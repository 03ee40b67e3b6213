// @ts-check
/** The brush: what it draws or removes, with which units, how wide and how strongly. */

import { h, percent, put } from "/static/report/dom.js";
import { base, json } from "./api.js";
import { kept } from "./parts.js";

/** @typedef {import("./api.js").Stroke} Stroke */
/** @typedef {import("./api.js").Brush} Brush */
/** @typedef {{name: string, layer: string, units: number[]}} OwnSet */
/** @typedef {{key: string, name: string, colour: string, concept: string | null, units: number[] | null, note: string, measured: boolean}} Choice */

const SHOWN = 24;
const MOST_UNITS = 60;
const OWN_COLOUR = "#858b95";

/** Sets of units that a person has named, kept in this browser. */
export class OwnSets {
  /** @param {string} study */
  constructor(study) {
    this.key = `ganatomy sets ${study}`;
  }

  /** @returns {OwnSet[]} */
  all() {
    try {
      const sets = JSON.parse(kept.read(this.key) ?? "[]");
      return Array.isArray(sets) ? sets.filter((set) => typeof set?.name === "string" && Array.isArray(set.units)) : [];
    } catch {
      return [];
    }
  }

  /** @param {OwnSet} set one of the same name is replaced */
  keep(set) {
    this.drop(set.name);
    kept.write(this.key, JSON.stringify([...this.all(), set]));
  }

  /** @param {string} name */
  drop(name) {
    kept.write(this.key, JSON.stringify(this.all().filter((set) => set.name !== name)));
  }
}

export class Tools {
  /** @param {HTMLFormElement} form @param {import("./api.js").Study} study */
  constructor(form, study) {
    this.form = form;
    this.study = study;
    this.sets = new OwnSets(study.name);
    /** @type {Choice[]} */
    this.choices = [];
    /** @type {Map<string, string>} */
    this.colours = new Map();
    this.chosen = "";
    put(this.#field("layer"), study.layers.map((layer) => h("option", { value: layer.name }, `${layer.name}: ${layer.units} units, ${layer.height} × ${layer.width}`)));
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", (event) => this.#changed(event));
    document.getElementById("add-set")?.addEventListener("click", () => this.#addSet());
  }

  /** The brush that is chosen, if any. @returns {Choice | undefined} */
  get brush() {
    return this.choices.find((choice) => choice.key === this.chosen);
  }

  /** Of the brush, as a share of the image's width. */
  get radius() {
    return Number(this.#field("size").value);
  }

  /** The layer that is painted at. */
  get layer() {
    return this.#field("layer").value;
  }

  /** @param {string | null} concept */
  colour(concept) {
    return (concept && this.colours.get(concept)) || OWN_COLOUR;
  }

  /** The stroke that the brush makes along a path; null without a brush. @param {[number, number][]} points @returns {Stroke | null} */
  stroke(points) {
    const { brush } = this;
    if (!brush) return null;
    const force = Number(this.#field("force").value);
    const action = this.#action();
    return {
      action,
      layer: this.layer,
      concept: brush.concept,
      units: brush.units,
      by: /** @type {"best" | "ace" | "iou" | null} */ (this.#field("by").value || (this.#measured ? "best" : null)),
      top: Number(this.#field("top").value),
      strength: Math.min(1, force),
      multiple: action === "draw" ? Math.max(1, force) : 1,
      points,
      radius: this.radius,
    };
  }

  /** Show what can be painted at a layer, with one brush chosen. @param {string} layer @param {string} [brush] */
  async load(layer, brush) {
    if (brush) this.chosen = brush;
    this.#field("layer").value = layer;
    /** @type {Brush[]} */
    const brushes = await json(`${base(this.study.name)}/layers/${encodeURIComponent(layer)}/brushes`);
    if (layer !== this.layer) return; // another has been chosen meanwhile
    for (const { concept, colour } of brushes) this.colours.set(concept, colour);
    const own = this.sets.all().filter((set) => set.layer === layer);
    this.choices = [
      ...own.map((set) => ({ key: `own ${set.name}`, name: set.name, colour: OWN_COLOUR, concept: null, units: set.units, note: `${set.units.length} own units`, measured: false })),
      ...brushes.map(({ concept, colour, by, iou }) => ({ key: concept, name: concept, colour, concept, units: null, note: by === "best" ? "measured" : by === "ace" ? "ACE" : `IoU ${iou.toFixed(2)}`, measured: by === "best" })),
    ];
    this.#field("top").max = String(Math.min(MOST_UNITS, this.study.layers.find((each) => each.name === layer)?.units ?? MOST_UNITS));
    if (!this.brush) this.chosen = this.choices[0]?.key ?? "";
    this.#suit();
    this.#field("find").hidden = this.choices.length <= SHOWN;
    this.#show();
    this.#tell();
  }

  #show() {
    const word = this.#field("find").value.trim().toLowerCase();
    const fitting = this.choices.filter((choice) => choice.key === this.chosen || choice.name.toLowerCase().includes(word));
    const shown = word ? fitting : fitting.slice(0, SHOWN);
    const list = document.getElementById("brushes");
    if (!list) return;
    put(list, shown.map((choice) => h("label", {},
      h("input", { type: "radio", name: "brush", value: choice.key, checked: choice.key === this.chosen }),
      h("i", { class: "swatch", style: `background:${choice.colour}` }),
      h("span", {}, choice.name), h("small", {}, choice.note),
      choice.key.startsWith("own ") && h("button", { type: "button", "aria-label": `Forget ${choice.name}`, click: () => { this.sets.drop(choice.name); this.load(this.layer); } }, "×"))),
    shown.length ? null : h("p", { class: "small" }, this.choices.length ? "No such brush." : "No unit of this layer draws anything that the study knows."));
  }

  /** @param {Event} event */
  async #changed(event) {
    const { target } = event;
    if (!(target instanceof HTMLInputElement || target instanceof HTMLSelectElement)) return;
    const measured = this.#measured;
    if (target.name === "brush") this.chosen = target.value;
    if (target.name === "find") this.#show();
    if (target.name === "layer") await this.load(target.value);
    if (target.name === "action" || this.#measured !== measured) this.#suit();
    this.#tell();
  }

  /** Whether strokes draw with the measured setting of the brush: its units, its layers, its strength. */
  get #measured() {
    return Boolean(this.brush?.measured) && this.#action() === "draw" && !this.#field("by").value;
  }

  /** Remove no more than all of a unit; draw with what was measured, else with what most models take: twice its usual strength. */
  #suit() {
    const force = this.#field("force");
    const drawing = this.#action() === "draw";
    force.max = drawing ? "4" : "1";
    force.value = drawing && !this.#measured ? "2" : "1";
  }

  /** Say beside each slider what it is at. */
  #tell() {
    /** @type {Record<string, (value: number) => string>} */
    const words = { size: (value) => percent(2 * value), top: String, force: (value) => (value > 1 ? `${value.toFixed(1)} ×` : percent(value)) };
    for (const [name, say] of Object.entries(words)) {
      const field = this.#field(name);
      if (field.nextElementSibling) field.nextElementSibling.textContent = say(Number(field.value));
    }
    const { brush } = this;
    this.#field("top").disabled = (brush?.units !== null && brush !== undefined) || this.#measured;
  }

  #addSet() {
    const text = this.#field("units").value;
    const units = [...new Set(text.split(/[\s,;]+/).filter(Boolean).map(Number))];
    const most = this.study.layers.find((layer) => layer.name === this.layer)?.units ?? 0;
    const bad = units.find((unit) => !Number.isInteger(unit) || unit < 0 || unit >= most);
    this.#field("units").setCustomValidity(!units.length || bad !== undefined ? `Give numbers from 0 to ${most - 1}, with commas between them.` : "");
    if (!this.form.reportValidity()) return;
    this.sets.keep({ name: `units ${units.join(", ")}`, layer: this.layer, units });
    this.chosen = `own units ${units.join(", ")}`;
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
