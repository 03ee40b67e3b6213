/** What the page carries: tables as columns, pictures as sprite sheets, regions as bits. */

import { range } from "./dom.js";

const TYPES = { uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array, float32: Float32Array };
const UNIT_NUMBERS = ["iou", "chance", "lift", "control", "iqr", "fraction", "threshold", "accuracy", "on", "greatest"];
const PAIR_NUMBERS = ["iou", "chance", "lift", "control", "iqr", "threshold", "accuracy"];
const INTERPRETABLE = 1;
const MATCHED = 2;

/** Read the page's data. Resolves to a Model. */
export async function load() {
  const facts = JSON.parse(document.getElementById("data").textContent);
  const [arrays, sheets] = await Promise.all([unpack(facts.arrays), unpackSheets()]);
  return new Model(facts, arrays, sheets);
}

async function unpack(manifest) {
  const packed = bytes(document.getElementById("arrays").textContent);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const buffer = await new Response(stream).arrayBuffer();
  const arrays = {};
  for (const [name, [type, shape, offset]] of Object.entries(manifest)) {
    const length = shape.reduce((a, b) => a * b, 1);
    arrays[name] = { shape, values: new TYPES[type](buffer, offset, length) };
  }
  return arrays;
}

function unpackSheets() {
  return Promise.all(Array.from(document.querySelectorAll("script.sheet"), async (element) => {
    const bitmap = await createImageBitmap(new Blob([bytes(element.textContent)], { type: "image/jpeg" }));
    element.remove();
    return bitmap;
  }));
}

function bytes(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

function standings(flags) {
  return { interpretable: (flags & INTERPRETABLE) > 0, matched: (flags & MATCHED) > 0 };
}

class Model {
  constructor(facts, arrays, sheets) {
    this.layers = facts.layers;
    this.concepts = facts.concepts;
    this.scale = facts.scale;
    this.sprites = facts.sprites;
    this.sheets = sheets;
    this.arrays = arrays;
    this.concepts.forEach((concept, index) => { concept.index = index; });
    this.conceptByKey = new Map(this.concepts.map((concept) => [concept.key, concept]));
    this.units = this.readUnits();
    this.unitByKey = new Map(this.units.map((unit) => [unit.key, unit]));
    this.pairs = this.readPairs();
    this.curves = this.readCurves();
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
      return unit;
    });
  }

  /** Rows of the pair table; each unit's pairs are listed best first. */
  readPairs() {
    const columns = PAIR_NUMBERS.map((name) => [name, this.values(`pair.${name}`)]);
    const [units, concepts, flags] = ["unit", "concept", "flags"].map((name) => this.values(`pair.${name}`));
    return range(units.length).map((i) => {
      const pair = { unit: this.units[units[i]], concept: this.concepts[concepts[i]], ...standings(flags[i]) };
      for (const [name, values] of columns) pair[name] = values[i];
      if (pair.matched) pair.unit.matches.add(pair.concept);
      return pair;
    }).sort((a, b) => b.iou - a.iou);
  }

  readCurves() {
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
    return Array.from(this.curves.get(unit.index)?.keys() ?? [], (index) => this.concepts[index]);
  }

  /** The curve of a pair: fraction, iou and iqr for each level, and the chosen level. */
  curve(unit, concept) {
    const i = this.curves.get(unit.index).get(concept.index);
    const { values, shape } = this.arrays["curve.steps"];
    const levels = shape[2];
    const read = (which) => {
      let value = 0;
      const start = (2 * i + which) * levels;
      return range(levels).map((level) => (value = (value + values[start + level]) & 0xffff) / 65535);
    };
    return { fraction: this.values("curve.fraction"), iou: read(0), iqr: read(1), chosen: this.values("curve.level")[i] };
  }

  /** The pictures of a unit: tile number, image id and the unit's value for each. Empty where they were left out. */
  pictures(unit) {
    if (unit.strip === undefined) return [];
    const { values, shape } = this.arrays["strip.tile"];
    const start = unit.strip * shape[1];
    return range(shape[1]).map((j) => {
      const tile = values[start + j];
      return { tile, id: this.values("strip.id")[tile], value: this.values("strip.value")[start + j], row: start + j };
    });
  }

  /** Where the unit is on in one of its pictures: {width, height, on}, on = 1 or 0 in reading order. */
  region(picture) {
    const { values, shape } = this.arrays["strip.bits"];
    const [height, width] = this.values("strip.grid");
    const stride = shape[3];
    const start = picture.row * height * stride;
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
