/** What is wrong with chosen data: all of it at once, for the page; as one error, for programs. */
import { DataMismatch } from "../../errors.js";

export type ProblemCode =
  | "empty" | "no-column" | "not-a-number" | "inexact" | "not-whole" | "not-finite" | "below" | "above" | "missing"
  | "not-declared" | "single-precision" | "unit" | "times" | "length" | "shape" | "depth" | "not-numbers";

/** One finding. `row`: from 1, without a header; null where it is about a whole column. */
export interface Problem {
  readonly column: string;
  readonly row: number | null;
  readonly code: ProblemCode;
  /** What stands there, or what is like it. */
  readonly value: string;
  /** The same in a sentence. */
  readonly text: string;
  /** What does not match, in the declaration's own words: that much a Domain may be told. */
  readonly form: string;
  /** Whether it says something about the rows, so that a Domain is told nothing but that. */
  readonly ofValues: boolean;
}

const SHOWN = 30;

/** The error of data with these problems; `extra.problems` are they. */
export function mismatch(title: string, problems: readonly Problem[]): DataMismatch {
  const join = (texts: readonly string[]) => texts.slice(0, SHOWN).join("; ");
  return new DataMismatch(`${title}: ${join(problems.map((each) => each.text))}`, {
    problems, form: join(problems.map((each) => each.form)), values: problems.some((each) => each.ofValues),
  });
}

/** What a Domain is told of data that do not fit: the declaration's words, and nothing of their rows. */
export function reasonAside(error: DataMismatch): string {
  if (error.extra["values"]) return "its data: rows that are not as declared; its owner is told which";
  return `its data: ${(error.extra["form"] as string) || "they cannot be read"}`;
}
