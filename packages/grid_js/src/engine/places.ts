/** Looking up, and writing to places: gather, scatter, index and their kin. */
import type { DType } from "../plan/document.js";
import { require } from "../plan/invalid.js";
import { Real } from "../wire/msgpack.js";
import { Build, axis, broadcast, collapse, computeType, expanded, extent, sameTypes } from "./build.js";
import { around, SLOW } from "./reduce.js";
import type { Args, Rules } from "./rule.js";
import { Num, Value, denseStrides, fitted, product } from "./value.js";

/** How an element joins what is there, by the number that kernels have for it. */
const JOIN = { read: -1, write: 0, sum: 1, prod: 2, amax: 3, amin: 4 };

function indexType(index: Value, ...types: readonly DType[]): void {
  require((types.length ? types : ["i64", "i32"]).includes(index.dtype), "an index is a tensor of i64 or i32");
}

/** Elements that are only moved, by the number that kernels have for their size; else those that are computed with. */
function moved(dtype: DType): number {
  return { f32: 3, i32: 3, f64: 2, i64: 2, i16: 4, i8: 5, u8: 5, b: 5, f16: 4, bf16: 4 }[dtype];
}
function computed(dtype: DType): number {
  return { f32: 0, f64: 1, i64: 2 }[computeType(dtype)];
}

/** An index as gather has it: of the rank of `x`, and no larger in any other dimension. Returns the dimension. */
function along(x: Value, dim: number, index: Value): number {
  const at = axis(dim, x.shape.length);
  indexType(index, "i64");
  require(Math.max(index.shape.length, 1) === Math.max(x.shape.length, 1), "the index has another rank than the operand");
  index.shape.forEach((size, d) => require(d === at || !x.shape.length || size <= x.shape[d]! || index.size === 0, "the index is larger than the operand"));
  return at;
}

/** Joins elements of `x`, dense, at the places of an index with those of `y`. */
function join(b: Build, op: number, type: number, x: Value, dim: number, index: Value, y: Value): void {
  if (!index.size) return;
  b.inRange(index, 0, x.shape[dim] ?? 1);
  const steps = index.shape.map((_, d) => (d === dim || !x.shape.length ? 0 : x.strides[d]!));
  const own = y.shape.length ? y.strides : index.shape.map(() => 0);
  const groups = collapse(index.shape, [steps, index.strides, own]);
  const desc = b.ints(...groups.sizes, ...groups.strides.flat()), rank = groups.sizes.length;
  const f = b.kernel("alongDim"), step = x.shape.length ? x.strides[dim]! : 1, at = x.at, places = index.at, from = y.at;
  b.steps.push(() => f(type, op, rank, desc, step, at, places, from));
}

function gather(b: Build, [given, dim, index]: Args): Value {
  const x = given as Value, i = index as Value, at = along(x, dim as number, i);
  const out = b.result(x.dtype, i.shape);
  join(b, JOIN.read, moved(x.dtype), x, at, i, out);
  return out;
}

function source(x: Value, index: Value, given: Args[number]): Value {
  require(given instanceof Value, "a tensor to write is needed");
  sameTypes(x, given);
  require(Math.max(given.shape.length, 1) === Math.max(index.shape.length, 1), "the source has another rank than the index");
  require(
    index.size === 0 || index.shape.every((size, d) => size <= (given.shape[d] ?? 1)), "the index is larger than the source",
  );
  return given;
}

function scatterValue(b: Build, [given, dim, index, value]: Args): Value {
  const x = given as Value, i = index as Value, at = along(x, dim as number, i), out = b.clone(x);
  const number = b.temp(x.dtype, []);
  b.fill(number, i.size ? fitted(value as Num, x.dtype) : new Num(0));
  join(b, JOIN.write, moved(x.dtype), out, at, i, number);
  return out;
}

function scatter(b: Build, [given, dim, index, src]: Args): Value {
  const x = given as Value, i = index as Value, at = along(x, dim as number, i), y = source(x, i, src!), out = b.clone(x);
  join(b, JOIN.write, moved(x.dtype), out, at, i, y);
  return out;
}

function scatterAdd(b: Build, [given, dim, index, src]: Args): Value {
  const x = given as Value, i = index as Value, at = along(x, dim as number, i), y = source(x, i, src!);
  const type = computeType(x.dtype), sum = b.clone(b.cast(x, type));
  join(b, JOIN.sum, computed(x.dtype), sum, at, i, b.cast(y, type));
  return b.keep(sum, x.dtype);
}

function scatterReduce(b: Build, [given, dim, index, src, how, includeSelf]: Args): Value {
  const x = given as Value, i = index as Value, at = along(x, dim as number, i), y = source(x, i, src!);
  require(x.dtype !== "b", "truth values have no sum or mean");
  const type = computeType(x.dtype), code = computed(x.dtype), dtype = x.dtype;
  const out = b.clone(b.cast(x, type)), values = b.cast(y, type);
  if (!i.size) return b.keep(out, dtype);
  const op = how === "mean" ? JOIN.sum : JOIN[how as "sum" | "prod" | "amax" | "amin"];
  if (!includeSelf) { // what is written to begins with what joins nothing
    const neutral = b.temp(type, []);
    b.fill(neutral, how === "prod" ? new Num(1) : op < 3 ? new Num(0) : bound(dtype, how === "amin"));
    join(b, JOIN.write, moved(type), out, at, i, neutral);
  }
  join(b, op, code, out, at, i, values);
  if (how !== "mean") return b.keep(out, dtype);
  const count = b.temp(type, out.shape), one = b.temp(type, []);
  b.fill(count, new Num(includeSelf ? 1 : 0));
  b.fill(one, new Num(1));
  join(b, JOIN.sum, code, count, at, i, one);
  const least = b.temp(type, []), made = b.temp(type, out.shape), f = b.kernel("binary", type), n = out.size;
  b.fill(least, new Num(1));
  const [sum, c, l, m] = [out.at, count.at, least.at, made.at];
  b.steps.push(() => {
    f(4, n, c, 1, l, 0, c); // nothing written: one element, itself
    f(type === "i64" ? 10 : 3, n, sum, 1, c, 1, m);
  });
  return b.keep(made, dtype);
}

/** What every number of a type is above (or below). */
function bound(dtype: DType, largest: boolean): Num {
  if (dtype === "f32" || dtype === "f64") return new Num(new Real(largest ? Infinity : -Infinity));
  return new Num(largest ? (1n << 63n) - 1n : -(1n << 63n));
}

/** Offsets of rows, in rows of `width`: memory for `n` integers of 32 bits, and the step that fills it with 0. */
function offsets(b: Build, n: number): number {
  const at = b.scratch(4 * n), { heap } = b;
  b.steps.push(() => heap.u8.fill(0, at, at + 4 * n));
  return at;
}

/** Adds the places of `index` along a dimension of `size`, `step` rows apart, to offsets. */
function place(b: Build, to: number, index: Value, size: number, step: number): void {
  const dense = b.ready(index, "i64"), f = b.kernel("offsets"), n = index.size, at = dense.at;
  b.steps.push(() => f(n, at, size, step, to));
}

function indexSelect(b: Build, [given, dim, index]: Args): Value {
  const x = given as Value, i = index as Value, at = axis(dim as number, x.shape.length);
  indexType(i);
  require(i.shape.length <= 1, "the index is a list of places");
  require(x.shape.length || i.size === 1, "a number by itself has one place");
  b.inRange(i, 0, x.shape[at] ?? 1);
  const { outer, k, inner } = around(x.shape, at), n = i.size;
  const out = b.result(x.dtype, x.shape.length ? x.shape.map((size, d) => (d === at ? n : size)) : []);
  if (!out.size || !n) return out;
  const rows = offsets(b, n), bytes = inner * x.bytes, from = b.dense(x).at, to = out.at, f = b.kernel("fetch");
  place(b, rows, i, k, 1);
  b.steps.push(() => {
    for (let o = 0; o < outer; o++) f(n, rows, bytes, from + o * k * bytes, to + o * n * bytes);
  });
  return out;
}

function embedding(b: Build, [given, index]: Args): Value {
  const weight = given as Value, i = index as Value;
  require(weight.shape.length === 2, "the weight is a table of rows");
  indexType(i);
  b.inRange(i, 0, weight.shape[0]!);
  const out = b.result(weight.dtype, [...i.shape, weight.shape[1]!]), n = i.size;
  if (!out.size) return out;
  const rows = offsets(b, n), bytes = weight.shape[1]! * weight.bytes, from = b.dense(weight).at, to = out.at, f = b.kernel("fetch");
  place(b, rows, i, weight.shape[0]!, 1);
  b.steps.push(() => f(n, rows, bytes, from, to));
  return out;
}

function indexAdd(b: Build, [given, dim, index, src, scale]: Args): Value {
  const x = given as Value, i = index as Value, at = axis(dim as number, x.shape.length), s = scale as Num;
  indexType(i);
  require(i.shape.length <= 1, "the index is a list of places");
  require(src instanceof Value, "a tensor to add is needed");
  sameTypes(x, src);
  require(x.shape.length >= 1, "there is no dimension");
  require(String(src.shape) === String(x.shape.map((size, d) => (d === at ? i.size : size))), "the source does not match the operand and the index");
  b.inRange(i, 0, x.shape[at]!);
  const type = computeType(x.dtype), whole = type === "i64";
  require(!whole || s.kind !== "f32", "a fraction scales no integers");
  require(s.kind !== "b" || x.dtype === "b", "a truth value scales no numbers");
  const out = b.clone(b.cast(x, type)), { outer, k, inner } = around(x.shape, at), n = i.size;
  if (src.size) {
    let y = b.ready(src);
    if (s.value !== 1) {
      const scaled = b.temp(type, src.shape), f = b.kernel("binary", type), [from, by, to, count] = [y.at, b.number(s, type).at, scaled.at, src.size];
      b.steps.push(() => f(2, count, from, 1, by, 0, to));
      y = scaled;
    }
    const rows = offsets(b, n), f = b.kernel("joinRows"), code = computed(x.dtype), bytes = inner * out.bytes, to = out.at, from = y.at;
    place(b, rows, i, k, 1);
    b.steps.push(() => {
      for (let o = 0; o < outer; o++) f(code, JOIN.sum, n, rows, inner, to + o * k * bytes, from + o * n * bytes);
    });
  }
  return b.keep(out, x.dtype);
}

interface Indexed {
  /** `x` with the dimensions that are indexed first. */
  front: Value;
  /** Of what the indices select, those first as well. */
  selected: number[];
  /** How the dimensions of that go back to where NumPy's advanced indexing has them. */
  order: number[];
  rows: number;
  n: number;
  width: number;
}

function indexed(b: Build, x: Value, given: Args[number]): Indexed {
  const indices = given as (Value | null)[], present = indices.filter((each) => each !== null);
  require(present.length && indices.length <= x.shape.length, "an index for each of the first dimensions is needed");
  present.forEach((each) => indexType(each));
  require(
    present.every((each) => each.shape.length > 0) || present.every((each) => each.shape.length === 0),
    "an index without dimensions beside one that has some: give it one, index.reshape(1)",
  );
  const replaced = broadcast(...present.map((each) => each.shape));
  const dims = indices.flatMap((each, d) => (each ? [d] : [])), kept = [...x.shape.keys()].filter((d) => !dims.includes(d));
  b.work(present.length * Math.max(...present.map((each) => extent(each.shape)), 0));
  present.forEach((each, place) => b.inRange(each, -x.shape[dims[place]!]!, x.shape[dims[place]!]!));
  const all = [...dims, ...kept];
  const front = x.view(all.map((d) => x.shape[d]!), all.map((d) => x.strides[d]!));
  const width = product(kept.map((d) => x.shape[d]!)), n = product(replaced);
  const steps = denseStrides(dims.map((d) => x.shape[d]!)), rows = n ? offsets(b, n) : 0;
  if (n) present.forEach((each, at) => place(b, rows, b.dense(expanded(each, replaced)), x.shape[dims[at]!]!, steps[at]!));
  const neighbours = dims.at(-1)! - dims[0]! === dims.length - 1, before = neighbours ? dims[0]! : 0, count = replaced.length;
  const places = kept.map((_, k) => count + k);
  return {
    front, rows, n, width,
    selected: [...replaced, ...kept.map((d) => x.shape[d]!)],
    order: [...places.slice(0, before), ...replaced.keys(), ...places.slice(before)],
  };
}

function index(b: Build, [given, indices]: Args): Value {
  const x = given as Value, { front, selected, order, rows, n, width } = indexed(b, x, indices!);
  const out = b.result(x.dtype, selected), from = b.dense(front).at, to = out.at, f = b.kernel("fetch"), bytes = width * x.bytes;
  if (out.size) b.steps.push(() => f(n, rows, bytes, from, to));
  return out.view(order.map((d) => selected[d]!), order.map((d) => out.strides[d]!));
}

function indexPut(b: Build, [given, indices, values, accumulate]: Args): Value {
  const x = given as Value, { front, selected, order, rows, n, width } = indexed(b, x, indices!);
  require(values instanceof Value, "a tensor to write is needed");
  sameTypes(x, values);
  const shape = order.map((d) => selected[d]!);
  require(String(broadcast(values.shape, shape)) === String(shape), "the values do not match what the indices select");
  const type = accumulate ? computeType(x.dtype) : x.dtype;
  const out = b.clone(b.cast(front, type));
  if (n && width) {
    const wide = expanded(values, shape), back = selected.map((_, d) => order.indexOf(d));
    const from = b.dense(b.cast(wide.view(selected, back.map((d) => wide.strides[d]!)), type)).at, to = out.at;
    const f = b.kernel("joinRows"), code = accumulate ? computed(x.dtype) : moved(x.dtype), op = accumulate ? JOIN.sum : JOIN.write;
    b.steps.push(() => f(code, op, n, rows, width, to, from));
  }
  const kept = b.keep(out, x.dtype), all = permutation(x, indices as (Value | null)[]);
  return kept.view(x.shape, all.map((d) => kept.strides[d]!));
}

/** Where each dimension of `x` stands once those that are indexed come first. */
function permutation(x: Value, indices: readonly (Value | null)[]): number[] {
  const dims = indices.flatMap((each, d) => (each ? [d] : [])), all = [...dims, ...[...x.shape.keys()].filter((d) => !dims.includes(d))];
  return x.shape.map((_, d) => all.indexOf(d));
}

function bucketize(b: Build, [given, edges, small, right]: Args): Value {
  require(given instanceof Value && (edges as Value).shape.length === 1, "the boundaries are a list of numbers");
  const x = given, e = edges as Value;
  sameTypes(x, e);
  require(!x.size || x.dtype !== "b", "truth values are not in order");
  b.work(SLOW * extent(x.shape) * (Math.floor(Math.log2(Math.max(e.size, 2))) + 1));
  const out = b.result("i64", x.shape), f = b.kernel("bucket", x.dtype), n = x.size, from = b.ready(x).at, edge = b.ready(e).at, to = out.at;
  if (n) b.steps.push(() => f(n, from, e.size, edge, right ? 1 : 0, to));
  return small ? b.converted(out, b.result("i32", x.shape)) : out;
}

export const PLACES: Rules = {
  "gather.default": gather,
  "scatter.value": scatterValue,
  "scatter.src": scatter,
  "scatter_add.default": scatterAdd,
  "scatter_reduce.two": scatterReduce,
  "index_select.default": indexSelect,
  "index_add.default": indexAdd,
  "index.Tensor": index,
  "index_put.default": indexPut,
  "embedding.default": embedding,
  "bucketize.Tensor": bucketize,
};
