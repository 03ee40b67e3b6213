// @ts-check
/** Requests to the server; an error response becomes an `ApiError` with its reason. */

/** @typedef {{id: number, seed: number, at: [number, number]}} CloneSource */

/**
 * One stroke of the brush, as the server expects it.
 * @typedef {object} Stroke
 * @property {"draw" | "remove" | "clone"} action
 * @property {string | null} layer
 * @property {string | null} concept
 * @property {number[] | null} units
 * @property {"best" | "all" | "ace" | "iou" | null} by
 * @property {number} [top] of the ranking
 * @property {number} strength
 * @property {number} multiple
 * @property {[number, number][]} points
 * @property {number} radius
 * @property {CloneSource} [source] where a clone takes from
 * @property {string[]} [layers] where a clone copies
 * @property {string} [at_steps] the first step and the last at which it edits, of a model that makes an image in steps
 */

/** @typedef {{name: string, units: number, height: number, width: number}} Layer */
/** @typedef {{name: string, generator: string, segmenter: string, height: number, width: number, layers: Layer[], layer: string, steps: number}} Study */
/** @typedef {{concept: string, category: string, colour: string, by: "best" | "all" | "ace" | "iou", setting: string, units: number[], iou: number, radius: number, first: boolean}} Brush */
/** @typedef {{share: number | null, error: number | null, places: number}} Appearance */
/** @typedef {{likely: Appearance, unlikely: Appearance}} Outcome */
/** @typedef {{name: string, likely_means: string, unlikely_means: string, measured: Outcome, control: Outcome, control_means: string, paper: Outcome}} MeasuredSetting */
/** @typedef {{concept: string, state: "measured" | "running" | "waiting" | "failed", progress: number, seconds_left: number | null, reason: string | null, result: MeasuredSetting | null}} BrushSetting */
/** @typedef {{measuring: boolean, kept: boolean, note: string, brushes: BrushSetting[]}} BrushSettings */
/** @typedef {{id: number, layer: string, concept: string | null}} Start */
/** @typedef {{concept: string, category: string, before: number, after: number, points: number, painted: boolean, sentence: string}} Change */
/** @typedef {{layer: string, unit: number, activation: number, quantile: number, label: string | null, iou: number | null, matched: boolean}} ActiveUnit */

/** The path of the home page, as this file was found: a proxy may serve the app below any path. */
export const ROOT = new URL("..", import.meta.url).pathname;

export class ApiError extends Error {
  /** @param {number} status @param {string} reason */
  constructor(status, reason) {
    super(reason);
    this.status = status;
  }
}

/**
 * Send a request; resolves to the response if its status is a success.
 * @param {string} path
 * @param {unknown} [body] sent by POST, as JSON unless it is a file; without it the request is a GET
 * @returns {Promise<Response>}
 */
async function request(path, body) {
  const options = body === undefined ? {} : body instanceof Blob ? { method: "POST", body }
    : { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  const response = await fetch(path, options).catch(() => { throw new ApiError(0, "The server does not answer. Is it still running?"); });
  if (response.ok) return response;
  const error = await response.json().catch(() => ({}));
  throw new ApiError(response.status, error.reason ?? `The server answers ${response.status}.`);
}

/** @param {string} path @param {unknown} [body] @returns {Promise<any>} */
export const fetchJson = async (path, body) => (await request(path, body)).json();

/** @param {string} path @param {unknown} [body] */
export const fetchImage = async (path, body) => createImageBitmap(await (await request(path, body)).blob());

/** The longest pause in milliseconds, and by how many times what strokes wait for those of others a page pauses. */
const LONGEST = 500, TIMES = 2;

/**
 * Fetch an image with strokes; `pause` is how long to wait before the next, in milliseconds. A busy server draws no more
 * images a second when its queue is full, but each is of an older state: so the page waits in place of its request.
 * @param {string} path @param {unknown} body
 */
export async function fetchDrawn(path, body) {
  const response = await request(path, body);
  const queued = Number(/queue;dur=([\d.]+)/.exec(response.headers.get("server-timing") ?? "")?.[1] ?? 0);
  return { image: await createImageBitmap(await response.blob()), pause: Math.min(TIMES * queued, LONGEST) };
}

/** @param {string} path @param {unknown} [body] */
export const fetchFile = async (path, body) => (await request(path, body)).blob();

/** The URL of a study's API. @param {string} study */
export const studyUrl = (study) => `${ROOT}api/studies/${encodeURIComponent(study)}`;

/**
 * Run a job for the newest state only: states that arrive while it runs wait, and all but the last are dropped.
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
