/** What a training takes of its participants' data: `syft_ext/messages/training_inputs.py`. */
import { InvalidEnvelope } from "../../errors.js";
import { Fields } from "../../wire/fields.js";
import type { Packed } from "../../wire/msgpack.js";

/** What becomes of rows that do not fit: they are left out and counted, or the data are refused. */
export type Rows = "drop" | "refuse";

export interface NumberColumn {
  readonly kind: "number";
  readonly name: string;
  readonly unit: string;
  readonly description: string;
  readonly whole: boolean;
  readonly low: number | null;
  readonly high: number | null;
  readonly outside: Rows;
  readonly missing: Rows;
  readonly centre: number;
  readonly scale: number;
  readonly scaling: "declared" | "by-site";
}

export interface CategoryColumn {
  readonly kind: "category";
  readonly name: string;
  readonly categories: readonly string[];
  readonly description: string;
  readonly oneHot: boolean;
  readonly missing: Rows;
}

export type InputColumn = NumberColumn | CategoryColumn;

export interface TableInputs {
  readonly form: "table";
  readonly columns: readonly InputColumn[];
  readonly label: InputColumn;
}

export interface ArrayInputs {
  readonly form: "arrays";
  readonly name: string;
  /** Of one sample; of a picture: channels, height, width. */
  readonly shape: readonly number[];
  readonly label: InputColumn;
  readonly picture: boolean;
  readonly bits: 8 | 16;
  readonly whole: boolean;
  readonly unit: string;
  readonly description: string;
  readonly low: number | null;
  readonly high: number | null;
  readonly centre: readonly number[];
  readonly scale: readonly number[];
}

export type TrainingInputs = TableInputs | ArrayInputs;

/** How many numbers the model gets of a column. */
export function width(column: InputColumn): number {
  return column.kind === "category" && column.oneHot ? column.categories.length : 1;
}

/** Throws {@link InvalidEnvelope} for a declaration of another kind: what is not understood is not matched. */
export function readInputs(fields: Fields | null): TrainingInputs | null {
  if (!fields) return null;
  const label = column(fields.inner("label"));
  switch (fields.text("form")) {
    case "table":
      only(fields, ["form", "columns", "label"]);
      return {
        form: "table", label,
        columns: fields.list("columns").map((each) => column(each instanceof Map ? new Fields(each, "a declared column") : null)),
      };
    case "arrays": {
      only(fields, [
        "form", "name", "shape", "label", "picture", "bits", "whole", "unit", "description", "low", "high", "centre", "scale",
      ]);
      const bits = fields.whole("bits", 8);
      if (bits !== 8 && bits !== 16) throw new InvalidEnvelope("declared inputs: pictures have 8 or 16 bits");
      return {
        form: "arrays", label, bits, name: fields.text("name", "x"), shape: floats(fields, "shape"),
        picture: fields.truth("picture", false), whole: fields.truth("whole", false), unit: fields.text("unit", ""),
        description: fields.text("description", ""), low: fields.maybe("low"), high: fields.maybe("high"),
        centre: floats(fields, "centre"), scale: floats(fields, "scale"),
      };
    }
    default: throw new InvalidEnvelope("declared inputs of a kind that is not known here");
  }
}

function floats(fields: Fields, name: string): number[] {
  return fields.list(name, []).map((_, at) => new Fields(new Map([[name, fields.list(name)[at] as Packed]]), fields.what).number(name));
}

function rows(fields: Fields, name: string): Rows {
  const found = fields.text(name, "refuse");
  if (found !== "drop" && found !== "refuse") throw new InvalidEnvelope(`declared inputs: ${name} is drop or refuse`);
  return found;
}

function column(fields: Fields | null): InputColumn {
  if (!fields) throw new InvalidEnvelope("a declared column is missing");
  const name = fields.text("name"), description = fields.text("description", ""), missing = rows(fields, "missing");
  if (fields.text("kind") === "category") {
    only(fields, ["kind", "name", "description", "missing", "categories", "one_hot"]);
    return { kind: "category", name, description, missing, categories: fields.texts("categories"), oneHot: fields.truth("one_hot", false) };
  }
  if (fields.text("kind") !== "number") throw new InvalidEnvelope("a declared column of a kind that is not known here");
  only(fields, [
    "kind", "name", "description", "missing", "unit", "whole", "low", "high", "outside", "centre", "scale", "scaling",
  ]);
  const scaling = fields.text("scaling", "declared");
  if (scaling !== "declared" && scaling !== "by-site") throw new InvalidEnvelope("declared inputs: another scaling");
  return {
    kind: "number", name, description, missing, unit: fields.text("unit", ""), whole: fields.truth("whole", false),
    low: fields.maybe("low"), high: fields.maybe("high"), outside: rows(fields, "outside"),
    centre: fields.number("centre", 0), scale: fields.number("scale", 1), scaling,
  };
}

/** What a later version declares and this one does not know changes what is matched: it is refused. */
function only(fields: Fields, known: readonly string[]): void {
  const other = [...fields.map.keys()].find((name) => !known.includes(name));
  if (other !== undefined) throw new InvalidEnvelope(`declared inputs: ${other} is not known here`);
}
