/** Runs plans that tests make: in Node and in pages, by the same lines. */
import { InvalidPlan } from "../../src/plan/invalid.js";
import { LIMITS, type Cost, type Limits } from "../../src/plan/limits.js";
import { LocalEngine, type Modules, type Operand } from "../../src/engine/local.js";
import type { Dtype, Tensor } from "../../src/wire/tensor.js";

export interface Packed { readonly dtype: Dtype; readonly shape: readonly number[]; readonly data: string }
export interface Case {
  readonly plan: string;
  readonly id: string;
  readonly limits?: Partial<Limits>;
  /** Runs once with these. */
  readonly inputs?: readonly Packed[];
  /** Runs in a chain: each step has tensors by their number in `tensors`, or [number of a result of the step before]. */
  readonly chain?: { readonly tensors: readonly Packed[]; readonly steps: readonly (readonly (number | [number])[])[]; readonly wanted: readonly number[] };
}
export interface Outcome {
  readonly refused?: string;
  readonly reason?: unknown;
  readonly failed?: string;
  readonly results?: Packed[];
  readonly steps?: (Packed | null)[][];
  readonly text?: string;
  readonly cost?: Cost;
  /** Of the self-test, as a share of what is tolerated. */
  readonly share?: number;
  /** Of memory: after the first step (a chain only), and at the end. */
  readonly bytes?: readonly [number, number];
  readonly seconds?: number;
}

export async function runCase(given: Case, modules: Modules): Promise<Outcome> {
  try {
    const engine = await LocalEngine.load(bytes(given.plan), given.id, modules, { ...LIMITS, ...given.limits });
    if (given.inputs) return { results: engine.run(given.inputs.map(unpacked)).map(packed) };
    if (given.chain) return chained(engine, given.chain);
    const { text, cost } = engine.describe();
    return { text, cost, share: engine.selfTest().share };
  } catch (error) {
    if (error instanceof InvalidPlan) return { refused: error.detail, reason: error.extra["reason"] ?? null };
    return { failed: error instanceof Error ? (error.stack ?? error.message).split("\n").slice(0, 4).join(" ") : String(error) };
  }
}

function chained(engine: LocalEngine, { tensors, steps, wanted }: NonNullable<Case["chain"]>): Outcome {
  const made = tensors.map(unpacked);
  const flat = steps.map((step) => step.map((each): Operand => (typeof each === "number" ? made[each]! : each[0])));
  engine.runChain(flat.slice(0, 1), []);
  const first = engine.bytes, begins = performance.now();
  const found = engine.runChain(flat, wanted);
  const seconds = (performance.now() - begins) / 1000;
  return { steps: found.map((each) => each.map((one) => one && packed(one))), bytes: [first, engine.bytes], seconds };
}

export function unpacked(given: Packed): Tensor {
  return { ...given, data: bytes(given.data).buffer as ArrayBuffer };
}

function packed(tensor: Tensor): Packed {
  const data = new Uint8Array(tensor.data);
  let made = "";
  for (let i = 0; i < data.length; i += 4096) made += String.fromCharCode(...data.subarray(i, i + 4096));
  return { ...tensor, data: btoa(made) };
}

export function bytes(base64: string): Uint8Array {
  return Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
}
