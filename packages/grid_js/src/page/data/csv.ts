/**
 * CSV as `syft_ext.sources.csv_table` reads it: a header, cells in double quotes where needed, strict.
 *
 * Text in UTF-8, or nothing: no encoding, no separator of thousands and no decimal sign is guessed.
 */
import { Unreadable, problem } from "./unreadable.js";

export interface Row {
  /** The line that it ends in, from 1. */
  readonly line: number;
  readonly cells: readonly string[];
}

/** Cells of a stream of text; empty lines are no rows. Throws {@link Unreadable}. */
export class Cells {
  private readonly cells: string[] = [];
  private cell = "";
  private state: "start" | "plain" | "quoted" | "closed" = "start";
  private line = 1;
  private afterReturn = false;

  constructor(private readonly delimiter: string, private readonly take: (row: Row) => void) {}

  feed(text: string): void {
    let begin = 0;
    for (let at = 0; at < text.length; at++) {
      const sign = text[at]!;
      if (this.afterReturn) {
        this.afterReturn = false;
        if (sign === "\n") {
          begin = at + 1;
          continue;
        }
      }
      if (this.state === "quoted") {
        if (sign === '"') {
          this.cell += text.slice(begin, at);
          this.state = "closed";
          begin = at + 1;
        } else if (sign === "\n" || (sign === "\r" && text[at + 1] !== "\n")) this.line++;
        continue;
      }
      if (sign === '"' && this.state !== "plain") {
        if (this.state === "closed") this.cell += '"'; // two of them are one
        this.state = "quoted";
        begin = at + 1;
      } else if (sign === this.delimiter || sign === "\n" || sign === "\r") {
        if (this.state !== "closed") this.cell += text.slice(begin, at);
        begin = at + 1;
        if (sign === this.delimiter) this.end();
        else {
          this.endRow();
          this.afterReturn = sign === "\r";
        }
      } else if (this.state === "closed") throw new Unreadable([problem("quotes", { line: this.line })]);
      else this.state = "plain";
    }
    if (this.state !== "closed" && begin < text.length) this.cell += text.slice(begin);
  }

  close(): void {
    if (this.state === "quoted") throw new Unreadable([problem("quotes", { line: this.line })]);
    this.endRow();
  }

  private end(): void {
    this.cells.push(this.cell);
    this.cell = "";
    this.state = "start";
  }

  private endRow(): void {
    if (this.cells.length || this.cell || this.state !== "start") {
      this.end();
      this.take({ line: this.line, cells: this.cells.splice(0) });
    }
    this.line++;
  }
}

/** The file's text, piece by piece. Throws {@link Unreadable} at the first byte that is none. */
export async function* textOf(file: Blob): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const reader = file.stream().getReader();
  let read = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      yield done ? decoder.decode() : decoder.decode(value, { stream: true });
      if (done) return;
      read += value.length;
    }
  } catch (error) {
    if (error instanceof TypeError) throw new Unreadable([problem("encoding", { value: String(read) })]);
    throw error;
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

/** What separates the columns: a tab in a .tsv, semicolons where the header has only these, else a comma. */
export function delimiterOf(name: string, header: string): string {
  if (/\.tsv$/i.test(name)) return "\t";
  return header.includes(";") && !header.includes(",") ? ";" : ",";
}
