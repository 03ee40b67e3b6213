// @ts-check
/** A form that sends a call of the HTTP API, filled with an example, and shows the answer. */

import { h, put } from "./report/dom.js";
import { ROOT } from "./api.js";

const LONGEST = 20000;

/** @typedef {import("./api.js").Study} Study */
/** @typedef {{path: string, method: string, parameters: any[], body: any, schemas: any, study: Study | undefined}} Call */

/** What a field may hold in an example, by its name. @param {Study | undefined} study @returns {Record<string, unknown>} */
function examples(study) {
  const layer = study?.layer ?? "layer4";
  return {
    study: study?.name, layer, unit: 0, id: 3, image: 3, ids: [3, 4], units: [0, 1], points: [[0.5, 0.5]], rater: "me", top: 5, images: 4,
    concept: "tree", comparison: `without ${layer}/0`, table: "labels", kind: "csv", path: "", stream: "", words: "tree",
    strokes: [{ action: "remove", layer, units: [0, 1], points: [[0.2, 0.7], [0.4, 0.7]], radius: 0.2 }],
  };
}

/** An example of a value. @param {string} name @param {any} schema @param {Record<string, unknown>} known */
function example(name, schema, known) {
  if (name in known) return known[name];
  return schema?.default ?? schema?.enum?.[0] ?? { boolean: true, integer: 1, number: 1, array: [] }[String(schema?.type)] ?? "";
}

/** @param {Call} call */
export function tryForm({ path, method, parameters, body, study }) {
  const known = examples(study);
  const fields = parameters.map((/** @type {any} */ p) => ({ in: p.in, name: p.name, input: h("input", { type: "text", value: p.required ? String(example(p.name, p.schema, known)) : "", required: p.required, placeholder: p.required ? "" : "not sent", autocomplete: "off" }) }));
  const shown = body && Object.entries(body.properties).filter(([name]) => (body.required ?? []).includes(name) || ["strokes", "points", "units"].includes(name));
  const text = body && h("textarea", { "aria-label": "Body", spellcheck: "false" });
  if (text) text.value = JSON.stringify(Object.fromEntries(shown.map((/** @type {[string, any]} */ [name, schema]) => [name, example(name, schema, known)])), null, 2);
  const answer = h("div", { "aria-live": "polite" });
  /** @param {Event} event */
  const send = async (event) => {
    event.preventDefault();
    put(answer, h("p", { class: "small" }, "Asking …"));
    put(answer, await ask(address(path, fields), method, text?.value));
  };
  return h("form", { class: "try", submit: send },
    fields.map((each) => h("label", {}, h("code", {}, each.name), each.input)),
    text, h("div", {}, h("button", {}, "Send")), answer);
}

/** The address of a call. @param {string} path @param {{in: string, name: string, input: HTMLInputElement}[]} fields */
function address(path, fields) {
  const query = new URLSearchParams();
  let filled = path.slice(1);
  for (const { in: place, name, input } of fields) {
    if (place === "path") filled = filled.replace(`{${name}}`, encodeURIComponent(input.value));
    else if (input.value !== "") query.append(name, input.value);
  }
  return ROOT + filled + (query.size ? `?${query}` : "");
}

/** Send a call; resolves to elements that show the answer. @param {string} url @param {string} method @param {string} [body] */
async function ask(url, method, body) {
  const start = performance.now();
  const options = { method: method.toUpperCase(), ...(body === undefined ? {} : { headers: { "content-type": "application/json" }, body }) };
  const response = await fetch(url, options).catch(() => null);
  if (!response) return [h("p", {}, "The server does not answer. Is it still running?")];
  const content = await response.blob();
  const status = h("p", { class: "small" }, `${response.status} ${response.statusText}, ${Math.round(performance.now() - start)} ms, ${content.size.toLocaleString("en")} bytes`);
  const command = body === undefined ? `curl '${new URL(url, window.location.href)}'` : `curl '${new URL(url, window.location.href)}' -H 'content-type: application/json' -d '${body.replaceAll("'", "'\\''")}'`;
  return [status, await shown(content, url), h("details", {}, h("summary", {}, "As a command"), h("pre", { tabindex: "0" }, command))];
}

/** @param {Blob} content @param {string} url */
async function shown(content, url) {
  if (content.type.startsWith("image/")) return h("img", { alt: "The answer", src: URL.createObjectURL(content) });
  if (!/json|csv|text/.test(content.type)) return h("a", { href: URL.createObjectURL(content), download: url.split(/[/?]/).findLast((step) => step.includes(".")) ?? "answer" }, "Save the answer");
  const text = await content.text();
  const pretty = content.type.includes("json") ? JSON.stringify(JSON.parse(text), null, 2) : text;
  return h("pre", { tabindex: "0" }, pretty.length > LONGEST ? `${pretty.slice(0, LONGEST)} … (${(pretty.length - LONGEST).toLocaleString("en")} more letters)` : pretty);
}
