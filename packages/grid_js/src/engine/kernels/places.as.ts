// Looking up, writing to places, and order. Indices were looked at before; they are i64.

import { COUNTERS } from "./memory.as";

/** 0 write, 1 add, 2 multiply, 3 largest, 4 smallest; NaN wins. */
@inline function join<T>(op: i32, old: T, x: T): T {
  switch (op) {
    case 1: return old + x;
    case 2: return old * x;
    case 3: return old != old || x != x ? old + x : x > old ? x : old;
    case 4: return old != old || x != x ? old + x : x < old ? x : old;
    default: return x;
  }
}

@inline function element<T>(op: i32, x: usize, y: usize): void {
  if (op < 0) store<T>(y, load<T>(x));
  else store<T>(x, join<T>(op, load<T>(x), load<T>(y)));
}

/**
 * For each element of an index of `rank` dimensions, the element of x there, which `op` joins with y (-1: y becomes it).
 * `desc`: sizes, steps of x (0 along the dimension that is indexed), of the index and of y, in elements, i32 each.
 */
@inline function along<T>(op: i32, rank: i32, desc: usize, step: i32, x: usize, index: usize, y: usize): void {
  for (let d = 0; d < rank; d++) store<i32>(COUNTERS + (<usize>d << 2), 0);
  let p = 0, q = 0, r = 0;
  while (true) {
    const place = <i32>load<i64>(index + (<usize>q << 3));
    element<T>(op, x + <usize>(p + place * step) * sizeof<T>(), y + <usize>r * sizeof<T>());
    let d = rank - 1;
    for (; d >= 0; d--) {
      const at = COUNTERS + (<usize>d << 2), size = load<i32>(desc + (<usize>d << 2)), next = load<i32>(at) + 1;
      const a = load<i32>(desc + (<usize>(rank + d) << 2)), b = load<i32>(desc + (<usize>(2 * rank + d) << 2)), c = load<i32>(desc + (<usize>(3 * rank + d) << 2));
      p += a;
      q += b;
      r += c;
      if (next < size) {
        store<i32>(at, next);
        break;
      }
      store<i32>(at, 0);
      p -= a * size;
      q -= b * size;
      r -= c * size;
    }
    if (d < 0) return;
  }
}
/** type: 0 f32, 1 f64, 2 i64, 3 elements of 4 bytes, 4 of 2, 5 of 1 (those three are only moved). */
export function alongDim(type: i32, op: i32, rank: i32, desc: usize, step: i32, x: usize, index: usize, y: usize): void {
  switch (type) {
    case 0: along<f32>(op, rank, desc, step, x, index, y); break;
    case 1: along<f64>(op, rank, desc, step, x, index, y); break;
    case 2: along<i64>(op, rank, desc, step, x, index, y); break;
    case 3: along<i32>(op, rank, desc, step, x, index, y); break;
    case 4: along<i16>(op, rank, desc, step, x, index, y); break;
    default: along<u8>(op, rank, desc, step, x, index, y);
  }
}

/** Adds the places of one index to offsets, in elements: negative ones count from the end. */
export function offsets(n: i32, index: usize, size: i32, step: i32, o: usize): void {
  for (let i = 0; i < n; i++) {
    let at = <i32>load<i64>(index + (<usize>i << 3));
    if (at < 0) at += size;
    const p = o + (<usize>i << 2);
    store<i32>(p, load<i32>(p) + at * step);
  }
}

/** Rows of `bytes`, from where the offsets (in rows) say. */
export function fetch(n: i32, places: usize, bytes: i32, x: usize, o: usize): void {
  for (let i = 0; i < n; i++) {
    memory.copy(o, x + <usize>load<i32>(places + (<usize>i << 2)) * <usize>bytes, <usize>bytes);
    o += <usize>bytes;
  }
}

@inline function rows<T>(op: i32, n: i32, places: usize, width: i32, x: usize, y: usize): void {
  for (let i = 0; i < n; i++) {
    let p = x + <usize>(load<i32>(places + (<usize>i << 2)) * width) * sizeof<T>();
    for (let j = 0; j < width; j++) {
      store<T>(p, join<T>(op, load<T>(p), load<T>(y)));
      p += sizeof<T>();
      y += sizeof<T>();
    }
  }
}
/** Joins rows of y with those of x that the offsets say; types as `alongDim`. */
export function joinRows(type: i32, op: i32, n: i32, places: usize, width: i32, x: usize, y: usize): void {
  switch (type) {
    case 0: rows<f32>(op, n, places, width, x, y); break;
    case 1: rows<f64>(op, n, places, width, x, y); break;
    case 2: rows<i64>(op, n, places, width, x, y); break;
    case 3: rows<i32>(op, n, places, width, x, y); break;
    case 4: rows<i16>(op, n, places, width, x, y); break;
    default: rows<u8>(op, n, places, width, x, y);
  }
}

@inline function bucket<T>(n: i32, x: usize, count: i32, edges: usize, right: i32, o: usize): void {
  for (let i = 0; i < n; i++) {
    const v = load<T>(x + <usize>i * sizeof<T>());
    let low = 0, high = count;
    while (low < high) {
      const mid = (low + high) >> 1, e = load<T>(edges + <usize>mid * sizeof<T>());
      if (right ? !(e > v) : !(e >= v)) low = mid + 1;
      else high = mid;
    }
    store<i64>(o + (<usize>i << 3), <i64>low);
  }
}
export function bucket32(n: i32, x: usize, count: i32, edges: usize, right: i32, o: usize): void { bucket<f32>(n, x, count, edges, right, o); }
export function bucket64(n: i32, x: usize, count: i32, edges: usize, right: i32, o: usize): void { bucket<f64>(n, x, count, edges, right, o); }
export function bucketI(n: i32, x: usize, count: i32, edges: usize, right: i32, o: usize): void { bucket<i64>(n, x, count, edges, right, o); }

/** Whether a goes before b; NaN counts as the largest. */
@inline function before<T>(descending: i32, a: T, b: T): bool {
  if (descending) return (a != a && b == b) || a > b;
  return (b != b && a == a) || a < b;
}

/** Each row of k elements along [outer, k, inner] in order, equal ones as they stood, and their places. `ws`: 32 * k; `done`: columns that are in order. */
@inline function order<T>(descending: i32, outer: i32, k: i32, inner: i32, a: usize, values: usize, places: usize, ws: usize, done: i32): void {
  const size = <usize>16;
  if (k <= 8) { // few: where they will stand
    const line = <usize>inner * sizeof<T>(), beside = <usize>inner << 3;
    for (let i = 0; i < outer; i++) for (let c = done; c < inner; c++) {
      const first = <usize>(i * k * inner + c), v0 = values + first * sizeof<T>(), p0 = places + (first << 3);
      for (let j = 0; j < k; j++) {
        const x = load<T>(a + first * sizeof<T>() + <usize>j * line);
        let at = v0 + <usize>j * line, place = p0 + <usize>j * beside;
        while (at > v0 && before<T>(descending, x, load<T>(at - line))) {
          store<T>(at, load<T>(at - line));
          store<i64>(place, load<i64>(place - beside));
          at -= line;
          place -= beside;
        }
        store<T>(at, x);
        store<i64>(place, <i64>j);
      }
    }
    return;
  }
  for (let i = 0; i < outer; i++) for (let c = done; c < inner; c++) {
    const first = <usize>(i * k * inner + c);
    let from = ws, to = ws + <usize>k * size;
    // Runs of 8 by insertion, then merged.
    for (let j = 0; j < k; j++) {
      const v = load<T>(a + (first + <usize>(j * inner)) * sizeof<T>());
      let p = from + <usize>j * size;
      const begin = from + <usize>(j & ~7) * size;
      while (p > begin && before<T>(descending, v, load<T>(p - size))) {
        store<T>(p, load<T>(p - size));
        store<i32>(p, load<i32>(p - size, 8), 8);
        p -= size;
      }
      store<T>(p, v);
      store<i32>(p, j, 8);
    }
    for (let run = 8; run < k; run <<= 1) {
      for (let begin = 0; begin < k; begin += 2 * run) {
        let p = begin, q = min(begin + run, k), o = to + <usize>begin * size;
        const m = q, end = min(begin + 2 * run, k);
        while (p < m || q < end) {
          const second = p >= m || (q < end && before<T>(descending, load<T>(from + <usize>q * size), load<T>(from + <usize>p * size)));
          const s = from + <usize>(second ? q++ : p++) * size;
          store<i64>(o, load<i64>(s));
          store<i64>(o, load<i64>(s, 8), 8);
          o += size;
        }
      }
      const t = from;
      from = to;
      to = t;
    }
    for (let j = 0; j < k; j++) {
      const at = first + <usize>(j * inner), s = from + <usize>j * size;
      store<T>(values + at * sizeof<T>(), load<T>(s));
      store<i64>(places + (at << 3), <i64>load<i32>(s, 8));
    }
  }
}
/**
 * Four columns of f32 at a time, side by side: neighbours that stand wrong change places, k times (odd-even
 * transposition), which leaves equal ones as they stood. `ws`: 32 * k.
 */
function columns(descending: i32, outer: i32, k: i32, inner: i32, a: usize, values: usize, places: usize, ws: usize): i32 {
  const whole = inner & ~3, line = <usize>inner << 2, from = ws + (<usize>k << 4);
  for (let i = 0; i < outer; i++) for (let c = 0; c < whole; c += 4) {
    const first = <usize>(i * k * inner + c);
    for (let j = 0; j < k; j++) {
      v128.store(ws + (<usize>j << 4), v128.load(a + (first << 2) + <usize>j * line));
      v128.store(from + (<usize>j << 4), i32x4.splat(j));
    }
    for (let round = 0; round < k; round++) for (let j = round & 1; j + 1 < k; j += 2) {
      const p = ws + (<usize>j << 4), q = from + (<usize>j << 4);
      const x = v128.load(p), y = v128.load(p, 16), u = v128.load(q), w = v128.load(q, 16);
      const xn = f32x4.ne(x, x), yn = f32x4.ne(y, y);
      const swap = descending
        ? v128.or(f32x4.lt(x, y), v128.andnot(yn, xn))
        : v128.or(f32x4.gt(x, y), v128.andnot(xn, yn));
      v128.store(p, v128.bitselect(y, x, swap));
      v128.store(p, v128.bitselect(x, y, swap), 16);
      v128.store(q, v128.bitselect(w, u, swap));
      v128.store(q, v128.bitselect(u, w, swap), 16);
    }
    for (let j = 0; j < k; j++) {
      const at = first + <usize>(j * inner), u = v128.load(from + (<usize>j << 4));
      v128.store(values + (at << 2), v128.load(ws + (<usize>j << 4)));
      v128.store(places + (at << 3), i64x2.extend_low_i32x4_u(u));
      v128.store(places + (at << 3), i64x2.extend_high_i32x4_u(u), 16);
    }
  }
  return whole;
}
export function sort32(d: i32, outer: i32, k: i32, inner: i32, a: usize, v: usize, p: usize, ws: usize): void {
  order<f32>(d, outer, k, inner, a, v, p, ws, k <= 16 && inner >= 4 ? columns(d, outer, k, inner, a, v, p, ws) : 0);
}
export function sort64(d: i32, outer: i32, k: i32, inner: i32, a: usize, v: usize, p: usize, ws: usize): void { order<f64>(d, outer, k, inner, a, v, p, ws, 0); }
export function sortI(d: i32, outer: i32, k: i32, inner: i32, a: usize, v: usize, p: usize, ws: usize): void { order<i64>(d, outer, k, inner, a, v, p, ws, 0); }
