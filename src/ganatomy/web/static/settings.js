// @ts-check
/** How each brush was measured, in words, and how far the measuring is. */

import { h, percent } from "./report/dom.js";
import { fetchJson } from "./api.js";

/** @typedef {import("./api.js").BrushSetting} BrushSetting */
/** @typedef {import("./api.js").BrushSettings} BrushSettings */
/** @typedef {import("./api.js").Appearance} Appearance */

/** Milliseconds between questions while a brush is being measured, and otherwise. */
const BUSY_MS = 4000;
const IDLE_MS = 20000;

export class MeasuredSettings {
  /** @param {string} api @param {() => unknown} onChange runs when progress or results have changed */
  constructor(api, onChange) {
    this.api = api;
    this.onChange = onChange;
    /** @type {BrushSettings} */
    this.answer = { measuring: false, kept: true, note: "", brushes: [] };
  }

  /** @param {string | null | undefined} concept */
  of(concept) {
    return this.answer.brushes.find((each) => each.concept === concept);
  }

  /** Ask for the settings, again and again: the server may begin to measure, or another program may have measured. */
  async follow() {
    const before = JSON.stringify(this.answer);
    if (!document.hidden) this.answer = await fetchJson(`${this.api}/settings`).catch(() => this.answer);
    if (JSON.stringify(this.answer) !== before) await this.onChange();
    const busy = this.answer.brushes.some(({ state }) => state === "running");
    setTimeout(() => this.follow(), busy ? BUSY_MS : IDLE_MS);
  }
}

/** "74 ± 4 %" @param {Appearance} outcome */
export function shareWithError({ share, error }) {
  if (share === null) return "no place to try";
  return error === null ? percent(share) : `${Math.round(100 * share)} ± ${Math.max(1, Math.round(100 * error))} %`;
}

/** What is known of a brush, as elements. @param {string} how what a stroke sets @param {BrushSetting | undefined} setting @param {string} note of all settings */
export function aboutBrush(how, setting, note) {
  const { result } = setting ?? {};
  if (!result) return [h("p", { class: "how" }, how), ...progress(setting), setting && note && h("p", { class: "small" }, note)];
  const { likely, unlikely } = result.measured;
  const means = (/** @type {string} */ words, /** @type {Appearance} */ { places }) => `${places} places: ${words}`;
  return [
    h("p", {}, "Appears in ", h("strong", {}, shareWithError(likely)), " of places where it may stand, in ", h("strong", {}, shareWithError(unlikely)), " where it may not."),
    h("details", {}, h("summary", {}, "How this was measured"),
      h("p", { class: "small" }, `${result.name}. May stand: ${means(result.likely_means, likely)}. May not: ${means(result.unlikely_means, unlikely)}.`),
      h("p", { class: "small" }, `Control (${result.control_means}): ${shareWithError(result.control.likely)} where it may stand. The paper's setting: ${shareWithError(result.paper.likely)}, ${shareWithError(result.paper.unlikely)} where it may not.`)),
  ];
}

/** @param {BrushSetting | undefined} setting */
function progress(setting) {
  if (!setting || setting.state === "measured") return [];
  if (setting.state === "failed") return [h("p", { class: "small" }, `It could not be measured: ${setting.reason ?? "no reason is known"}`)];
  if (setting.state === "waiting") return [h("p", { class: "small" }, "It will be measured.")];
  const minutes = setting.seconds_left === null ? "" : `, ${duration(setting.seconds_left)} left`;
  return [h("p", { class: "small" }, `Being measured: ${Math.round(100 * setting.progress)} %${minutes} `, h("progress", { max: "1", value: String(setting.progress), "aria-label": "Measured so far" }))];
}

/** @param {number} seconds */
const duration = (seconds) => (seconds < 90 ? `about ${Math.max(1, Math.round(seconds))} seconds` : `about ${Math.round(seconds / 60)} minutes`);
