/** Elementwise operations: types of results as torch has them, broadcasting, and which kernel does it. */
import { ITEM_BYTES, type DType } from "../plan/document.js";
import { require } from "../plan/invalid.js";
import { Real } from "../wire/msgpack.js";
import { Build, broadcast, collapse, computeType, expanded, floating, sameShapes, sameTypes } from "./build.js";
import { BY_NUMBER } from "./math.js";
import { Num, Value, fitted, isFloat, resultType, wrapped } from "./value.js";
import type { Args, Rules } from "./rule.js";

export type Operand = Value | Num;
/** A kernel after its number of operation: how many, then address and step of each operand, then where to. */
type Inner = (n: number, at: readonly number[], steps: readonly number[], out: number) => void;

/** Number of the first of `math.ts`, among those of `unary`. */
export const FIRST_FUNCTION = 32;
/** Rows shorter than this are written out before: a call costs as much as a few elements. */
const SHORT = 16;
const MOST_ROWS = 1 << 16;

/** Runs `inner` over `out`, which is dense, and what is repeated to its shape. */
export function loop(b: Build, out: Value, operands: readonly Value[], inner: Inner): void {
  if (!out.size) return;
  const wide = operands.map((each) => expanded(each, out.shape));
  let groups = collapse(out.shape, [out.strides, ...wide.map((each) => each.strides)]);
  let sources = wide;
  const last = groups.sizes.at(-1)!, outer = out.size / last;
  if (outer > 1 && (last < SHORT || outer > MOST_ROWS)) {
    sources = wide.map((each) => (each.strides.every((step, d) => step === 0 || each.shape[d] === 1) ? each : b.dense(each)));
    groups = collapse(out.shape, [out.strides, ...sources.map((each) => each.strides)]);
  }
  const n = groups.sizes.at(-1)!, rows = out.size / n;
  const steps = groups.strides.slice(1).map((each) => (n === 1 ? 0 : each.at(-1)!));
  const at = sources.map((each) => each.at), to = out.at;
  if (rows === 1) {
    b.steps.push(() => inner(n, at, steps, to));
    return;
  }
  const bytes = n * ITEM_BYTES[out.dtype];
  const places = sources.map((each, i) => rowPlaces(groups.sizes.slice(0, -1), groups.strides[i + 1]!, each.at, each.bytes));
  const here = new Array<number>(sources.length);
  b.steps.push(() => {
    for (let row = 0; row < rows; row++) {
      for (let i = 0; i < places.length; i++) here[i] = places[i]![row]!;
      inner(n, here, steps, to + row * bytes);
    }
  });
}

function rowPlaces(sizes: readonly number[], steps: readonly number[], at: number, bytes: number): Int32Array {
  let places = [at];
  sizes.forEach((size, d) => {
    places = places.flatMap((place) => Array.from({ length: size }, (_, i) => place + i * steps[d]! * bytes));
  });
  return Int32Array.from(places);
}

/** One kernel of one to three operands in the type `compute`, its result kept as `dtype`. */
function apply(
  b: Build, name: string, op: number, operands: readonly Operand[], compute: DType, dtype: DType, extra: readonly (number | bigint)[] = [],
): Value {
  const type = computeType(compute);
  const shape = broadcast(...operands.map((each) => (each instanceof Num ? [] : each.shape)));
  b.seen(shape);
  const given = operands.map((each) => b.operand(each instanceof Num ? wrapped(each, compute) : each, type));
  const out = dtype === "b" && name !== "binary" && name !== "unary" ? b.result("b", shape) : b.target(dtype, shape);
  const f = b.kernel(name, type);
  if (given.length === 1) loop(b, out, given, (n, at, s, o) => f(op, n, at[0]!, s[0]!, o, ...extra));
  else if (given.length === 2) loop(b, out, given, (n, at, s, o) => f(op, n, at[0]!, s[0]!, at[1]!, s[1]!, o, ...extra));
  else loop(b, out, given, (n, at, s, o) => f(op, n, at[0]!, s[0]!, at[1]!, s[1]!, at[2]!, s[2]!, o, ...extra));
  return b.keep(out, dtype);
}

/** One operand and up to two numbers. */
export function unary(b: Build, op: number, x: Operand, dtype: DType, p: Num | number = 0, q: Num | number = 0): Value {
  const limits = [p, q].map((each) => (computeType(dtype) === "i64" ? BigInt.asIntN(64, each instanceof Num ? each.whole : BigInt(each)) : each instanceof Num ? each.value : each));
  return apply(b, "unary", op, [x], dtype, dtype, limits);
}

export function binary(b: Build, op: number, x: Operand, y: Operand, dtype: DType): Value {
  return apply(b, "binary", op, [x, y], dtype, dtype);
}

/** A truth value of each pair; `op`: == != < <= > >= and or xor. */
export function compare(b: Build, op: number, x: Operand, y: Operand): Value {
  return apply(b, "compare", op, [x, y], resultType(x, y), "b");
}

export const whole = (dtype: DType): boolean => !isFloat(dtype) && dtype !== "b";

/** Rules of functions that make integers f32: name → number of the kernel. */
export function asFloat(functions: Readonly<Record<string, number>>): Rules {
  return Object.fromEntries(Object.entries(functions).map(([name, op]) => [`${name}.default`, (b: Build, [x]: Args) => unary(b, op, x as Value, floated(x as Value))]));
}
const floated = (x: Value): DType => (isFloat(x.dtype) ? x.dtype : "f32");

/** Functions that make integers f32. */
const AS_FLOAT: Readonly<Record<string, number>> = {
  sqrt: 3, rsqrt: 4, reciprocal: 5, exp: 6, log: 7, tanh: 8, sigmoid: 9,
  ...Object.fromEntries((["expm1", "log1p"] as const).map((name) => [name, FIRST_FUNCTION + BY_NUMBER.indexOf(name)])),
};
/** Functions that leave integers as they are. */
const ROUNDED: Readonly<Record<string, number>> = { floor: 10, ceil: 11, round: 12, trunc: 13 };

function notTruth(x: Operand, what: string): void {
  require(x instanceof Num ? x.kind !== "b" : x.dtype !== "b", `${what} of truth values`);
}

function alpha(b: Build, x: Operand, y: Operand, scale: Num): Operand {
  const dtype = resultType(x, y);
  require(isFloat(dtype) || scale.kind !== "f32", "a fraction scales no integers");
  require(scale.kind !== "b" || dtype === "b", "a truth value scales no numbers");
  return scale.value === 1 ? y : binary(b, 2, y, fitted(scale, dtype), dtype);
}

function sum(b: Build, [x, y, scale]: Args): Value {
  const [a, c] = [x as Operand, y as Operand];
  return binary(b, 0, a, alpha(b, a, c, scale as Num), resultType(a, c));
}

function difference(b: Build, [x, y, scale]: Args): Value {
  const [a, c] = [x as Operand, y as Operand];
  for (const each of [a, c]) notTruth(each, "a difference");
  const by = scale as Num;
  // The negative of the smallest integer is itself: torch adds so many times.
  if (by.kind === "i64" && by.whole === -(1n << 63n)) return sum(b, [a, c, by]);
  return binary(b, 1, a, alpha(b, a, c, scale as Num), resultType(a, c));
}

function product2(b: Build, [x, y]: Args): Value {
  return binary(b, 2, x as Operand, y as Operand, resultType(x as Operand, y as Operand));
}

export function quotient(b: Build, [x, y]: Args): Value {
  const dtype = resultType(x as Operand, y as Operand);
  return binary(b, 3, x as Operand, y as Operand, isFloat(dtype) ? dtype : "f32");
}

function power(b: Build, x: Operand, y: Operand): Value {
  const dtype = resultType(x, y);
  require(dtype !== "b", "there is no power of truth values");
  if (y instanceof Num) fitted(y, dtype);
  if (y instanceof Num && whole(dtype)) require(y.kind === "b" || y.whole >= 0n, "integers have no negative powers");
  if (y instanceof Num && y.value === 2) return binary(b, 2, x, x, dtype);
  if (y instanceof Num && y.value === 0.5 && isFloat(dtype)) return unary(b, 3, x, dtype);
  return binary(b, 6, x, y, dtype);
}

function bitwise(op: number): (b: Build, args: Args) => Value {
  return (b, [x, y]) => {
    const dtype = resultType(x as Operand, y as Operand);
    require(!isFloat(dtype), "bits of floating-point numbers");
    return binary(b, op, x as Operand, y as Operand, dtype);
  };
}

function shift(b: Build, [x, y]: Args): Value {
  const dtype = resultType(x as Operand, y as Operand);
  require(whole(dtype), "a shift of integers is needed");
  // Beyond the width of the type everything is shifted out; i64 holds them all with their sign.
  return binary(b, 23, x as Operand, y as Operand, dtype);
}

export function clamp(b: Build, x: Value, low: Num | null, high: Num | null): Value {
  require(low || high, "a bound is needed");
  const dtype = resultType(x, ...[low, high].filter((each) => each !== null));
  require(dtype !== "b", "a clamp of truth values");
  const nan = [low, high].some((each) => each && Number.isNaN(each.value));
  let made: Value = x;
  if (nan && isFloat(dtype)) return binary(b, 0, x, new Num(new Real(NaN)), dtype);
  if (low) made = unary(b, 22, made, dtype, fitted(low, dtype), 0);
  return high ? unary(b, 23, made, dtype, 0, fitted(high, dtype)) : made;
}

/** `f(grad, other)` of one shape and type. */
export function backward(op: number): (b: Build, args: Args) => Value {
  return (b, [grad, other]) => {
    const [g, y] = [grad as Value, other as Value];
    sameShapes(g, y);
    sameTypes(g, y);
    floating(g);
    return binary(b, op, g, y, g.dtype);
  };
}

function thresholdBackward(b: Build, [grad, x, bound]: Args): Value {
  const [g, y, t] = [grad as Value, x as Value, bound as Num];
  sameShapes(g, y);
  sameTypes(g, y);
  require(g.dtype !== "b", "a threshold of truth values");
  if (t.value === 0 && isFloat(g.dtype)) return binary(b, 12, g, y, g.dtype);
  const fits = fitted(t, g.dtype), limit = computeType(g.dtype) === "i64" ? fits.whole : fits.value;
  return apply(b, "ternary", 3, [g, y, y], g.dtype, g.dtype, [limit]);
}

export function where(b: Build, condition: Value, x: Operand, y: Operand): Value {
  require(condition.dtype === "b" || condition.dtype === "u8", "a condition is a tensor of truth values");
  const dtype = resultType(x, y), shape = broadcast(condition.shape, ...[x, y].map((each) => (each instanceof Num ? [] : each.shape)));
  b.seen(shape);
  const log = Math.log2(ITEM_BYTES[dtype]), f = b.kernel("where");
  const given = [x, y].map((each) => (each instanceof Num ? single(b, each, dtype) : b.cast(each, dtype)));
  const out = b.result(dtype, shape);
  loop(b, out, [condition, ...given], (n, at, s, o) => f(log, n, at[0]!, s[0]!, at[1]!, s[1]!, at[2]!, s[2]!, o));
  return out;
}

/** A number as a tensor of this very type. */
export function single(b: Build, given: Num, dtype: DType): Value {
  const made = b.temp(dtype, []);
  b.fill(made, given);
  return made;
}

function maskedFill(b: Build, [x, mask, value]: Args): Value {
  const [v, m, n] = [x as Value, mask as Value, value as Num];
  require(m.dtype === "b", "a mask is a tensor of truth values");
  return where(b, m, single(b, fitted(n, v.dtype), v.dtype), v);
}

function lerp(b: Build, [start, end, weight]: Args): Value {
  const [x, y] = [start as Value, end as Operand];
  require(y instanceof Value, "a tensor to go to is needed");
  sameTypes(x, y);
  floating(x);
  return apply(b, "ternary", 2, [x, y, y], x.dtype, x.dtype, [(weight as Num).value]);
}

function fusedProduct(op: number): (b: Build, args: Args) => Value {
  return (b, [self, first, second, scale]) => {
    const [x, y, z] = [self as Value, first as Value, second as Value];
    const dtype = resultType(x, y, z), s = fitted(scale as Num, dtype);
    require(dtype !== "b", "a product of truth values is added to nothing");
    require(op === 0 || [y, z].some((each) => isFloat(each.dtype)), "integers are not divided here");
    return apply(b, "ternary", op, [x, y, z], dtype, dtype, [computeType(dtype) === "i64" ? s.whole : s.value]);
  };
}

export const pair = (f: (b: Build, x: Operand, y: Operand) => Value) => (b: Build, [x, y]: Args): Value => f(b, x as Operand, y as Operand);

function extreme(op: number): (b: Build, args: Args) => Value {
  return pair((b, x, y) => binary(b, op, x, y, resultType(x, y)));
}

const comparisons = Object.fromEntries(["eq", "ne", "lt", "le", "gt", "ge"].flatMap((name, op) => ["Tensor", "Scalar"].map((kind) =>
  [`${name}.${kind}`, pair((b, x, y) => compare(b, op, x, y))])));
const logicals = Object.fromEntries(["and", "or", "xor"].map((name, i) => [`logical_${name}.default`, pair((b, x, y) => compare(b, 6 + i, x, y))]));
const bits = Object.fromEntries(["and", "or", "xor"].flatMap((name, i) => ["Tensor", "Scalar"].map((kind) => [`bitwise_${name}.${kind}`, bitwise(20 + i)])));

export const POINTWISE: Rules = {
  ...asFloat(AS_FLOAT),
  ...Object.fromEntries(Object.entries(ROUNDED).map(([name, op]) => [`${name}.default`, (b: Build, [x]: Args) => {
    const v = x as Value;
    notTruth(v, "a rounding");
    return isFloat(v.dtype) ? unary(b, op, v, v.dtype) : b.clone(v);
  }])),
  ...comparisons,
  ...logicals,
  ...bits,
  "neg.default": (b, [x]) => (notTruth(x as Value, "a negative"), unary(b, 0, x as Value, (x as Value).dtype)),
  "abs.default": (b, [x]) => (notTruth(x as Value, "an absolute"), unary(b, 1, x as Value, (x as Value).dtype)),
  "relu.default": (b, [x]) => (notTruth(x as Value, "relu"), unary(b, 2, x as Value, (x as Value).dtype)),
  "sign.default": (b, [x]) => unary(b, 14, x as Value, (x as Value).dtype),
  "clamp.default": (b, [x, low, high]) => clamp(b, x as Value, low as Num | null, high as Num | null),
  "clamp_min.default": (b, [x, low]) => clamp(b, x as Value, low as Num, null),
  "logical_not.default": (b, [x]) => compare(b, 0, x as Value, new Num((x as Value).dtype === "b" ? false : 0)),
  "add.Tensor": sum,
  "add.Scalar": sum,
  "sub.Tensor": difference,
  "sub.Scalar": difference,
  "rsub.Scalar": (b, [x, y, scale]) => difference(b, [y!, x!, scale!]),
  "mul.Tensor": product2,
  "mul.Scalar": product2,
  "div.Tensor": quotient,
  "div.Scalar": quotient,
  "pow.Tensor_Scalar": pair(power),
  "pow.Tensor_Tensor": pair(power),
  "pow.Scalar": pair(power),
  "maximum.default": extreme(4),
  "minimum.default": extreme(5),
  "bitwise_right_shift.Tensor_Scalar": shift,
  "where.self": (b, [c, x, y]) => where(b, c as Value, x as Operand, y as Operand),
  "masked_fill.Scalar": maskedFill,
  "lerp.Scalar": lerp,
  "addcmul.default": fusedProduct(0),
  "addcdiv.default": fusedProduct(1),
  "threshold_backward.default": thresholdBackward,
  "sigmoid_backward.default": backward(13),
  "tanh_backward.default": backward(14),
};
