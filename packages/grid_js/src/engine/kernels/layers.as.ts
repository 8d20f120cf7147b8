// Norms and pools. Rows lie dense; sums are kept in f64.


/**
 * Rows of k, normalised; weight and bias (or 0) have one number for each `span` elements, beginning anew after
 * `period` rows: layer norm (span 1, period 1), group norm (span of a plane, period of the groups). `folded`: mean and
 * weight become one factor and one summand first, as torch does it for groups and batches; what is left of a constant
 * is the rounding of those.
 */
@inline function norm<T>(rows: i32, k: i32, x: usize, w: usize, b: usize, span: i32, period: i32, folded: i32, eps: f64, o: usize, mean: usize, inv: usize): void {
  const per = k / span;
  for (let i = 0; i < rows; i++) {
    let s = 0.0, q = 0.0;
    for (let j = 0; j < k; j++) s += <f64>load<T>(x + <usize>j * sizeof<T>());
    const m = s / <f64>k;
    for (let j = 0; j < k; j++) {
      const d = <f64>load<T>(x + <usize>j * sizeof<T>()) - m;
      q += d * d;
    }
    const v = 1 / Math.sqrt(q / <f64>k + eps);
    store<T>(mean + <usize>i * sizeof<T>(), <T>m);
    store<T>(inv + <usize>i * sizeof<T>(), <T>v);
    const first = (i % period) * per;
    for (let l = 0; l < per; l++) {
      const at = <usize>(first + l) * sizeof<T>();
      if (folded) {
        const g = <f64><T>(<f64><T>v * (w ? <f64>load<T>(w + at) : 1)), h = <f64><T>((b ? <f64>load<T>(b + at) : 0) - g * <f64><T>m);
        for (let j = 0; j < span; j++) {
          store<T>(o, <T>(<f64>load<T>(x) * g + h));
          x += sizeof<T>();
          o += sizeof<T>();
        }
        continue;
      }
      const g = w ? <f64>load<T>(w + at) * v : v, h = b ? <f64>load<T>(b + at) : 0;
      for (let j = 0; j < span; j++) {
        store<T>(o, <T>((<f64>load<T>(x) - m) * g + h));
        x += sizeof<T>();
        o += sizeof<T>();
      }
    }
  }
}
export function norm32(rows: i32, k: i32, x: usize, w: usize, b: usize, span: i32, period: i32, folded: i32, eps: f64, o: usize, mean: usize, inv: usize): void {
  norm<f32>(rows, k, x, w, b, span, period, folded, eps, o, mean, inv);
}
export function norm64(rows: i32, k: i32, x: usize, w: usize, b: usize, span: i32, period: i32, folded: i32, eps: f64, o: usize, mean: usize, inv: usize): void {
  norm<f64>(rows, k, x, w, b, span, period, folded, eps, o, mean, inv);
}

@inline function batchNorm<T>(N: i32, C: i32, S: i32, x: usize, w: usize, b: usize, eps: f64, o: usize, mean: usize, inv: usize): void {
  const count = <f64>N * <f64>S;
  for (let c = 0; c < C; c++) {
    let s = 0.0, q = 0.0;
    for (let n = 0; n < N; n++) {
      const p = x + <usize>((n * C + c) * S) * sizeof<T>();
      for (let i = 0; i < S; i++) s += <f64>load<T>(p + <usize>i * sizeof<T>());
    }
    const m = s / count;
    for (let n = 0; n < N; n++) {
      const p = x + <usize>((n * C + c) * S) * sizeof<T>();
      for (let i = 0; i < S; i++) {
        const d = <f64>load<T>(p + <usize>i * sizeof<T>()) - m;
        q += d * d;
      }
    }
    const v = q == 0 && eps == 0 ? 0.0 : 1 / Math.sqrt(q / count + eps), at = <usize>c * sizeof<T>();
    store<T>(mean + at, <T>m);
    store<T>(inv + at, <T>v);
    const g = <f64><T>(<f64><T>v * (w ? <f64>load<T>(w + at) : 1)), h = <f64><T>((b ? <f64>load<T>(b + at) : 0) - g * <f64><T>m);
    for (let n = 0; n < N; n++) {
      const z = <usize>((n * C + c) * S) * sizeof<T>();
      for (let i = 0; i < S; i++) {
        const p = z + <usize>i * sizeof<T>();
        store<T>(o + p, <T>(<f64>load<T>(x + p) * g + h));
      }
    }
  }
}
export function batchNorm32(N: i32, C: i32, S: i32, x: usize, w: usize, b: usize, eps: f64, o: usize, mean: usize, inv: usize): void {
  batchNorm<f32>(N, C, S, x, w, b, eps, o, mean, inv);
}
export function batchNorm64(N: i32, C: i32, S: i32, x: usize, w: usize, b: usize, eps: f64, o: usize, mean: usize, inv: usize): void {
  batchNorm<f64>(N, C, S, x, w, b, eps, o, mean, inv);
}

/** `train`: the statistics are of this batch (mean, 1/deviation); else they are fixed (mean, variance). 0: not asked for. */
@inline function batchNormBack<T>(train: i32, N: i32, C: i32, S: i32, g: usize, x: usize, w: usize, mean: usize, spread: usize, eps: f64, gx: usize, gw: usize, gb: usize): void {
  const count = <f64>N * <f64>S;
  for (let c = 0; c < C; c++) {
    const at = <usize>c * sizeof<T>(), m = <f64>load<T>(mean + at);
    const v = train ? <f64>load<T>(spread + at) : 1 / Math.sqrt(<f64>load<T>(spread + at) + eps);
    let s = 0.0, q = 0.0;
    for (let n = 0; n < N; n++) {
      const z = <usize>((n * C + c) * S) * sizeof<T>();
      for (let i = 0; i < S; i++) {
        const p = z + <usize>i * sizeof<T>(), d = <f64>load<T>(g + p);
        s += d;
        q += d * (<f64>load<T>(x + p) - m);
      }
    }
    if (gw) store<T>(gw + at, <T>(q * v));
    if (gb) store<T>(gb + at, <T>s);
    if (!gx) continue;
    const k = v * (w ? <f64>load<T>(w + at) : 1), a = s / count, e = q * v * v / count;
    for (let n = 0; n < N; n++) {
      const z = <usize>((n * C + c) * S) * sizeof<T>();
      for (let i = 0; i < S; i++) {
        const p = z + <usize>i * sizeof<T>(), d = <f64>load<T>(g + p);
        store<T>(gx + p, <T>(train ? k * (d - a - (<f64>load<T>(x + p) - m) * e) : d * k));
      }
    }
  }
}
export function batchNormBack32(t: i32, N: i32, C: i32, S: i32, g: usize, x: usize, w: usize, mean: usize, spread: usize, eps: f64, gx: usize, gw: usize, gb: usize): void {
  batchNormBack<f32>(t, N, C, S, g, x, w, mean, spread, eps, gx, gw, gb);
}
export function batchNormBack64(t: i32, N: i32, C: i32, S: i32, g: usize, x: usize, w: usize, mean: usize, spread: usize, eps: f64, gx: usize, gw: usize, gb: usize): void {
  batchNormBack<f64>(t, N, C, S, g, x, w, mean, spread, eps, gx, gw, gb);
}

@inline function maxPool<T>(P: i32, g: usize, x: usize, o: usize, places: usize): void {
  const H = load<i32>(g), W = load<i32>(g, 4), kh = load<i32>(g, 8), kw = load<i32>(g, 12), sh = load<i32>(g, 16), sw = load<i32>(g, 20);
  const ph = load<i32>(g, 24), pw = load<i32>(g, 28), dh = load<i32>(g, 32), dw = load<i32>(g, 36), oh = load<i32>(g, 40), ow = load<i32>(g, 44);
  for (let p = 0; p < P; p++) {
    for (let y = 0; y < oh; y++) {
      let y0 = y * sh - ph;
      const y1 = min(y0 + (kh - 1) * dh + 1, H);
      while (y0 < 0) y0 += dh;
      for (let z = 0; z < ow; z++) {
        let z0 = z * sw - pw;
        const z1 = min(z0 + (kw - 1) * dw + 1, W);
        while (z0 < 0) z0 += dw;
        let at = y0 * W + z0, m = isFloat<T>() ? <T>(-Infinity) : <T>i64.MIN_VALUE;
        for (let i = y0; i < y1; i += dh) for (let j = z0; j < z1; j += dw) {
          const v = load<T>(x + <usize>(i * W + j) * sizeof<T>());
          if (v > m || v != v) {
            m = v;
            at = i * W + j;
          }
        }
        store<T>(o, m);
        store<i64>(places, <i64>at);
        o += sizeof<T>();
        places += 8;
      }
    }
    x += <usize>(H * W) * sizeof<T>();
  }
}
export function maxPool32(P: i32, g: usize, x: usize, o: usize, places: usize): void { maxPool<f32>(P, g, x, o, places); }
export function maxPool64(P: i32, g: usize, x: usize, o: usize, places: usize): void { maxPool<f64>(P, g, x, o, places); }
export function maxPoolI(P: i32, g: usize, x: usize, o: usize, places: usize): void { maxPool<i64>(P, g, x, o, places); }

/** `padded`: whether places in the padding count; `divisor`: by what is divided instead, or 0. */
@inline function avgPool<T>(P: i32, g: usize, x: usize, o: usize, padded: i32, divisor: i64): void {
  const H = load<i32>(g), W = load<i32>(g, 4), kh = load<i32>(g, 8), kw = load<i32>(g, 12), sh = load<i32>(g, 16), sw = load<i32>(g, 20);
  const ph = load<i32>(g, 24), pw = load<i32>(g, 28), oh = load<i32>(g, 40), ow = load<i32>(g, 44);
  for (let p = 0; p < P; p++) {
    for (let y = 0; y < oh; y++) for (let z = 0; z < ow; z++) {
      let y0 = y * sh - ph, z0 = z * sw - pw, y1 = min(y0 + kh, H + ph), z1 = min(z0 + kw, W + pw);
      const whole = <i64>(y1 - y0) * <i64>(z1 - z0);
      y0 = max(y0, 0);
      z0 = max(z0, 0);
      y1 = min(y1, H);
      z1 = min(z1, W);
      const share = divisor ? divisor : padded ? whole : <i64>(y1 - y0) * <i64>(z1 - z0);
      if (y0 >= y1 || z0 >= z1) store<T>(o, <T>0);
      else if (isFloat<T>()) {
        let s = 0.0;
        for (let i = y0; i < y1; i++) for (let j = z0; j < z1; j++) s += <f64>load<T>(x + <usize>(i * W + j) * sizeof<T>());
        store<T>(o, <T>(s / <f64>share));
      } else {
        let s: i64 = 0;
        for (let i = y0; i < y1; i++) for (let j = z0; j < z1; j++) s += <i64>load<T>(x + <usize>(i * W + j) * sizeof<T>());
        store<T>(o, <T>(s / share));
      }
      o += sizeof<T>();
    }
    x += <usize>(H * W) * sizeof<T>();
  }
}
export function avgPool32(P: i32, g: usize, x: usize, o: usize, padded: i32, divisor: i64): void { avgPool<f32>(P, g, x, o, padded, divisor); }
export function avgPool64(P: i32, g: usize, x: usize, o: usize, padded: i32, divisor: i64): void { avgPool<f64>(P, g, x, o, padded, divisor); }
export function avgPoolI(P: i32, g: usize, x: usize, o: usize, padded: i32, divisor: i64): void { avgPool<i64>(P, g, x, o, padded, divisor); }

@inline function adaptive<T>(P: i32, H: i32, W: i32, oh: i32, ow: i32, x: usize, o: usize): void {
  for (let p = 0; p < P; p++) {
    for (let y = 0; y < oh; y++) for (let z = 0; z < ow; z++) {
      const y0 = <i32>(<i64>y * H / oh), y1 = <i32>((<i64>(y + 1) * H + oh - 1) / oh);
      const z0 = <i32>(<i64>z * W / ow), z1 = <i32>((<i64>(z + 1) * W + ow - 1) / ow);
      let s = 0.0;
      for (let i = y0; i < y1; i++) for (let j = z0; j < z1; j++) s += <f64>load<T>(x + <usize>(i * W + j) * sizeof<T>());
      store<T>(o, <T>(s / <f64>((y1 - y0) * (z1 - z0))));
      o += sizeof<T>();
    }
    x += <usize>(H * W) * sizeof<T>();
  }
}
export function adaptive32(P: i32, H: i32, W: i32, oh: i32, ow: i32, x: usize, o: usize): void { adaptive<f32>(P, H, W, oh, ow, x, o); }
export function adaptive64(P: i32, H: i32, W: i32, oh: i32, ow: i32, x: usize, o: usize): void { adaptive<f64>(P, H, W, oh, ow, x, o); }
