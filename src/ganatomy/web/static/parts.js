// @ts-check
/** What every page needs: its parts by name, a place for refusals, who the person is, and which images there are. */

import { ApiError } from "./api.js";

/** The number of the last picture. */
export const LAST_PICTURE = Number.MAX_SAFE_INTEGER;
const RATER = "ganatomy rater";

/** @template {HTMLElement} T @param {string} id @param {new () => T} kind @returns {T} */
export function part(id, kind) {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`the page lacks ${id}`);
  return found;
}

/**
 * Run something that may be refused, and tell; what is told stays until the same succeeds. A newer request is no trouble.
 * @param {string} name @param {() => unknown} job
 */
export async function guarded(name, job) {
  const notice = part("refused", HTMLElement);
  try {
    await job();
    if (notice.dataset.of === name) notice.hidden = true;
  } catch (error) {
    if (error instanceof ApiError && error.status === 409) return;
    notice.dataset.of = name;
    notice.textContent = error instanceof Error ? error.message : String(error);
    notice.hidden = false;
  }
}

/** The number of an image that there is, near what was asked for. @param {number} id */
export const pictureNumber = (id) => Math.min(LAST_PICTURE, Math.max(0, Math.floor(id) || 0));

/** So many images in a row, from one on if there are as many. @param {number} first @param {number} count */
export function row(first, count) {
  const start = Math.min(Math.max(0, first), LAST_PICTURE - count + 1);
  return Array.from({ length: count }, (_, i) => start + i);
}

/** Whether a key goes into a field. @param {KeyboardEvent} event */
export function typing({ target }) {
  return target instanceof HTMLSelectElement || (target instanceof HTMLInputElement && !["range", "radio", "checkbox"].includes(target.type));
}

/** What this browser keeps; nothing where it keeps nothing. */
export const kept = {
  /** @param {string} key */
  read(key) {
    try {
      return window.localStorage.getItem(key);
    } catch {
      return null;
    }
  },
  /** @param {string} key @param {string} text */
  write(key, text) {
    try {
      window.localStorage.setItem(key, text);
    } catch { /* it holds for this page only */ }
  },
};

/** The name of the person, remembered from page to page. */
export const person = {
  name: () => kept.read(RATER) ?? "",
  /** @param {string} name */
  is: (name) => kept.write(RATER, name),
};
