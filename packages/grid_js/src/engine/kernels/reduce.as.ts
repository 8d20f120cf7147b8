// Reductions of [outer, k, inner] along k. Sums are kept in f64 (of f32 and f64), integers wrap.


/** One number for each of a chunk of inner elements. */
const CHUNK = 512;
const ACC: usize = memory.data(4096);

/** 0 sum, 1 product, 2 largest, 3 smallest, 4 mean; NaN wins. */
@inline function start(op: i32): f64 {
  return op == 1 ? 1 : op == 2 ? -Infinity : op == 3 ? Infinity : 0;
}
@inline function join(op: i32, r: f64, x: f64): f64 {
  if (op == 0 || op == 4) return r + x;
  if (op == 1) return r * x;
  if (r != r) return r;
  if (x != x) return x;
  return op == 2 ? (x > r ? x : r) : (x < r ? x : r);
}

@inline function reduce<T>(op: i32, outer: i32, k: i32, inner: i32, a: usize, o: usize): void {
  const line = <usize>inner * sizeof<T>(), share = op == 4 ? <f64>k : 1.0;
  for (let i = 0; i < outer; i++) {
    if (inner == 1) {
      let r = start(op);
      for (let j = 0; j < k; j++) {
        r = join(op, r, <f64>load<T>(a));
        a += sizeof<T>();
      }
      store<T>(o, <T>(r / share));
      o += sizeof<T>();
      continue;
    }
    for (let c = 0; c < inner; c += CHUNK) {
      const m = min(CHUNK, inner - c);
      for (let j = 0; j < m; j++) store<f64>(ACC + (<usize>j << 3), start(op));
      for (let l = 0; l < k; l++) {
        const p = a + <usize>l * line + <usize>c * sizeof<T>();
        for (let j = 0; j < m; j++) {
          const q = ACC + (<usize>j << 3);
          store<f64>(q, join(op, load<f64>(q), <f64>load<T>(p + <usize>j * sizeof<T>())));
        }
      }
      for (let j = 0; j < m; j++) store<T>(o + <usize>(c + j) * sizeof<T>(), <T>(load<f64>(ACC + (<usize>j << 3)) / share));
    }
    a += <usize>k * line;
    o += line;
  }
}
/** Sums of rows, four at a time, in f64. */
function sumRow(k: i32, a: usize): f64 {
  let s = f64x2.splat(0), t = s, j = 0;
  for (; j + 4 <= k; j += 4) {
    const x = v128.load(a);
    s = f64x2.add(s, f64x2.promote_low_f32x4(x));
    t = f64x2.add(t, f64x2.promote_low_f32x4(v128.shuffle<i32>(x, x, 2, 3, 2, 3)));
    a += 16;
  }
  s = f64x2.add(s, t);
  let r = f64x2.extract_lane(s, 0) + f64x2.extract_lane(s, 1);
  for (; j < k; j++) {
    r += <f64>load<f32>(a);
    a += 4;
  }
  return r;
}
export function reduce32(op: i32, outer: i32, k: i32, inner: i32, a: usize, o: usize): void {
  if (inner == 1 && (op == 0 || op == 4)) {
    for (let i = 0; i < outer; i++) {
      store<f32>(o, <f32>(sumRow(k, a) / (op == 4 ? <f64>k : 1.0)));
      a += <usize>k << 2;
      o += 4;
    }
    return;
  }
  if ((op == 0 || op == 4) && inner >= 4) { // columns, two by two
    for (let i = 0; i < outer; i++) {
      let c = 0;
      for (; c + 4 <= inner; c += 4) {
        let s = f64x2.splat(0), t = s, p = a + (<usize>c << 2);
        for (let j = 0; j < k; j++) {
          const x = v128.load(p);
          s = f64x2.add(s, f64x2.promote_low_f32x4(x));
          t = f64x2.add(t, f64x2.promote_low_f32x4(v128.shuffle<i32>(x, x, 2, 3, 2, 3)));
          p += <usize>inner << 2;
        }
        if (op == 4) {
          const share = f64x2.splat(<f64>k);
          s = f64x2.div(s, share);
          t = f64x2.div(t, share);
        }
        v128.store64_lane(o + (<usize>c << 2), f32x4.demote_f64x2_zero(s), 0);
        v128.store64_lane(o + (<usize>c << 2) + 8, f32x4.demote_f64x2_zero(t), 0);
      }
      for (; c < inner; c++) {
        let r = 0.0;
        for (let j = 0; j < k; j++) r += <f64>load<f32>(a + (<usize>(j * inner + c) << 2));
        store<f32>(o + (<usize>c << 2), <f32>(r / (op == 4 ? <f64>k : 1.0)));
      }
      a += <usize>(k * inner) << 2;
      o += <usize>inner << 2;
    }
    return;
  }
  reduce<f32>(op, outer, k, inner, a, o);
}
export function reduce64(op: i32, outer: i32, k: i32, inner: i32, a: usize, o: usize): void {
  reduce<f64>(op, outer, k, inner, a, o);
}
export function reduceI(op: i32, outer: i32, k: i32, inner: i32, a: usize, o: usize): void {
  for (let i = 0; i < outer; i++) for (let c = 0; c < inner; c++) {
    let r: i64 = op == 1 ? 1 : op == 2 ? i64.MIN_VALUE : op == 3 ? i64.MAX_VALUE : 0;
    for (let j = 0; j < k; j++) {
      const x = load<i64>(a + (<usize>((i * k + j) * inner + c) << 3));
      r = op == 0 ? r + x : op == 1 ? r * x : op == 2 ? max(r, x) : min(r, x);
    }
    store<i64>(o + (<usize>(i * inner + c) << 3), r);
  }
}

@inline function better<T>(smallest: i32, x: T, than: T): bool {
  if (than != than) return false;
  if (x != x) return true;
  return smallest ? x < than : x > than;
}
@inline function best<T>(smallest: i32, outer: i32, k: i32, inner: i32, a: usize, values: usize, places: usize): void {
  for (let i = 0; i < outer; i++) for (let c = 0; c < inner; c++) {
    let p = a + <usize>(i * k * inner + c) * sizeof<T>(), at = 0, v = load<T>(p);
    for (let j = 1; j < k; j++) {
      p += <usize>inner * sizeof<T>();
      const x = load<T>(p);
      if (better<T>(smallest, x, v)) {
        v = x;
        at = j;
      }
    }
    const o = <usize>(i * inner + c);
    if (values) store<T>(values + o * sizeof<T>(), v);
    store<i64>(places + (o << 3), <i64>at);
  }
}
/** The first of the largest (or smallest) elements; `values` may be 0. */
export function best32(s: i32, outer: i32, k: i32, inner: i32, a: usize, v: usize, p: usize): void { best<f32>(s, outer, k, inner, a, v, p); }
export function best64(s: i32, outer: i32, k: i32, inner: i32, a: usize, v: usize, p: usize): void { best<f64>(s, outer, k, inner, a, v, p); }
export function bestI(s: i32, outer: i32, k: i32, inner: i32, a: usize, v: usize, p: usize): void { best<i64>(s, outer, k, inner, a, v, p); }
