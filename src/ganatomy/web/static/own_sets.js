// @ts-check
/** Sets of units that a person has named. */

import { storage } from "./page.js";

/** @typedef {{name: string, layer: string, units: number[]}} OwnSet */

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
