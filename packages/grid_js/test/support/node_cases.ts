/** `node node_cases.mjs kernels.wasm rest.wasm`: a case of JSON a line on the way in, an outcome a line on the way out. */
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { runCase, type Case } from "./cases.js";

const [common, rest] = process.argv.slice(2).map((path) => new WebAssembly.Module(readFileSync(path)));
for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await runCase(JSON.parse(line) as Case, { common: common!, rest: () => rest! }))}\n`);
}
