/**
 * The engine as pages have it: computing happens in a worker of its own.
 *
 *     const engine = await Engine.load(bytes, id);   // InvalidPlan: not what was agreed to, or it may not run
 *     show(engine.describe());                       // what a person reads before they agree
 *     await engine.selfTest();                       // this machine computes as the plan's author's did
 *     const results = await engine.run(inputs);
 *     engine.close();
 */
import { InvalidPlan } from "../plan/invalid.js";
import { LIMITS, type Cost, type Limits } from "../plan/limits.js";
import type { Deviation } from "../plan/selftest.js";
import type { Tensor } from "../wire/tensor.js";
import type { Operand, PlanText } from "./local.js";
import type { Answer, Call } from "./protocol.js";

export type { Cost, Deviation, Limits, Operand, PlanText };
export { InvalidPlan, LIMITS };

/** Where the worker's script and its kernels lie: beside this one, unless said otherwise. */
export interface EngineOptions {
  readonly limits?: Partial<Limits>;
  readonly worker?: URL;
  readonly kernels?: URL;
}

interface Waiting { readonly done: (result: unknown) => void; readonly failed: (error: Error) => void }

export class Engine {
  private readonly waiting = new Map<number, Waiting>();
  private calls = 0;
  private text: PlanText | undefined;
  private ended: Error | undefined;

  private constructor(private readonly worker: Worker, readonly limits: Limits) {
    worker.onmessage = ({ data }: MessageEvent<Answer>) => this.answered(data);
    worker.onerror = (event) => this.end(new Error(`the engine's worker broke: ${event.message || "its script did not load"}`));
    worker.onmessageerror = () => this.end(new Error("the engine's worker sent what cannot be read"));
  }

  /**
   * Checks a plan, and makes it ready: nothing of its sizes is allocated yet.
   * @param plan its bytes; they stay the caller's
   * @param expectedDigest the id under which it was agreed to, 64 hex digits
   */
  static async load(plan: Uint8Array, expectedDigest: string, options: EngineOptions = {}): Promise<Engine> {
    const limits = { ...LIMITS, ...options.limits };
    const engine = new Engine(new Worker(options.worker ?? new URL("./engine.js", import.meta.url), { type: "module" }), limits);
    try {
      const kernels = (options.kernels ?? new URL("./kernels.wasm", import.meta.url)).href;
      engine.text = (await engine.call("load", [plan, expectedDigest, kernels, limits])) as PlanText;
      return engine;
    } catch (error) {
      engine.close();
      throw error;
    }
  }

  /** What will run, in words and numbers. */
  describe(): PlanText {
    return this.text!;
  }

  /** What a run at these sizes costs; symbols that are left out have those of the self-test. */
  cost(sizes: Readonly<Record<string, number>> = {}): Promise<Cost> {
    return this.call("cost", [sizes]) as Promise<Cost>;
  }

  /** Reproduces the plan's self-test; refused (InvalidPlan) where this machine computes otherwise than its author's. */
  selfTest(): Promise<Deviation> {
    return this.call("selfTest", []) as Promise<Deviation>;
  }

  /** Flat inputs to flat results, both in the plan's order. Inputs stay the caller's. */
  run(inputs: readonly Tensor[]): Promise<Tensor[]> {
    return this.call("run", [inputs]) as Promise<Tensor[]>;
  }

  /**
   * Runs once for each of `steps`; a number in a step is that result of the step before (of the last run, in the first).
   * Of all steps but the last only the `wanted` results come back, null stands for the others.
   */
  runChain(steps: readonly (readonly Operand[])[], wanted: readonly number[]): Promise<(Tensor | null)[][]> {
    return this.call("runChain", [steps, wanted]) as Promise<(Tensor | null)[][]>;
  }

  /** Ends the worker, at once, whatever it computes. */
  close(): void {
    this.end(new Error("the engine was closed"));
  }

  private call(method: Call["method"], args: readonly unknown[]): Promise<unknown> {
    if (this.ended) return Promise.reject(this.ended);
    const id = (this.calls += 1);
    return new Promise((done, failed) => {
      this.waiting.set(id, { done, failed });
      this.worker.postMessage({ id, method, args } satisfies Call);
    });
  }

  private answered(answer: Answer): void {
    const waiting = this.waiting.get(answer.id);
    this.waiting.delete(answer.id);
    if ("result" in answer) waiting?.done(answer.result);
    else waiting?.failed("refused" in answer ? new InvalidPlan(answer.refused, answer.extra) : new Error(answer.failed));
  }

  private end(error: Error): void {
    this.ended ??= error;
    this.worker.terminate();
    for (const { failed } of this.waiting.values()) failed(this.ended);
    this.waiting.clear();
  }
}
