// @ts-check
/** The documentation of the HTTP API, from the server's OpenAPI description, with a form to try each call. */

import { h, put } from "./report/dom.js";
import { ROOT, fetchJson } from "./api.js";
import { tryForm } from "./try_call.js";

/** @param {any} schema @param {any} all @returns {string} */
function typeName(schema, all) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").at(-1);
  if (schema.anyOf) return schema.anyOf.map((/** @type {any} */ each) => typeName(each, all)).join(" or ");
  if (schema.enum) return schema.enum.map((/** @type {unknown} */ each) => JSON.stringify(each)).join(" or ");
  if (schema.type === "array") return `list of ${typeName(schema.items, all) || "values"}`;
  return schema.type ?? "";
}

/** A table of parameters or fields. @param {[string, any, boolean][]} rows @param {any} all */
function table(rows, all) {
  return h("div", { class: "scroll" }, h("table", {}, h("tbody", {}, rows.map(([name, schema, required]) => h("tr", {},
    h("th", { scope: "row" }, h("code", {}, name), required ? "" : h("small", {}, " optional")),
    h("td", {}, typeName(schema, all)),
    h("td", {}, schema.description ?? ""))))));
}

/** @param {string} path @param {string} method @param {any} call @param {any} all @param {import("./api.js").Study | undefined} study */
function section(path, method, call, all, study) {
  const body = call.requestBody?.content?.["application/json"]?.schema?.$ref?.split("/").at(-1);
  const fields = body ? all[body] : null;
  const success = Object.entries(call.responses).find(([code]) => code.startsWith("2"))?.[1];
  const returned = Object.entries(/** @type {any} */ (success)?.content ?? {}).map(([type, content]) => typeName(/** @type {any} */ (content).schema, all) || type).join(", ");
  const details = () => [
    call.parameters?.length ? table(call.parameters.map((/** @type {any} */ p) => [p.name, { ...p.schema, description: p.description ?? p.schema?.description }, p.required]), all) : null,
    fields ? [h("p", { class: "small" }, `body: ${body}`), table(Object.entries(fields.properties).map(([name, schema]) => [name, schema, (fields.required ?? []).includes(name)]), all)] : null,
    returned ? h("p", { class: "small" }, `returns ${returned}`) : null,
    tryForm({ path, method, parameters: call.parameters ?? [], body: fields, schemas: all, study }),
  ];
  const content = h("div");
  const open = (/** @type {Event} */ event) => {
    if (/** @type {HTMLDetailsElement} */ (event.target).open && !content.hasChildNodes()) put(content, details());
  };
  return h("details", { class: "call", toggle: open },
    h("summary", {}, h("h2", {}, h("code", {}, `${method.toUpperCase()} `, path.split(/(?<=.)(?=[/])/).map((step) => [step, h("wbr")]))), h("div", { class: "small" }, (call.description ?? call.summary).replaceAll("``", ""))),
    content);
}

const [api, studies] = await Promise.all([fetchJson(`${ROOT}openapi.json`), fetchJson(`${ROOT}api/studies`)]);
const schemas = api.components?.schemas ?? {};
put(/** @type {HTMLElement} */ (document.getElementById("paths")), Object.entries(api.paths).map(([path, calls]) =>
  Object.entries(/** @type {object} */ (calls)).map(([method, call]) => section(path, method, call, schemas, studies[0]))));
document.body.dataset.ready = "yes";
