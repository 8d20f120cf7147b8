/** What somebody chose, read and matched: rows for the model, or every problem for the page. */
import { DataMismatch } from "../../errors.js";
import type { InputColumn, TrainingInputs } from "../../federated/inputs/declared.js";
import { match, type Matched as Rows, type SiteData } from "../../federated/inputs/matching.js";
import type { Problem as Finding } from "../../federated/inputs/problems.js";
import type { Chosen, Matched, Problem } from "../state.js";
import { Unreadable } from "./unreadable.js";

export interface Reading {
  readonly matched: Matched;
  readonly rows: Rows | null;
}

export async function read(inputs: TrainingInputs, chosen: Chosen): Promise<Reading> {
  let title = chosen.kind === "csv" ? chosen.file.name : "", lines: readonly number[] | null = null;
  try {
    let site: SiteData;
    if (inputs.form === "table" && chosen.kind === "csv") {
      const { readTable } = await import("./table.js");
      const table = await readTable([...inputs.columns, inputs.label].map((column) => column.name), chosen.file);
      ({ site, lines } = table);
    } else if (inputs.form === "arrays" && chosen.kind !== "csv") {
      const { drawnSamples, readFolder } = await import("./pictures.js");
      const samples = chosen.kind === "folder" ? await readFolder(inputs, chosen.files) : drawnSamples(inputs, chosen.size, chosen.pictures);
      ({ title } = samples);
      site = samples;
    } else throw new TypeError("the training takes data of another form");
    return good(inputs, title, match(inputs, site));
  } catch (error) {
    if (error instanceof Unreadable) return bad(inputs, error.title || title, error.problems);
    if (error instanceof DataMismatch && Array.isArray(error.extra["problems"])) {
      return bad(inputs, title, (error.extra["problems"] as Finding[]).map((each) => told(each, inputs, lines)));
    }
    throw error;
  }
}

function good(inputs: TrainingInputs, title: string, rows: Rows): Reading {
  const { label } = inputs, counts: number[] = [];
  if (label.kind === "category") {
    for (const place of new BigInt64Array(rows.y.data)) counts[Number(place)] = (counts[Number(place)] ?? 0) + 1;
  }
  const classes = label.kind === "category" ? label.categories.map((name, place) => ({ name, rows: counts[place] ?? 0 })) : [];
  return { rows, matched: { title, rows: rows.rows, dropped: rows.dropped, problems: [], classes, columns: columnsOf(inputs, new Set()) } };
}

function bad(inputs: TrainingInputs, title: string, problems: readonly Problem[]): Reading {
  const columns = columnsOf(inputs, new Set(problems.map((each) => each.column)));
  return { rows: null, matched: { title, rows: 0, dropped: [], classes: [], problems, columns } };
}

function columnsOf(inputs: TrainingInputs, wrong: ReadonlySet<string>): Matched["columns"] {
  if (inputs.form !== "table") return [];
  return [...inputs.columns, inputs.label].map(({ name }) => ({ name, problem: wrong.has(name) || wrong.has("") }));
}

/** A finding with the line of its row, and what would be right, in the declaration's words. */
function told(found: Finding, inputs: TrainingInputs, lines: readonly number[] | null): Problem {
  const all: InputColumn[] = inputs.form === "table" ? [...inputs.columns, inputs.label] : [inputs.label];
  const column = all.find(({ name }) => name === found.column), { row, value } = found;
  let code: Problem["code"] = found.code, more = "";
  if (column?.kind === "number") more = String((found.code === "below" ? column.low : column.high) ?? column.unit);
  if (column?.kind === "category") more = column.categories.join(", ");
  if (found.code === "unit" && column?.kind === "number") more = column.unit;
  if (found.code === "no-column" && value) [code, more] = ["nearly", value];
  if (found.code === "not-a-number" && /^[+-]?(?:\d{1,3}(?:[.,' \u00a0\u202f]\d{3})+|\d+)(?:[.,]\d+)?$/.test(value)) code = "other-decimal";
  return { column: found.column, row, line: (row !== null && lines?.[row - 1]) || null, code, value, more };
}
