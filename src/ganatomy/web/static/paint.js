// @ts-check
/** The studio: a picture, a brush of units, strokes, and what they did. The whole edit is in the address. */

import { h, put } from "/static/report/dom.js";
import { ApiError, base, file, image, json, newestOnly } from "./api.js";
import { Easel } from "./canvas.js";
import { showChanges } from "./changes.js";
import { History } from "./history.js";
import { decode, encode } from "./link.js";
import { Tools } from "./tools.js";

/** @typedef {import("./api.js").Stroke} Stroke */
/** @typedef {import("./api.js").Study} Study */

const ELSEWHERE = 8;
const REPLAY_MS = 450;
const LARGEST = Number.MAX_SAFE_INTEGER - 1;

/** @template {HTMLElement} T @param {string} id @param {new () => T} kind @returns {T} */
function part(id, kind) {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`the page lacks ${id}`);
  return found;
}

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
    /** @type {Stroke | null} the one under the brush */
    this.growing = null;
    this.easel = new Easel(part("picture", HTMLCanvasElement), part("overlay", HTMLCanvasElement), {
      radius: () => tools.radius,
      colour: () => tools.brush?.colour ?? "#ffe14d",
      growing: (points) => this.#grow(points),
      done: (points) => this.#finish(points),
    });
    this.paint = newestOnly((strokes) => this.#guarded(() => this.#paint(strokes)));
    this.read = newestOnly((strokes) => this.#guarded(() => this.#read(strokes)));
    this.remember = newestOnly(async () => {
      const text = await encode({ id: this.id, strokes: this.history.strokes });
      window.history.replaceState(null, "", `#${text}`);
    });
    this.#listen();
  }

  /** Go to a picture, with the strokes that are there. @param {number} id */
  async goTo(id) {
    this.id = Math.min(LARGEST, Math.max(0, Math.floor(id) || 0));
    part("id", HTMLInputElement).value = String(this.id);
    await this.#guarded(async () => this.easel.show({ plain: await image(`${this.api}/pictures/${this.id}.png`) }));
    this.changed();
    this.#film();
  }

  /** Draw, list, read and remember the strokes as they are now. */
  changed() {
    const { strokes } = this.history;
    this.paint(strokes);
    this.read(strokes);
    this.remember(null);
    this.#list();
    part("undo", HTMLButtonElement).disabled = !this.history.past.length;
    part("redo", HTMLButtonElement).disabled = !this.history.future.length;
    for (const id of ["clear", "replay", "paste", "edits"]) part(id, HTMLButtonElement).disabled = !strokes.length;
    put(part("pasted", HTMLElement));
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
    showChanges(part("changes", HTMLElement), await json(`${this.api}/changes`, asked), this.tools);
    return undefined;
  }

  /** Run something that may be refused; a newer request is no trouble. @param {() => Promise<unknown>} job */
  async #guarded(job) {
    const trouble = part("trouble", HTMLElement);
    try {
      await job();
      trouble.hidden = true;
    } catch (error) {
      if (error instanceof ApiError && error.status === 409) return;
      trouble.hidden = false;
      trouble.textContent = error instanceof Error ? error.message : String(error);
    }
  }

  /** @param {string} text */
  told(text) {
    part("told", HTMLElement).textContent = text;
  }

  /** @param {[number, number][]} points */
  #grow(points) {
    const stroke = this.tools.stroke(points);
    if (stroke) this.paint([...this.history.strokes, stroke]);
  }

  /** @param {[number, number][]} points */
  #finish(points) {
    const stroke = this.tools.stroke(points);
    if (!stroke) return this.told("Choose a brush first.");
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
      h("button", { type: "button", "aria-label": `Delete stroke ${index + 1}`, click: () => { this.history.remove(index); this.easel.highlight([]); this.changed(); } }, "×"))));
  }

  #film() {
    const first = Math.max(0, this.id - 3);
    put(part("film", HTMLElement), Array.from({ length: ELSEWHERE }, (_, i) => first + i).map((id) => h("button",
      { type: "button", "aria-label": `Picture ${id}`, "aria-current": id === this.id ? "true" : false, click: () => this.goTo(id) },
      h("img", { alt: "", src: `${this.api}/pictures/${id}.png`, width: this.study.width, height: this.study.height }))));
  }

  async #paste() {
    const ids = Array.from({ length: ELSEWHERE }, (_, i) => this.id + 1 + i);
    const { pictures } = await json(`${this.api}/generate`, { ids, strokes: this.history.strokes });
    put(part("pasted", HTMLElement), ids.map((id, i) => h("button",
      { type: "button", "aria-label": `Go on with picture ${id}`, click: () => this.goTo(id) },
      h("img", { alt: "", src: `data:image/png;base64,${pictures[i]}`, width: this.study.width, height: this.study.height }))));
  }

  async #replay() {
    for (let i = 0; i <= this.history.strokes.length; i++) {
      this.easel.highlight(this.history.strokes.slice(Math.max(0, i - 1), i));
      this.paint(this.history.strokes.slice(0, i));
      await new Promise((resolve) => { setTimeout(resolve, REPLAY_MS); });
    }
    this.easel.highlight([]);
    this.paint(this.history.strokes);
  }

  async #link() {
    const text = await encode({ id: this.id, strokes: this.history.strokes });
    window.history.replaceState(null, "", `#${text}`);
    await navigator.clipboard?.writeText(window.location.href).catch(() => undefined);
    this.told("The address of this page is the link; it has been copied.");
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
      ["edits", () => this.#guarded(async () => download(await file(`${this.api}/edits`, { id: this.id, strokes: this.history.strokes }), `edits-${this.id}.json`))],
      ["link", () => this.#link()],
      ["paste", () => this.#guarded(() => this.#paste())],
    ];
    for (const [id, run] of clicks) part(id, HTMLButtonElement).addEventListener("click", run);
    const number = part("id", HTMLInputElement);
    number.addEventListener("change", () => this.goTo(Number(number.value)));
    const split = part("split", HTMLInputElement);
    split.addEventListener("input", () => this.#compare(Number(split.value)));
    this.#listenForOriginal(split);
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
    document.addEventListener("keydown", (event) => { if (event.key === "c" && !typing(event)) show(); });
    document.addEventListener("keyup", (event) => { if (event.key === "c" && !typing(event)) back(); });
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

/** Whether a key goes into a field, or belongs to the browser. @param {KeyboardEvent} event */
function typing(event) {
  const { target } = event;
  return target instanceof HTMLInputElement && !["range", "radio", "checkbox"].includes(target.type);
}

/** A stroke in words. @param {Stroke} stroke */
function describe(stroke) {
  const what = stroke.concept ?? `${stroke.units?.length ?? 0} own units`;
  const how = stroke.multiple !== 1 ? `, ${stroke.multiple.toFixed(1)} ×` : stroke.strength < 1 ? `, ${Math.round(100 * stroke.strength)} %` : "";
  return `${stroke.action === "draw" ? "draw" : "remove"} ${what} (${stroke.units?.length ?? stroke.top} units of ${stroke.layer}${how})`;
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
  const tools = new Tools(part("tools", HTMLFormElement), study);
  await tools.load(study.layer);
  const studio = new Studio(study, tools);
  const restore = async () => {
    const state = await decode(window.location.hash.slice(1));
    studio.history = new History(Array.isArray(state?.strokes) ? state.strokes : []);
    await studio.goTo(Number(state?.id ?? 0));
  };
  window.addEventListener("hashchange", restore);
  await restore();
  document.body.dataset.ready = "yes";
}

start().catch((error) => {
  const trouble = part("trouble", HTMLElement);
  trouble.hidden = false;
  trouble.textContent = error.message;
});
