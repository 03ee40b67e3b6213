// @ts-check
/** The strokes on an image, with undo and redo. */

/** @typedef {import("./api.js").Stroke} Stroke */

export class History {
  /** @param {readonly Stroke[]} [strokes] */
  constructor(strokes = []) {
    /** @type {readonly Stroke[]} */
    this.strokes = strokes;
    /** @type {(readonly Stroke[])[]} */
    this.past = [];
    /** @type {(readonly Stroke[])[]} */
    this.future = [];
  }

  /** @param {readonly Stroke[]} strokes */
  #change(strokes) {
    this.past.push(this.strokes);
    this.future = [];
    this.strokes = strokes;
  }

  /** @param {Stroke} stroke */
  add(stroke) {
    this.#change([...this.strokes, stroke]);
  }

  /** @param {number} index */
  remove(index) {
    this.#change(this.strokes.filter((_, i) => i !== index));
  }

  clear() {
    if (this.strokes.length) this.#change([]);
  }

  /** Undo the last change; returns whether there was one. */
  undo() {
    const before = this.past.pop();
    if (!before) return false;
    this.future.push(this.strokes);
    this.strokes = before;
    return true;
  }

  /** Redo the change that was undone last; returns whether there was one. */
  redo() {
    const after = this.future.pop();
    if (!after) return false;
    this.past.push(this.strokes);
    this.strokes = after;
    return true;
  }
}
