/** What will run, for the person who reviews it: the same words as `Plan.text()` in Python. */
import { Real } from "../wire/msgpack.js";
import type { Argument, Document, Expr, Input, Output } from "./document.js";
import { readable } from "./readable.js";

/** E.g. `f32[B, 784]`. */
export function describeType(item: Input | Output): string {
  return `${item.dtype}[${item.shape.map(formatExpr).join(", ")}]`;
}

/** E.g. `B in 1..65536`; empty for a plan of fixed sizes. */
export function describeSymbols(document: Document): string {
  return [...document.symbols].map(([name, [low, high]]) => `${name} in ${low}..${high}`).join(", ");
}

/** Inputs with their roles, every operation in order, and what leaves the plan. */
export function asText(document: Document, id: string): string {
  const lines = [`${document.kind} plan ${document.name}`, `id ${id}`];
  if (document.doc) lines.push(...splitLines(strip(document.doc)).map((line) => `  | ${line}`));
  if (document.symbols.size) lines.push(`sizes: ${describeSymbols(document)}`);
  lines.push("takes:");
  let value = 0;
  for (const item of document.inputs) {
    lines.push(`  %${pad(value++, 4)} ${pad(item.role, 9)} ${item.name}: ${describeType(item)}${item.default ? "  (has a default)" : ""}`);
  }
  if (document.consts.length) lines.push("constants:");
  for (const each of document.consts) lines.push(`  %${pad(value++, 4)} ${each.dtype}[${each.shape.join(", ")}]`);
  lines.push("runs:");
  for (const node of document.nodes) {
    const name = document.ops[Number(node.op)]!.replace(/^aten\./, "").replace(/\.default$/, "");
    const given = node.args.map(formatArgument).concat([...node.kwargs].map(([key, each]) => `${key}=${formatArgument(each)}`));
    const results = Array.from({ length: Number(node.outs) }, () => `%${value++}`);
    lines.push(`  ${results.join(", ")} = ${name}(${given.join(", ")})`);
  }
  lines.push("returns:");
  for (const each of document.outputs) lines.push(`  ${pad(each.role, 9)} ${each.name}: ${describeType(each)} = %${each.id}`);
  return lines.map((line) => readable(line)).join("\n"); // whoever wrote the plan chose its names
}

function pad(value: number | string, width: number): string {
  return String(value).padEnd(width);
}

/** As Python's str.strip: white space at both ends, and the separators of ASCII. */
function strip(text: string): string {
  return text.replace(/^[\s\x1c-\x1f\x85]+|[\s\x1c-\x1f\x85]+$/g, "");
}

/** As Python's str.splitlines. */
function splitLines(text: string): string[] {
  const lines = text.split(/\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/);
  if (lines.at(-1) === "") lines.pop();
  return lines;
}

export function formatExpr(expr: Expr | undefined): string {
  if (!Array.isArray(expr)) return literal(expr);
  const [operator, ...parts] = expr;
  if (operator === "sym") return String(parts[0]);
  if (operator === "float" || operator === "max" || operator === "min") return `${operator}(${parts.map(formatExpr).join(", ")})`;
  return `(${formatExpr(parts[0])}${String(operator)}${formatExpr(parts[1])})`;
}

function formatArgument(argument: Argument): string {
  if (!Array.isArray(argument)) return literal(argument);
  const [tag, ...rest] = argument;
  if (tag === "r") return `%${String(rest[0])}`;
  if (tag === "l") return `[${rest.map(formatArgument).join(", ")}]`;
  return tag === "s" ? formatExpr(rest[0]) : String(rest[0]);
}

/** As Python's repr shows a literal. */
function literal(value: Argument | undefined): string {
  if (value === null) return "None";
  if (value === true || value === false) return value ? "True" : "False";
  if (value instanceof Real) return float(value.value);
  return typeof value === "string" ? `'${value}'` : String(value);
}

function float(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  if (Object.is(value, -0)) return "-0.0";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e16)) {
    const [digits, exponent] = value.toExponential().split("e") as [string, string];
    return `${digits}e${exponent[0]}${exponent.slice(1).padStart(2, "0")}`;
  }
  return Number.isInteger(value) ? `${value}.0` : String(value);
}
