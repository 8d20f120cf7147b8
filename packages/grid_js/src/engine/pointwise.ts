/** Elementwise operations: types of results as torch has them, broadcasting, and which kernel does it. */
import { ITEM_BYTES, type DType } from "../plan/document.js";
import { require } from "../plan/invalid.js";
import { Real } from "../wire/msgpack.js";
import { Build, broadcast, collapse, computeType, expanded, floating, sameShapes, sameTypes } from "./build.js";
import { FUNCTIONS } from "./math.js";
import { Num, Value, fitted, isFloat, product, resultType, wrapped } from "./value.js";
import type { Args, Rules } from "./rule.js";

type Operand = Value | Num;
/** A kernel after its number of operation: how many, then address and step of each operand, then where to. */
type Inner = (n: number, at: readonly number[], steps: readonly number[], out: number) => void;

const FIRST_FUNCTION = 32;
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

const floated = (x: Value): DType => (isFloat(x.dtype) ? x.dtype : "f32");
const whole = (dtype: DType): boolean => !isFloat(dtype) && dtype !== "b";

/** Functions that make integers f32. */
const AS_FLOAT: Readonly<Record<string, number>> = {
  sqrt: 3, rsqrt: 4, reciprocal: 5, exp: 6, log: 7, tanh: 8, sigmoid: 9,
  ...Object.fromEntries(Object.keys(FUNCTIONS).map((name, i) => [name, FIRST_FUNCTION + i])),
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

function quotient(b: Build, [x, y]: Args): Value {
  const dtype = resultType(x as Operand, y as Operand);
  return binary(b, 3, x as Operand, y as Operand, isFloat(dtype) ? dtype : "f32");
}

/** Integer divisions have a result: no divisor is 0, and nowhere is the smallest integer divided by -1. */
function divides(b: Build, x: Value, y: Operand, dtype: DType): void {
  if (!whole(dtype)) return;
  const smallest = dtype === "u8" ? null : -(1n << BigInt(ITEM_BYTES[dtype] * 8 - 1));
  if (y instanceof Num) {
    require(y.whole !== 0n, "a division by zero");
    if (y.whole !== -1n || smallest === null || !x.size) return;
  } else if (!x.size || !y.size) return;
  const shape = broadcast(x.shape, y instanceof Num ? [] : y.shape);
  const n = product(shape), occurs = b.kernel("occurs");
  const given = (each: Value): number => b.dense(expanded(b.cast(each, "i64"), shape)).at;
  const a = given(x), d = y instanceof Num ? 0 : given(y);
  b.steps.push(() => {
    if (d && occurs(n, d, 0n, 0, 0n)) b.refuse("a division by zero");
    if (smallest !== null && occurs(n, a, smallest, d, -1n)) b.refuse("the smallest integer divided by -1 has no result");
  });
}

function division(op: number): (b: Build, args: Args) => Value {
  return (b, [x, y]) => {
    const dtype = resultType(x as Operand, y as Operand);
    require(dtype !== "b", "a division of truth values");
    divides(b, x as Value, y as Operand, dtype);
    return binary(b, op, x as Operand, y as Operand, dtype);
  };
}

function divisionMode(b: Build, args: Args): Value {
  if (args[2] === null) return quotient(b, args);
  const [x, y] = [args[0] as Value, args[1] as Operand];
  return division(args[2] === "trunc" ? 9 : 10)(b, [x, y]);
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

function clamp(b: Build, x: Value, low: Num | null, high: Num | null): Value {
  require(low || high, "a bound is needed");
  const dtype = resultType(x, ...[low, high].filter((each) => each !== null));
  require(dtype !== "b", "a clamp of truth values");
  const nan = [low, high].some((each) => each && Number.isNaN(each.value));
  let made: Value = x;
  if (nan && isFloat(dtype)) return binary(b, 0, x, new Num(new Real(NaN)), dtype);
  if (low) made = unary(b, 22, made, dtype, fitted(low, dtype), 0);
  return high ? unary(b, 23, made, dtype, 0, fitted(high, dtype)) : made;
}

function clampTensor(b: Build, [x, low, high]: Args): Value {
  const bounds = [low, high].filter((each) => each !== null) as Operand[];
  require(bounds.length, "a bound is needed");
  const dtype = resultType(x as Value, ...bounds);
  require(dtype !== "b" || bounds.length < 2, "a clamp of truth values");
  let made = x as Operand;
  if (low !== null) made = binary(b, 4, made, low as Operand, dtype);
  return high === null ? (made as Value) : binary(b, 5, made, high as Operand, dtype);
}

/** `f(grad, other)` of one shape and type. */
function backward(op: number): (b: Build, args: Args) => Value {
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

function where(b: Build, condition: Value, x: Operand, y: Operand): Value {
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

function is(op: number): (b: Build, args: Args) => Value {
  return (b, [given]) => {
    const x = given as Value, out = b.result("b", x.shape);
    if (!isFloat(x.dtype)) {
      b.fill(out, new Num(false));
      return out;
    }
    const f = b.kernel(`is${x.dtype === "f32" ? "32" : "64"}`);
    loop(b, out, [x], (n, at, s, o) => f(op, n, at[0]!, s[0]!, o));
    return out;
  };
}

/** A function of floating-point numbers only, with up to two numbers. */
function onlyFloat(op: number, x: Value, b: Build, p: Num | number = 0, q: Num | number = 0): Value {
  floating(x);
  return unary(b, op, x, x.dtype, p, q);
}

function elu(b: Build, [given, alphaOf, scale, inputScale]: Args): Value {
  const x = given as Value, [a, s, i] = [alphaOf, scale, inputScale].map((each) => (each as Num).value) as [number, number, number];
  floating(x);
  const [f, g] = [alphaOf, scale] as [Num, Num];
  if (f.kind !== "f32" && g.kind !== "f32") {
    require(BigInt.asIntN(64, f.whole * g.whole) === f.whole * g.whole, "alpha times scale is beyond 64 bits");
  }
  if (i === 1) return unary(b, 19, x, x.dtype, a * s, s);
  // Where x is above 0 it is only scaled; the exponential is of x times the scale of the input.
  const low = binary(b, 2, unary(b, FIRST_FUNCTION + 1, binary(b, 2, x, new Num(new Real(i)), x.dtype), x.dtype), new Num(new Real(a * s)), x.dtype);
  return where(b, compare(b, 4, x, new Num(0)), binary(b, 2, x, new Num(new Real(s)), x.dtype), low);
}

function hardtanh(b: Build, [given, low, high]: Args): Value {
  const x = given as Value;
  require(x.dtype !== "b", "hardtanh of truth values");
  require(x.dtype !== "u8" || [low, high].every((each) => (each as Num).value >= 0), "bytes have no negative limits");
  return clamp(b, x, fitted(low as Num, x.dtype), fitted(high as Num, x.dtype));
}

function logSigmoid(b: Build, [given]: Args): Value[] {
  const x = given as Value;
  // The second result is memory of the kernel: empty on every machine but those with vectors of another width.
  return [onlyFloat(21, x, b), b.result(x.dtype, [0])];
}

const pair = (f: (b: Build, x: Operand, y: Operand) => Value) => (b: Build, [x, y]: Args): Value => f(b, x as Operand, y as Operand);

function extreme(op: number): (b: Build, args: Args) => Value {
  return pair((b, x, y) => binary(b, op, x, y, resultType(x, y)));
}

function floatPair(op: number): (b: Build, args: Args) => Value {
  return pair((b, x, y) => {
    const dtype = resultType(x, y);
    return binary(b, op, x, y, isFloat(dtype) ? dtype : "f32");
  });
}

const comparisons = Object.fromEntries(["eq", "ne", "lt", "le", "gt", "ge"].flatMap((name, op) => ["Tensor", "Scalar"].map((kind) =>
  [`${name}.${kind}`, pair((b, x, y) => compare(b, op, x, y))])));
const logicals = Object.fromEntries(["and", "or", "xor"].map((name, i) => [`logical_${name}.default`, pair((b, x, y) => compare(b, 6 + i, x, y))]));
const bits = Object.fromEntries(["and", "or", "xor"].flatMap((name, i) => ["Tensor", "Scalar"].map((kind) => [`bitwise_${name}.${kind}`, bitwise(20 + i)])));

export const POINTWISE: Rules = {
  ...Object.fromEntries(Object.entries(AS_FLOAT).map(([name, op]) => [`${name}.default`, (b: Build, [x]: Args) => unary(b, op, x as Value, floated(x as Value))])),
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
  "silu.default": (b, [x]) => onlyFloat(15, x as Value, b),
  "gelu.default": (b, [x, how]) => onlyFloat(how === "tanh" ? 17 : 16, x as Value, b),
  "leaky_relu.default": (b, [x, slope]) => onlyFloat(18, x as Value, b, slope as Num),
  "elu.default": elu,
  "softplus.default": (b, [x, beta, threshold]) => onlyFloat(20, x as Value, b, beta as Num, threshold as Num),
  "hardtanh.default": hardtanh,
  "log_sigmoid_forward.default": logSigmoid,
  "clamp.default": (b, [x, low, high]) => clamp(b, x as Value, low as Num | null, high as Num | null),
  "clamp.Tensor": clampTensor,
  "clamp_min.default": (b, [x, low]) => clamp(b, x as Value, low as Num, null),
  "isnan.default": is(0),
  "isinf.default": is(1),
  "logical_not.default": (b, [x]) => compare(b, 0, x as Value, new Num((x as Value).dtype === "b" ? false : 0)),
  "bitwise_not.default": (b, [x]) => {
    const v = x as Value;
    require(!isFloat(v.dtype), "bits of floating-point numbers");
    return v.dtype === "b" ? compare(b, 0, v, new Num(false)) : unary(b, 99, v, v.dtype);
  },
  "add.Tensor": sum,
  "add.Scalar": sum,
  "sub.Tensor": difference,
  "sub.Scalar": difference,
  "rsub.Scalar": (b, [x, y, scale]) => difference(b, [y!, x!, scale!]),
  "mul.Tensor": product2,
  "mul.Scalar": product2,
  "div.Tensor": quotient,
  "div.Scalar": quotient,
  "div.Tensor_mode": divisionMode,
  "pow.Tensor_Scalar": pair(power),
  "pow.Tensor_Tensor": pair(power),
  "pow.Scalar": pair(power),
  "remainder.Scalar": division(8),
  "remainder.Tensor": division(8),
  "fmod.Scalar": division(7),
  "fmod.Tensor": division(7),
  "maximum.default": extreme(4),
  "minimum.default": extreme(5),
  "atan2.default": floatPair(11),
  "bitwise_right_shift.Tensor_Scalar": shift,
  "where.self": (b, [c, x, y]) => where(b, c as Value, x as Operand, y as Operand),
  "masked_fill.Scalar": maskedFill,
  "lerp.Scalar": lerp,
  "addcmul.default": fusedProduct(0),
  "addcdiv.default": fusedProduct(1),
  "threshold_backward.default": thresholdBackward,
  "sigmoid_backward.default": backward(13),
  "tanh_backward.default": backward(14),
  "gelu_backward.default": (b, [g, x, how]) => backward(how === "tanh" ? 16 : 15)(b, [g!, x!]),
};
