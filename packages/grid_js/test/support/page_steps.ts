/** In a page: steps of one plan by this engine and by onnxruntime-web, by turns (`benchmarks/_browser.py`). */
import { LocalEngine, type Modules } from "../../src/engine/local.js";
import { Engine } from "../../src/engine/index.js";
import type { Tensor } from "../../src/wire/tensor.js";
import { bytes, unpacked, type Packed } from "./cases.js";

/** As much of onnxruntime-web as is used here. */
interface OrtTensor { readonly dims: readonly number[]; readonly data: ArrayBufferView }
interface Session { readonly outputNames: readonly string[]; run(feeds: Record<string, OrtTensor>): Promise<Record<string, OrtTensor>> }
interface Ort {
  readonly env: { readonly wasm: { wasmPaths: string; numThreads: number } };
  readonly Tensor: new (type: string, data: ArrayBufferView, dims: readonly number[]) => OrtTensor;
  readonly InferenceSession: { create(model: Uint8Array, options: object): Promise<Session> };
}

interface Asked {
  readonly plan: string;
  readonly id: string;
  readonly inputs: readonly Packed[];
  /** The plan as ONNX; "" where only this engine is asked. */
  readonly onnx: string;
  readonly names: readonly string[];
  /** Number of an input → that of the result that is its next value. */
  readonly follow: Readonly<Record<string, number>>;
  readonly steps: number;
}
interface Paired { readonly ours: number[]; readonly theirs: number[]; readonly difference: number; readonly unable: string }

const VIEWS = {
  F32: ["float32", Float32Array], F64: ["float64", Float64Array], I64: ["int64", BigInt64Array], I32: ["int32", Int32Array],
  I16: ["int16", Int16Array], I8: ["int8", Int8Array], U8: ["uint8", Uint8Array], BOOL: ["bool", Uint8Array],
} as const;

let kernels: Modules, ort: Ort | undefined;

async function paired(asked: Asked): Promise<Paired> {
  const engine = await LocalEngine.load(bytes(asked.plan), asked.id, kernels), first = asked.inputs.map(unpacked);
  let session: Session | undefined, unable = "";
  if (asked.onnx && ort) {
    try {
      session = await ort.InferenceSession.create(bytes(asked.onnx), { executionProviders: ["wasm"], graphOptimizationLevel: "all" });
    } catch (error) {
      unable = String(error);
    }
  }
  const ours: number[] = [], theirs: number[] = [];
  // Clocks of pages are coarse: what is short is done several times for one figure.
  const once = performance.now();
  engine.run(first);
  engine.run(first);
  const times = Math.max(1, Math.min(50, Math.floor(5 / Math.max(0.05, (performance.now() - once) / 2))));
  let mine: Tensor[] = [...first], fed = ort && session ? first.map((each) => given(ort!, each)) : [], difference = 0;
  for (let step = 0; step < asked.steps; step++) {
    const turns = [
      async () => {
        const begins = performance.now();
        for (let again = 1; again < times; again++) engine.run(mine);
        const results = engine.run(mine);
        ours.push((performance.now() - begins) / times);
        mine = mine.map((each, i) => (i in asked.follow ? results[asked.follow[i]!]! : each));
        return results;
      },
      async () => {
        const feeds = Object.fromEntries(asked.names.map((name, i) => [name, fed[i]!])), begins = performance.now();
        for (let again = 1; again < times; again++) await session!.run(feeds);
        const found = await session!.run(feeds);
        theirs.push((performance.now() - begins) / times);
        const results = session!.outputNames.map((name) => found[name]!); // those of the plan, in its order
        fed = fed.map((each, i) => (i in asked.follow ? results[asked.follow[i]!]! : each));
        return results;
      },
    ];
    if (!session) {
      await turns[0]!();
      continue;
    }
    try {
      // Who comes first takes turns as well: caches are warm for the second.
      const odd = step % 2, one = await turns[odd]!(), other = await turns[1 - odd]!();
      difference = Math.max(difference, apart((odd ? other : one) as Tensor[], (odd ? one : other) as OrtTensor[]));
    } catch (error) {
      unable = String(error);
      session = undefined;
    }
  }
  return { ours, theirs: unable ? [] : theirs, difference, unable };
}

function given(by: Ort, { dtype, shape, data }: Tensor): OrtTensor {
  const [type, View] = VIEWS[dtype as keyof typeof VIEWS];
  return new by.Tensor(type, new View(data.slice(0)), shape);
}

/** Of the first result: how far the engines are from each other, as a share of its size where that is above 1. */
function apart(ours: readonly Tensor[], theirs: readonly OrtTensor[]): number {
  const { dtype, data } = ours[0]!, View = VIEWS[dtype as keyof typeof VIEWS][1];
  const mine = new View(data) as ArrayLike<number | bigint>, other = theirs[0]!.data as unknown as ArrayLike<number | bigint>;
  let size = 1, worst = 0;
  for (let i = 0; i < mine.length; i++) {
    size = Math.max(size, Math.abs(Number(mine[i])));
    worst = Math.max(worst, Math.abs(Number(mine[i]) - Number(other[i])));
  }
  return worst / size;
}

/** Milliseconds from the bytes of a plan to its self-test's end, in a worker as pages have it. */
async function ready(plan: string, id: string): Promise<number> {
  const data = bytes(plan), begins = performance.now(), engine = await Engine.load(data, id);
  await engine.selfTest();
  const took = performance.now() - begins;
  engine.close();
  return took;
}

Object.assign(globalThis, {
  gridBench: async (kernelsAt: string, ortAt: string): Promise<void> => {
    const [common, rest] = await Promise.all([kernelsAt, new URL("rest.wasm", new URL(kernelsAt, location.href))].map((each) => WebAssembly.compileStreaming(fetch(each))));
    kernels = { common: common!, rest: () => rest! };
    if (!ortAt) return;
    ort = (await import(`${ortAt}/ort.wasm.min.mjs`)) as Ort;
    ort.env.wasm.wasmPaths = `${ortAt}/`;
    ort.env.wasm.numThreads = 1;
  },
  gridPaired: paired,
  gridReady: ready,
});
