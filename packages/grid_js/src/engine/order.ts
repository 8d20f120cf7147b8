/** Along a dimension: running sums, variances, order. */
import type { DType } from "../plan/document.js";
import { require } from "../plan/invalid.js";
import { Build, axis, extent, floating } from "./build.js";
import { around, axes, narrowed, SLOW, summed, without } from "./reduce.js";
import type { Args, Rule, Rules } from "./rule.js";
import { Num, Value, isFloat, product } from "./value.js";

function running(op: number): Rule {
  return (b, [given, dim, dtype]) => {
    const x = given as Value, type = summed(x, dtype as DType | null);
    require(type !== "b" || op === 0 || !x.size, "a running product of truth values");
    const { outer, k, inner } = around(x.shape, axis(dim as number, x.shape.length));
    const source = b.ready(narrowed(b, x, dtype as DType | null), type), out = b.target(type, x.shape);
    const f = b.kernel("running", type), from = source.at, to = out.at;
    if (out.size) b.steps.push(() => f(op, outer, k, inner, from, to));
    return b.keep(out, type);
  };
}

/** Dimensions that are reduced come last, and the tensor dense: rows. */
function rows(b: Build, x: Value, dims: readonly number[]): Value {
  const order = [...x.shape.keys()].filter((d) => !dims.includes(d)).concat(dims);
  return b.dense(x.view(order.map((d) => x.shape[d]!), order.map((d) => x.strides[d]!)));
}

function variance(b: Build, [given, dim, correction, keep]: Args): Value {
  const x = given as Value;
  floating(x);
  const dims = axes(dim as number[] | null, x.shape.length), k = product(dims.map((d) => x.shape[d]!));
  const out = b.result(x.dtype, without(x.shape, dims, keep as boolean));
  const f = b.kernel("variance", x.dtype), from = rows(b, x, dims).at, to = out.at, n = out.size;
  const less = correction === null ? 1 : (correction as Num).value;
  if (n) b.steps.push(() => f(n, k, from, to, less));
  return out;
}

function logSumExp(b: Build, [given, dim, keep]: Args): Value {
  const x = given as Value, type = isFloat(x.dtype) ? x.dtype : "f32";
  // As torch has it: without dimensions only where they are kept, or there is nothing.
  require((dim as number[]).length || keep || !x.shape.length || !x.size, "a dimension is needed");
  const dims = axes(dim as number[], x.shape.length), k = product(dims.map((d) => x.shape[d]!));
  const out = b.result(type, without(x.shape, dims, keep as boolean));
  const f = b.kernel("logSumExp", type), from = rows(b, b.cast(x, type), dims).at, to = out.at, n = out.size;
  if (n) b.steps.push(() => f(n, k, from, to));
  return out;
}

/** Values in order, and their places. */
function sorted(b: Build, x: Value, dim: number, descending: boolean): [Value, Value] {
  const { outer, k, inner } = around(x.shape, dim);
  b.work(SLOW * extent(x.shape) * (Math.floor(Math.log2(Math.max(extent(x.shape), 2))) + 1));
  const from = b.ready(x).at, out = b.target(x.dtype, x.shape), places = b.result("i64", x.shape);
  const f = b.kernel("sort", x.dtype), ws = b.scratch(32 * k), v = out.at, p = places.at;
  if (out.size) b.steps.push(() => f(descending ? 1 : 0, outer, k, inner, from, v, p, ws));
  return [b.keep(out, x.dtype), places];
}

function topk(b: Build, [given, k, dim, largest]: Args): Value[] {
  const x = given as Value, at = axis(dim as number, x.shape.length), count = x.shape[at] ?? 1;
  require((k as number) >= 0 && (k as number) <= count, "there are not so many elements");
  require(x.dtype !== "b", "truth values are not in order");
  const shape = x.shape.map((size, d) => (d === at ? (k as number) : size));
  return sorted(b, x, at, largest as boolean).map((each) => {
    const out = b.result(each.dtype, shape);
    b.copy(each.view(shape, each.strides), out);
    return out;
  });
}

export const ORDER: Rules = {
  "var.correction": variance,
  "cumsum.default": running(0),
  "cumprod.default": running(1),
  "logsumexp.default": logSumExp,
  "sort.default": (b, [x, dim, descending]) => sorted(b, x as Value, axis(dim as number, (x as Value).shape.length), descending as boolean),
  "topk.default": topk,
};
