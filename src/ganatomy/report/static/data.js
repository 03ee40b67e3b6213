/** What the page carries: tables as columns, images as sprite sheets, regions as bits. */

import { range } from "./dom.js";
import { bitmap, inflated, unpack } from "./packs.js";

const UNIT_NUMBERS = ["iou", "control", "iqr", "fraction", "threshold", "accuracy", "on", "greatest"];
const PAIR_NUMBERS = ["iou", "control", "iqr", "threshold", "accuracy"];
const INTERPRETABLE = 1;
const MATCHED = 2;
const UNKNOWN = 65535;
const STEP = 65534;

/** Read what the first cards need. Resolves to a Model. */
export async function load() {
  const facts = JSON.parse(document.getElementById("data").textContent);
  const [units, strips] = await Promise.all([unpack("units-pack", facts.units), unpack("strips-pack", facts.strips)]);
  return new Model(facts, { ...units, ...strips });
}

function standings(flags) {
  return { interpretable: (flags & INTERPRETABLE) > 0, matched: (flags & MATCHED) > 0 };
}

/** Give a unit or a pair its chance level, the share of its concept, and its lift over it. */
function overChance(pair) {
  pair.chance = pair.concept?.share ?? NaN;
  pair.lift = pair.chance > 0 ? pair.iou / pair.chance : NaN;
  return pair;
}

/** What a promise gives: it is asked for once, and what it gave is kept in its place; after a failure it is asked for again. */
async function once(kept, key, make) {
  if (!kept.has(key)) {
    kept.set(key, make());
    try {
      kept.set(key, await kept.get(key));
    } catch (error) {
      kept.delete(key);
      throw error;
    }
  }
  return kept.get(key);
}

class Model {
  constructor(facts, arrays) {
    this.facts = facts;
    this.layers = facts.layers;
    this.concepts = facts.concepts;
    this.scale = facts.scale;
    this.sprites = facts.sprites;
    this.arrays = arrays;
    this.sheets = new Map();
    this.regions = new Map();
    this.parts = new Map();
    this.concepts.forEach((concept, index) => { concept.index = index; });
    this.conceptByKey = new Map(this.concepts.map((concept) => [concept.key, concept]));
    this.units = this.readUnits();
    this.unitByKey = new Map(this.units.map((unit) => [unit.key, unit]));
  }

  /** Read the pairs too, which every view but the first needs. */
  async readPairs() {
    Object.assign(this.arrays, await unpack("pairs-pack", this.facts.pairs));
    const [units, concepts, flags] = ["unit", "concept", "flags"].map((name) => this.values(`pair.${name}`));
    for (let i = 0; i < flags.length; i++) {
      if (flags[i] & MATCHED) this.units[units[i]].matches.add(this.concepts[concepts[i]]);
    }
  }

  /** Have at hand what the page of a unit shows. */
  async fetchUnit(unit) {
    await Promise.all([this.fetch(this.pictures(unit)), once(this.parts, "curves", () => this.readCurves())]);
  }

  /** Have at hand what drawing these images of a unit needs. */
  async fetch(pictures) {
    const sheets = new Set(pictures.map((picture) => this.sheetOf(picture.tile)));
    const regions = new Set(pictures.map((picture) => this.regionsOf(picture.strip)));
    await Promise.all([
      ...Array.from(sheets, (i) => once(this.sheets, i, () => bitmap(`sheet-${i}`))),
      ...Array.from(regions, (i) => once(this.regions, i, () => inflated(`regions-${i}`))),
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
      unit.concept = label[i] ? this.concepts[label[i]] : null;
      Object.assign(unit, standings(flags[i]));
      unit.matches = new Set();
      unit.strip = strips.get(i);
      for (const name of UNIT_NUMBERS) unit[name] = this.values(`unit.${name}`)[i];
      return overChance(unit);
    });
  }

  /** The pairs of a unit, best first. */
  pairsOf(unit) {
    return this.pairsWhere("pair.unit", unit.index);
  }

  /** The pairs of a concept, best first. */
  pairsWith(concept) {
    return this.pairsWhere("pair.concept", concept.index);
  }

  pairsWhere(column, wanted) {
    const [units, concepts, flags] = ["unit", "concept", "flags"].map((name) => this.values(`pair.${name}`));
    const pairs = [];
    this.values(column).forEach((value, i) => {
      if (value !== wanted) return;
      const pair = { unit: this.units[units[i]], concept: this.concepts[concepts[i]], ...standings(flags[i]) };
      for (const name of PAIR_NUMBERS) pair[name] = this.values(`pair.${name}`)[i];
      pairs.push(overChance(pair));
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

  /** The concepts whose curves the page carries for a unit. */
  curveConcepts(unit) {
    return Array.from(this.parts.get("curves").get(unit.index)?.keys() ?? [], (index) => this.concepts[index]);
  }

  /** The curve of a pair: fraction, iou and iqr for each level, NaN where not counted, and the chosen level. */
  curve(unit, concept) {
    const i = this.parts.get("curves").get(unit.index).get(concept.index);
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

  /** The images of a unit: tile number, image id and the unit's value for each. Empty where they were left out. */
  pictures(unit) {
    if (unit.strip === undefined) return [];
    const { values, shape } = this.arrays["strip.tile"];
    const start = unit.strip * shape[1];
    return range(shape[1]).map((rank) => {
      const tile = values[start + rank];
      return { tile, id: this.values("strip.id")[tile], value: this.values("strip.value")[start + rank], strip: unit.strip, rank };
    });
  }

  /** Where the unit is on in one of its pictures: {width, height, on}, on = 1 or 0 in reading order. */
  region({ strip, rank }) {
    const { width, height, strips } = this.facts.regions;
    const values = this.regions.get(this.regionsOf(strip));
    const stride = Math.ceil(width / 8);
    const [, each] = this.arrays["strip.tile"].shape;
    const start = ((strip % strips) * each + rank) * height * stride;
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
