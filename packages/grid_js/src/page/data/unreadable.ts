/** What is wrong with data, as the page says it. */
import type { Problem } from "../state.js";

/** What somebody chose cannot be read: why, all of it. */
export class Unreadable extends Error {
  constructor(readonly problems: readonly Problem[], readonly title = "") {
    super(problems[0]?.code ?? "");
  }
}

export function problem(code: Problem["code"], at: Partial<Problem> = {}): Problem {
  return { column: "", row: null, line: null, value: "", more: "", ...at, code };
}
