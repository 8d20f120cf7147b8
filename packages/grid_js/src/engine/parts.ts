/** Copies that are put together of parts, or written over in part. */
import { require } from "../plan/invalid.js";
import { Build, axis, sameShapes, sameTypes } from "./build.js";
import type { Args, Rule, Rules } from "./rule.js";
import { FARTHEST, MAX_RANK, put, selected, sliced } from "./shapes.js";
import { Num, Value, product, resultType } from "./value.js";

function diagonal(b: Build, [given, offset, dim1, dim2]: Args): Value {
  const x = given as Value, rank = x.shape.length, a = axis(dim1 as number, rank), c = axis(dim2 as number, rank), shift = offset as number;
  require(Math.abs(shift) < FARTHEST, "malformed diagonal");
  require(a !== c && rank >= 2, "a diagonal is of two dimensions");
  const size = Math.max(0, shift >= 0 ? Math.min(x.shape[a]!, x.shape[c]! - shift) : Math.min(x.shape[a]! + shift, x.shape[c]!));
  const kept = [...x.shape.keys()].filter((d) => d !== a && d !== c);
  const start = size ? Math.max(shift, 0) * x.strides[c]! + Math.max(-shift, 0) * x.strides[a]! : 0;
  const shape = [...kept.map((d) => x.shape[d]!), size];
  b.seen(shape);
  return x.view(shape, [...kept.map((d) => x.strides[d]!), x.strides[a]! + x.strides[c]!], x.offset + start);
}

function stack(b: Build, [given, dim]: Args): Value {
  const parts = given as Value[];
  require(parts.length && parts.every((each) => each instanceof Value), "tensors to join are needed");
  sameShapes(...parts);
  const shape = parts[0]!.shape, at = axis(dim as number, shape.length + 1);
  const out = b.result(resultType(...parts), [...shape.slice(0, at), parts.length, ...shape.slice(at)]);
  parts.forEach((each, i) => put(b, each, selected(out, at, i)));
  return out;
}

function flip(b: Build, [given, dims]: Args): Value {
  const x = given as Value, out = b.result(x.dtype, x.shape), at = (dims as number[]).map((dim) => axis(dim, x.shape.length));
  require(new Set(at).size === at.length, "a dimension is named twice");
  if (!x.size || !x.shape.length) {
    b.copy(x, out);
    return out;
  }
  const end = at.reduce((sum, d) => sum + (x.shape[d]! - 1) * x.strides[d]!, x.offset);
  b.copy(x.view(x.shape, x.strides.map((step, d) => (at.includes(d) ? -step : step)), end), out);
  return out;
}

function repeat(b: Build, [given, times]: Args): Value {
  const x = given as Value, counts = times as number[], front = counts.length - x.shape.length;
  require(counts.length <= MAX_RANK && counts.every((n) => n >= 0 && n < FARTHEST), "malformed repeats");
  require(front >= 0, "there are fewer repeats than dimensions");
  const own = counts.map((_, d) => (d < front ? 1 : x.shape[d - front]!));
  const out = b.result(x.dtype, own.map((size, d) => size * counts[d]!));
  if (!out.size) return out;
  // Both as [times, size] for each dimension.
  const shape = own.flatMap((size, d) => [counts[d]!, size]);
  const from = x.view(shape, own.flatMap((_, d) => [0, d < front ? 0 : x.strides[d - front]!]));
  b.copy(from, out.view(shape, own.flatMap((size, d) => [size * out.strides[d]!, out.strides[d]!])));
  return out;
}

function pad(b: Build, [given, by, value]: Args): Value {
  const x = given as Value, amounts = by as number[], rank = x.shape.length;
  require(amounts.length % 2 === 0 && amounts.length <= 2 * rank, "a pair of paddings for each dimension");
  require(amounts.every((each) => Math.abs(each) < FARTHEST), "malformed padding");
  const before = new Array<number>(rank).fill(0), after = new Array<number>(rank).fill(0);
  for (let i = 0; i < amounts.length / 2; i++) [before[rank - 1 - i], after[rank - 1 - i]] = [amounts[2 * i]!, amounts[2 * i + 1]!];
  x.shape.forEach((size, d) => require(
    before[d]! + after[d]! + size >= 0 && before[d]! >= -size && after[d]! >= -size, "a padding takes more than there is",
  ));
  const out = b.result(x.dtype, x.shape.map((size, d) => size + before[d]! + after[d]!));
  b.fill(out, value as Num);
  let from = x, to = out;
  x.shape.forEach((size, d) => {
    from = sliced(from, d, Math.max(-before[d]!, 0), size + Math.min(after[d]!, 0), 1);
    to = sliced(to, d, Math.max(before[d]!, 0), Math.max(before[d]!, 0) + from.shape[d]!, 1);
  });
  b.copy(from, to);
  return out;
}

/** A copy of `x` with a part of it written over. */
function scattered(b: Build, x: Value, source: Args[number], part: (whole: Value) => Value): Value {
  require(source instanceof Value, "a tensor to write is needed");
  sameTypes(x, source);
  const out = b.clone(x), place = part(out);
  sameShapes(source, place);
  b.copy(source, place);
  return out;
}

function ofSizes(b: Build, grad: Value, sizes: number[]): Value {
  require(sizes.length <= MAX_RANK && sizes.every((size) => size >= 0 && size < FARTHEST), "malformed sizes");
  const out = b.result(grad.dtype, sizes);
  b.fill(out, new Num(0));
  return out;
}

function backInto(b: Build, [grad, sizes]: Args, part: (whole: Value) => Value): Value {
  const out = ofSizes(b, grad as Value, sizes as number[]), place = part(out);
  sameShapes(grad as Value, place);
  b.copy(grad as Value, place);
  return out;
}

function triangle(upper: boolean): Rule {
  return (b, [given, by]) => {
    const x = b.dense(given as Value), shift = by as number, rank = x.shape.length;
    require(Math.abs(shift) < FARTHEST, "malformed diagonal");
    require(rank >= 2, "a matrix is needed");
    const out = b.result(x.dtype, x.shape), [rows, columns] = x.shape.slice(-2) as [number, number], count = product(x.shape.slice(0, -2));
    const f = b.kernel("triangle"), size = x.bytes, from = x.at, to = out.at, edge = BigInt(shift);
    if (out.size) b.steps.push(() => f(size, upper ? 1 : 0, count, rows, columns, edge, from, to));
    return out;
  };
}

// -- out of nothing --------------------------------------------------------------------------------------------

export const PARTS: Rules = {
  "diagonal.default": diagonal,
  "stack.default": stack,
  "flip.default": flip,
  "repeat.default": repeat,
  "constant_pad_nd.default": pad,
  "slice_scatter.default": (b, [x, source, dim, start, end, step]) =>
    scattered(b, x as Value, source!, (whole) => sliced(whole, dim as number, start as number | null, end as number | null, step as number)),
  "select_scatter.default": (b, [x, source, dim, index]) => scattered(b, x as Value, source!, (whole) => selected(whole, dim as number, index as number)),
  "slice_backward.default": (b, args) => backInto(b, args, (whole) => sliced(whole, args[2] as number, args[3] as number, args[4] as number, args[5] as number)),
  "select_backward.default": (b, args) => backInto(b, args, (whole) => selected(whole, args[2] as number, args[3] as number)),
  "tril.default": triangle(false),
  "triu.default": triangle(true),
};
