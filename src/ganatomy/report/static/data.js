/** The data of the page: tables as columns, images as sprite sheets, regions as bits. */

import { range } from "./dom.js";
import { bitmap, inflate, unpack } from "./packs.js";

const UNIT_NUMBERS = ["iou", "control", "iqr", "fraction", "threshold", "accuracy", "on", "greatest"];
const PAIR_NUMBERS = ["iou", "control", "iqr", "threshold", "accuracy"];
const INTERPRETABLE = 1;
const MATCHED = 2;
const UNKNOWN = 65535;
const STEP = 65534;

/** Read the tables of units and of their images; resolves to a Model. */
export async function load() {
  const facts = JSON.parse(document.getElementById("data").textContent);
  const [units, strips] = await Promise.all([unpack("units-pack", facts.units), unpack("strips-pack", facts.strips)]);
  return new Model(facts, { ...units, ...strips });
}

function readFlags(flags) {
  return { interpretable: (flags & INTERPRETABLE) > 0, matched: (flags & MATCHED) > 0 };
}

/** Set the chance level (the share of the concept) and the lift over it for a unit or a pair. */
function addLift(pair) {
  pair.chance = pair.concept?.share ?? NaN;
  pair.lift = pair.chance > 0 ? pair.iou / pair.chance : NaN;
  return pair;
}

/** The result of `make`, which runs once per key; after a failure it runs again. */
async function cached(cache, key, make) {
  if (!cache.has(key)) {
    cache.set(key, make());
    try {
      cache.set(key, await cache.get(key));
    } catch (error) {
      cache.delete(key);
      throw error;
    }
  }
  return cache.get(key);
}

class Model {
  /** The prompt of an image, after a separator; empty where the model has none. */
  promptText(image) {
    const prompt = this.prompts[image.id % this.prompts.length];
    return prompt ? ` · ${prompt}` : "";
  }

  constructor(facts, arrays) {
    this.facts = facts;
    this.layers = facts.layers;
    this.concepts = facts.concepts;
    this.scale = facts.scale;
    this.sprites = facts.sprites;
    this.prompts = facts.prompts ?? [];
    this.arrays = arrays;
    this.sheets = new Map();
    this.regions = new Map();
    this.loaded = new Map();
    this.concepts.forEach((concept, index) => { concept.index = index; });
    this.conceptByKey = new Map(this.concepts.map((concept) => [concept.key, concept]));
    /** For each concept that a unit is matched to: the one that leads its fold, then the others. */
    this.folds = new Map();
    this.foldOrder = [];
    for (const fold of facts.folds.map((numbers) => numbers.map((i) => this.concepts[i]))) {
      for (const concept of fold) this.folds.set(concept, fold);
      this.foldOrder.push(...fold);
    }
    this.units = this.readUnits();
    this.unitByKey = new Map(this.units.map((unit) => [unit.key, unit]));
  }

  /** Read the pairs, which all views but the overview need. */
  async readPairs() {
    Object.assign(this.arrays, await unpack("pairs-pack", this.facts.pairs));
    const [units, concepts, flags] = ["unit", "concept", "flags"].map((name) => this.values(`pair.${name}`));
    for (let i = 0; i < flags.length; i++) {
      if (flags[i] & MATCHED) this.units[units[i]].matches.add(this.concepts[concepts[i]]);
    }
  }

  /** Load the data of a unit's page. */
  async fetchUnit(unit) {
    await Promise.all([
      this.fetch(this.topImages(unit)),
      cached(this.loaded, "curves", () => this.readCurves()),
      cached(this.loaded, "histograms", () => unpack("histograms-pack", this.facts.histograms)),
    ]);
  }

  /** Load the sheets and regions of these images of a unit. */
  async fetch(images) {
    const sheets = new Set(images.map((image) => this.sheetOf(image.tile)));
    const regions = new Set(images.map((image) => this.regionsOf(image.strip)));
    await Promise.all([
      ...Array.from(sheets, (i) => cached(this.sheets, i, () => bitmap(`sheet-${i}`))),
      ...Array.from(regions, (i) => cached(this.regions, i, () => inflate(`regions-${i}`))),
    ]);
  }

  sheetOf(tile) {
    return Math.floor(tile / this.sprites.capacity);
  }

  regionsOf(strip) {
    return Math.floor(strip / this.facts.regions.strips);
  }

  values(name) {
    return this.arrays[name].values;
  }

  readUnits() {
    const [layer, number, label, flags] = ["layer", "number", "label", "flags"].map((name) => this.values(`unit.${name}`));
    const strips = new Map(Array.from(this.values("strip.unit"), (row, strip) => [row, strip]));
    return range(layer.length).map((i) => {
      const unit = { index: i, layer: this.layers[layer[i]].name, depth: layer[i], number: number[i] };
      unit.key = `${unit.layer}/${unit.number}`;
      const word = this.layers[layer[i]].unit_names?.[number[i]];
      unit.name = word ? `${unit.number} (${word})` : `${unit.number}`;
      unit.concept = label[i] ? this.concepts[label[i]] : null;
      Object.assign(unit, readFlags(flags[i]));
      unit.matches = new Set();
      unit.strip = strips.get(i);
      for (const name of UNIT_NUMBERS) unit[name] = this.values(`unit.${name}`)[i];
      return addLift(unit);
    });
  }

  /** The pairs of a unit, best first. */
  pairsOf(unit) {
    return this.pairsWhere("pair.unit", (index) => index === unit.index);
  }

  /** The pairs of the units of a layer, best first. */
  pairsOfLayer(layer) {
    return this.pairsWhere("pair.unit", (index) => this.units[index].layer === layer.name);
  }

  /** The pairs of a concept, best first. */
  pairsWith(concept) {
    return this.pairsWhere("pair.concept", (index) => index === concept.index);
  }

  pairsWhere(column, fits) {
    const [units, concepts, flags] = ["unit", "concept", "flags"].map((name) => this.values(`pair.${name}`));
    const pairs = [];
    this.values(column).forEach((value, i) => {
      if (!fits(value)) return;
      const pair = { unit: this.units[units[i]], concept: this.concepts[concepts[i]], ...readFlags(flags[i]) };
      for (const name of PAIR_NUMBERS) pair[name] = this.values(`pair.${name}`)[i];
      pairs.push(addLift(pair));
    });
    return pairs.sort((a, b) => b.iou - a.iou);
  }

  async readCurves() {
    Object.assign(this.arrays, await unpack("curves-pack", this.facts.curves));
    const [units, concepts] = [this.values("curve.unit"), this.values("curve.concept")];
    const curves = new Map();
    range(units.length).forEach((i) => {
      if (!curves.has(units[i])) curves.set(units[i], new Map());
      curves.get(units[i]).set(concepts[i], i);
    });
    return curves;
  }

  /** The histogram of a unit that `fetchUnit` has loaded: where it begins and ends, and the share of the pixels in each bin. */
  histogram(unit) {
    const arrays = this.loaded.get("histograms");
    const { values, shape } = arrays["histogram.shares"];
    const [low, high] = ["low", "high"].map((name) => arrays[`histogram.${name}`].values[unit.index]);
    return { low, high, shares: range(shape[1]).map((i) => values[unit.index * shape[1] + i] / STEP) };
  }

  /** The concepts with a curve in the page, for a unit. */
  curveConcepts(unit) {
    return Array.from(this.loaded.get("curves").get(unit.index)?.keys() ?? [], (index) => this.concepts[index]);
  }

  /** The curve of a pair: fraction, iou and iqr for each level, NaN where not counted, and the chosen level. */
  curve(unit, concept) {
    const i = this.loaded.get("curves").get(unit.index).get(concept.index);
    const { values, shape } = this.arrays["curve.steps"];
    const levels = shape[2];
    const read = (which) => {
      let value = 0;
      const start = (2 * i + which) * levels;
      return range(levels).map((level) => (value = (value + values[start + level]) & 0xffff))
        .map((step) => (step === UNKNOWN ? NaN : step / STEP));
    };
    return { fraction: this.values("curve.fraction"), iou: read(0), iqr: read(1), chosen: this.values("curve.level")[i] };
  }

  /** The top images of a unit: tile number, image id and activation of each. Empty if the page omits them. */
  topImages(unit) {
    if (unit.strip === undefined) return [];
    const { values, shape } = this.arrays["strip.tile"];
    const start = unit.strip * shape[1];
    return range(shape[1]).map((rank) => {
      const tile = values[start + rank];
      return { tile, id: this.values("strip.id")[tile], value: this.values("strip.value")[start + rank], strip: unit.strip, rank };
    });
  }

  /** Where the unit is on in one of its top images: {width, height, on}, on = 1 or 0 in row-major order. */
  region({ strip, rank }) {
    const { width, height, strips } = this.facts.regions;
    const values = this.regions.get(this.regionsOf(strip));
    const stride = Math.ceil(width / 8);
    const [, perStrip] = this.arrays["strip.tile"].shape;
    const start = ((strip % strips) * perStrip + rank) * height * stride;
    const on = new Uint8Array(width * height);
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const changed = (values[start + y * stride + (x >> 3)] >> (7 - (x & 7))) & 1;
        on[y * width + x] = changed ^ (y ? on[(y - 1) * width + x] : 0);
      }
    }
    return { width, height, on };
  }
}
