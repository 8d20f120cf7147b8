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

/** By the names that plans use. */
export const SIGNATURES: ReadonlyMap<string, Signature> = new Map(TABLE.trim().split("\n").map(signature));

function signature(line: string): [string, Signature] {
  const [opset, name, outs, ...words] = line.split(" ");
  const star = words.indexOf("*");
  const parameters = words.filter((word) => word !== "*").map((word, place) => parameter(word, star >= 0 && place >= star));
  return [`aten.${name}`, { opset: Number(opset), outs: Number(outs), parameters }];
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
