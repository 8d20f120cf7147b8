/** One column's values as the model gets them: `syft_ext/federated/inputs/columns.py` and `words.py`. */
import type { CategoryColumn, NumberColumn } from "./declared.js";
import { nearly } from "./names.js";
import type { Problem, ProblemCode } from "./problems.js";

/** Cells of a text file as they stand there, or numbers; NaN is a number that is missing. */
export type Cells = readonly string[] | Float64Array;

/** `numbers`: of all rows; `kept`: which rows stay; how many were left out for what. */
export interface Values {
  readonly numbers: Float64Array;
  readonly kept: Uint8Array;
  readonly outside: number;
  readonly missing: number;
}

/** Numbers beyond which single precision leaves out whole ones. */
const WHOLE = 2 ** 24;
/** The largest part of a column's range that single precision may round away there. */
const LOST = 1e-3;
/** Words that stand for a missing value, as Python's side reads text files. */
const MISSING = new Set(["", "nan", "na", "n/a", "null", "none", "<na>", "nat"]);
const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i;
const INFINITE = /^[+-]?inf(?:inity)?$/i;

/** Notes every problem of a column, the first of each kind with its row. */
export class Findings {
  readonly problems: Problem[] = [];

  constructor(private readonly column: string) {}

  add(code: ProblemCode, row: number | null, value: string, text: string, form: string, ofValues = true): void {
    if (this.problems.some((each) => each.code === code)) return;
    const where = row === null ? `column ${this.column}` : `column ${this.column}, row ${row}`;
    this.problems.push({
      column: this.column, row, code, value: value.slice(0, 80), text: `${where}: ${text}`, form: `${form} in '${this.column}'`, ofValues,
    });
  }
}

function numberOf(cell: string): number | null {
  if (MISSING.has(cell.toLowerCase())) return NaN;
  if (INFINITE.test(cell)) return cell.startsWith("-") ? -Infinity : Infinity;
  return NUMBER.test(cell) ? Number(cell) : null;
}

/** Whether the number is the one that is written: a double keeps 17 digits, and whole numbers to 2⁵³. */
function isExact(cell: string, value: number): boolean {
  if (/^[+-]?\d+$/.test(cell)) return BigInt(cell.replace(/^\+/, "")) === BigInt(value);
  const written = digitsOf(cell);
  // toPrecision rounds the double's exact value: as many digits as are written are those that are written, or not.
  return written.length <= 15 || (written.length <= 100 && digitsOf(value.toPrecision(written.length)) === written);
}

function digitsOf(number: string): string {
  return number.replace(/e.*$/i, "").replace(/[^\d]/g, "").replace(/^0+/, "").replace(/0+$/, "");
}

/** Which rows have a number of `column`. */
export function readNumbers(cells: Cells, column: NumberColumn, found: Findings): Values {
  const numbers = new Float64Array(cells.length), kept = new Uint8Array(cells.length).fill(1);
  let missing = 0, outside = 0;
  const ends = `${column.low ?? "any"} to ${column.high ?? "any"}`;
  for (let at = 0; at < cells.length; at++) {
    const cell = cells[at]!, shown = String(cell).trim(), row = at + 1;
    const value = typeof cell === "number" ? cell : numberOf(shown);
    numbers[at] = value ?? NaN;
    if (value === null) found.add("not-a-number", row, shown, `${shown.slice(0, 80)} is no number`, "holds no numbers", false);
    else if (Number.isNaN(value)) {
      missing++;
      kept[at] = 0;
      if (column.missing === "refuse") found.add("missing", row, shown, "there is no number", "has gaps");
    } else if (!Number.isFinite(value)) found.add("not-finite", row, shown, "it is not finite", "holds what is no finite number");
    else if (typeof cell === "string" && !isExact(shown, value)) {
      found.add("inexact", row, shown, "it has more digits than a number keeps", "holds numbers that cannot be kept");
    } else if (column.whole && !Number.isInteger(value)) found.add("not-whole", row, shown, `${shown} is not whole`, "holds what is not whole");
    else if (beyond(value, column.low, "low") || beyond(value, column.high, "high")) {
      outside++;
      kept[at] = 0;
      if (column.outside === "refuse") {
        const code = beyond(value, column.low, "low") ? "below" : "above";
        found.add(code, row, shown, `${shown} is not from ${ends}`, `holds values not from ${ends}`);
      }
    }
  }
  return { numbers, kept, outside, missing };
}

/** A bound that is no whole number is met by what equals it in single precision; whole bounds hold exactly. */
export function beyond(value: number, bound: number | null, end: "low" | "high"): boolean {
  if (bound === null || !(end === "low" ? value < bound : value > bound)) return false;
  return Number.isInteger(bound) || Math.fround(value) !== Math.fround(bound);
}

/** The place of each row's word among the declared categories; `own`: what the owner's numbers stand for. */
export function readWords(cells: Cells, column: CategoryColumn, own: readonly string[] | null, found: Findings): Values {
  const places = new Map(column.categories.map((word, place) => [word.trim(), place]));
  const numbers = new Float64Array(cells.length), kept = new Uint8Array(cells.length).fill(1);
  const listed = column.categories.slice(0, 20).join(", ");
  let missing = 0;
  for (let at = 0; at < cells.length; at++) {
    const cell = cells[at]!, row = at + 1;
    let word = typeof cell === "string" ? cell.trim() : "";
    if (typeof cell === "number" && !Number.isNaN(cell)) {
      const said = own?.[cell];
      if (said === undefined) {
        found.add("not-declared", row, String(cell), `${cell} is the number of no category`, "holds numbers of no category", false);
        continue;
      }
      word = said.trim();
    }
    const place = places.get(word);
    if (place !== undefined) numbers[at] = place;
    else if (MISSING.has(word.toLowerCase())) {
      missing++;
      kept[at] = 0;
      if (column.missing === "refuse") found.add("missing", row, word, "there is no word", "has gaps");
    } else {
      const like = nearly(word, column.categories), hint = like.length ? `; nearly equal: ${like.join(", ")}` : "";
      found.add(
        "not-declared", row, word, `${word.slice(0, 80)} is not declared (declared are ${listed})${hint}`,
        "holds words that are not declared", false,
      );
    }
  }
  return { numbers, kept, outside: 0, missing };
}

/** The kept values as numbers of the model, `width` for each row: scaled in double precision, exact in single. */
export function scaledColumn(values: Values, column: NumberColumn, rows: Uint32Array, found: Findings): Float64Array {
  const taken = Float64Array.from(rows, (at) => values.numbers[at]!);
  const scaled = column.scaling === "by-site" ? standardScores(taken) : taken.map((value) => (value - column.centre) / column.scale);
  const whole = column.scaling === "declared" && column.whole && column.centre === 0 && column.scale === 1;
  const lost = whole ? taken.findIndex((value) => Math.abs(value) > WHOLE && Math.fround(value) !== value) : firstLost(scaled, 1);
  if (lost >= 0) {
    found.add(
      "single-precision", rows[lost]! + 1, "", "models compute in single precision, which would round away what varies here; " +
        "the training's host can declare a centre and a scale for it", "would be rounded: it needs a declared centre and scale",
      false,
    );
  }
  return scaled;
}

/** The first value that single precision would round away too much of, at the same place of each row; -1: none. */
export function firstLost(values: ArrayLike<number>, places: number): number {
  const count = values.length / places;
  for (let place = 0; place < places; place++) {
    let low = Infinity, high = -Infinity, suspect = false;
    for (let row = 0; row < count; row++) {
      const value = values[row * places + place]!;
      low = Math.min(low, value);
      high = Math.max(high, value);
      suspect ||= !(Math.abs(value) <= WHOLE);
    }
    if (!suspect) continue;
    for (let row = 0; row < count; row++) {
      const value = values[row * places + place]!;
      if (!(Math.abs(value) <= WHOLE) && !(Math.abs(Math.fround(value) - value) <= LOST * (high - low))) return row;
    }
  }
  return -1;
}

/** Mean 0 and deviation 1; zeros where nothing varies, up to the rounding of the numbers. */
function standardScores(values: Float64Array): Float64Array {
  const first = values[0] ?? 0, wide = values.map((value) => value - first), count = values.length;
  const mean = wide.reduce((sum, value) => sum + value, 0) / count;
  const deviation = Math.sqrt(wide.reduce((sum, value) => sum + (value - mean) ** 2, 0) / count);
  let low = Infinity, high = -Infinity, largest = 0;
  for (let at = 0; at < count; at++) {
    low = Math.min(low, wide[at]!);
    high = Math.max(high, wide[at]!);
    largest = Math.max(largest, Math.abs(values[at]!));
  }
  return high - low > 8 * Number.EPSILON * largest ? wide.map((value) => (value - mean) / deviation) : new Float64Array(count);
}
