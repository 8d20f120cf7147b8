// Windows as columns, for convolutions.

/**
 * The windows of `channels` planes as columns [channels * window, places], places from `from` to `until`, or back: each
 * column's numbers added to where they came from. `g`: sizes (3), window (3), stride (3), padding (3), dilation (3),
 * places (3), i32 each.
 */
@inline function columns<T>(back: i32, channels: i32, g: usize, x: usize, col: usize, from: i32, until: i32): void {
  const D = load<i32>(g), H = load<i32>(g, 4), W = load<i32>(g, 8), kd = load<i32>(g, 12), kh = load<i32>(g, 16), kw = load<i32>(g, 20);
  const sd = load<i32>(g, 24), sh = load<i32>(g, 28), sw = load<i32>(g, 32), pd = load<i32>(g, 36), ph = load<i32>(g, 40), pw = load<i32>(g, 44);
  const dd = load<i32>(g, 48), dh = load<i32>(g, 52), dw = load<i32>(g, 56), oh = load<i32>(g, 64), ow = load<i32>(g, 68);
  let q = col;
  for (let c = 0; c < channels; c++) for (let a = 0; a < kd; a++) for (let r = 0; r < kh; r++) for (let t = 0; t < kw; t++) {
    let s = from;
    while (s < until) {
      const line = s / ow, z0 = s - line * ow, end = min(ow, z0 + until - s);
      const y = line % oh, iz = (line / oh) * sd + a * dd - pd, iy = y * sh + r * dh - ph;
      const inside = iz >= 0 && iz < D && iy >= 0 && iy < H;
      const base = x + <usize>(((c * D + iz) * H + iy) * W) * sizeof<T>();
      let ix = z0 * sw + t * dw - pw, z = z0;
      if (!inside) {
        if (!back) memory.fill(q, 0, <usize>(end - z0) * sizeof<T>());
        q += <usize>(end - z0) * sizeof<T>();
      } else {
        for (; z < end && ix < 0; z++) {
          if (!back) store<T>(q, <T>0);
          q += sizeof<T>();
          ix += sw;
        }
        if (sw == 1 && !back) {
          const m = max(0, min(end - z, W - ix));
          memory.copy(q, base + <usize>ix * sizeof<T>(), <usize>m * sizeof<T>());
          q += <usize>m * sizeof<T>();
          z += m;
          ix += m;
        } else for (; z < end && ix < W; z++) {
          const p = base + <usize>ix * sizeof<T>();
          if (back) store<T>(p, load<T>(p) + load<T>(q));
          else store<T>(q, load<T>(p));
          q += sizeof<T>();
          ix += sw;
        }
        for (; z < end; z++) {
          if (!back) store<T>(q, <T>0);
          q += sizeof<T>();
        }
      }
      s += end - z0;
    }
  }
}
export function columns32(back: i32, channels: i32, g: usize, x: usize, col: usize, from: i32, until: i32): void {
  if (back) columns<f32>(1, channels, g, x, col, from, until);
  else columns<f32>(0, channels, g, x, col, from, until);
}
export function columns64(back: i32, channels: i32, g: usize, x: usize, col: usize, from: i32, until: i32): void {
  columns<f64>(back, channels, g, x, col, from, until);
}
