// Draws /openapi.json. Text only ever becomes text nodes: nothing in the document can become markup.
"use strict";

const make = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
};
const byId = (id) => document.getElementById(id);
const remember = (name, value) => { try { sessionStorage.setItem(name, value); } catch { /* may be off */ } };
const recall = (name) => { try { return sessionStorage.getItem(name) ?? ""; } catch { return ""; } };

// `code` and ``code`` in prose; everything else stays text.
const prose = (text) => (text ?? "").split(/(`+[^`]+`+)/).filter(Boolean)
  .map((part) => (part.startsWith("`") ? make("code", {}, part.replaceAll("`", "")) : part));

let description;
const resolve = (schema) =>
  schema?.$ref ? description.components.schemas[schema.$ref.split("/").pop()] ?? {} : schema ?? {};

function typeName(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.anyOf) return schema.anyOf.map(typeName).join(" | ");
  if (schema.type === "array") {
    const item = typeName(schema.items) || "any";
    return item.includes(" ") ? `(${item})[]` : `${item}[]`;
  }
  if (schema.type === "object" && schema.additionalProperties?.type) return `map of ${typeName(schema.additionalProperties)}`;
  if (schema.format === "binary") return "bytes";
  if (schema.contentEncoding) return schema.contentEncoding;
  return schema.type ?? "any";
}

function nested(schema) {
  const inner = schema.type === "array" ? schema.items : schema.anyOf?.find((option) => option.$ref) ?? schema;
  return inner?.$ref ? resolve(inner) : null;
}

function fieldRows(schema, depth = 0, seen = []) {
  const required = new Set(schema.required ?? []);
  return Object.entries(schema.properties ?? {}).flatMap(([name, field]) => {
    const label = make("span", { class: required.has(name) ? "required" : "" }, name);
    const indent = make("div", depth ? { class: "deeper" } : {}, label);
    const fallback = field.default !== undefined ? ` = ${JSON.stringify(field.default)}` : "";
    const row = make("tr", {}, make("td", { class: "name" }, indent),
      make("td", { class: "type" }, typeName(field) + fallback), make("td", {}, ...prose(field.description)));
    const inner = nested(field);
    const deeper = inner && depth < 1 && !seen.includes(inner) ? fieldRows(inner, depth + 1, [...seen, inner]) : [];
    return [row, ...deeper];
  });
}

const fieldTable = (schema) => make("table", { class: "fields" }, ...fieldRows(schema, 0, [schema]));

function parameterTable(parameters) {
  return make("table", {}, make("tr", {}, ...["Name", "In", "Type", ""].map((title) => make("th", {}, title))),
    ...parameters.map((parameter) => make("tr", {},
      make("td", { class: "name" }, make("span", { class: parameter.required ? "required" : "" }, parameter.name)),
      make("td", {}, parameter.in),
      make("td", { class: "type" }, typeName(parameter.schema)
        + (parameter.schema.default !== undefined ? ` = ${JSON.stringify(parameter.schema.default)}` : "")),
      make("td", {}, ...prose(parameter.description)))));
}

function sample(text) {
  const copy = make("button", { class: "button copy", type: "button", onclick: async () => {
    await navigator.clipboard.writeText(text);
    copy.textContent = "copied";
    setTimeout(() => { copy.textContent = "copy"; }, 1200);
  } }, "copy");
  return make("pre", {}, copy, text);
}

function tryIt(path, method, operation) {
  const inputs = (operation.parameters ?? []).map((parameter) => {
    const input = make("input", { placeholder: typeName(parameter.schema), spellcheck: "false" });
    return { parameter, input, row: make("label", {}, make("code", {}, parameter.name), input) };
  });
  const content = operation.requestBody?.content ?? {};
  const json = content["application/json"];
  const text = json && make("textarea", { spellcheck: "false", "aria-label": "JSON body" });
  if (text) text.value = JSON.stringify(json.example ?? {}, null, 2);
  const file = content["application/octet-stream"] && make("input", { type: "file", "aria-label": "File to upload" });
  const answer = make("div", { class: "answer", "aria-live": "polite" });
  const send = async () => {
    answer.replaceChildren(make("p", { class: "muted" }, "…"));
    try {
      answer.replaceChildren(...await call(path, method, inputs, text, file));
    } catch (error) {
      answer.replaceChildren(make("p", { class: "notice" }, String(error)));
    }
  };
  return make("form", { class: "try", onsubmit: (event) => { event.preventDefault(); send(); } },
    ...inputs.map(({ row }) => row), text, file,
    make("div", { class: "row" }, make("button", { class: "button primary" }, "Send"),
      make("span", { class: "muted" }, operation["x-permission"] === "anyone" ? "no token needed" : "uses the token above")),
    answer);
}

async function call(path, method, inputs, text, file) {
  const query = new URLSearchParams();
  const headers = {};
  for (const { parameter, input } of inputs) {
    if (!input.value && parameter.in !== "path") continue;
    if (parameter.in === "path") path = path.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
    else if (parameter.in === "header") headers[parameter.name] = input.value;
    else if (parameter.schema.type === "array") input.value.split(",").forEach((item) => query.append(parameter.name, item.trim()));
    else query.append(parameter.name, input.value);
  }
  const token = byId("token").value.trim();
  if (token) headers.Authorization = `Bearer ${token}`;
  if (text) headers["Content-Type"] = "application/json";
  const begun = performance.now();
  const response = await fetch(path + (query.size ? `?${query}` : ""), {
    method: method.toUpperCase(), headers, body: text ? text.value : file?.files[0],
  });
  const type = response.headers.get("Content-Type") ?? "";
  let shown;
  if (type.includes("json")) shown = JSON.stringify(await response.json(), null, 2);
  else if (type.startsWith("text/")) shown = await response.text();
  else if (response.status !== 204) shown = `${(await response.blob()).size} bytes of ${type}`;
  const status = make("p", {}, make("span", { class: `status pill ${response.ok ? "good" : "bad"}` },
    `${response.status} ${response.statusText}`), make("span", { class: "muted" }, ` ${Math.round(performance.now() - begun)} ms`));
  return shown === undefined ? [status] : [status, make("pre", {}, shown)];
}

function inside(path, method, operation) {
  const told = (operation.description ?? "").replace(`${operation.summary}.\n\n`, "");
  const parts = [make("p", {}, ...prose(told))];
  const add = (title, ...content) => parts.push(make("h3", {}, title), ...content);
  if (operation.parameters?.length) add("Parameters", parameterTable(operation.parameters));
  const body = operation.requestBody?.content ?? {};
  const json = body["application/json"]?.schema;
  if (json) add("Body (JSON)", fieldTable(resolve(json)));
  else if (operation.requestBody) add("Body", make("p", {}, `${Object.keys(body)[0]} — ${operation.requestBody.description ?? "bytes"}`));
  for (const [status, response] of Object.entries(operation.responses)) {
    if (!/^2/.test(status)) continue;
    const [type, content] = Object.entries(response.content ?? {})[0] ?? [];
    const fields = content && resolve(content.schema);
    add(`Answer ${status}`, make("p", { class: "muted" }, ...prose([response.description, type].filter(Boolean).join(" — "))),
      fields?.properties ? fieldTable(fields) : null);
  }
  for (const { source } of operation["x-codeSamples"] ?? []) add("With curl", sample(source));
  if (operation.operationId !== "front.signed-message") add("Try it", tryIt(path, method, operation));
  return make("div", { class: "inside" }, ...parts.filter(Boolean));
}

function card(path, method, operation) {
  const permission = operation["x-permission"] ?? "";
  const details = make("details", { class: "operation", id: operation.operationId,
    "data-text": `${operation.operationId} ${method} ${path} ${operation.summary} ${permission}`.toLowerCase() },
    make("summary", {}, make("span", { class: `method ${method}` }, method.toUpperCase()),
      make("span", { class: "path" }, path), make("span", { class: `badge ${permission}` }, permission),
      make("span", { class: "what" }, ...prose(operation.summary))));
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1) details.append(inside(path, method, operation));
  });
  return details;
}

function draw() {
  const groups = new Map(description.tags.map((tag) => [tag.name, { tag, cards: [], links: [] }]));
  for (const [path, methods] of Object.entries(description.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const group = groups.get(operation.tags[0]);
      group.cards.push(card(path, method, operation));
      group.links.push(make("a", { href: `#${operation.operationId}`, title: operation.summary, "data-for": operation.operationId },
        make("span", { class: `method ${method}` }, method.toUpperCase().replace("DELETE", "DEL")),
        make("span", {}, operation.operationId.split(".").slice(1).join("."))));
    }
  }
  const [opening, code, after] = description.info.description.split(/\n\n/);
  byId("intro").replaceChildren(make("h1", {}, description.info.title),
    make("p", { class: "muted" }, `version ${description.info.version} · OpenAPI ${description.openapi}`),
    make("p", {}, ...prose(opening)), make("pre", {}, code.replace(/^ {4}/gm, "")), make("p", {}, ...prose(after)));
  byId("operations").replaceChildren(...[...groups.values()].map(({ tag, cards }) =>
    make("section", { class: "group", id: tag.name }, make("h2", {}, tag.name),
      tag.description ? make("p", { class: "muted" }, tag.description) : null, ...cards)));
  byId("index").replaceChildren(...[...groups.values()].map(({ tag, links }) =>
    make("div", {}, make("h3", {}, tag.name), ...links)));
}

function search() {
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const operation of document.querySelectorAll(".operation")) {
    const matches = words.every((word) => operation.dataset.text.includes(word));
    operation.hidden = !matches;
    document.querySelector(`[data-for="${CSS.escape(operation.id)}"]`).hidden = !matches;
    shown += matches;
  }
  for (const group of document.querySelectorAll(".group, aside nav > div")) {
    group.hidden = !group.querySelector(".operation:not([hidden]), a:not([hidden])");
  }
  byId("nothing").hidden = shown > 0;
}

function openHash() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target?.classList.contains("operation")) target.open = true;
  target?.scrollIntoView();
}

async function start() {
  const token = byId("token");
  token.value = recall("token");
  token.form.addEventListener("submit", (event) => event.preventDefault());
  token.addEventListener("input", () => remember("token", token.value));
  byId("theme").addEventListener("click", window.toggleTheme);
  byId("search").addEventListener("input", search);
  addEventListener("hashchange", openHash);
  addEventListener("keydown", (event) => {
    if (event.key === "/" && !/INPUT|TEXTAREA/.test(document.activeElement.tagName)) {
      event.preventDefault();
      byId("search").focus();
    }
  });
  const response = await fetch("/openapi.json");
  if (!response.ok) throw new Error(`/openapi.json answers ${response.status}`);
  description = await response.json();
  draw();
  openHash();
}

start().catch((error) => byId("operations").replaceChildren(make("p", { class: "notice" }, String(error))));
