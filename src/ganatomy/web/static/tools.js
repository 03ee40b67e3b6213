// @ts-check
/** The tools: action, brush, size and strength. */

import { h, percent, put } from "./report/dom.js";
import { studyUrl, fetchJson } from "./api.js";
import { BrushList } from "./brushes.js";
import { OwnSets } from "./own_sets.js";
import { element } from "./page.js";
import { MeasuredSettings } from "./settings.js";

/** @typedef {import("./api.js").Stroke} Stroke */
/** @typedef {import("./api.js").Brush} Brush */
/** @typedef {import("./own_sets.js").OwnSet} OwnSet */
/** @typedef {{key: string, name: string, colour: string, concept: string | null, units: number[] | null, by: "best" | "all" | "ace" | "iou" | null, note: string, how: string, radius: number, first: boolean, example: string | null}} BrushChoice */

const MAX_UNITS = 60;
const OWN_COLOUR = "#858b95";
const CLONE_COLOUR = "#ff5fd2";

export class Tools {
  /** @param {HTMLFormElement} form @param {import("./api.js").Study} study */
  constructor(form, study) {
    this.form = form;
    this.study = study;
    this.api = studyUrl(study.name);
    this.sets = new OwnSets(study.name);
    /** Whether the size was chosen by hand, and no longer follows the brush. */
    this.ownSize = false;
    /** The layer that the steps were shown for. */
    this.stepsOf = "";
    /** @type {Map<string, string>} */
    this.colours = new Map();
    this.settings = new MeasuredSettings(this.api, () => this.#settingsChanged());
    this.list = new BrushList(this.#field("find"), this.settings, (choice) => { this.sets.remove(choice.name); this.load(this.layer); });
    put(this.#field("layer"), study.layers.map((layer) => h("option", { value: layer.name }, `${layer.name}: ${layer.units} units, ${layer.height} × ${layer.width}`)));
    element("clone-layers", HTMLElement).append(...study.layers.map(({ name }) => h("label", {}, h("input", { type: "checkbox", name: "clone-layer", value: name }), name)));
    const steps = element("steps", HTMLFieldSetElement);
    steps.hidden = steps.disabled = !study.steps; // a hidden field with a wrong value would stop the form
    for (const name of ["first-step", "last-step"]) this.#field(name).max = String(study.steps);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", (event) => this.#changed(event));
    element("add-set", HTMLButtonElement).addEventListener("click", () => this.#addSet());
  }

  /** The selected brush, if any. */
  get brush() {
    return this.list.brush;
  }

  /** The key of the selected brush. */
  get selected() {
    return this.list.selected;
  }

  /** The radius of the brush, as a share of the image's width. */
  get radius() {
    return Number(this.#field("size").value);
  }

  /** The selected layer. */
  get layer() {
    return this.#field("layer").value;
  }

  /** What a stroke does. @returns {"draw" | "remove" | "clone"} */
  get action() {
    return /** @type {"draw" | "remove" | "clone"} */ (new FormData(this.form).get("action"));
  }

  set action(action) {
    const radio = /** @type {HTMLInputElement | null} */ (this.form.querySelector(`[name=action][value=${action}]`));
    if (!radio || radio.checked) return;
    radio.checked = true;
    radio.dispatchEvent(new Event("input", { bubbles: true }));
  }

  /** @param {string | null} concept */
  colour(concept) {
    return (concept && this.colours.get(concept)) || OWN_COLOUR;
  }

  /** The colour of the path. */
  get pathColour() {
    return this.action === "clone" ? CLONE_COLOUR : this.brush?.colour ?? OWN_COLOUR;
  }

  /** The stroke of the brush along a path; null where something is missing. @param {[number, number][]} points @param {import("./api.js").CloneSource | null} source @returns {Stroke | null} */
  stroke(points, source) {
    const { brush, action, radius } = this;
    const power = Number(this.#field("strength").value);
    const strength = Math.min(1, power);
    if (action === "clone") {
      const layers = /** @type {string[]} */ (new FormData(this.form).getAll("clone-layer"));
      return source && { action, layer: null, concept: null, units: null, by: null, strength, multiple: 1, points, radius, source, ...this.#steps, ...(layers.length ? { layers } : {}) };
    }
    if (!brush) return null;
    const by = brush.units ? null : this.#by;
    const top = by === "ace" || by === "iou" ? { top: Number(this.#field("top").value) } : {};
    return { action, layer: this.layer, concept: brush.concept, units: brush.units, by, ...top, strength, multiple: action === "draw" ? Math.max(1, power) : 1, points, radius, ...this.#steps };
  }

  /** The steps at which a stroke edits, of a model that makes an image in steps. @returns {{at_steps?: string}} */
  get #steps() {
    const ends = ["first-step", "last-step"].map((name) => Math.min(Math.max(Math.round(Number(this.#field(name).value)), 1), this.study.steps));
    return this.study.steps ? { at_steps: `${Math.min(...ends)}..${Math.max(...ends)}` } : {};
  }

  /** Edit from the step of a layer on. @param {string} layer */
  #showSteps(layer) {
    this.#field("first-step").value = /@(\d+)$/.exec(layer)?.[1] ?? "1";
    this.#field("last-step").value = String(this.study.steps);
  }

  /** List the brushes of a layer, with one of them selected. @param {string} layer @param {string} [brush] */
  async load(layer, brush) {
    if (brush) this.list.selected = brush;
    if (layer !== this.stepsOf) this.#showSteps(layer);
    this.stepsOf = layer;
    this.#field("layer").value = layer;
    /** @type {Brush[]} */
    const brushes = await fetchJson(`${this.api}/layers/${encodeURIComponent(layer)}/brushes`);
    if (layer !== this.layer) return; // another layer was selected meanwhile
    for (const { concept, colour } of brushes) this.colours.set(concept, colour);
    const own = this.sets.all().filter((set) => set.layer === layer);
    const previous = this.brush;
    this.list.show([...own.map(ownChoice), ...brushes.map((each) => this.#choice(each))]);
    this.#field("top").max = String(Math.min(MAX_UNITS, this.study.layers.find((each) => each.name === layer)?.units ?? MAX_UNITS));
    if (this.brush?.key !== previous?.key || this.brush?.by !== previous?.by) this.#reset();
    this.#showValues();
  }

  /** @param {Brush} brush @returns {BrushChoice} */
  #choice({ concept, colour, by, iou, setting, radius, first }) {
    const note = by === "best" ? "measured" : by === "ace" ? "ACE" : `IoU ${iou.toFixed(2)}`;
    const example = `${this.api}/layers/${encodeURIComponent(this.layer)}/brushes/${encodeURIComponent(concept)}/example.png?by=${by}`;
    return { key: concept, name: concept, colour, concept, units: null, by, note, how: setting, radius, first, example };
  }

  async #settingsChanged() {
    const isNew = (/** @type {BrushChoice} */ choice) => choice.by !== "best" && this.settings.of(choice.concept)?.state === "measured";
    if (this.list.choices.some(isNew)) await this.load(this.layer);
    else this.list.showAbout();
  }

  /** @param {Event} event */
  async #changed({ target }) {
    if (!(target instanceof HTMLInputElement || target instanceof HTMLSelectElement)) return;
    if (target.name === "brush") this.list.select(target.value);
    if (target.name === "size") this.ownSize = true;
    if (target.name === "layer") await this.load(target.value);
    if (["action", "brush", "by"].includes(target.name)) this.#reset();
    this.#showValues();
  }

  /** How a stroke chooses units: as the expert says, else as the brush does; to remove, the server knows best. */
  get #by() {
    const chosen = /** @type {"ace" | "iou" | ""} */ (this.#field("by").value);
    return chosen || (this.action === "draw" ? this.brush?.by ?? null : null);
  }

  /** Whether strokes use a ranking, whose units need more than k to draw. */
  get #ranked() {
    return Boolean(this.brush?.units) || this.#by === "ace" || this.#by === "iou";
  }

  /** Set strength and size to the defaults of the brush. */
  #reset() {
    const strength = this.#field("strength");
    const drawing = this.action === "draw";
    strength.max = drawing ? "4" : "1";
    strength.value = drawing && this.#ranked ? "2" : "1";
    if (!this.ownSize) this.#field("size").value = String(this.brush?.radius ?? 0.1);
  }

  /** Show the value of each slider, and the parts of the form that the action needs. */
  #showValues() {
    /** @type {Record<string, (value: number) => string>} */
    const formats = { size: (value) => percent(2 * value), top: String, strength: (value) => (value > 1 ? `${value.toFixed(1)} ×` : percent(value)) };
    for (const [name, format] of Object.entries(formats)) {
      const field = this.#field(name);
      if (field.nextElementSibling) field.nextElementSibling.textContent = format(Number(field.value));
    }
    const { action, brush } = this;
    const isClone = action === "clone";
    this.#field("top").disabled = Boolean(brush?.units) || !this.#ranked;
    element("concepts", HTMLElement).hidden = isClone;
    element("about-brush", HTMLElement).hidden = action !== "draw"; // what is measured is drawing
    for (const id of ["clone", "clone-layers"]) element(id, HTMLElement).hidden = !isClone;
    const whole = element("whole", HTMLButtonElement);
    whole.hidden = isClone || !brush;
    whole.textContent = action === "draw" ? `Draw ${brush?.name} in the whole image` : `Remove ${brush?.name} from the whole image`;
  }

  #addSet() {
    const text = this.#field("units").value;
    const units = [...new Set(text.split(/[\s,;]+/).filter(Boolean).map(Number))];
    const count = this.study.layers.find((layer) => layer.name === this.layer)?.units ?? 0;
    const invalid = units.find((unit) => !Number.isInteger(unit) || unit < 0 || unit >= count);
    this.#field("units").setCustomValidity(!units.length || invalid !== undefined ? `Give numbers from 0 to ${count - 1}, with commas between them.` : "");
    if (!this.form.reportValidity()) return;
    this.sets.save({ name: `units ${units.join(", ")}`, layer: this.layer, units });
    this.load(this.layer, `own units ${units.join(", ")}`);
  }

  /** @param {string} name @returns {HTMLInputElement} */
  #field(name) {
    return /** @type {HTMLInputElement} */ (this.form.elements.namedItem(name));
  }
}

/** @param {OwnSet} set @returns {BrushChoice} */
function ownChoice({ name, units }) {
  const note = `${units.length} own units`;
  return { key: `own ${name}`, name, colour: OWN_COLOUR, concept: null, units, by: null, note, how: note, radius: 0.1, first: true, example: null };
}
