// @ts-check
/** What other programs can ask, from the server's own description. */

import { h, put } from "/static/report/dom.js";
import { json } from "./api.js";

/** @param {any} schema @param {any} all @returns {string} */
function kind(schema, all) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").at(-1);
  if (schema.anyOf) return schema.anyOf.map((/** @type {any} */ each) => kind(each, all)).join(" or ");
  if (schema.enum) return schema.enum.map((/** @type {unknown} */ each) => JSON.stringify(each)).join(" or ");
  if (schema.type === "array") return `list of ${kind(schema.items, all) || "values"}`;
  return schema.type ?? "";
}

/** A table of what goes in or comes out. @param {[string, any, boolean][]} rows @param {any} all */
function table(rows, all) {
  return h("div", { class: "scroll" }, h("table", {}, h("tbody", {}, rows.map(([name, schema, needed]) => h("tr", {},
    h("th", { scope: "row" }, h("code", {}, name), needed ? "" : h("small", {}, " optional")),
    h("td", {}, kind(schema, all)),
    h("td", {}, schema.description ?? ""))))));
}

/** @param {string} path @param {string} method @param {any} call @param {any} all */
function section(path, method, call, all) {
  const body = call.requestBody?.content?.["application/json"]?.schema?.$ref?.split("/").at(-1);
  const fields = body ? all[body] : null;
  const good = Object.entries(call.responses).find(([code]) => code.startsWith("2"))?.[1];
  const back = Object.entries(/** @type {any} */ (good)?.content ?? {}).map(([type, given]) => kind(/** @type {any} */ (given).schema, all) || type).join(", ");
  return h("section", {},
    h("h2", {}, h("code", {}, `${method.toUpperCase()} ${path}`)),
    h("p", {}, call.description ?? call.summary),
    call.parameters?.length ? table(call.parameters.map((/** @type {any} */ p) => [p.name, { ...p.schema, description: p.description ?? p.schema?.description }, p.required]), all) : null,
    fields ? [h("p", { class: "small" }, `body: ${body}`), table(Object.entries(fields.properties).map(([name, schema]) => [name, schema, (fields.required ?? []).includes(name)]), all)] : null,
    back ? h("p", { class: "small" }, `returns ${back}`) : null);
}

const described = await json("/openapi.json");
const schemas = described.components?.schemas ?? {};
put(document.getElementById("paths"), Object.entries(described.paths).map(([path, calls]) =>
  Object.entries(/** @type {object} */ (calls)).map(([method, call]) => section(path, method, call, schemas))));
document.body.dataset.ready = "yes";
