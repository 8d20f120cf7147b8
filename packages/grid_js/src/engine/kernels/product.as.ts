// Products of matrices. Element (i, k) of A lies at a + size * (i * ras + k * cas); the same for B; C is dense.

const SPILL: usize = memory.data(64);
const KC = 256, NC = 512, MC = 64;
/** Bytes of the workspace of `gemm`. */
export function workspace(): i32 { return 4 * KC * (NC + MC) + 64; }

@inline function put(c: usize, ldc: i32, i: i32, j: i32, w: i32, add: i32, x: v128, y: v128): void {
  const p = c + (<usize>(i * ldc + j) << 2);
  if (w == 8) {
    if (add) {
      x = f32x4.add(x, v128.load(p));
      y = f32x4.add(y, v128.load(p, 16));
    }
    v128.store(p, x);
    v128.store(p, y, 16);
    return;
  }
  v128.store(SPILL, x);
  v128.store(SPILL, y, 16);
  for (let k = 0; k < w; k++) {
    const q = p + (<usize>k << 2), v = load<f32>(SPILL + (<usize>k << 2));
    store<f32>(q, add ? load<f32>(q) + v : v);
  }
}

/** C[M,N] (+)= A[M,K] B[K,N] in f32: panels of 8 columns of B and 4 rows of A, packed block by block. */
export function gemm(M: i32, N: i32, K: i32, a: usize, ras: i32, cas: i32, b: usize, rbs: i32, cbs: i32, c: usize, ldc: i32, acc: i32, ws: usize): void {
  const pb = ws, pa = ws + 4 * KC * NC;
  for (let j0 = 0; j0 < N; j0 += NC) {
    const nc = min(NC, N - j0), nr = (nc + 7) >> 3;
    for (let k0 = 0; k0 < K; k0 += KC) {
      const kc = min(KC, K - k0);
      for (let p = 0; p < nr; p++) {
        let q = pb + <usize>(p * kc * 32);
        const jb = j0 + (p << 3), w = min(8, N - jb);
        if (w == 8 && rbs == 1) { // columns of B lie dense: four of them make four rows
          for (let half = 0; half < 2; half++) {
            const base = b + (<usize>(k0 + (jb + 4 * half) * cbs) << 2), line = <usize>cbs << 2;
            let t = q + <usize>(16 * half), k = 0;
            for (; k + 4 <= kc; k += 4) {
              const from = base + (<usize>k << 2);
              const r0 = v128.load(from), r1 = v128.load(from + line), r2 = v128.load(from + 2 * line), r3 = v128.load(from + 3 * line);
              const u0 = v128.shuffle<i32>(r0, r1, 0, 4, 1, 5), u1 = v128.shuffle<i32>(r0, r1, 2, 6, 3, 7);
              const v0 = v128.shuffle<i32>(r2, r3, 0, 4, 1, 5), v1 = v128.shuffle<i32>(r2, r3, 2, 6, 3, 7);
              v128.store(t, v128.shuffle<i64>(u0, v0, 0, 2));
              v128.store(t, v128.shuffle<i64>(u0, v0, 1, 3), 32);
              v128.store(t, v128.shuffle<i64>(u1, v1, 0, 2), 64);
              v128.store(t, v128.shuffle<i64>(u1, v1, 1, 3), 96);
              t += 128;
            }
            for (; k < kc; k++) {
              const from = base + (<usize>k << 2);
              for (let j = 0; j < 4; j++) store<f32>(t + (<usize>j << 2), load<f32>(from + <usize>j * line));
              t += 32;
            }
          }
          continue;
        }
        for (let k = 0; k < kc; k++) {
          const base = b + (<usize>((k0 + k) * rbs + jb * cbs) << 2);
          if (w == 8 && cbs == 1) {
            v128.store(q, v128.load(base));
            v128.store(q, v128.load(base, 16), 16);
          } else {
            for (let j = 0; j < 8; j++) store<f32>(q + (<usize>j << 2), j < w ? load<f32>(base + (<usize>(j * cbs) << 2)) : 0);
          }
          q += 32;
        }
      }
      for (let i0 = 0; i0 < M; i0 += MC) {
        const mc = min(MC, M - i0), mr = (mc + 3) >> 2;
        for (let p = 0; p < mr; p++) {
          let q = pa + <usize>(p * kc * 16);
          const ib = i0 + (p << 2), h = min(4, M - ib);
          if (h == 4 && ras == 1) {
            let base = a + (<usize>(ib + k0 * cas) << 2);
            for (let k = 0; k < kc; k++) {
              v128.store(q, v128.load(base));
              base += <usize>cas << 2;
              q += 16;
            }
            continue;
          }
          for (let k = 0; k < kc; k++) {
            const base = a + (<usize>(ib * ras + (k0 + k) * cas) << 2);
            for (let i = 0; i < 4; i++) store<f32>(q + (<usize>i << 2), i < h ? load<f32>(base + (<usize>(i * ras) << 2)) : 0);
            q += 16;
          }
        }
        const add = acc | (k0 > 0 ? 1 : 0);
        for (let pn = 0; pn < nr; pn++) {
          const jb = j0 + (pn << 3), w = min(8, N - jb), qb0 = pb + <usize>(pn * kc * 32);
          for (let p = 0; p < mr; p++) {
            const ib = i0 + (p << 2), h = min(4, M - ib);
            let qa = pa + <usize>(p * kc * 16), qb = qb0;
            let c00 = f32x4.splat(0), c01 = c00, c10 = c00, c11 = c00, c20 = c00, c21 = c00, c30 = c00, c31 = c00;
            for (let k = 0; k < kc; k++) {
              const b0 = v128.load(qb), b1 = v128.load(qb, 16);
              let x = v128.load32_splat(qa);
              c00 = f32x4.add(c00, f32x4.mul(x, b0));
              c01 = f32x4.add(c01, f32x4.mul(x, b1));
              x = v128.load32_splat(qa, 4);
              c10 = f32x4.add(c10, f32x4.mul(x, b0));
              c11 = f32x4.add(c11, f32x4.mul(x, b1));
              x = v128.load32_splat(qa, 8);
              c20 = f32x4.add(c20, f32x4.mul(x, b0));
              c21 = f32x4.add(c21, f32x4.mul(x, b1));
              x = v128.load32_splat(qa, 12);
              c30 = f32x4.add(c30, f32x4.mul(x, b0));
              c31 = f32x4.add(c31, f32x4.mul(x, b1));
              qa += 16;
              qb += 32;
            }
            put(c, ldc, ib, jb, w, add, c00, c01);
            if (h > 1) put(c, ldc, ib + 1, jb, w, add, c10, c11);
            if (h > 2) put(c, ldc, ib + 2, jb, w, add, c20, c21);
            if (h > 3) put(c, ldc, ib + 3, jb, w, add, c30, c31);
          }
        }
      }
    }
  }
}

@inline function plain<T>(M: i32, N: i32, K: i32, a: usize, ras: i32, cas: i32, b: usize, rbs: i32, cbs: i32, c: usize, ldc: i32, acc: i32): void {
  for (let i = 0; i < M; i++) for (let j = 0; j < N; j++) {
    let p = a + <usize>(i * ras) * sizeof<T>(), q = b + <usize>(j * cbs) * sizeof<T>();
    const o = c + <usize>(i * ldc + j) * sizeof<T>();
    let s: T = acc ? load<T>(o) : <T>0;
    for (let k = 0; k < K; k++) {
      s += load<T>(p) * load<T>(q);
      p += <usize>cas * sizeof<T>();
      q += <usize>rbs * sizeof<T>();
    }
    store<T>(o, s);
  }
}
export function gemm64(M: i32, N: i32, K: i32, a: usize, ras: i32, cas: i32, b: usize, rbs: i32, cbs: i32, c: usize, ldc: i32, acc: i32, ws: usize): void {
  plain<f64>(M, N, K, a, ras, cas, b, rbs, cbs, c, ldc, acc);
}
export function gemmI(M: i32, N: i32, K: i32, a: usize, ras: i32, cas: i32, b: usize, rbs: i32, cbs: i32, c: usize, ldc: i32, acc: i32, ws: usize): void {
  plain<i64>(M, N, K, a, ras, cas, b, rbs, cbs, c, ldc, acc);
}
