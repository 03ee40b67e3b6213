// @ts-check
/** The brushes: eight with an image of what each does, the others behind a search. */

import { h, put } from "./report/dom.js";
import { element } from "./page.js";
import { aboutBrush } from "./settings.js";

/** @typedef {import("./tools.js").BrushChoice} BrushChoice */

const MAX_FOUND = 12;

export class BrushList {
  /** @param {HTMLInputElement} find @param {import("./settings.js").MeasuredSettings} settings @param {(choice: BrushChoice) => void} onForget */
  constructor(find, settings, onForget) {
    this.find = find;
    this.settings = settings;
    this.onForget = onForget;
    /** @type {BrushChoice[]} */
    this.choices = [];
    this.selected = "";
    find.addEventListener("input", () => this.#listFound());
  }

  /** The selected brush, if any. @returns {BrushChoice | undefined} */
  get brush() {
    return this.choices.find((choice) => choice.key === this.selected);
  }

  /** List other brushes, with one of them selected. @param {BrushChoice[]} choices */
  show(choices) {
    this.choices = choices;
    if (!this.brush) this.selected = choices[0]?.key ?? "";
    const others = choices.filter(({ first }) => !first).length;
    this.find.hidden = !others;
    this.find.placeholder = `Find one of ${others} more`;
    put(element("brushes", HTMLElement), choices.filter(({ first }) => first).map((choice) => this.#card(choice)),
      choices.length ? null : h("p", { class: "small" }, "No unit of this layer draws a concept of the study."));
    this.#listFound();
    this.showAbout();
  }

  /** Select a brush. @param {string} key */
  select(key) {
    this.selected = key;
    this.showAbout();
  }

  /** Say what is known of the selected brush. */
  showAbout() {
    const { brush } = this;
    put(element("about-brush", HTMLElement), brush ? aboutBrush(brush.how, this.settings.of(brush.concept), this.settings.answer.note) : []);
    for (const note of document.querySelectorAll("[data-share]")) note.textContent = this.#share(/** @type {HTMLElement} */ (note).dataset.share);
  }

  /** @param {BrushChoice} choice */
  #card(choice) {
    return h("label", { class: "brush" }, this.#radio(choice),
      choice.example ? h("img", { alt: "", src: choice.example, loading: "lazy" }) : h("span", { class: "no-example" }),
      h("span", { class: "name" }, h("i", { class: "swatch", style: `background:${choice.colour}` }), choice.name,
        h("small", { "data-share": choice.concept ?? "" }, this.#share(choice.concept)), this.#forget(choice)));
  }

  /** @param {string | null | undefined} concept */
  #share(concept) {
    const share = this.settings.of(concept)?.result?.measured.likely.share;
    return typeof share === "number" ? `${Math.round(100 * share)} %` : "";
  }

  #listFound() {
    const word = this.find.value.trim().toLowerCase();
    const named = this.choices.filter((choice) => word && choice.name.toLowerCase().includes(word));
    const others = this.choices.filter((choice) => !choice.first && (choice.key === this.selected || named.includes(choice)));
    put(element("found", HTMLElement), others.slice(0, MAX_FOUND).map((choice) => h("label", {}, this.#radio(choice),
      h("i", { class: "swatch", style: `background:${choice.colour}` }), h("span", {}, choice.name), h("small", {}, choice.note))),
    word && !others.length ? h("p", { class: "small" }, named.length ? "It is above." : "No brush has this name.") : null);
  }

  /** @param {BrushChoice} choice */
  #radio(choice) {
    return h("input", { type: "radio", name: "brush", value: choice.key, checked: choice.key === this.selected });
  }

  /** @param {BrushChoice} choice */
  #forget(choice) {
    return choice.units && h("button", { type: "button", "aria-label": `Forget ${choice.name}`, click: () => this.onForget(choice) }, "×");
  }
}
