/** The signatures of the op sets, from their table. */
import { TABLE } from "./operations.js";

export interface Kind {
  /** Tensor, number, int, float, bool, string, dtype, or what nobody may give. */
  readonly base: "T" | "n" | "i" | "f" | "b" | "s" | "d" | "x";
  readonly words: readonly string[];
  readonly list: boolean;
  /** None stands for the whole. */
  readonly optional: boolean;
  /** None stands for a part of the list. */
  readonly partOptional: boolean;
}
export interface Parameter {
  readonly name: string;
  readonly kind: Kind;
  readonly byName: boolean;
  readonly required: boolean;
  /** As JSON has it. */
  readonly initial: unknown;
}
export interface Signature {
  readonly opset: number;
  readonly outs: number;
  readonly parameters: readonly Parameter[];
}

const known = new Map<string, Signature>();
/** By the names that plans use: of the common operations, and of those that were learned. */
export const SIGNATURES: ReadonlyMap<string, Signature> = known;

/** Makes the signatures of a table known. */
export function learn(table: string): void {
  for (const line of table.trim().split("\n")) {
    const [names, form] = line.split(" : ") as [string, string], shared = signature(form);
    for (const name of names.split(" ")) known.set(`aten.${name}${name.includes(".") ? "" : ".default"}`, shared);
  }
}
learn(TABLE);

function signature(form: string): Signature {
  const [opset, outs, ...words] = form.split(" ");
  const star = words.indexOf("*");
  const parameters = words.filter((word) => word !== "*").map((word, place) => parameter(word, star >= 0 && place >= star));
  return { opset: Number(opset), outs: Number(outs), parameters };
}

function parameter(word: string, byName: boolean): Parameter {
  const [, name, base, words, marks, initial] = /^(\w+):(\w)(?:\(([^)]*)\))?([[\]?]*)(?:=(.*))?$/.exec(word)!;
  return {
    name: name!,
    kind: {
      base: base as Kind["base"],
      words: words?.split("|") ?? [],
      list: marks!.includes("[]"),
      optional: marks!.endsWith("?"),
      partOptional: marks!.startsWith("?["),
    },
    byName,
    required: initial === undefined,
    initial: initial === undefined ? undefined : JSON.parse(initial),
  };
}
