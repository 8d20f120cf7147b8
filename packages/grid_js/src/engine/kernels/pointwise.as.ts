// Elementwise operations. A step of 0 repeats one element; steps are in elements. What a number of an operation means
// stands in ../codes.ts.

import { exp4 } from "./exp.as";

@external("env", "math") declare function math(op: i32, x: f64): f64;
@external("env", "exp") declare function mathExp(x: f64): f64;
@external("env", "log") declare function mathLog(x: f64): f64;
@external("env", "tanh") declare function mathTanh(x: f64): f64;
@external("env", "pow") declare function mathPow(x: f64, y: f64): f64;
@external("env", "atan2") declare function mathAtan2(x: f64, y: f64): f64;

const SQRT_HALF: f64 = 0.7071067811865476, TWO_OVER_SQRT_PI: f64 = 1.1283791670955126;

/** The error function, by the rational approximations of Sun's fdlibm (s_erf.c): within 1 ulp of f64. */
function erf(x: f64): f64 {
  const a = Math.abs(x);
  if (a < 0.84375) {
    const z = x * x;
    const r = 1.28379167095512558561e-1 + z * (-3.25042107247001499370e-1 + z * (-2.84817495755985104766e-2 + z * (-5.77027029648944159157e-3 + z * -2.37630166566501626084e-5)));
    const s = 1 + z * (3.97917223959155352819e-1 + z * (6.50222499887672944485e-2 + z * (5.08130628187576562776e-3 + z * (1.32494738004321644526e-4 + z * -3.96022827877536812320e-6))));
    return x + x * (r / s);
  }
  if (a < 1.25) {
    const s = a - 1;
    const p = -2.36211856075265944077e-3 + s * (4.14856118683748331666e-1 + s * (-3.72207876035701323847e-1 + s * (3.18346619901161753674e-1 + s * (-1.10894694282396677476e-1 + s * (3.54783043256182359371e-2 + s * -2.16637559486879084300e-3)))));
    const q = 1 + s * (1.06420880400844228286e-1 + s * (5.40397917702171048937e-1 + s * (7.18286544141962662868e-2 + s * (1.26171219808761642112e-1 + s * (1.36370839120290507362e-2 + s * 1.19844998467991074170e-2)))));
    return f64.copysign(8.45062911510467529297e-1 + p / q, x);
  }
  // Beyond, the complement is what is small; JavaScript has the rest of it. From 6 on, nothing is left of it.
  return a >= 6 ? f64.copysign(1, x) : math(0, x);
}

@inline function sigmoid(x: f64): f64 {
  return 1 / (1 + mathExp(-x));
}

@inline function one(op: i32, x: f64, p: f64, q: f64): f64 {
  switch (op) {
    case 0: return -x;
    case 1: return Math.abs(x);
    case 2: return x > 0 || x != x ? x : 0;
    case 3: return Math.sqrt(x);
    case 4: return 1 / Math.sqrt(x);
    case 5: return 1 / x;
    case 6: return mathExp(x);
    case 7: return mathLog(x);
    case 8: return mathTanh(x);
    case 9: return sigmoid(x);
    case 10: return Math.floor(x);
    case 11: return Math.ceil(x);
    case 12: return f64.nearest(x);
    case 13: return f64.trunc(x);
    case 14: return x > 0 ? 1 : x < 0 ? -1 : x != x ? 0 : x;
    case 15: return x * sigmoid(x); // silu
    case 16: return 0.5 * x * (1 + erf(x * SQRT_HALF)); // gelu
    case 17: return 0.5 * x * (1 + mathTanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
    case 18: return x > 0 ? x : x * p; // leaky_relu
    case 19: return x > 0 ? x * q : math(1, x) * p; // elu, with an input scale of 1
    case 20: return x * p > q ? x : math(2, mathExp(x * p)) / p; // softplus
    case 21: return (x < 0 ? x : 0) - math(2, mathExp(-Math.abs(x))); // log_sigmoid
    case 22: return x < p ? p : x; // clamp from below: NaN stays
    case 23: return x > q ? q : x;
    default: return math(op - 32, x);
  }
}

@inline function unary<T>(op: i32, n: i32, a: usize, sa: i32, o: usize, p: f64, q: f64): void {
  const step = <usize>sa * sizeof<T>();
  for (let i = 0; i < n; i++) {
    store<T>(o, <T>one(op, <f64>load<T>(a), p, q));
    a += step;
    o += sizeof<T>();
  }
}

export function unary32(op: i32, n: i32, a: usize, sa: i32, o: usize, p: f64, q: f64): void {
  let i = 0;
  if (sa == 1 && op <= 9 && op != 7 && op != 8) {
    const zero = f32x4.splat(0), unit = f32x4.splat(1);
    for (; i + 4 <= n; i += 4) {
      const x = v128.load(a);
      let r = x;
      switch (op) {
        case 0: r = f32x4.neg(x); break;
        case 1: r = f32x4.abs(x); break;
        case 2: r = f32x4.max(x, zero); break;
        case 3: r = f32x4.sqrt(x); break;
        case 4: r = f32x4.div(unit, f32x4.sqrt(x)); break;
        case 5: r = f32x4.div(unit, x); break;
        case 6: r = exp4(x); break;
        default: r = f32x4.div(unit, f32x4.add(unit, exp4(f32x4.neg(x))));
      }
      v128.store(o, r);
      a += 16;
      o += 16;
    }
  }
  unary<f32>(op, n - i, a, sa, o, p, q);
}
export function unary64(op: i32, n: i32, a: usize, sa: i32, o: usize, p: f64, q: f64): void {
  unary<f64>(op, n, a, sa, o, p, q);
}

@inline function two<T>(op: i32, x: f64, y: f64): f64 {
  switch (op) {
    case 0: return x + y;
    case 1: return x - y;
    case 2: return x * y;
    case 3: return x / y;
    case 4: return x != x || y != y ? NaN : x > y ? x : y;
    case 5: return x != x || y != y ? NaN : x < y ? x : y;
    case 6: return mathPow(x, y);
    case 7: return x % y; // of the sign of x
    case 8: { // of the sign of y
      const r = x % y;
      return r != 0 && (r < 0) != (y < 0) ? r + y : r;
    }
    case 9: return f64.trunc(x / y);
    case 10: { // floor of the exact quotient
      if (y == 0) return x / y;
      const r = x % y;
      let d = (x - r) / y;
      if (r != 0 && (r < 0) != (y < 0)) d -= 1;
      if (d == 0) return f64.copysign(0, x / y);
      const f = Math.floor(d);
      return d - f > 0.5 ? f + 1 : f;
    }
    case 11: return mathAtan2(x, y);
    case 12: return y <= 0 ? 0 : x; // of relu: the gradient where the operand is not below 0, nor 0
    case 13: return x * (1 - y) * y; // of sigmoid
    case 14: return x * (1 - y * y); // of tanh
    case 15: { // of gelu
      const c = 0.5 * (1 + erf(y * SQRT_HALF));
      return x * (c + y * mathExp(-0.5 * y * y) * (0.5 * SQRT_HALF * TWO_OVER_SQRT_PI));
    }
    case 16: {
      // The square as the type has it: where that is infinite, torch has no gradient.
      const k = 0.7978845608028654, square = <f64><T>(y * y), t = mathTanh(k * (y + 0.044715 * y * square));
      return x * (0.5 * (1 + t) + 0.5 * y * (1 - t * t) * k * (1 + 0.134145 * square));
    }
    default: return 0;
  }
}

@inline function binary<T>(op: i32, n: i32, a: usize, sa: i32, b: usize, sb: i32, o: usize): void {
  const s = <usize>sa * sizeof<T>(), t = <usize>sb * sizeof<T>();
  for (let i = 0; i < n; i++) {
    const x = <f64>load<T>(a), y = <f64>load<T>(b);
    // Sums, products and quotients are rounded once, as the type has it.
    if (op == 3) store<T>(o, <T>load<T>(a) / load<T>(b));
    else store<T>(o, <T>two<T>(op, x, y));
    a += s;
    b += t;
    o += sizeof<T>();
  }
}

export function binary32(op: i32, n: i32, a: usize, sa: i32, b: usize, sb: i32, o: usize): void {
  let i = 0;
  if ((sa | 1) == 1 && (sb | 1) == 1 && (op <= 5 || (op >= 12 && op <= 14))) {
    const s = <usize>sa << 4, t = <usize>sb << 4, unit = f32x4.splat(1), zero = f32x4.splat(0);
    for (; i + 4 <= n; i += 4) {
      const x = sa ? v128.load(a) : v128.load32_splat(a), y = sb ? v128.load(b) : v128.load32_splat(b);
      let r = x;
      switch (op) {
        case 0: r = f32x4.add(x, y); break;
        case 1: r = f32x4.sub(x, y); break;
        case 2: r = f32x4.mul(x, y); break;
        case 3: r = f32x4.div(x, y); break;
        case 4: r = f32x4.max(x, y); break;
        case 5: r = f32x4.min(x, y); break;
        case 12: r = v128.andnot(x, f32x4.le(y, zero)); break;
        case 13: r = f32x4.mul(f32x4.mul(x, f32x4.sub(unit, y)), y); break;
        default: r = f32x4.mul(x, f32x4.sub(unit, f32x4.mul(y, y)));
      }
      v128.store(o, r);
      a += s;
      b += t;
      o += 16;
    }
  }
  binary<f32>(op, n - i, a, sa, b, sb, o);
}
export function binary64(op: i32, n: i32, a: usize, sa: i32, b: usize, sb: i32, o: usize): void {
  binary<f64>(op, n, a, sa, b, sb, o);
}

@inline function three<T>(op: i32, n: i32, a: usize, sa: i32, b: usize, sb: i32, c: usize, sc: i32, o: usize, p: T): void {
  const s = <usize>sa * sizeof<T>(), t = <usize>sb * sizeof<T>(), u = <usize>sc * sizeof<T>();
  for (let i = 0; i < n; i++) {
    const x = load<T>(a), y = load<T>(b), z = load<T>(c);
    let r: T = x;
    switch (op) {
      case 0: r = x + p * y * z; break;
      case 1: r = x + p * y / z; break;
      case 2: r = p < <T>0.5 && p > <T>-0.5 ? x + p * (y - x) : y - (y - x) * (<T>1 - p); break; // lerp; z is not used
      case 3: r = y <= p ? <T>0 : x; break; // of threshold
    }
    store<T>(o, r);
    a += s;
    b += t;
    c += u;
    o += sizeof<T>();
  }
}

export function ternary32(op: i32, n: i32, a: usize, sa: i32, b: usize, sb: i32, c: usize, sc: i32, o: usize, p: f64): void {
  let i = 0;
  if (sa == 1 && sb == 1 && sc == 1) {
    const k = f32x4.splat(<f32>p), near = <f32>p < <f32>0.5 && <f32>p > <f32>-0.5, l = f32x4.splat(<f32>1 - <f32>p);
    for (; i + 4 <= n; i += 4) {
      const x = v128.load(a), y = v128.load(b), z = v128.load(c);
      let r = x;
      switch (op) {
        case 0: r = f32x4.add(x, f32x4.mul(f32x4.mul(k, y), z)); break;
        case 1: r = f32x4.add(x, f32x4.div(f32x4.mul(k, y), z)); break;
        case 2:
          r = near ? f32x4.add(x, f32x4.mul(k, f32x4.sub(y, x))) : f32x4.sub(y, f32x4.mul(f32x4.sub(y, x), l));
          break;
        default: r = v128.andnot(x, f32x4.le(y, k));
      }
      v128.store(o, r);
      a += 16;
      b += 16;
      c += 16;
      o += 16;
    }
  }
  three<f32>(op, n - i, a, sa, b, sb, c, sc, o, <f32>p);
}
export function ternary64(op: i32, n: i32, a: usize, sa: i32, b: usize, sb: i32, c: usize, sc: i32, o: usize, p: f64): void {
  three<f64>(op, n, a, sa, b, sb, c, sc, o, p);
}
export function ternaryI(op: i32, n: i32, a: usize, sa: i32, b: usize, sb: i32, c: usize, sc: i32, o: usize, p: i64): void {
  const s = <usize>sa << 3, t = <usize>sb << 3, u = <usize>sc << 3;
  for (let i = 0; i < n; i++) {
    const x = load<i64>(a), y = load<i64>(b), z = load<i64>(c);
    store<i64>(o, op == 0 ? x + p * y * z : y > p ? x : 0);
    a += s;
    b += t;
    c += u;
    o += 8;
  }
}

@inline function holds<T>(op: i32, x: T, y: T): bool {
  switch (op) {
    case 0: return x == y;
    case 1: return x != y;
    case 2: return x < y;
    case 3: return x <= y;
    case 4: return x > y;
    case 5: return x >= y;
    case 6: return x != <T>0 && y != <T>0;
    case 7: return x != <T>0 || y != <T>0;
    default: return (x != <T>0) != (y != <T>0);
  }
}

@inline function compare<T>(op: i32, n: i32, a: usize, sa: i32, b: usize, sb: i32, o: usize): void {
  const s = <usize>sa * sizeof<T>(), t = <usize>sb * sizeof<T>();
  for (let i = 0; i < n; i++) {
    store<u8>(o + <usize>i, holds<T>(op, load<T>(a), load<T>(b)) ? 1 : 0);
    a += s;
    b += t;
  }
}
export function compare32(op: i32, n: i32, a: usize, sa: i32, b: usize, sb: i32, o: usize): void { compare<f32>(op, n, a, sa, b, sb, o); }
export function compare64(op: i32, n: i32, a: usize, sa: i32, b: usize, sb: i32, o: usize): void { compare<f64>(op, n, a, sa, b, sb, o); }
export function compareI(op: i32, n: i32, a: usize, sa: i32, b: usize, sb: i32, o: usize): void { compare<i64>(op, n, a, sa, b, sb, o); }

@inline function choose<T>(n: i32, c: usize, sc: i32, a: usize, sa: i32, b: usize, sb: i32, o: usize): void {
  const s = <usize>sa * sizeof<T>(), t = <usize>sb * sizeof<T>();
  for (let i = 0; i < n; i++) {
    store<T>(o, load<u8>(c) ? load<T>(a) : load<T>(b));
    c += <usize>sc;
    a += s;
    b += t;
    o += sizeof<T>();
  }
}
/** Elements of `1 << log` bytes, of a where the condition holds, else of b. */
export function where(log: i32, n: i32, c: usize, sc: i32, a: usize, sa: i32, b: usize, sb: i32, o: usize): void {
  if (log == 2) choose<i32>(n, c, sc, a, sa, b, sb, o);
  else if (log == 3) choose<i64>(n, c, sc, a, sa, b, sb, o);
  else if (log == 0) choose<u8>(n, c, sc, a, sa, b, sb, o);
  else choose<i16>(n, c, sc, a, sa, b, sb, o);
}

function power(x: i64, y: i64): i64 {
  if (y < 0) return x == 1 ? 1 : x == -1 ? (y & 1 ? -1 : 1) : 0;
  let r: i64 = 1;
  while (y) {
    if (y & 1) r *= x;
    x *= x;
    y >>= 1;
  }
  return r;
}

/** No divisor is 0, and none is -1 below the smallest integer: looked at before. */
@inline function twoI(op: i32, x: i64, y: i64): i64 {
  switch (op) {
    case 0: return x + y;
    case 1: return x - y;
    case 2: return x * y;
    case 4: return max(x, y);
    case 5: return min(x, y);
    case 6: return power(x, y);
    case 7: return y == -1 ? 0 : x % y;
    case 8: {
      const r = y == -1 ? 0 : x % y;
      return r != 0 && (r < 0) != (y < 0) ? r + y : r;
    }
    case 9: return x / y;
    case 10: {
      const r = y == -1 ? 0 : x % y, d = y == -1 ? 0 - x : x / y;
      return r != 0 && (r < 0) != (y < 0) ? d - 1 : d;
    }
    case 20: return x & y;
    case 21: return x | y;
    case 22: return x ^ y;
    case 23: return x >> min<i64>(<i64>(<u64>y > 63 ? 63 : y), 63);
    default: return 0;
  }
}
export function binaryI(op: i32, n: i32, a: usize, sa: i32, b: usize, sb: i32, o: usize): void {
  const s = <usize>sa << 3, t = <usize>sb << 3;
  for (let i = 0; i < n; i++) {
    store<i64>(o, twoI(op, load<i64>(a), load<i64>(b)));
    a += s;
    b += t;
    o += 8;
  }
}
export function unaryI(op: i32, n: i32, a: usize, sa: i32, o: usize, p: i64, q: i64): void {
  const s = <usize>sa << 3;
  for (let i = 0; i < n; i++) {
    const x = load<i64>(a);
    let r: i64 = 0;
    switch (op) {
      case 0: r = 0 - x; break;
      case 1: r = x < 0 ? 0 - x : x; break;
      case 2: r = max(x, 0); break;
      case 14: r = x > 0 ? 1 : x < 0 ? -1 : 0; break;
      case 22: r = max(x, p); break;
      case 23: r = min(x, q); break;
      default: r = ~x;
    }
    store<i64>(o, r);
    a += s;
    o += 8;
  }
}
/** Whether a number is NaN (op 0), infinite (1), or nothing (2). */
export function is32(op: i32, n: i32, a: usize, sa: i32, o: usize): void {
  for (let i = 0; i < n; i++) {
    const x = load<f32>(a);
    store<u8>(o + <usize>i, (op == 0 ? x != x : op == 1 ? Math.abs(<f64>x) == Infinity : x == 0) ? 1 : 0);
    a += <usize>sa << 2;
  }
}
export function is64(op: i32, n: i32, a: usize, sa: i32, o: usize): void {
  for (let i = 0; i < n; i++) {
    const x = load<f64>(a);
    store<u8>(o + <usize>i, (op == 0 ? x != x : op == 1 ? Math.abs(x) == Infinity : x == 0) ? 1 : 0);
    a += <usize>sa << 3;
  }
}
