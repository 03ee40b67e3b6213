// @ts-check
/** An edit as the fragment of a URL: JSON, deflated, in URL-safe base64. */

import { validImageId } from "./page.js";

/** @typedef {import("./api.js").Stroke} Stroke */
/** @typedef {import("./api.js").Study} Study */
/** @typedef {{id: number, layer: string, brush: string, strokes: Stroke[], warning: string}} Edit */

const MAX_BYTES = 1 << 20;
export const MAX_STROKES = 200;
const MAX_POINTS = 500;
const MAX_UNITS = 4096;

/** @param {ReadableStream<any>} stream */
async function readAll(stream) {
  const bytes = [];
  let length = 0;
  for (const reader = stream.getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) return new Uint8Array(await new Blob(bytes).arrayBuffer());
    length += value.length;
    if (length > MAX_BYTES) {
      await reader.cancel();
      throw new RangeError("the edit is too long");
    }
    bytes.push(value);
  }
}

/** @param {unknown} state @returns {Promise<string>} */
export async function encode(state) {
  const packed = await readAll(new Blob([JSON.stringify(state)]).stream().pipeThrough(new CompressionStream("deflate-raw")));
  const text = btoa(Array.from(packed, (byte) => String.fromCharCode(byte)).join(""));
  return text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** Decode what `encode` returned; null if the text is not valid. @param {string} text @returns {Promise<any>} */
async function decode(text) {
  try {
    const packed = Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(await readAll(new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw")))));
  } catch {
    return null;
  }
}

/** The edit in a URL, without strokes that this study does not support; `warning` names what was left out. @param {string} text @param {Study} study @returns {Promise<Edit>} */
export async function decodeEdit(text, study) {
  const state = text ? await decode(text) : {};
  const all = Array.isArray(state?.strokes) ? state.strokes : [];
  const strokes = all.slice(0, MAX_STROKES).map((/** @type {unknown} */ each) => readStroke(each, study)).filter((/** @type {Stroke | null} */ each) => each !== null);
  const layer = study.layers.some((each) => each.name === state?.layer) ? state.layer : study.layer;
  const dropped = all.length - strokes.length;
  const id = Number(state?.id);
  const warning = state === null ? "The address holds no edit that can be read; part of it may be missing."
    : dropped ? `${dropped} of ${all.length} strokes of the address cannot be done here and were left out: another study's layer or units, or over ${MAX_STROKES} strokes.` : "";
  return { id: validImageId(id), layer, brush: String(state?.brush ?? ""), strokes, warning };
}

/** @param {any} given @param {Study} study @returns {Stroke | null} */
function readStroke(given, study) {
  const points = given?.points ?? [];
  if (!["draw", "remove", "clone"].includes(given?.action) || !isPath(points)) return null;
  const strength = numberOr(given.strength, 0, 1, 1);
  const radius = numberOr(given.radius, 0, 1, 0.08);
  if (given.action === "clone") return readClone(given, { points, strength, radius }, study);
  const layer = study.layers.find((each) => each.name === given.layer);
  if (!layer) return null;
  const units = Array.isArray(given.units) ? given.units : null;
  const concept = typeof given.concept === "string" && given.concept ? given.concept : null;
  const valid = units?.every((/** @type {unknown} */ unit) => Number.isInteger(unit) && between(unit, 0, layer.units - 1)) ?? true;
  if ((!units && !concept) || !valid || (units?.length ?? 0) > MAX_UNITS) return null;
  const steps = readSteps(given, study);
  const top = Number.isInteger(given.top) && between(given.top, 1, MAX_UNITS) ? { top: given.top } : {};
  const by = ["best", "all", "ace", "iou"].includes(given.by) ? given.by : null;
  const multiple = numberOr(given.multiple, -10, 10, 1);
  return { action: given.action, layer: layer.name, concept, units, by, ...top, strength, multiple, points, radius, ...steps };
}

/** The steps of a stroke, if the study's model makes an image in steps. @param {any} given @param {Study} study @returns {{at_steps?: string}} */
function readSteps(given, study) {
  const [, first, last] = /^(\d{1,4})(?:\.\.(\d{1,4}))?$/.exec(String(given.at_steps)) ?? [];
  const valid = first && between(Number(first), 1, study.steps) && between(Number(last ?? first), Number(first), study.steps);
  return valid ? { at_steps: given.at_steps } : {};
}

/** @param {any} given @param {{points: [number, number][], strength: number, radius: number}} path @param {Study} study @returns {Stroke | null} */
function readClone(given, path, study) {
  const { id, at } = given.source ?? {};
  const layers = Array.isArray(given.layers) ? given.layers : null;
  const known = layers?.every((/** @type {unknown} */ layer) => study.layers.some((each) => each.name === layer)) ?? true;
  if (!path.points.length || !known || !Number.isInteger(id) || id !== validImageId(id) || !isPath([at])) return null;
  return { action: "clone", layer: null, concept: null, units: null, by: null, multiple: 1, ...path, source: { id, seed: 0, at }, ...readSteps(given, study), ...(layers?.length ? { layers } : {}) };
}

/** @param {any} points */
const isPath = (points) => Array.isArray(points) && points.length <= MAX_POINTS
  && points.every((point) => Array.isArray(point) && point.length === 2 && point.every((share) => between(share, 0, 1)));

/** @param {unknown} value @param {number} low @param {number} high */
const between = (value, low, high) => typeof value === "number" && value >= low && value <= high;

/** @param {unknown} value @param {number} low @param {number} high @param {number} fallback */
const numberOr = (value, low, high, fallback) => (between(value, low, high) ? Number(value) : fallback);
