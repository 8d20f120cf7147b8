/** In a page: `await gridKernels(base64, base64)` once, then `await gridCases(cases)` gives their outcomes. */
import type { Modules } from "../../src/engine/local.js";
import { bytes, runCase, type Case, type Outcome } from "./cases.js";

let modules: Modules;

Object.assign(globalThis, {
  gridKernels: async (common: string, rest: string): Promise<void> => {
    const [first, other] = await Promise.all([common, rest].map((each) => WebAssembly.compile(bytes(each) as BufferSource)));
    modules = { common: first!, rest: () => other! };
  },
  gridCases: async (cases: readonly Case[]): Promise<Outcome[]> => {
    const found: Outcome[] = [];
    for (const each of cases) found.push(await runCase(each, modules));
    return found;
  },
});
