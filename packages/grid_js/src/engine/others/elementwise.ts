/** Elementwise operations that few plans of tables have, and the functions that browsers lack. */
import { ITEM_BYTES, type DType } from "../../plan/document.js";
import { require } from "../../plan/invalid.js";
import { Real } from "../../wire/msgpack.js";
import { Build, broadcast, expanded, floating } from "../build.js";
import { BY_NUMBER } from "../math.js";
import {
  FIRST_FUNCTION, asFloat, backward, binary, clamp, compare, loop, pair, quotient, unary, where, whole, type Operand,
} from "../pointwise.js";
import type { Args, Rules } from "../rule.js";
import { Num, Value, fitted, isFloat, product, resultType } from "../value.js";

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

function clampTensor(b: Build, [x, low, high]: Args): Value {
  const bounds = [low, high].filter((each) => each !== null) as Operand[];
  require(bounds.length, "a bound is needed");
  const dtype = resultType(x as Value, ...bounds);
  require(dtype !== "b" || bounds.length < 2, "a clamp of truth values");
  let made = x as Operand;
  if (low !== null) made = binary(b, 4, made, low as Operand, dtype);
  return high === null ? (made as Value) : binary(b, 5, made, high as Operand, dtype);
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

function floatPair(op: number): (b: Build, args: Args) => Value {
  return pair((b, x, y) => {
    const dtype = resultType(x, y);
    return binary(b, op, x, y, isFloat(dtype) ? dtype : "f32");
  });
}

export const ELEMENTWISE: Rules = {
  // Two of them are among the common ones too: the same rule.
  ...asFloat(Object.fromEntries(BY_NUMBER.map((name, i) => [name, FIRST_FUNCTION + i]))),
  "silu.default": (b, [x]) => onlyFloat(15, x as Value, b),
  "gelu.default": (b, [x, how]) => onlyFloat(how === "tanh" ? 17 : 16, x as Value, b),
  "leaky_relu.default": (b, [x, slope]) => onlyFloat(18, x as Value, b, slope as Num),
  "elu.default": elu,
  "softplus.default": (b, [x, beta, threshold]) => onlyFloat(20, x as Value, b, beta as Num, threshold as Num),
  "hardtanh.default": hardtanh,
  "log_sigmoid_forward.default": logSigmoid,
  "clamp.Tensor": clampTensor,
  "isnan.default": is(0),
  "isinf.default": is(1),
  "bitwise_not.default": (b, [x]) => {
    const v = x as Value;
    require(!isFloat(v.dtype), "bits of floating-point numbers");
    return v.dtype === "b" ? compare(b, 0, v, new Num(false)) : unary(b, 99, v, v.dtype);
  },
  "div.Tensor_mode": divisionMode,
  "remainder.Scalar": division(8),
  "remainder.Tensor": division(8),
  "fmod.Scalar": division(7),
  "fmod.Tensor": division(7),
  "atan2.default": floatPair(11),
  "gelu_backward.default": (b, [g, x, how]) => backward(how === "tanh" ? 16 : 15)(b, [g!, x!]),
};
