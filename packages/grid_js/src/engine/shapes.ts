/** Views, copies of parts, and tensors out of nothing. */
import type { DType } from "../plan/document.js";
import { require } from "../plan/invalid.js";
import { Build, axis, expanded } from "./build.js";
import type { Args, Rules } from "./rule.js";
import { Num, Value, denseStrides, fitted, isFloat, product, resultType } from "./value.js";

/** Steps, offsets and paddings of this size and above are refused. */
export const FARTHEST = 2 ** 48;
export const MAX_RANK = 16;

function reshape(b: Build, [given, wanted]: Args): Value {
  const x = given as Value, sizes = [...(wanted as number[])];
  require(sizes.every((size) => size >= -1), "a shape of negative sizes");
  const open = sizes.indexOf(-1), known = product(sizes.filter((size) => size !== -1));
  require(open === sizes.lastIndexOf(-1), "only one size can be left open");
  if (open >= 0) {
    require(known > 0 && x.size % known === 0, `the shape does not fit ${x.size} elements`);
    sizes[open] = x.size / known;
  }
  require(product(sizes) === x.size, `the shape does not fit ${x.size} elements`);
  b.seen(sizes);
  if (x.size === 0) return x.view(sizes, denseStrides(sizes));
  return viewed(x, sizes) ?? b.clone(x).view(sizes, denseStrides(sizes), 0);
}

/** `x` in another shape without a copy, where its layout allows that. */
function viewed(x: Value, sizes: readonly number[]): Value | null {
  const strides = new Array<number>(sizes.length);
  let to = sizes.length - 1, step = x.strides.at(-1) ?? 1, seen = 1, made = 1;
  for (let d = x.shape.length - 1; d >= 0; d--) {
    seen *= x.shape[d]!;
    // The end of a run of dimensions that lie one in the other.
    if (d > 0 && (x.shape[d - 1] === 1 || x.strides[d - 1] === seen * step)) continue;
    while (to >= 0 && (made < seen || sizes[to] === 1)) {
      strides[to] = made * step;
      made *= sizes[to]!;
      to -= 1;
    }
    if (made !== seen) return null;
    if (d > 0) step = x.strides[d - 1]!;
    seen = made = 1;
  }
  for (; to >= 0; to--) strides[to] = step;
  return x.view(sizes, strides);
}

function permute(_: Build, [given, wanted]: Args): Value {
  const x = given as Value, dims = (wanted as number[]).map((dim) => axis(dim, x.shape.length));
  require(dims.length === x.shape.length && new Set(dims).size === dims.length, "the dimensions are not those of the tensor");
  return x.view(dims.map((d) => x.shape[d]!), dims.map((d) => x.strides[d]!));
}

function swapped(x: Value, a: number, c: number): Value {
  const order = [...x.shape.keys()];
  if (order.length) [order[a], order[c]] = [order[c]!, order[a]!];
  return x.view(order.map((d) => x.shape[d]!), order.map((d) => x.strides[d]!));
}

function transpose(_: Build, [given, first, second]: Args): Value {
  const x = given as Value, rank = x.shape.length;
  return swapped(x, axis(first as number, rank), axis(second as number, rank));
}

function t(_: Build, [given]: Args): Value {
  const x = given as Value;
  require(x.shape.length <= 2, "a matrix is needed");
  return x.shape.length === 2 ? swapped(x, 0, 1) : x.view(x.shape, x.strides);
}

function unsqueeze(b: Build, [given, dim]: Args): Value {
  const x = given as Value, at = axis(dim as number, x.shape.length + 1);
  const shape = [...x.shape.slice(0, at), 1, ...x.shape.slice(at)];
  b.seen(shape);
  return x.view(shape, [...x.strides.slice(0, at), 1, ...x.strides.slice(at)]);
}

function squeeze(_: Build, [given, dims]: Args): Value {
  const x = given as Value, out = (Array.isArray(dims) ? (dims as number[]) : [dims as number]).map((dim) => axis(dim, x.shape.length));
  require(new Set(out).size === out.length, "a dimension is named twice");
  const kept = [...x.shape.keys()].filter((d) => !out.includes(d) || x.shape[d] !== 1);
  return x.view(kept.map((d) => x.shape[d]!), kept.map((d) => x.strides[d]!));
}

function expand(b: Build, [given, wanted]: Args): Value {
  const x = given as Value, sizes = wanted as number[], front = sizes.length - x.shape.length;
  require(front >= 0, "there are fewer sizes than dimensions");
  const shape = sizes.map((size, d) => {
    require(size >= 0 || (size === -1 && d >= front), "a size of an expanded tensor is negative");
    return size === -1 ? x.shape[d - front]! : size;
  });
  b.seen(shape);
  return expanded(x, shape);
}

/** The part of a dimension from `start` to `end` in steps. */
export function sliced(x: Value, dim: number, start: number | null, end: number | null, step: number): Value {
  require(x.shape.length >= 1, "there is no dimension");
  const at = axis(dim, x.shape.length), size = x.shape[at]!;
  require(step >= 1 && step < FARTHEST, "malformed step of a slice");
  const clamp = (place: number): number => Math.min(Math.max(place < 0 ? place + size : place, 0), size);
  const from = clamp(start ?? 0), to = Math.max(clamp(end ?? size), from);
  const shape = x.shape.map((each, d) => (d === at ? Math.ceil((to - from) / step) : each));
  const strides = x.strides.map((each, d) => (d === at ? each * step : each));
  return x.view(shape, strides, shape[at] ? x.offset + from * x.strides[at]! : x.offset);
}

export function selected(x: Value, dim: number, index: number): Value {
  require(x.shape.length >= 1, "there is no dimension");
  const at = axis(dim, x.shape.length), size = x.shape[at]!;
  require(-size <= index && index < size, "there is no such place");
  const kept = [...x.shape.keys()].filter((d) => d !== at);
  return x.view(kept.map((d) => x.shape[d]!), kept.map((d) => x.strides[d]!), x.offset + (index < 0 ? index + size : index) * x.strides[at]!);
}

function cat(b: Build, [given, dim]: Args): Value {
  const parts = given as Value[];
  require(parts.length && parts.every((each) => each instanceof Value), "tensors to join are needed");
  const dtype = resultType(...parts);
  // Empty lists join everything, as they always did.
  const real = parts.filter((each) => each.shape.length !== 1 || each.size > 0);
  const rank = real[0]?.shape.length ?? 1, at = axis(dim as number, rank);
  require(parts.every((each) => each.shape.length > 0), "tensors without dimensions are not joined");
  const first = real[0] ?? parts[0]!;
  for (const each of real) {
    require(each.shape.length === rank && each.shape.every((size, d) => d === at || size === first.shape[d]), "the tensors do not fit each other");
  }
  const total = real.reduce((sum, each) => sum + each.shape[at]!, 0);
  const out = b.result(dtype, first.shape.map((size, d) => (d === at ? total : size)));
  let place = 0;
  for (const each of real) {
    put(b, each, sliced(out, at, place, place + each.shape[at]!, 1));
    place += each.shape[at]!;
  }
  return out;
}

/** Writes `x` where `to` lies, in its type. */
export function put(b: Build, x: Value, to: Value): void {
  b.copy(b.cast(x, to.dtype), to);
}

function filled(b: Build, sizes: number[], value: Num, dtype: DType): Value {
  require(sizes.every((size) => size >= 0), "a tensor of negative size");
  const out = b.result(dtype, sizes);
  if (out.size) b.fill(out, fitted(value, dtype));
  return out;
}

const natural = (value: Num): DType => value.kind;

function arange(b: Build, start: Num, end: Num, step: Num, dtype: DType | null): Value {
  const all = [start, end, step];
  require(all.every((each) => Number.isFinite(each.value) && Math.abs(each.value) < 2 ** 53), "malformed range");
  require(step.value !== 0 && (end.value - start.value) * step.value >= 0, "the step leads away from the end");
  const fractions = all.some((each) => each.kind === "f32"), type = dtype ?? (fractions ? "f32" : "i64");
  require(isFloat(type) || !fractions, "a range of integers has integer bounds");
  require(type !== "b", "there is no range of bools");
  const count = Math.ceil((end.value - start.value) / step.value), out = b.result(type, [count]);
  if (!count) return out;
  if (isFloat(type)) {
    const { heap } = b, at = out.at / out.bytes, [first, by] = [start.value, step.value];
    b.steps.push(() => {
      const memory = type === "f32" ? heap.f32 : heap.f64;
      for (let i = 0; i < count; i++) memory[at + i] = first + i * by;
    });
    return out;
  }
  const made = b.target(type, [count]), f = b.kernel("range64"), to = made.at, [first, by] = [start.whole, step.whole];
  b.steps.push(() => f(count, first, by, to));
  return b.keep(made, type);
}

function toCopy(b: Build, [x, dtype]: Args): Value {
  const from = x as Value, type = (dtype as DType | null) ?? from.dtype;
  return type === from.dtype ? b.clone(from) : b.converted(from, b.result(type, from.shape));
}

export const SHAPES: Rules = {
  "reshape.default": reshape,
  "permute.default": permute,
  "transpose.int": transpose,
  "t.default": t,
  "unsqueeze.default": unsqueeze,
  "squeeze.dim": squeeze,
  "squeeze.dims": squeeze,
  "expand.default": expand,
  "slice.Tensor": (_, [x, dim, start, end, step]) => sliced(x as Value, dim as number, start as number | null, end as number | null, step as number),
  "select.int": (_, [x, dim, index]) => selected(x as Value, dim as number, index as number),
  "cat.default": cat,
  "clone.default": (b, [x]) => b.clone(x as Value),
  "_to_copy.default": toCopy,
  "full.default": (b, [sizes, value, dtype]) => filled(b, sizes as number[], value as Num, (dtype as DType | null) ?? natural(value as Num)),
  "zeros.default": (b, [sizes, dtype]) => filled(b, sizes as number[], new Num(0), (dtype as DType | null) ?? "f32"),
  "ones.default": (b, [sizes, dtype]) => filled(b, sizes as number[], new Num(1), (dtype as DType | null) ?? "f32"),
  "full_like.default": (b, [x, value, dtype]) => filled(b, [...(x as Value).shape], value as Num, (dtype as DType | null) ?? (x as Value).dtype),
  "zeros_like.default": (b, [x, dtype]) => filled(b, [...(x as Value).shape], new Num(0), (dtype as DType | null) ?? (x as Value).dtype),
  "ones_like.default": (b, [x, dtype]) => filled(b, [...(x as Value).shape], new Num(1), (dtype as DType | null) ?? (x as Value).dtype),
  "scalar_tensor.default": (b, [value, dtype]) => filled(b, [], value as Num, (dtype as DType | null) ?? "f32"),
  "arange.default": (b, [end, dtype]) => arange(b, new Num(0), end as Num, new Num(1), dtype as DType | null),
  "arange.start_step": (b, [start, end, step, dtype]) => arange(b, start as Num, end as Num, step as Num, dtype as DType | null),
};
