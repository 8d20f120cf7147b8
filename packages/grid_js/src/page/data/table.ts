/** A CSV as a table to be matched: the cells of the columns that a training takes, and the line of each row. */
import type { SiteTable } from "../../federated/inputs/matching.js";
import { Cells, delimiterOf, textOf, type Row } from "./csv.js";
import { Unreadable, problem } from "./unreadable.js";

/** Cells that a page holds. */
const MOST = 20_000_000;
/** Signs of the line that names the columns. */
const LONGEST = 1 << 20;

export interface Table {
  readonly site: SiteTable;
  /** Of each row the line that it ends in. */
  readonly lines: readonly number[];
}

/** Throws {@link Unreadable}. Columns that nobody asks for are not kept. */
export async function readTable(wanted: readonly string[], file: File): Promise<Table> {
  let head = "", cells: Cells | undefined;
  const reading = new Reading(wanted);
  const begin = (): Cells => {
    const begun = new Cells(delimiterOf(file.name, head.split(/[\r\n]/, 1)[0]!), (row) => reading.take(row));
    begun.feed(head);
    return begun;
  };
  for await (const text of textOf(file)) {
    if (cells) {
      cells.feed(text);
      continue;
    }
    head += text;
    if (/[\r\n]/.test(head) || head.length > LONGEST) cells = begin();
  }
  (cells ?? begin()).close();
  return { site: { kind: "table", title: file.name, columns: reading.columns() }, lines: reading.lines };
}

class Reading {
  readonly lines: number[] = [];
  private names: readonly string[] | null = null;
  private readonly kept = new Map<string, { readonly place: number; readonly cells: string[] }>();

  constructor(private readonly wanted: readonly string[]) {}

  take(row: Row): void {
    if (this.names === null) return this.begin(row);
    if (row.cells.length !== this.names.length) {
      throw new Unreadable([problem("width", {
        row: this.lines.length + 1, line: row.line, value: String(row.cells.length), more: String(this.names.length),
      })]);
    }
    if (this.lines.length * this.kept.size > MOST) {
      throw new Unreadable([problem("too-large", { value: String(this.lines.length), more: String(Math.floor(MOST / this.kept.size)) })]);
    }
    this.lines.push(row.line);
    for (const { place, cells } of this.kept.values()) cells.push(row.cells[place]!);
  }

  private begin(row: Row): void {
    this.names = row.cells.map((name) => name.trim());
    for (const name of this.wanted) {
      const place = this.names.indexOf(name.trim());
      if (place < 0) continue;
      if (this.names.indexOf(name.trim(), place + 1) >= 0) throw new Unreadable([problem("twice", { column: name })]);
      this.kept.set(name, { place, cells: [] });
    }
  }

  /** By name; those that nobody asked for, empty: their names are what a missing one may have meant. */
  columns(): ReadonlyMap<string, readonly string[]> {
    if (this.names === null || !this.lines.length) throw new Unreadable([problem("empty")]);
    const others = this.names.filter((name) => name && !this.kept.has(name)).map((name) => [name, []] as const);
    return new Map<string, readonly string[]>([...[...this.kept].map(([name, { cells }]) => [name, cells] as const), ...others]);
  }
}
