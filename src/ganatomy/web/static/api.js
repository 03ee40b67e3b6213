// @ts-check
/** Ask the server; a refusal becomes an `ApiError` with the reason that it gave. */

/**
 * One stroke of the brush, as the server takes it.
 * @typedef {object} Stroke
 * @property {"draw" | "remove"} action
 * @property {string} layer
 * @property {string | null} concept
 * @property {number[] | null} units
 * @property {"best" | "ace" | "iou" | null} by
 * @property {number} top
 * @property {number} strength
 * @property {number} multiple
 * @property {[number, number][]} points
 * @property {number} radius
 */

/** @typedef {{name: string, units: number, height: number, width: number}} Layer */
/** @typedef {{name: string, generator: string, segmenter: string, height: number, width: number, layers: Layer[], layer: string}} Study */
/** @typedef {{concept: string, category: string, colour: string, by: "best" | "ace" | "iou", units: number[], iou: number}} Brush */
/** @typedef {{concept: string, category: string, before: number, after: number}} Change */
/** @typedef {{layer: string, unit: number, activation: number, quantile: number, label: string | null, iou: number | null, matched: boolean}} ActiveUnit */

export class ApiError extends Error {
  /** @param {number} status @param {string} reason */
  constructor(status, reason) {
    super(reason);
    this.status = status;
  }
}

/**
 * Ask for something; resolves to the response once it is a good one.
 * @param {string} path
 * @param {unknown} [body] sent as JSON by POST; without it the request is a GET
 * @returns {Promise<Response>}
 */
async function ask(path, body) {
  const options = body === undefined ? {} : { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  const response = await fetch(path, options).catch(() => { throw new ApiError(0, "The server does not answer. Is it still running?"); });
  if (response.ok) return response;
  const said = await response.json().catch(() => ({}));
  throw new ApiError(response.status, said.reason ?? `The server answers ${response.status}.`);
}

/** @param {string} path @param {unknown} [body] @returns {Promise<any>} */
export const json = async (path, body) => (await ask(path, body)).json();

/** @param {string} path @param {unknown} [body] */
export const image = async (path, body) => createImageBitmap(await (await ask(path, body)).blob());

/** @param {string} path @param {unknown} [body] */
export const file = async (path, body) => (await ask(path, body)).blob();

/** The address of a study's part of the server. @param {string} study */
export const base = (study) => `/api/studies/${encodeURIComponent(study)}`;

/**
 * Run a job again and again for the newest state only: while one runs, what comes is kept, and of that only the last.
 * @template T
 * @param {(state: T) => Promise<void>} job
 * @returns {(state: T) => void}
 */
export function newestOnly(job) {
  /** @type {{state: T} | null} */
  let next = null;
  let running = false;
  return async function start(state) {
    next = { state };
    if (running) return;
    running = true;
    while (next !== null) {
      const { state: newest } = /** @type {{state: T}} */ (next);
      next = null;
      await job(newest);
    }
    running = false;
  };
}
