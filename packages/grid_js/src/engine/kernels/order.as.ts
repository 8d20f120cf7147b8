// Running sums, variances, and logarithms of sums of exponentials.

@external("env", "exp") declare function mathExp(x: f64): f64;
@external("env", "log") declare function mathLog(x: f64): f64;

@inline function running<T, A>(op: i32, outer: i32, k: i32, inner: i32, a: usize, o: usize): void {
  for (let i = 0; i < outer; i++) for (let c = 0; c < inner; c++) {
    let r: A = op ? <A>1 : <A>0;
    for (let j = 0; j < k; j++) {
      const at = <usize>((i * k + j) * inner + c) * sizeof<T>(), x = <A>load<T>(a + at);
      r = op ? r * x : r + x;
      store<T>(o + at, <T>r);
    }
  }
}
/** 0 sums, 1 products so far. */
export function running32(op: i32, outer: i32, k: i32, inner: i32, a: usize, o: usize): void { running<f32, f64>(op, outer, k, inner, a, o); }
export function running64(op: i32, outer: i32, k: i32, inner: i32, a: usize, o: usize): void { running<f64, f64>(op, outer, k, inner, a, o); }
export function runningI(op: i32, outer: i32, k: i32, inner: i32, a: usize, o: usize): void { running<i64, i64>(op, outer, k, inner, a, o); }

@inline function variance<T>(rows: i32, k: i32, a: usize, o: usize, less: f64): void {
  for (let i = 0; i < rows; i++) {
    let s = 0.0, q = 0.0;
    for (let j = 0; j < k; j++) s += <f64>load<T>(a + <usize>j * sizeof<T>());
    const m = s / <f64>k;
    for (let j = 0; j < k; j++) {
      const d = <f64>load<T>(a + <usize>j * sizeof<T>()) - m;
      q += d * d;
    }
    const free = <f64>k - less;
    store<T>(o, <T>(q / (free > 0 ? free : 0)));
    a += <usize>k * sizeof<T>();
    o += sizeof<T>();
  }
}
/** Of rows; `less`: by how much the number of elements is reduced. */
export function variance32(rows: i32, k: i32, a: usize, o: usize, less: f64): void { variance<f32>(rows, k, a, o, less); }
export function variance64(rows: i32, k: i32, a: usize, o: usize, less: f64): void { variance<f64>(rows, k, a, o, less); }

@inline function logSumExp<T>(rows: i32, k: i32, a: usize, o: usize): void {
  for (let i = 0; i < rows; i++) {
    let m: f64 = -Infinity;
    for (let j = 0; j < k; j++) {
      const x = <f64>load<T>(a + <usize>j * sizeof<T>());
      if (x > m || x != x) m = x;
      if (x != x) break;
    }
    if (Math.abs(m) == Infinity) m = 0;
    let s = 0.0;
    for (let j = 0; j < k; j++) s += mathExp(<f64>load<T>(a + <usize>j * sizeof<T>()) - m);
    store<T>(o, <T>(mathLog(s) + m));
    a += <usize>k * sizeof<T>();
    o += sizeof<T>();
  }
}
export function logSumExp32(rows: i32, k: i32, a: usize, o: usize): void { logSumExp<f32>(rows, k, a, o); }
export function logSumExp64(rows: i32, k: i32, a: usize, o: usize): void { logSumExp<f64>(rows, k, a, o); }
