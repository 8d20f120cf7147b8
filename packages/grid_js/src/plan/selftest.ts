/**
 * The self-test vector: inputs that any machine can make, to the last bit, and what the author's machine answered.
 * `syft_ext/plans/checking/{selftest,made_inputs}.py`.
 */
import type { Document, Summary } from "./document.js";
import { evaluateShape, type Binding } from "./expr.js";
import { InvalidPlan } from "./invalid.js";

/** Values for each input in the plan's order, as float64 or int64; null for an input that takes its default. */
export function madeValues(document: Document, sizes: Binding): ({ shape: number[]; values: Float64Array | BigInt64Array } | null)[] {
  const test = document.selftest;
  return document.inputs.map((item, site) => {
    const generator = test.inputs[site]!;
    if (generator.kind === "default") return null;
    const shape = evaluateShape(item.shape, sizes);
    const words = hash(Number(test.seed), site, shape.reduce((product, size) => product * size, 1));
    if (generator.kind === "integers") {
      const low = BigInt(Math.trunc(generator.low));
      const span = BigInt(Math.trunc(generator.high)) - low + 1n;
      const values = new BigInt64Array(words.length);
      for (let i = 0; i < words.length; i++) values[i] = (BigInt(words[i]!) % span) + low;
      return { shape, values };
    }
    const values = new Float64Array(words.length), width = generator.high - generator.low;
    for (let i = 0; i < words.length; i++) values[i] = generator.low + ((words[i]! >>> 8) / (1 << 24)) * width; // `from` takes ten times as long
    if (generator.kind === "sorted") values.sort();
    return { shape, values };
  });
}

/** `count` 32-bit words for input number `site` (lowbias32). */
function hash(seed: number, site: number, count: number): Uint32Array {
  const key = (Math.imul(seed, 0x9e3779b1) + Math.imul(site, 0x85ebca77)) >>> 0;
  const made = new Uint32Array(count);
  for (let i = 0; i < count; i++) {
    let h = (i + key) >>> 0;
    h = Math.imul(h ^ (h >>> 16), 0x7feb352d);
    h = Math.imul(h ^ (h >>> 15), 0x846ca68b);
    made[i] = h ^ (h >>> 16);
  }
  return made;
}

/** Of one result: the largest difference to what the author got, as a share of what is tolerated. */
export interface Deviation { readonly output: string; readonly share: number }

/** A result as float64: shape and elements. */
export interface Found { readonly shape: readonly number[]; readonly values: Float64Array }

/** Compares results with the plan's vector; InvalidPlan if this machine answers something else, else the worst deviation. */
export function compare(document: Document, found: readonly Found[]): Deviation {
  const { outputs, rtol, atol } = document.selftest;
  let worst: Deviation = { output: document.outputs[0]!.name, share: 0 };
  document.outputs.forEach(({ name }, place) => {
    const share = deviation(outputs[place]!, found[place]!, rtol, atol);
    if (!(share <= 1)) {
      throw new InvalidPlan(
        `self-test: this machine computes output ${name} differently from the plan's author`, { output: name },
      );
    }
    if (share > worst.share) worst = { output: name, share };
  });
  return worst;
}

function deviation(expected: Summary, { shape, values }: Found, rtol: number, atol: number): number {
  const first = values.subarray(0, 8);
  const alike = expected.shape.length === shape.length && shape.every((size, place) => size === Number(expected.shape[place]));
  if (!alike || expected.first.length !== first.length) return Infinity;
  let sum = 0, size = 0;
  for (const value of values) {
    sum += value;
    size += Math.abs(value);
  }
  const count = values.length || 1;
  const pairs = [[expected.mean, sum / count], [expected.absMean, size / count], ...expected.first.map((each, i) => [each, first[i]!])];
  return Math.max(...pairs.map(([a, b]) => {
    if (Object.is(a, b) || a === b) return 0;
    const share = Math.abs(a! - b!) / (atol + rtol * Math.max(Math.abs(a!), Math.abs(b!)));
    return Number.isNaN(share) ? Infinity : share;
  }));
}
