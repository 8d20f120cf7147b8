// Softmax and losses. Rows lie dense; sums are kept in f64.

import { exp4 } from "./exp.as";
@external("env", "exp") declare function mathExp(x: f64): f64;
@external("env", "log") declare function mathLog(x: f64): f64;

/** [outer, k, inner] along k. */
@inline function softmax<T>(log: i32, outer: i32, k: i32, inner: i32, a: usize, o: usize): void {
  const step = <usize>inner * sizeof<T>();
  for (let i = 0; i < outer; i++) for (let c = 0; c < inner; c++) {
    const at = <usize>(i * k * inner + c) * sizeof<T>();
    let p = a + at, m: f64 = -Infinity, s = 0.0;
    for (let j = 0; j < k; j++) {
      const x = <f64>load<T>(p);
      if (!(x <= m)) m = x;
      if (x != x) break;
      p += step;
    }
    p = a + at;
    let q = o + at;
    for (let j = 0; j < k; j++) {
      const e = mathExp(<f64>load<T>(p) - m);
      s += e;
      if (!log) store<T>(q, <T>e);
      p += step;
      q += step;
    }
    const l = mathLog(s);
    p = a + at;
    q = o + at;
    for (let j = 0; j < k; j++) {
      store<T>(q, log ? <T>(<f64>load<T>(p) - m - l) : <T>(<f64>load<T>(q) / s));
      p += step;
      q += step;
    }
  }
}
export function softmax32(log: i32, outer: i32, k: i32, inner: i32, a: usize, o: usize): void {
  if (inner > 1 || k < 8 || log) {
    softmax<f32>(log, outer, k, inner, a, o);
    return;
  }
  for (let i = 0; i < outer; i++) {
    let v = v128.load(a), j = 4;
    for (; j + 4 <= k; j += 4) v = f32x4.max(v, v128.load(a + (<usize>j << 2)));
    let m = max(max(f32x4.extract_lane(v, 0), f32x4.extract_lane(v, 1)), max(f32x4.extract_lane(v, 2), f32x4.extract_lane(v, 3)));
    for (let l = j; l < k; l++) m = max(m, load<f32>(a + (<usize>l << 2)));
    const w = f32x4.splat(m);
    let s = 0.0;
    for (j = 0; j + 4 <= k; j += 4) {
      const e = exp4(f32x4.sub(v128.load(a + (<usize>j << 2)), w));
      v128.store(o + (<usize>j << 2), e);
      const d = f64x2.add(f64x2.promote_low_f32x4(e), f64x2.promote_low_f32x4(v128.shuffle<i32>(e, e, 2, 3, 2, 3)));
      s += f64x2.extract_lane(d, 0) + f64x2.extract_lane(d, 1);
    }
    for (; j < k; j++) {
      const e = <f32>mathExp(<f64>load<f32>(a + (<usize>j << 2)) - <f64>m);
      store<f32>(o + (<usize>j << 2), e);
      s += <f64>e;
    }
    const r = <f32>(1 / s);
    for (j = 0; j + 4 <= k; j += 4) v128.store(o + (<usize>j << 2), f32x4.mul(v128.load(o + (<usize>j << 2)), f32x4.splat(r)));
    for (; j < k; j++) store<f32>(o + (<usize>j << 2), load<f32>(o + (<usize>j << 2)) * r);
    a += <usize>k << 2;
    o += <usize>k << 2;
  }
}
export function softmax64(log: i32, outer: i32, k: i32, inner: i32, a: usize, o: usize): void { softmax<f64>(log, outer, k, inner, a, o); }

@inline function softmaxBack<T>(log: i32, outer: i32, k: i32, inner: i32, g: usize, y: usize, o: usize): void {
  for (let i = 0; i < outer; i++) for (let c = 0; c < inner; c++) {
    let s = 0.0;
    for (let j = 0; j < k; j++) {
      const at = <usize>((i * k + j) * inner + c) * sizeof<T>(), d = <f64>load<T>(g + at);
      s += log ? d : d * <f64>load<T>(y + at);
    }
    for (let j = 0; j < k; j++) {
      const at = <usize>((i * k + j) * inner + c) * sizeof<T>(), d = <f64>load<T>(g + at), z = <f64>load<T>(y + at);
      store<T>(o + at, <T>(log ? d - mathExp(z) * s : (d - s) * z));
    }
  }
}
export function softmaxBack32(log: i32, outer: i32, k: i32, inner: i32, g: usize, y: usize, o: usize): void { softmaxBack<f32>(log, outer, k, inner, g, y, o); }
export function softmaxBack64(log: i32, outer: i32, k: i32, inner: i32, g: usize, y: usize, o: usize): void { softmaxBack<f64>(log, outer, k, inner, g, y, o); }

/** reduction: 0 none, 1 mean, 2 sum; 3 none of one row by itself, whose weight counts. Targets are classes, or `ignored`. */
@inline function nll<T>(rows: i32, classes: i32, x: usize, target: usize, w: usize, reduction: i32, ignored: i64, o: usize, total: usize): void {
  let s = 0.0, all = 0.0;
  for (let r = 0; r < rows; r++) {
    const c = load<i64>(target + (<usize>r << 3));
    let loss = 0.0;
    if (c != ignored) {
      const k = w ? <f64>load<T>(w + <usize>c * sizeof<T>()) : 1;
      loss = -k * <f64>load<T>(x + <usize>(r * classes + <i32>c) * sizeof<T>());
      all += k;
    }
    if (reduction == 0) store<T>(o + <usize>r * sizeof<T>(), <T>loss);
    s += loss;
  }
  if (reduction) store<T>(o, <T>(reduction == 1 ? s / all : s));
  store<T>(total, <T>(reduction ? all : 0));
}
export function nll32(rows: i32, classes: i32, x: usize, t: usize, w: usize, reduction: i32, ignored: i64, o: usize, total: usize): void {
  nll<f32>(rows, classes, x, t, w, reduction, ignored, o, total);
}
export function nll64(rows: i32, classes: i32, x: usize, t: usize, w: usize, reduction: i32, ignored: i64, o: usize, total: usize): void {
  nll<f64>(rows, classes, x, t, w, reduction, ignored, o, total);
}

@inline function nllBack<T>(rows: i32, classes: i32, g: usize, target: usize, w: usize, reduction: i32, ignored: i64, total: usize, o: usize): void {
  memory.fill(o, 0, <usize>(rows * classes) * sizeof<T>());
  for (let r = 0; r < rows; r++) {
    const c = load<i64>(target + (<usize>r << 3));
    if (c == ignored) continue;
    const k = w ? load<T>(w + <usize>c * sizeof<T>()) : <T>1, d = load<T>(reduction ? g : g + <usize>r * sizeof<T>());
    store<T>(o + <usize>(r * classes + <i32>c) * sizeof<T>(), -k * (reduction == 1 ? d / load<T>(total) : d));
  }
}
export function nllBack32(rows: i32, classes: i32, g: usize, t: usize, w: usize, reduction: i32, ignored: i64, total: usize, o: usize): void {
  nllBack<f32>(rows, classes, g, t, w, reduction, ignored, total, o);
}
export function nllBack64(rows: i32, classes: i32, g: usize, t: usize, w: usize, reduction: i32, ignored: i64, total: usize, o: usize): void {
  nllBack<f64>(rows, classes, g, t, w, reduction, ignored, total, o);
}

// -- pools: planes [P, H, W]; `g`: H, W, kernel (2), stride (2), padding (2), dilation (2), places (2), i32 each ---------
