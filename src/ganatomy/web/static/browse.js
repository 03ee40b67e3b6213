// @ts-check
/** Inside an image: where a unit is on, what goes without it, which units are active where one clicks. */

import { h, number, percent, put } from "/static/report/dom.js";
import { base, image, json } from "./api.js";
import { fit } from "./canvas.js";
import { showChanges } from "./changes.js";
import { encode } from "./link.js";
import { guarded, part, person, pictureNumber } from "./parts.js";
import { OwnSets } from "./tools.js";

/** @typedef {import("./api.js").ActiveUnit} ActiveUnit */
/** @typedef {import("./api.js").Study} Study */
/** @typedef {[number, number]} Point */

const STEP = 1 / 32;
const GLOW = [255, 225, 77];
const BEST = 20;
const LIT = 4;
const MOST_PICKED = 16;
/** @type {Record<string, Point>} */
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * What the address names: a unit, or a concept with the units of the layer that are best for it.
 * @typedef {{key: string, layer: string, units: number[], without: string}} Subject
 */

class Inside {
  /** @param {Study} study */
  constructor(study) {
    this.study = study;
    this.api = base(study.name);
    this.sets = new OwnSets(study.name);
    this.id = 0;
    /** @type {Subject | null} */
    this.subject = null;
    /** What is shown is of the newest request only. */
    this.request = 0;
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
  follow() {
    return guarded("address", async () => {
      this.subject = null;
      await this.#colours();
      try {
        this.subject = await this.#named(new URLSearchParams(window.location.hash.slice(1)));
      } finally {
        await this.#picture();
      }
    });
  }

  /** @param {URLSearchParams} address @returns {Promise<Subject | null>} */
  async #named(address) {
    const concept = address.get("concept");
    const key = address.get("unit") ?? "";
    const slash = key.lastIndexOf("/");
    const known = this.study.layers.find((each) => each.name === key.slice(0, slash));
    if (known && Number(key.slice(slash + 1)) < known.units) {
      part("layer", HTMLSelectElement).value = known.name;
      return { key, layer: known.name, units: [Number(key.slice(slash + 1))], without: `Without ${key}` };
    }
    if (!concept) return null;
    const { layer } = this;
    const ranking = await json(`${this.#at(layer)}/ranking?concept=${encodeURIComponent(concept)}&top=${BEST}`);
    const by = ranking.by === "ace" ? "ACE" : "IoU";
    return { key: concept, layer, units: ranking.units, without: `Without the ${ranking.units.length} units of ${layer} that are best for ${concept} (${by})` };
  }

  /** The address of a layer. @param {string} layer */
  #at(layer) {
    return `${this.api}/layers/${encodeURIComponent(layer)}`;
  }

  async #colours() {
    for (const brush of await json(`${this.#at(this.layer)}/brushes`)) this.colours.set(brush.concept, brush.colour);
  }

  /** @param {number} id */
  async goTo(id) {
    this.id = pictureNumber(id);
    part("id", HTMLInputElement).value = String(this.id);
    put(part("found", HTMLElement));
    await guarded("picture", () => this.#picture());
  }

  async #picture() {
    const request = ++this.request;
    const { id, subject } = this;
    const bitmap = await image(`${this.api}/images/${id}.png`);
    const lit = subject ? await Promise.all(subject.units.slice(0, LIT).map((unit) => image(`${this.#at(subject.layer)}/units/${unit}/map.png?id=${id}`))) : [];
    if (request !== this.request) return;
    const canvas = part("picture", HTMLCanvasElement);
    fit(canvas, bitmap.width, bitmap.height);
    canvas.getContext("2d")?.drawImage(bitmap, 0, 0);
    this.#glow(lit);
    part("pick", HTMLButtonElement).setAttribute("aria-pressed", String(this.picked.has(id)));
    this.#ownSet();
    this.#showPicked();
    await this.#about(request);
    if (request === this.request) document.body.dataset.live = `${id} ${subject?.key ?? ""}`;
  }

  /** Let units glow over the image: each place as its most active one. @param {ImageBitmap[]} maps */
  #glow(maps) {
    const overlay = part("overlay", HTMLCanvasElement);
    Object.assign(overlay, { width: this.study.width, height: this.study.height });
    const context = overlay.getContext("2d", { willReadFrequently: true });
    if (!maps.length || !context) return;
    context.globalCompositeOperation = "lighten";
    for (const map of maps) context.drawImage(map, 0, 0);
    const pixels = context.getImageData(0, 0, overlay.width, overlay.height);
    for (let i = 0; i < pixels.data.length; i += 4) {
      const share = pixels.data[i] / 255; // of the greatest activation of the sample, which few places come near
      pixels.data.set([...GLOW, 230 * Math.sqrt(share)], i);
    }
    context.putImageData(pixels, 0, 0);
  }

  /** Show the image without the units, what that changed, and what people say. @param {number} request */
  async #about(request) {
    const place = part("about-unit", HTMLElement);
    const { id, subject } = this;
    if (!subject) return put(place);
    const { layer, units } = subject;
    const asked = { id, strokes: [{ action: "remove", layer, units, points: [] }] };
    const [without, told] = await Promise.all([image(`${this.api}/paint`, asked), json(`${this.api}/changes`, asked)]);
    if (request !== this.request) return undefined;
    const canvas = h("canvas", { role: "img", "aria-label": subject.without, width: without.width, height: without.height });
    canvas.getContext("2d").drawImage(without, 0, 0);
    const changes = h("div");
    showChanges(changes, told, this);
    const said = h("div", { id: "said" });
    put(place,
      h("h3", {}, subject.without),
      units.length > 1 && h("ul", { class: "chips", "aria-label": "These units, best first" }, units.map((unit) => h("li", {}, h("a", { href: `#unit=${layer}/${unit}` }, String(unit))))),
      units.length > 1 && h("p", { class: "small" }, `The best ${Math.min(LIT, units.length)} glow over the image.`),
      h("div", { class: "without" }, canvas, changes),
      h("button", { type: "button", id: "add", click: () => this.#add(layer, units) }, units.length > 1 ? "Add them to my set" : "Add to my set"),
      said);
    return units.length === 1 ? this.#people(said, layer, units[0]) : undefined;
  }

  /** What people say of a unit, and a flag to set. @param {HTMLElement} place @param {string} layer @param {number} unit */
  async #people(place, layer, unit) {
    const said = await json(`${this.#at(layer)}/units/${unit}/said`).catch(() => null);
    if (!said) return; // this server keeps no annotations
    const name = h("input", { type: "text", "aria-label": "Your name", placeholder: "your name", maxlength: 100, autocomplete: "nickname", required: true, value: person.name() });
    /** @param {boolean} artifact */
    const flag = (artifact) => name.reportValidity() && guarded("flag", async () => {
      person.is(name.value.trim());
      await json(`${this.api}/flags`, { layer, unit, rater: name.value.trim(), artifact });
      await this.#people(place, layer, unit);
    });
    const flagged = said.flags.filter((/** @type {[string, boolean]} */ [, artifact]) => artifact).length;
    put(place,
      h("h3", {}, "What people say"),
      said.labels.length > 0 && h("p", { class: "small" }, said.labels.map((/** @type {[string, string]} */ [who, words]) => `${words} (${who})`).join(", ")),
      h("p", { class: "small" }, said.flags.length ? `Flagged as an artifact by ${flagged} of ${said.flags.length} who looked.` : "Nobody has said yet whether it is an artifact."),
      h("div", { class: "row" }, name,
        h("button", { type: "button", id: "flag", click: () => flag(true) }, "Flag as artifact"),
        h("button", { type: "button", id: "fine", click: () => flag(false) }, "It is fine")));
  }

  /** @param {string} layer @param {number[]} units */
  #add(layer, units) {
    const before = this.own.layer === layer ? this.own.units : [];
    this.own = { layer, units: [...new Set([...before, ...units])] };
    this.#ownSet();
  }

  /** The set that is being built: its units, and a name for it. */
  #ownSet() {
    const { layer, units } = this.own;
    const place = part("own-set", HTMLElement);
    if (!units.length) return put(place);
    const name = h("input", { type: "text", "aria-label": "Name of the set", placeholder: "a name", maxlength: 60 });
    const keep = async () => {
      const called = name.value.trim() || `units ${units.slice(0, 6).join(", ")}${units.length > 6 ? ` … (${units.length})` : ""}`;
      this.sets.keep({ name: called, layer, units: [...units] });
      this.own = { layer, units: [] };
      const address = await encode({ id: this.id, layer, brush: `own ${called}`, strokes: [] });
      put(place, h("p", { class: "small" }, `Kept: ${called} is a brush now. `, h("a", { href: `/paint/${encodeURIComponent(this.study.name)}#${address}` }, "Paint with it")));
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
    if (asked.id === this.id) put(part("found", HTMLElement),
      h("h3", {}, "Units that explain this place: ", concepts.length ? h("em", {}, concepts.join(", ")) : "nothing that the segmenter knows"),
      unitList(units));
  }

  #showPicked() {
    const place = part("picked", HTMLElement);
    if (!this.picked.size) return put(place);
    const ids = [...this.picked];
    const answer = h("div", { "aria-live": "polite" });
    const ask = () => guarded("common", async () => put(answer, unitList(await json(`${this.api}/common`, { ids, layer: this.layer, top: 12 }))));
    return put(place,
      h("h3", {}, `Picked: ${ids.length}`),
      h("div", { class: "film" }, ids.map((id) => h("button", { type: "button", "aria-label": `Image ${id}`, click: () => this.goTo(id) },
        h("img", { alt: "", src: `${this.api}/images/${id}.png`, width: this.study.width, height: this.study.height })))),
      h("button", { type: "button", id: "common", click: ask }, `Which units of ${this.layer} light up in all of them?`), answer);
  }

  #listen() {
    part("previous", HTMLButtonElement).addEventListener("click", () => this.goTo(this.id - 1));
    part("next", HTMLButtonElement).addEventListener("click", () => this.goTo(this.id + 1));
    const id = part("id", HTMLInputElement);
    id.addEventListener("change", () => this.goTo(Number(id.value)));
    part("pick", HTMLButtonElement).addEventListener("click", () => {
      if (!this.picked.delete(this.id) && this.picked.size < MOST_PICKED) this.picked.add(this.id);
      part("pick", HTMLButtonElement).setAttribute("aria-pressed", String(this.picked.has(this.id)));
      this.#showPicked();
    });
    part("layer", HTMLSelectElement).addEventListener("change", () => {
      if (this.subject && !window.location.hash.includes("unit=")) this.follow(); // a concept has other units there
      else guarded("layer", () => this.#colours());
      put(part("found", HTMLElement));
      this.#showPicked();
    });
    const overlay = part("overlay", HTMLCanvasElement);
    overlay.addEventListener("click", (event) => {
      const box = overlay.getBoundingClientRect();
      this.cursor = [(event.clientX - box.x) / box.width, (event.clientY - box.y) / box.height];
      guarded("active", () => this.#ask(this.cursor));
    });
    overlay.addEventListener("keydown", (event) => {
      const step = ARROWS[event.key];
      if (step) this.cursor = [Math.min(1, Math.max(0, this.cursor[0] + step[0] * STEP)), Math.min(1, Math.max(0, this.cursor[1] + step[1] * STEP))];
      if (step || event.key === "Enter") {
        event.preventDefault();
        guarded("active", () => this.#ask(this.cursor));
      }
    });
    window.addEventListener("hashchange", () => this.follow());
  }
}

/** Units as links, with how unusual their activity is. @param {ActiveUnit[]} units */
function unitList(units) {
  return h("ol", { class: "active" }, units.map((row) => h("li", {},
    h("a", { href: `#unit=${row.layer}/${row.unit}` }, `${row.layer}/${row.unit}`),
    row.label ? h("span", {}, row.label, row.matched ? "" : h("small", {}, " (not matched)")) : h("span", { class: "missing" }, "unlabelled"),
    h("span", { class: "small" }, `IoU ${number(row.iou ?? NaN, 2)}`),
    h("span", { class: "small" }, row.quantile >= 1 ? "as high as it gets" : `higher than on ${percent(row.quantile)}`))));
}

async function start() {
  const name = part("live", HTMLElement).dataset.study;
  const study = /** @type {Study[]} */ (await json("/api/studies")).find((each) => each.name === name);
  if (study) await new Inside(study).follow();
}

guarded("start", start);
