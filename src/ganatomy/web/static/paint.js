// @ts-check
/** The studio: an image, a brush of units, strokes, and what they did. The whole edit is in the address. */

import { h, put } from "/static/report/dom.js";
import { ApiError, base, file, image, json, newestOnly } from "./api.js";
import { Easel } from "./canvas.js";
import { showChanges } from "./changes.js";
import { History } from "./history.js";
import { encode, MOST_STROKES, restored } from "./link.js";
import { guarded, part, pictureNumber, row, typing } from "./parts.js";
import { Tools } from "./tools.js";

/** @typedef {import("./api.js").Stroke} Stroke */
/** @typedef {import("./api.js").Study} Study */

const ELSEWHERE = 8;
const REPLAY_MS = 450;

class Studio {
  /** @param {Study} study @param {Tools} tools */
  constructor(study, tools) {
    this.study = study;
    this.tools = tools;
    this.api = base(study.name);
    this.stream = crypto.randomUUID();
    this.number = 0;
    this.id = 0;
    this.history = new History();
    /** What a replay holds while it is the last one. @type {object | null} */
    this.replaying = null;
    this.easel = new Easel(part("picture", HTMLCanvasElement), part("overlay", HTMLCanvasElement), {
      radius: () => tools.radius,
      colour: () => tools.brush?.colour ?? "#ffe14d",
      growing: (points) => this.#grow(points),
      done: (points) => this.#finish(points),
    });
    this.paint = newestOnly((strokes) => guarded("paint", () => this.#paint(strokes)));
    this.read = newestOnly((strokes) => guarded("changes", () => this.#read(strokes)));
    this.remember = newestOnly(async () => window.history.replaceState(null, "", `#${await this.#encoded()}`));
    this.#listen();
  }

  /** Go to an image, with the strokes that are there. @param {number} id */
  async goTo(id) {
    const here = pictureNumber(id);
    const other = here !== this.id;
    this.id = here;
    part("id", HTMLInputElement).value = String(here);
    this.#film();
    await guarded("picture", async () => {
      const plain = await image(`${this.api}/images/${here}.png`);
      if (here === this.id) this.easel.show(other ? { plain, painted: null } : { plain });
    });
    if (here === this.id) this.#refresh();
  }

  /** Start anew with other strokes. @param {import("./link.js").Edit} edit */
  async restore(edit) {
    await this.tools.load(edit.layer, edit.brush);
    this.history = new History(edit.strokes);
    this.#elsewhere([]);
    await this.goTo(edit.id);
    await guarded("link", () => { if (edit.told) throw new Error(edit.told); });
  }

  /** The strokes are others now. */
  changed() {
    this.#elsewhere([]);
    this.#refresh();
  }

  /** Draw, list, read and remember the strokes as they are now. */
  #refresh() {
    const { strokes } = this.history;
    this.replaying = null;
    this.paint(strokes);
    this.read(strokes);
    this.remember(null);
    this.#list();
    part("undo", HTMLButtonElement).disabled = !this.history.past.length;
    part("redo", HTMLButtonElement).disabled = !this.history.future.length;
    for (const id of ["clear", "replay", "paste", "edits"]) part(id, HTMLButtonElement).disabled = !strokes.length;
  }

  #encoded() {
    return encode({ id: this.id, layer: this.tools.layer, brush: this.tools.chosen, strokes: this.history.strokes });
  }

  /** @param {readonly Stroke[]} strokes */
  async #paint(strokes) {
    const began = performance.now();
    const asked = { id: this.id, strokes, stream: this.stream, number: ++this.number };
    const painted = await image(`${this.api}/paint`, asked);
    if (asked.id !== this.id) return;
    this.easel.show(strokes.length ? { painted } : { painted, plain: painted });
    this.told(strokes.length ? `drawn in ${Math.round(performance.now() - began)} ms` : "");
    document.body.dataset.drawn = String(asked.number);
  }

  /** @param {readonly Stroke[]} strokes */
  async #read(strokes) {
    if (!strokes.length) return showChanges(part("changes", HTMLElement), null, this.tools);
    const asked = { id: this.id, strokes, stream: this.stream, number: ++this.number };
    const told = await json(`${this.api}/changes`, asked);
    if (asked.id === this.id && strokes === this.history.strokes) showChanges(part("changes", HTMLElement), told, this.tools);
    return undefined;
  }

  /** @param {string} text */
  told(text) {
    part("told", HTMLElement).textContent = text;
  }

  /** @param {[number, number][]} points */
  #grow(points) {
    this.replaying = null;
    const stroke = this.tools.stroke(points);
    if (stroke && this.history.strokes.length < MOST_STROKES) this.paint([...this.history.strokes, stroke]);
  }

  /** @param {[number, number][]} points */
  #finish(points) {
    const stroke = this.tools.stroke(points);
    if (!stroke) return this.told("Choose a brush first.");
    if (this.history.strokes.length >= MOST_STROKES) return this.told(`${MOST_STROKES} strokes are the most; delete some.`);
    this.history.add(stroke);
    return this.changed();
  }

  #list() {
    const { strokes } = this.history;
    part("no-strokes", HTMLElement).hidden = strokes.length > 0;
    put(part("strokes", HTMLElement), strokes.map((stroke, index) => h("li",
      {
        tabindex: "0",
        pointerenter: () => this.easel.highlight([stroke]),
        pointerleave: () => this.easel.highlight([]),
        focusin: () => this.easel.highlight([stroke]),
        focusout: () => this.easel.highlight([]),
      },
      h("i", { class: "swatch", style: `background:${this.tools.colour(stroke.concept)}` }),
      h("span", {}, describe(stroke)),
      h("button", { type: "button", "aria-label": `Delete stroke ${index + 1}`, click: () => this.#delete(index) }, "×"))));
  }

  /** @param {number} index */
  #delete(index) {
    this.history.remove(index);
    this.easel.highlight([]);
    this.changed();
    const buttons = part("strokes", HTMLElement).querySelectorAll("button");
    (buttons[Math.min(index, buttons.length - 1)] ?? part("undo", HTMLButtonElement)).focus();
  }

  #film() {
    put(part("film", HTMLElement), row(this.id - 3, ELSEWHERE).map((id) => this.#frame(id, `${this.api}/images/${id}.png`, `Image ${id}`)));
  }

  async #paste() {
    const { strokes } = this.history;
    const ids = row(this.id + 1, ELSEWHERE);
    const { images } = await json(`${this.api}/generate`, { ids, strokes });
    if (strokes === this.history.strokes) this.#elsewhere(ids.map((id, i) => this.#frame(id, `data:image/png;base64,${images[i]}`, `Go on with image ${id}`)));
  }

  /** @param {HTMLElement[]} frames */
  #elsewhere(frames) {
    put(part("pasted", HTMLElement), frames);
  }

  /** A small image to go to. @param {number} id @param {string} src @param {string} name @returns {HTMLElement} */
  #frame(id, src, name) {
    return h("button", { type: "button", "aria-label": name, "aria-current": id === this.id ? "true" : false, click: () => this.goTo(id) },
      h("img", { alt: "", src, width: this.study.width, height: this.study.height }));
  }

  async #replay() {
    const { strokes } = this.history;
    const mine = {};
    this.replaying = mine;
    for (let i = 0; i <= strokes.length && this.replaying === mine; i++) {
      this.easel.highlight(strokes.slice(Math.max(0, i - 1), i));
      this.paint(strokes.slice(0, i));
      await new Promise((resolve) => { setTimeout(resolve, REPLAY_MS); });
    }
    this.easel.highlight([]);
  }

  async #link() {
    window.history.replaceState(null, "", `#${await this.#encoded()}`);
    const copied = await navigator.clipboard?.writeText(window.location.href).then(() => true, () => false);
    this.told(`The address of this page is the link${copied ? "; it has been copied" : ": copy it from there"}.`);
  }

  #listen() {
    /** @type {[string, () => unknown][]} */
    const clicks = [
      ["undo", () => this.history.undo() && this.changed()],
      ["redo", () => this.history.redo() && this.changed()],
      ["clear", () => { this.history.clear(); this.changed(); }],
      ["replay", () => this.#replay()],
      ["previous", () => this.goTo(this.id - 1)],
      ["next", () => this.goTo(this.id + 1)],
      ["chance", () => this.goTo(Math.floor(Math.random() * 1e6))],
      ["save", () => this.easel.picture.toBlob((blob) => blob && download(blob, `${this.study.name}-${this.id}.png`))],
      ["edits", () => guarded("edits", async () => download(await file(`${this.api}/edits`, { id: this.id, strokes: this.history.strokes }), `edits-${this.id}.json`))],
      ["link", () => this.#link()],
      ["paste", () => guarded("paste", () => this.#paste())],
    ];
    for (const [id, run] of clicks) part(id, HTMLButtonElement).addEventListener("click", run);
    const number = part("id", HTMLInputElement);
    number.addEventListener("change", () => this.goTo(Number(number.value)));
    const split = part("split", HTMLInputElement);
    split.addEventListener("input", () => this.#compare(Number(split.value)));
    this.#listenForOriginal(split);
    this.tools.form.addEventListener("change", () => this.remember(null));
    document.addEventListener("keydown", (event) => this.#shortcut(event));
  }

  /** @param {HTMLInputElement} split */
  #listenForOriginal(split) {
    const button = part("original", HTMLButtonElement);
    const show = () => { button.setAttribute("aria-pressed", "true"); this.#compare(1); };
    const back = () => { button.setAttribute("aria-pressed", "false"); this.#compare(Number(split.value)); };
    button.addEventListener("pointerdown", show);
    for (const name of ["pointerup", "pointerleave", "blur"]) button.addEventListener(name, back);
    button.addEventListener("keydown", (event) => { if (event.key === " " || event.key === "Enter") show(); });
    button.addEventListener("keyup", back);
    document.addEventListener("keydown", (event) => { if (event.key.toLowerCase() === "c" && !event.ctrlKey && !event.metaKey && !typing(event)) show(); });
    document.addEventListener("keyup", (event) => { if (event.key.toLowerCase() === "c") back(); });
    window.addEventListener("blur", back);
  }

  /** @param {number} share */
  #compare(share) {
    this.easel.split = share;
    this.easel.draw();
  }

  /** @param {KeyboardEvent} event */
  #shortcut(event) {
    if (typing(event) || !(event.ctrlKey || event.metaKey)) return;
    const key = event.key.toLowerCase();
    const back = key === "z" && !event.shiftKey;
    if (!back && !(key === "y" || key === "z")) return;
    event.preventDefault();
    if (back ? this.history.undo() : this.history.redo()) this.changed();
  }
}

/** A stroke in words. @param {Stroke} stroke */
function describe(stroke) {
  const what = stroke.concept ?? `${stroke.units?.length ?? 0} own units`;
  const how = stroke.multiple !== 1 ? `, ${stroke.multiple.toFixed(1)} ×` : stroke.strength < 1 ? `, ${Math.round(100 * stroke.strength)} %` : "";
  const units = stroke.by === "best" ? "measured setting" : `${stroke.units?.length ?? stroke.top} units`;
  return `${stroke.action === "draw" ? "draw" : "remove"} ${what} (${units} of ${stroke.layer}${how})`;
}

/** @param {Blob} blob @param {string} name */
function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

async function start() {
  const name = part("main", HTMLElement).dataset.study ?? "";
  const study = /** @type {Study[]} */ (await json("/api/studies")).find((each) => each.name === name);
  if (!study) throw new ApiError(404, `No study ${name} is served.`);
  const studio = new Studio(study, new Tools(part("tools", HTMLFormElement), study));
  const restore = async () => studio.restore(await restored(window.location.hash.slice(1), study));
  window.addEventListener("hashchange", () => guarded("address", restore));
  await restore();
  document.body.dataset.ready = "yes";
}

guarded("start", start);
