/** The plan as decoded: what `syft_ext/plans/graph/document.py` describes, version 1 of the format. */
import type { Packed, Real } from "../wire/msgpack.js";

/** Elements of a plan's tensors, by the names in its bytes. */
export const DTYPES = ["f64", "f32", "f16", "bf16", "i64", "i32", "i16", "i8", "u8", "b"] as const;
export type DType = (typeof DTYPES)[number];
export const ITEM_BYTES: Readonly<Record<DType, number>> = {
  f64: 8, f32: 4, f16: 2, bf16: 2, i64: 8, i32: 4, i16: 2, i8: 1, u8: 1, b: 1,
};

export const KINDS = ["training", "averaging", "statistics", "inference"] as const;
export type Kind = (typeof KINDS)[number];
export const INPUT_ROLES = [
  "data", "target", "hyper", "param", "state", "buffer", "seed", "item", "count", "aggregate",
] as const;
export type InputRole = (typeof INPUT_ROLES)[number];
export const OUTPUT_ROLES = ["metric", "param", "state", "buffer", "aggregate", "result"] as const;
export type OutputRole = (typeof OUTPUT_ROLES)[number];

/** `int | Real | ["sym", name] | [operator, expr, expr]`. */
export type Expr = Packed;
/** A literal, `["r", id]`, `["l", argument ...]`, `["s", expr]` or `["d", dtype]`. */
export type Argument = Packed;
/** `int | ["l" | "t", tree ...] | ["d", [key, tree] ...]`. */
export type Tree = Packed;
export type Whole = number | bigint;

export interface Const { readonly dtype: string; readonly shape: readonly Whole[]; readonly raw: Uint8Array }
export interface Input {
  readonly name: string;
  readonly role: InputRole;
  readonly dtype: DType;
  readonly shape: readonly Expr[];
  readonly default: Const | null;
}
export interface Output {
  readonly name: string;
  readonly role: OutputRole;
  readonly dtype: DType;
  readonly shape: readonly Expr[];
  readonly id: number;
}
export interface Node {
  readonly op: Whole;
  readonly args: readonly Argument[];
  readonly kwargs: ReadonlyMap<string, Argument>;
  readonly outs: Whole;
}
export interface Generator {
  readonly kind: "uniform" | "integers" | "sorted" | "default";
  readonly low: number;
  readonly high: number;
}
export interface Summary {
  readonly shape: readonly Whole[];
  readonly mean: number;
  readonly absMean: number;
  readonly first: readonly number[];
}
export interface SelfTest {
  readonly seed: Whole;
  readonly symbols: ReadonlyMap<string, Whole>;
  readonly rtol: number;
  readonly atol: number;
  readonly inputs: readonly Generator[];
  readonly outputs: readonly Summary[];
}
export interface Document {
  readonly opset: number;
  readonly kind: Kind;
  readonly name: string;
  readonly doc: string;
  readonly provenance: ReadonlyMap<string, string>;
  readonly symbols: ReadonlyMap<string, readonly [Whole, Whole]>;
  readonly arguments: readonly { readonly name: string; readonly tree: Tree }[];
  readonly inputs: readonly Input[];
  readonly consts: readonly Const[];
  readonly ops: readonly string[];
  readonly nodes: readonly Node[];
  readonly outputs: readonly Output[];
  readonly result: Tree;
  readonly selftest: SelfTest;
}
export type { Real };
