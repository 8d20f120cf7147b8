/** Reductions: sums, extremes, places of extremes. */
import type { DType } from "../plan/document.js";
import { require } from "../plan/invalid.js";
import { Build, axis, computeType } from "./build.js";
import type { Args, Rule, Rules } from "./rule.js";
import { Num, Value, isFloat, product } from "./value.js";

/** A loop over an element costs as much as so many multiply-adds of a product. */
export const SLOW = 16;

interface Layout { outer: number; k: number; inner: number }

/** Dimensions before, at and behind one. */
export function around(shape: readonly number[], dim: number): Layout {
  return { outer: product(shape.slice(0, dim)), k: shape[dim] ?? 1, inner: product(shape.slice(dim + 1)) };
}

export function axes(dims: readonly number[] | null, rank: number): number[] {
  if (!dims || !dims.length) return Array.from({ length: rank }, (_, d) => d);
  const found = dims.map((dim) => axis(dim, rank));
  require(new Set(found).size === found.length, "a dimension is named twice");
  return found;
}

export function without(shape: readonly number[], dims: readonly number[], keep: boolean): number[] {
  return keep ? shape.map((size, d) => (dims.includes(d) ? 1 : size)) : shape.filter((_, d) => !dims.includes(d));
}

/** Reduces dimensions with one kernel, one run of neighbours after the other; an associative operation. */
export function reduced(b: Build, name: string, op: number, x: Value, dims: readonly number[]): Value {
  let now = b.dense(x), shape = [...x.shape];
  const left = [...dims].sort((p, q) => q - p);
  do {
    let last = left.shift() ?? shape.length, first = last;
    if (last === shape.length) { // nothing to reduce: the kernel copies, as sums of one element
      shape.push(1);
      first = last = shape.length - 1;
    }
    while (left[0] === first - 1) first = left.shift()!;
    const outer = product(shape.slice(0, first)), k = product(shape.slice(first, last + 1)), inner = product(shape.slice(last + 1));
    shape = [...shape.slice(0, first), ...Array.from({ length: last + 1 - first }, () => 1), ...shape.slice(last + 1)];
    const out = b.temp(now.dtype, shape), f = b.kernel(name, now.dtype), from = now.at, to = out.at;
    if (out.size) b.steps.push(() => f(op, outer, k, inner, from, to));
    now = out;
  } while (left.length);
  return now;
}

export const flat = (value: Value, shape: readonly number[]): Value => value.view(shape, strided(shape));
function strided(shape: readonly number[]): number[] {
  let step = 1;
  return shape.map((_, d) => shape.length - 1 - d).map((d) => {
    const own = step;
    step *= shape[d]!;
    return own;
  }).reverse();
}

/** A reduction of `x` in the type `dtype`. */
export function reduction(b: Build, op: number, x: Value, dims: readonly number[], keep: boolean, dtype: DType): Value {
  const made = reduced(b, "reduce", op, b.cast(x, computeType(dtype)), dims);
  return b.keep(flat(made, without(x.shape, dims, keep)), dtype);
}

export const summed = (x: Value, dtype: DType | null): DType => dtype ?? (isFloat(x.dtype) ? x.dtype : "i64");
const noDims = (x: Value): number[] => axes(null, x.shape.length);

function sum(b: Build, x: Value, dims: number[], keep: boolean, dtype: DType | null): Value {
  return reduction(b, 0, narrowed(b, x, dtype), dims, keep, summed(x, dtype));
}

/** The elements as a type has them, before they are computed with in a wider one. */
export function narrowed(b: Build, x: Value, dtype: DType | null): Value {
  return dtype && dtype !== x.dtype ? b.cast(x, dtype) : x;
}

function mean(b: Build, x: Value, dims: number[], keep: boolean, dtype: DType | null): Value {
  const type = dtype ?? x.dtype;
  require(isFloat(type), "a mean of integers has no type: say which");
  const source = narrowed(b, x, dtype), count = product(dims.map((d) => x.shape[d]!));
  const runs = dims.length < 2 || Math.max(...dims) - Math.min(...dims) === dims.length - 1;
  if (runs) return reduction(b, 4, source, dims, keep, type);
  const total = reduction(b, 0, source, dims, keep, type);
  const made = b.result(type, total.shape), f = b.kernel("binary", type), n = made.size, at = total.at, to = made.at;
  const by = b.number(new Num(count), type).at;
  if (n) b.steps.push(() => f(3, n, at, 1, by, 0, to));
  return made;
}

function extreme(op: number): (b: Build, x: Value, dims: number[], keep: boolean) => Value {
  return (b, x, dims, keep) => {
    require(x.size > 0 || dims.every((d) => x.shape[d]! > 0), "there is no largest or smallest of nothing");
    return reduction(b, op, x, dims, keep, x.dtype);
  };
}

function best(smallest: boolean): (b: Build, x: Value, dim: number, keep: boolean, values: boolean) => [Value | null, Value] {
  return (b, x, dim, keep, values) => {
    const { outer, k, inner } = around(x.shape, dim);
    require(k > 0, "there is no largest or smallest of nothing");
    const shape = without(x.shape, [dim], keep), type = computeType(x.dtype);
    const from = b.ready(x), found = values ? b.target(x.dtype, shape) : null, places = b.result("i64", shape);
    const f = b.kernel("best", type), at = from.at, v = found?.at ?? 0, p = places.at;
    if (places.size) b.steps.push(() => f(smallest ? 1 : 0, outer, k, inner, at, v, p));
    return [found && b.keep(found, x.dtype), places];
  };
}

function bestBeside(smallest: boolean): Rule {
  return (b, [given, dim, keep]) => {
    const x = given as Value;
    return best(smallest)(b, x, axis(dim as number, x.shape.length), keep as boolean, true);
  };
}

function bestPlace(smallest: boolean): Rule {
  return (b, [given, dim, keep]) => {
    const x = given as Value;
    require(x.dtype !== "b", "places of truth values");
    if (dim !== null) return best(smallest)(b, x, axis(dim as number, x.shape.length), keep as boolean, false)[1];
    require(x.size > 0, "there is no largest or smallest of nothing");
    const found = best(smallest)(b, flat(b.dense(x), [x.size]), 0, false, false)[1];
    return keep ? flat(found, x.shape.map(() => 1)) : found;
  };
}

type Reduce = (b: Build, x: Value, dims: number[], keep: boolean) => Value;
export const whole = (f: Reduce): Rule => (b, [x]) => f(b, x as Value, noDims(x as Value), false);
export const several = (f: Reduce): Rule => (b, [x, dims, keep]) => f(b, x as Value, axes(dims as number[] | null, (x as Value).shape.length).filter((d) => d < (x as Value).shape.length), keep as boolean);
export const one = (f: Reduce): Rule => (b, [x, dim, keep]) => f(b, x as Value, [axis(dim as number, (x as Value).shape.length)].filter((d) => d < (x as Value).shape.length), keep as boolean);

export function typed(f: (b: Build, x: Value, dims: number[], keep: boolean, dtype: DType | null) => Value): { whole: Rule; several: Rule; one: Rule } {
  const last = (args: Args): DType | null => args.at(-1) as DType | null;
  return {
    whole: (b, args) => whole((c, x, d, k) => f(c, x, d, k, last(args)))(b, args),
    several: (b, args) => several((c, x, d, k) => f(c, x, d, k, last(args)))(b, args),
    one: (b, args) => one((c, x, d, k) => f(c, x, d, k, last(args)))(b, args),
  };
}

const sums = typed(sum), means = typed(mean);
export const REDUCTIONS: Rules = {
  "sum.default": sums.whole,
  "sum.dim_IntList": sums.several,
  "mean.default": means.whole,
  "mean.dim": means.several,
  "amax.default": several(extreme(2)),
  "amin.default": several(extreme(3)),
  "max.default": whole(extreme(2)),
  "min.default": whole(extreme(3)),
  "max.dim": bestBeside(false),
  "min.dim": bestBeside(true),
  "argmax.default": bestPlace(false),
  "argmin.default": bestPlace(true),
};
