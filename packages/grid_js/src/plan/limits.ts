/** What a plan may cost, and what it does cost: `syft_ext/plans/graph/limits.py`. */
import { InvalidPlan } from "./invalid.js";

export interface Limits {
  readonly maxOps: number;
  /** Of the tensors alive at once, inputs and results included. */
  readonly maxBytes: number;
  /** Elements of any single tensor, views included. */
  readonly maxNumel: number;
  readonly maxFlops: number;
  readonly maxOutputBytes: number;
  readonly maxPlanBytes: number;
}

/** Lower than on other machines where a browser's memory is: a tab has 4 GiB at most. */
export const LIMITS: Limits = {
  maxOps: 20_000,
  maxBytes: 1 << 30,
  maxNumel: 1 << 28,
  maxFlops: 1e13,
  maxOutputBytes: 1 << 30,
  maxPlanBytes: 64 << 20,
};

/** Of one run. */
export interface Cost {
  readonly ops: number;
  readonly peakBytes: number;
  readonly largest: number;
  readonly flops: number;
  readonly outputBytes: number;
}

const COUNTED: Readonly<Record<keyof Limits, string>> = {
  maxOps: "operations",
  maxBytes: "bytes alive",
  maxNumel: "elements in one tensor",
  maxFlops: "floating-point operations",
  maxOutputBytes: "bytes of results",
  maxPlanBytes: "bytes of its own",
};

/** Throws if the plan needs more than the limit called `name`. */
export function enforce(limits: Limits, name: keyof Limits, value: number): void {
  if (value <= limits[name]) return;
  throw new InvalidPlan(
    `the plan needs ${grouped(value)} ${COUNTED[name]}, the limit is ${grouped(limits[name])}`,
    { limit: name, needed: value },
  );
}

function grouped(value: number): string {
  return Number.isSafeInteger(value) ? value.toLocaleString("en-US") : String(value);
}
