/**
 * A participant's data against a declaration: every problem in one answer, or the rows as the model gets them. As
 * `syft_ext/federated/inputs/matching.py`: nothing is guessed, and what a browser cannot read exactly is refused.
 */
import { DataMismatch } from "../../errors.js";
import type { Tensor } from "../../wire/tensor.js";
import { Findings, beyond, firstLost, readNumbers, readWords, scaledColumn, type Cells, type Values } from "./columns.js";
import { width, type ArrayInputs, type InputColumn, type TableInputs, type TrainingInputs } from "./declared.js";
import { nearly } from "./names.js";
import { mismatch, type Problem } from "./problems.js";

/** What the owner says of a column: the unit of its numbers, and the words that they stand for. */
export interface About {
  readonly unit?: string;
  readonly categories?: readonly string[];
}

/** A table: columns by name, all of one length. `title`: what the owner calls it. */
export interface SiteTable {
  readonly kind: "table";
  readonly title: string;
  readonly columns: ReadonlyMap<string, Cells>;
  readonly about?: ReadonlyMap<string, About>;
}

/** Samples of one shape, back to back, and a label for each: a word, or a number. */
export interface SiteSamples {
  readonly kind: "samples";
  readonly title: string;
  readonly shape: readonly number[];
  readonly values: Uint8Array | Uint16Array | Float32Array | Float64Array;
  readonly labels: Cells;
  readonly unit?: string;
}

/** Plain tensors, where a training declares nothing: samples and targets, in the model's own order. */
export interface SiteTensors {
  readonly kind: "tensors";
  readonly x: Tensor;
  readonly y: Tensor;
}

export type SiteData = SiteTable | SiteSamples | SiteTensors;

/** What the model gets; `notes`: what could not be compared, and what was left out, by column too. */
export interface Matched {
  readonly x: Tensor;
  readonly y: Tensor;
  readonly rows: number;
  readonly notes: readonly string[];
  readonly dropped: readonly { readonly column: string; readonly outside: number; readonly missing: number }[];
}

/** The rows of `site` as a training takes them; throws {@link DataMismatch} with all that does not match. */
export function match(inputs: TrainingInputs | null, site: SiteData): Matched {
  if (!inputs) {
    if (site.kind === "tensors") return { x: site.x, y: site.y, rows: site.x.shape[0] ?? 0, notes: [], dropped: [] };
    throw new DataMismatch(
      `${site.title}: the training declares no inputs, so that nobody says which column, or class, has which place in its model`,
      { form: "has names, and nothing is declared to compare them with", problems: [], values: false },
    );
  }
  if (site.kind === "tensors") {
    throw new DataMismatch("plain tensors have no names to compare with what the training declares", {
      form: "has no names", problems: [], values: false,
    });
  }
  return inputs.form === "table" ? matchTable(inputs, site) : matchSamples(inputs, site);
}

// -- tables -----------------------------------------------------------------------------------------------------------

function matchTable(inputs: TableInputs, site: SiteTable | SiteSamples): Matched {
  if (site.kind !== "table") {
    throw mismatch(site.title, [whole("", "shape", "pictures, where a table is wanted", "is no table")]);
  }
  const columns = [...inputs.columns, inputs.label], notes: string[] = [], problems: Problem[] = [];
  for (const column of columns) compareNames(column, site, problems, notes);
  if (problems.length) throw mismatch(site.title, problems);
  const findings = columns.map((column) => new Findings(column.name));
  const found = columns.map((column, at) => read(column, site.columns.get(column.name)!, site.about?.get(column.name), findings[at]!));
  raise(site.title, findings);
  const count = found[0]!.numbers.length;
  if (found.some(({ numbers }) => numbers.length !== count)) {
    throw mismatch(site.title, [whole("", "length", "its columns have different lengths", "has columns of different lengths")]);
  }
  const rows = keptRows(count, found);
  if (!rows.length) throw mismatch(site.title, [{ ...whole("", "empty", "no row is left", "has no row that fits"), ofValues: true }]);
  const widths = inputs.columns.map(width), total = widths.reduce((sum, each) => sum + each, 0);
  const x = new Float32Array(rows.length * total);
  let offset = 0;
  inputs.columns.forEach((column, at) => {
    fill(x, rows, total, offset, column, found[at]!, findings[at]!);
    offset += widths[at]!;
  });
  const y = labels(inputs.label, found.at(-1)!, rows, findings.at(-1)!);
  raise(site.title, findings);
  const dropped = columns
    .map(({ name }, at) => ({ column: name, outside: found[at]!.outside, missing: found[at]!.missing }))
    .filter((each) => each.outside || each.missing);
  if (count > rows.length) notes.push(`${count - rows.length} of ${count} rows are left out, as is declared`);
  return { x: { dtype: "F32", shape: [rows.length, total], data: x.buffer }, y, rows: rows.length, notes, dropped };
}

function whole(column: string, code: Problem["code"], text: string, form: string, value = ""): Problem {
  return { column, row: null, code, value, text, form, ofValues: false };
}

/** Names and units; what one side only says of units is a note. */
function compareNames(column: InputColumn, site: SiteTable, problems: Problem[], notes: string[]): void {
  const { name } = column, names = [...site.columns.keys()];
  if (!site.columns.has(name)) {
    const like = nearly(name, names);
    const hint = like.length ? `nearly equal: ${like.join(", ")} (the same? then rename it)` : `there are: ${names.slice(0, 20).join(", ")}`;
    problems.push(whole(name, "no-column", `there is no column ${name}; ${hint}`, `has no column '${name}'`, like[0] ?? ""));
    return;
  }
  if (column.kind === "category") return;
  const unit = column.unit.trim(), own = (site.about?.get(name)?.unit ?? "").trim();
  if (unit.includes(" since ")) {
    problems.push(whole(name, "times", `column ${name}: times are not read in a browser yet (${unit})`, `has no times as '${name}'`));
  } else if (unit && own && unit !== own) {
    problems.push(whole(
      name, "unit", `column ${name} is in ${own}, and the training takes ${unit}: convert it`, `has '${name}' in another unit than '${unit}'`, own,
    ));
  } else if (unit !== own) {
    notes.push(`column ${name}: ${unit ? `the training says ${unit}, and here no unit is said` : `it is in ${own}, and the training says no unit`}`);
  }
}

function read(column: InputColumn, cells: Cells, about: About | undefined, findings: Findings): Values {
  return column.kind === "category"
    ? readWords(cells, column, about?.categories ?? null, findings) : readNumbers(cells, column, findings);
}

function raise(title: string, findings: readonly Findings[]): void {
  const problems = findings.flatMap((each) => each.problems);
  if (problems.length) throw mismatch(title, problems);
}

function keptRows(count: number, found: readonly Values[]): Uint32Array {
  return Uint32Array.from(Array.from({ length: count }, (_, at) => at).filter((at) => found.every(({ kept }) => kept[at])));
}

function fill(
  x: Float32Array, rows: Uint32Array, total: number, offset: number, column: InputColumn, values: Values, findings: Findings,
): void {
  const numbers = column.kind === "number" ? scaledColumn(values, column, rows, findings) : null;
  rows.forEach((at, row) => {
    const value = numbers ? numbers[row]! : values.numbers[at]!;
    if (column.kind === "category" && column.oneHot) x[row * total + offset + value] = 1;
    else x[row * total + offset] = value;
  });
}

/** Classes and whole numbers as int64, else single precision. */
function labels(column: InputColumn, values: Values, rows: Uint32Array, findings: Findings): Tensor {
  const unscaled = column.kind === "category" || (column.scaling === "declared" && column.centre === 0 && column.scale === 1);
  if (column.kind === "category" || (column.whole && unscaled)) {
    if (column.kind === "number") scaledColumn(values, column, rows, findings); // checks that it is exact
    const whole = BigInt64Array.from(rows, (at) => BigInt(values.numbers[at]!));
    return { dtype: "I64", shape: [rows.length], data: whole.buffer as ArrayBuffer };
  }
  const made = Float32Array.from(scaledColumn(values, column, rows, findings));
  return { dtype: "F32", shape: [rows.length], data: made.buffer as ArrayBuffer };
}

// -- arrays and pictures ------------------------------------------------------------------------------------------------

function matchSamples(inputs: ArrayInputs, site: SiteTable | SiteSamples): Matched {
  const wanted = inputs.shape.join(" × ");
  if (site.kind !== "samples") {
    throw mismatch(site.title, [whole("", "shape", `a table, where samples of ${wanted} are wanted`, `has no arrays of the shape ${wanted}`)]);
  }
  const problems: Problem[] = [], { values } = site;
  const size = inputs.shape.reduce((product, each) => product * each, 1), count = site.labels.length;
  if (site.shape.join() !== inputs.shape.join() || values.length !== count * size) {
    problems.push(whole("", "shape", `samples have the shape ${site.shape.join(" × ")}, and the training takes ${wanted}`, `has samples of another shape than ${wanted}`));
  }
  const bits = values instanceof Uint8Array ? 8 : values instanceof Uint16Array ? 16 : null;
  if (inputs.picture && bits !== null && bits !== inputs.bits) {
    problems.push(whole("", "depth", `pictures have ${bits} bits, and the training takes ${inputs.bits}`, `has pictures of another depth than ${inputs.bits} bits`));
  }
  const own = (site.unit ?? "").trim(), unit = inputs.unit.trim();
  if (unit && own && unit !== own) problems.push(whole("", "unit", `samples are in ${own}, and the training takes ${unit}: convert them`, `has samples in another unit than '${unit}'`));
  if (!count) problems.push(whole("", "empty", "there is no sample", "has no sample"));
  if (problems.length) throw mismatch(site.title, problems);
  const findings = new Findings("samples"), label = new Findings(inputs.label.name);
  const made = samples(inputs, values, bits, size, findings);
  const found = read(inputs.label, site.labels, undefined, label);
  raise(site.title, [findings, label]);
  const rows = keptRows(count, [found]);
  if (!rows.length) throw mismatch(site.title, [{ ...whole("", "empty", "no sample is left", "has no sample that fits"), ofValues: true }]);
  const y = labels(inputs.label, found, rows, label);
  raise(site.title, [label]);
  return { x: chosen(made, rows, size, inputs), y, rows: rows.length, ...told(found, inputs.label.name, count, rows.length) };
}

function told(found: Values, column: string, count: number, rows: number) {
  const left = count - rows;
  return {
    notes: left ? [`${left} of ${count} samples are left out, as is declared`] : [],
    dropped: left ? [{ column, outside: found.outside, missing: found.missing }] : [],
  };
}

/** All samples as numbers of the model, in double precision. */
function samples(inputs: ArrayInputs, values: SiteSamples["values"], bits: number | null, size: number, found: Findings): Float64Array {
  const full = inputs.picture && bits !== null ? 2 ** bits - 1 : 1;
  const [low, high] = inputs.picture ? [0, 1] : [inputs.low, inputs.high];
  const inner = size / (inputs.shape[0] ?? 1), made = new Float64Array(values.length);
  for (let at = 0; at < values.length; at++) {
    // Pictures are rounded to single precision first, as Python's side does.
    const value = full === 1 ? values[at]! : Math.fround(values[at]! / full), row = Math.floor(at / size) + 1;
    if (!Number.isFinite(value)) found.add("not-finite", row, String(value), "a number is not finite", "has samples out of range");
    else if (inputs.whole && !Number.isInteger(value)) {
      found.add("not-whole", row, String(value), "a number is not whole", "has samples that are not whole numbers");
    } else if (beyond(value, low, "low") || beyond(value, high, "high")) {
      const ends = `${low ?? "any"} to ${high ?? "any"}`;
      found.add(beyond(value, low, "low") ? "below" : "above", row, String(value), `a number is not from ${ends}`, "has samples out of range");
    }
    const place = Math.floor((at % size) / inner);
    const centre = inputs.centre.length === 1 ? inputs.centre[0]! : inputs.centre[place] ?? 0;
    const scale = inputs.scale.length === 1 ? inputs.scale[0]! : inputs.scale[place] ?? 1;
    made[at] = (value - centre) / scale;
  }
  const lost = firstLost(made, size);
  if (lost >= 0 && !inputs.whole) {
    found.add("single-precision", lost + 1, "", "single precision would round away what varies here", "would be rounded: it needs a declared centre and scale", false);
  }
  return made;
}

function chosen(values: Float64Array, rows: Uint32Array, size: number, inputs: ArrayInputs): Tensor {
  const shape = [rows.length, ...inputs.shape], whole = inputs.whole && !inputs.centre.length && !inputs.scale.length;
  const made = whole ? new BigInt64Array(rows.length * size) : new Float32Array(rows.length * size);
  rows.forEach((at, row) => {
    for (let place = 0; place < size; place++) {
      const value = values[at * size + place]!;
      if (made instanceof BigInt64Array) made[row * size + place] = BigInt(value);
      else made[row * size + place] = value;
    }
  });
  return { dtype: whole ? "I64" : "F32", shape, data: made.buffer as ArrayBuffer };
}
