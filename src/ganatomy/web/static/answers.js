// @ts-check
/** Answers on the page: an answer stays until the next one is there, and is marked when it is of something else by now. */

import { h, put } from "./report/dom.js";

export class Answer {
  /** @param {HTMLElement} container */
  constructor(container) {
    this.container = container;
    /** Number of the newest question; answers to older ones are dropped. */
    this.question = 0;
  }

  /** Ask, and show what `job` resolves to unless a newer question has come. @param {() => Promise<unknown>} job */
  async ask(job) {
    const question = ++this.question;
    this.#mark("Asking …");
    this.container.setAttribute("aria-busy", "true");
    try {
      const children = await job();
      if (question === this.question) this.show(children);
    } catch (error) {
      if (question === this.question) this.#mark("The last question got no answer.");
      throw error;
    } finally {
      if (question === this.question) this.container.removeAttribute("aria-busy");
    }
  }

  /** @param {unknown} children */
  show(children) {
    this.container.removeAttribute("data-stale");
    put(this.container, children);
  }

  /** Empty it, and drop answers that are on their way. */
  clear() {
    this.question++;
    this.container.removeAttribute("aria-busy");
    this.show([]);
  }

  /** Say that the answer is of something else by now, and drop one that is on its way. @param {string} why */
  stale(why) {
    this.question++;
    this.container.removeAttribute("aria-busy");
    if (this.container.hasChildNodes()) this.#mark(why);
  }

  /** @param {string} why */
  #mark(why) {
    this.container.querySelector(":scope > .stale-note")?.remove();
    this.container.dataset.stale = "yes";
    this.container.prepend(h("p", { class: "stale-note" }, why));
  }
}
