// The exponential function of four numbers at once.

/** e to the power of x for four numbers; within 1 ulp of the exact value, infinities and NaN included. */
@inline export function exp4(x: v128): v128 {
  const k = f32x4.nearest(f32x4.mul(x, f32x4.splat(1.4426950408889634)));
  let r = f32x4.sub(x, f32x4.mul(k, f32x4.splat(0.693359375)));
  r = f32x4.sub(r, f32x4.mul(k, f32x4.splat(-2.12194440e-4)));
  let p = f32x4.add(f32x4.mul(f32x4.splat(1.9875691500e-4), r), f32x4.splat(1.3981999507e-3));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(8.3334519073e-3));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(4.1665795894e-2));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(1.6666665459e-1));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(5.0000001201e-1));
  p = f32x4.add(f32x4.add(f32x4.mul(f32x4.mul(p, r), r), r), f32x4.splat(1));
  // Two factors, so that results below the smallest normal number and near the largest one come out.
  const n = i32x4.trunc_sat_f32x4_s(f32x4.max(f32x4.min(k, f32x4.splat(254)), f32x4.splat(-252)));
  const h = i32x4.shr_s(n, 1), g = i32x4.sub(n, h), bias = i32x4.splat(127);
  const s = i32x4.shl(i32x4.add(h, bias), 23), t = i32x4.shl(i32x4.add(g, bias), 23);
  let y = f32x4.mul(f32x4.mul(p, s), t);
  y = v128.bitselect(f32x4.splat(Infinity), y, f32x4.gt(x, f32x4.splat(88.8)));
  y = v128.bitselect(f32x4.splat(0), y, f32x4.lt(x, f32x4.splat(-104)));
  return v128.bitselect(x, y, f32x4.ne(x, x));
}
