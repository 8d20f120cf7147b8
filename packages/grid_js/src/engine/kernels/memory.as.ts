// Copies, casts and fills. Sizes are in elements, steps in elements or bytes as said, pointers in bytes.

/** Where a number of dimensions are counted through. */
export const COUNTERS: usize = memory.data(256);

/** Types of elements, by number: f32, f64, i64, i32, i16, i8, u8, b. */
@inline function bytesOf(type: i32): i32 {
  return type == 0 || type == 3 ? 4 : type < 3 ? 8 : type == 4 ? 2 : 1;
}

@inline function row<T>(n: i32, src: usize, ss: i32, dst: usize, ds: i32): void {
  if (ss == sizeof<T>() && ds == sizeof<T>()) memory.copy(dst, src, <usize>n * sizeof<T>());
  else for (let i = 0; i < n; i++) {
    store<T>(dst, load<T>(src));
    src += <usize>ss;
    dst += <usize>ds;
  }
}

/** Copies elements of `1 << log` bytes; `desc`: sizes, steps of the source, steps of the destination in bytes, i32 each. */
export function copy(log: i32, rank: i32, desc: usize, src: usize, dst: usize): void {
  const last = rank - 1, n = load<i32>(desc + (<usize>last << 2));
  const ss = load<i32>(desc + (<usize>(rank + last) << 2)), ds = load<i32>(desc + (<usize>(2 * rank + last) << 2));
  for (let d = 0; d < last; d++) store<i32>(COUNTERS + (<usize>d << 2), 0);
  while (true) {
    if (log == 2) row<i32>(n, src, ss, dst, ds);
    else if (log == 3) row<i64>(n, src, ss, dst, ds);
    else if (log == 0) row<u8>(n, src, ss, dst, ds);
    else row<i16>(n, src, ss, dst, ds);
    let d = last - 1;
    for (; d >= 0; d--) {
      const at = COUNTERS + (<usize>d << 2), size = load<i32>(desc + (<usize>d << 2));
      const next = load<i32>(at) + 1, s = load<i32>(desc + (<usize>(rank + d) << 2)), t = load<i32>(desc + (<usize>(2 * rank + d) << 2));
      src += <usize>s;
      dst += <usize>t;
      if (next < size) {
        store<i32>(at, next);
        break;
      }
      store<i32>(at, 0);
      src -= <usize>(s * size);
      dst -= <usize>(t * size);
    }
    if (d < 0) return;
  }
}

/** The integer below it; of what is none, or beyond 64 bits, what processors make of that: the smallest. */
@inline function wholeOf(x: f64): i64 {
  return x >= -9223372036854775808.0 && x < 9223372036854775808.0 ? <i64>x : i64.MIN_VALUE;
}

@inline function asWhole(type: i32, p: usize): i64 {
  switch (type) {
    case 0: return wholeOf(<f64>load<f32>(p));
    case 1: return wholeOf(load<f64>(p));
    case 2: return load<i64>(p);
    case 3: return <i64>load<i32>(p);
    case 4: return <i64>load<i16>(p);
    case 5: return <i64>load<i8>(p);
    default: return <i64>load<u8>(p);
  }
}

/** As 32 bits: of integers the lowest, of numbers beyond them the smallest integer. */
@inline function asNarrow(type: i32, p: usize): i32 {
  const x = asWhole(type, p);
  return type < 2 && x != <i64><i32>x ? i32.MIN_VALUE : <i32>x;
}

@inline function isTrue(type: i32, p: usize): bool {
  return type == 0 ? load<f32>(p) != 0 : type == 1 ? load<f64>(p) != 0 : asWhole(type, p) != 0;
}

/** Elements one behind the other, of one type, in another. Integers wrap, fractions are cut off. */
export function cast(from: i32, to: i32, n: i32, src: usize, dst: usize): void {
  const a = <usize>bytesOf(from), b = <usize>bytesOf(to);
  for (let i = 0; i < n; i++) {
    switch (to) {
      case 0:
        store<f32>(dst, from == 0 ? load<f32>(src) : from == 1 ? <f32>load<f64>(src) : <f32>asWhole(from, src));
        break;
      case 1:
        store<f64>(dst, from == 0 ? <f64>load<f32>(src) : from == 1 ? load<f64>(src) : <f64>asWhole(from, src));
        break;
      case 2: store<i64>(dst, asWhole(from, src)); break;
      case 3: store<i32>(dst, asNarrow(from, src)); break;
      case 4: store<i16>(dst, <i16>asNarrow(from, src)); break;
      case 7: store<u8>(dst, isTrue(from, src) ? 1 : 0); break;
      default: store<u8>(dst, <u8>asNarrow(from, src));
    }
    src += a;
    dst += b;
  }
}

/** `n` integers from `start` in steps. */
export function range64(n: i32, start: i64, step: i64, o: usize): void {
  for (let i = 0; i < n; i++) store<i64>(o + (<usize>i << 3), start + step * <i64>i);
}

/** The part of each matrix on (and above or below) a diagonal; the rest becomes 0. `size`: bytes of an element. */
export function triangle(size: i32, upper: i32, count: i32, rows: i32, columns: i32, diagonal: i64, src: usize, dst: usize): void {
  const line = columns * size;
  memory.copy(dst, src, <usize>line * <usize>(count * rows));
  for (let m = 0; m < count; m++) for (let r = 0; r < rows; r++) {
    const at = dst + <usize>((m * rows + r) * line);
    const edge = <i64>r + diagonal;
    if (upper) {
      const until = <i32>min<i64>(max<i64>(edge, 0), columns);
      memory.fill(at, 0, <usize>(until * size));
    } else {
      const from = <i32>min<i64>(max<i64>(edge + 1, 0), columns);
      memory.fill(at + <usize>(from * size), 0, <usize>((columns - from) * size));
    }
  }
}

/** The smallest and the largest of `n` integers, n > 0: read by `least()` and `most()`. */
let low: i64 = 0, high: i64 = 0;
export function extremes(type: i32, n: i32, p: usize): void {
  const step = <usize>bytesOf(type);
  low = high = asWhole(type, p);
  for (let i = 1; i < n; i++) {
    p += step;
    const x = asWhole(type, p);
    low = min(low, x);
    high = max(high, x);
  }
}
export function least(): i64 { return low; }
export function most(): i64 { return high; }

/** Whether some integer is `wanted` where the other is `beside` (or anywhere, where `b` is 0). */
export function occurs(n: i32, a: usize, wanted: i64, b: usize, beside: i64): i32 {
  for (let i = 0; i < n; i++) {
    const at = <usize>i << 3;
    if (load<i64>(a + at) == wanted && (b == 0 || load<i64>(b + at) == beside)) return 1;
  }
  return 0;
}

/** Whether some target is neither in [0, classes) nor `ignored`. */
export function astray(n: i32, p: usize, classes: i64, ignored: i64): i32 {
  for (let i = 0; i < n; i++) {
    const x = load<i64>(p + (<usize>i << 3));
    if ((x < 0 || x >= classes) && x != ignored) return 1;
  }
  return 0;
}
