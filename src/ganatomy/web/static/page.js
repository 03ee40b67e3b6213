// @ts-check
/** Helpers of all pages: elements by id, the error notice, browser storage, the rater's name, and valid image ids. */

import { ApiError } from "./api.js";

/** Id of the first photograph, as the server numbers them, and the greatest id of an image of the model. */
const FIRST_PHOTOGRAPH = 2 ** 52;
export const MAX_IMAGE_ID = FIRST_PHOTOGRAPH - 1;
const RATER_KEY = "ganatomy rater";

/** The element with this id, which must be of this class. @template {HTMLElement} T @param {string} id @param {new () => T} kind @returns {T} */
export function element(id, kind) {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`the page lacks ${id}`);
  return found;
}

/**
 * Run a job and show its error, if any. The error stays until a job of the same name succeeds.
 * Status 409 is ignored: the server drops a request when a newer one has arrived.
 * @param {string} name @param {() => unknown} job
 */
export async function showErrors(name, job) {
  const notice = element("request-error", HTMLElement);
  try {
    await job();
    if (notice.dataset.job === name) notice.hidden = true;
  } catch (error) {
    if (error instanceof ApiError && error.status === 409) return;
    notice.dataset.job = name;
    notice.textContent = error instanceof Error ? error.message : String(error);
    notice.hidden = false;
  }
}

/** @param {number} id */
export const isPhotograph = (id) => Number.isSafeInteger(id) && id >= FIRST_PHOTOGRAPH;

/** The valid image id nearest to `id`. @param {number} id */
export const validImageId = (id) => isPhotograph(id) ? id : Math.min(MAX_IMAGE_ID, Math.max(0, Math.floor(id) || 0));

/** `count` consecutive image ids from `first` on; the last ids where there are too few. @param {number} first @param {number} count */
export function imageIds(first, count) {
  const start = Math.min(Math.max(0, first), MAX_IMAGE_ID - count + 1);
  return Array.from({ length: count }, (_, i) => start + i);
}

/** Whether a key press is input of a form field. @param {KeyboardEvent} event */
export function isTyping({ target }) {
  return target instanceof HTMLSelectElement || (target instanceof HTMLInputElement && !["range", "radio", "checkbox"].includes(target.type));
}

/** The browser's local storage; reads null where storage is not allowed. */
export const storage = {
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
    } catch { /* not stored: the value is lost when the page closes */ }
  },
};

/** The name of the person who rates, kept in the browser. */
export const rater = {
  name: () => storage.read(RATER_KEY) ?? "",
  /** @param {string} name */
  setName: (name) => storage.write(RATER_KEY, name),
};
