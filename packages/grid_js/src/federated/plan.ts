/** What a job needs to know of a plan, and of who runs it. */
import type { Tensor } from "../wire/tensor.js";

/** A size that is a number, a symbol `["sym", name]`, or an expression of symbols. */
export type Size = unknown;

export interface PlanInput {
  readonly name: string;
  readonly role: string;
  /** As in plans: "f32", "i64", "b", … */
  readonly dtype: string;
  readonly shape: readonly Size[];
  readonly default: { readonly dtype: string; readonly shape: readonly (number | bigint)[]; readonly raw: Uint8Array } | null;
}

export interface PlanOutput {
  readonly name: string;
  readonly role: string;
  readonly dtype: string;
  readonly shape: readonly Size[];
}

/** Inputs and outputs of a decoded and checked plan, in order (`syft_ext/plans/graph/document.py`). */
export interface PlanDocument {
  readonly inputs: readonly PlanInput[];
  readonly outputs: readonly PlanOutput[];
  /** Symbol → its smallest and largest value. */
  readonly symbols: ReadonlyMap<string, readonly [number | bigint, number | bigint]>;
}

/** A plan that was checked against its digest and its self-test, and runs confined. */
export interface PlanRunner {
  readonly document: PlanDocument;
  /** Flat outputs of flat inputs, in the plan's order. */
  run(inputs: readonly Tensor[]): Promise<Tensor[]>;
  close(): void;
}

/** Makes a runner of downloaded bytes, which have the digest that was agreed to; throws where anything does not hold. */
export type LoadPlan = (bytes: Uint8Array, digest: string) => Promise<PlanRunner>;
