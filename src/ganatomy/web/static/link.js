// @ts-check
/** An edit as the end of an address: JSON, deflated, in letters that addresses may have. */

import { pictureNumber } from "./parts.js";

/** @typedef {import("./api.js").Stroke} Stroke */
/** @typedef {import("./api.js").Study} Study */
/** @typedef {{id: number, layer: string, brush: string, strokes: Stroke[], told: string}} Edit */

const MOST_BYTES = 1 << 20;
export const MOST_STROKES = 200;
const MOST_POINTS = 500;
const MOST_UNITS = 4096;

/** @param {ReadableStream<any>} stream */
async function whole(stream) {
  const bytes = [];
  let length = 0;
  for (const reader = stream.getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) return new Uint8Array(await new Blob(bytes).arrayBuffer());
    length += value.length;
    if (length > MOST_BYTES) {
      await reader.cancel();
      throw new RangeError("too long");
    }
    bytes.push(value);
  }
}

/** @param {unknown} state @returns {Promise<string>} */
export async function encode(state) {
  const packed = await whole(new Blob([JSON.stringify(state)]).stream().pipeThrough(new CompressionStream("deflate-raw")));
  const text = btoa(Array.from(packed, (byte) => String.fromCharCode(byte)).join(""));
  return text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** Read what `encode` wrote; null where it is no such text. @param {string} text @returns {Promise<any>} */
async function decode(text) {
  try {
    const packed = Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(await whole(new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw")))));
  } catch {
    return null;
  }
}

/** The edit that an address holds, as far as this study can do it; `told` says what cannot be. @param {string} text @param {Study} study @returns {Promise<Edit>} */
export async function restored(text, study) {
  const state = text ? await decode(text) : {};
  const given = Array.isArray(state?.strokes) ? state.strokes : [];
  const strokes = given.slice(0, MOST_STROKES).map((/** @type {unknown} */ each) => readStroke(each, study)).filter((/** @type {Stroke | null} */ each) => each !== null);
  const layer = study.layers.some((each) => each.name === state?.layer) ? state.layer : study.layer;
  const left = given.length - strokes.length;
  const told = state === null ? "The address holds no edit that can be read; part of it may be missing."
    : left ? `${left} of ${given.length} strokes of the address cannot be done here and were left out: another study's layer or units, or over ${MOST_STROKES} strokes.` : "";
  return { id: pictureNumber(Number(state?.id)), layer, brush: String(state?.brush ?? ""), strokes, told };
}

/** @param {any} given @param {Study} study @returns {Stroke | null} */
function readStroke(given, study) {
  const layer = study.layers.find((each) => each.name === given?.layer);
  if (!layer || !["draw", "remove"].includes(given.action)) return null;
  const units = Array.isArray(given.units) ? given.units : null;
  const concept = typeof given.concept === "string" && given.concept ? given.concept : null;
  const points = given.points ?? [];
  const known = units?.every((/** @type {unknown} */ unit) => Number.isInteger(unit) && between(unit, 0, layer.units - 1)) ?? true;
  if ((!units && !concept) || !known || (units?.length ?? 0) > MOST_UNITS || !Array.isArray(points) || points.length > MOST_POINTS) return null;
  if (!points.every((point) => Array.isArray(point) && point.length === 2 && point.every((share) => between(share, 0, 1)))) return null;
  const top = Number.isInteger(given.top) && between(given.top, 1, MOST_UNITS) ? given.top : 20;
  const [strength, multiple, radius] = [within(given.strength, 0, 1, 1), within(given.multiple, -10, 10, 1), within(given.radius, 0, 1, 0.08)];
  const by = ["best", "ace", "iou"].includes(given.by) ? given.by : null;
  return { action: given.action, layer: layer.name, concept, units, by, top, strength, multiple, points, radius };
}

/** @param {unknown} value @param {number} low @param {number} high */
const between = (value, low, high) => typeof value === "number" && value >= low && value <= high;

/** @param {unknown} value @param {number} low @param {number} high @param {number} usual */
const within = (value, low, high, usual) => (between(value, low, high) ? Number(value) : usual);
