/** The worker that an engine computes in: pages stay free to draw. One worker, one plan. */
import { InvalidPlan } from "../plan/invalid.js";
import type { Limits } from "../plan/limits.js";
import type { Tensor } from "../wire/tensor.js";
import { LocalEngine } from "./local.js";
import type { Answer, Call } from "./protocol.js";

let engine: LocalEngine | undefined;

async function answer({ method, args }: Call): Promise<unknown> {
  if (method === "load") {
    const [bytes, digest, kernels, limits] = args as [Uint8Array, string, string, Limits];
    const common = module(kernels);
    common.catch(() => undefined); // a plan that is refused waits for none
    engine = await LocalEngine.load(bytes, digest, { common, rest: () => module(new URL("rest.wasm", kernels).href) }, limits);
    return engine.describe();
  }
  if (!engine) throw new Error("there is no plan in this worker");
  switch (method) {
    case "run": return engine.run(...(args as Parameters<LocalEngine["run"]>));
    case "runChain": return engine.runChain(...(args as Parameters<LocalEngine["runChain"]>));
    case "cost": return engine.cost(...(args as Parameters<LocalEngine["cost"]>));
    case "selfTest": return engine.selfTest();
  }
}

async function module(url: string): Promise<WebAssembly.Module> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`the kernels did not come: ${response.status} for ${url}`);
  return WebAssembly.compile(await response.arrayBuffer());
}

/** Memory of results, which goes to the page and is no longer here. */
function buffers(result: unknown): ArrayBuffer[] {
  if (Array.isArray(result)) return result.flatMap(buffers);
  const data = (result as Tensor | null)?.data;
  return data instanceof ArrayBuffer ? [data] : [];
}

async function answered({ data: call }: MessageEvent<Call>): Promise<void> {
  let made: Answer, moved: ArrayBuffer[] = [];
  try {
    const result = await answer(call);
    moved = buffers(result);
    made = { id: call.id, result };
  } catch (error) {
    made = error instanceof InvalidPlan
      ? { id: call.id, refused: error.detail, extra: error.extra }
      : { id: call.id, failed: error instanceof Error ? error.message : String(error) };
  }
  self.postMessage(made, { transfer: moved });
}

/** Makes this worker an engine. */
export function serveEngine(): void {
  self.onmessage = answered;
}
