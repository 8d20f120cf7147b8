/** Products of matrices. */
import { require } from "../plan/invalid.js";
import { Build, computeType, expanded, sameTypes, type Compute } from "./build.js";
import { binary } from "./pointwise.js";
import { SLOW } from "./reduce.js";
import type { Args, Rules } from "./rule.js";
import { Num, Value, fitted, product } from "./value.js";

/** What `flops` multiply-adds of a product cost: a library has f32 and f64 only. */
export function charge(b: Build, flops: number, ...tensors: readonly Value[]): void {
  const slow = tensors.some((each) => computeType(each.dtype) === "i64") ? SLOW : 1;
  b.formula += slow * flops;
}

export interface Matrix { at: number; rows: number; columns: number; rowStep: number; columnStep: number }

function matrix(value: Value, at = value.at): Matrix {
  const [rows, columns] = value.shape.slice(-2) as [number, number], [rowStep, columnStep] = value.strides.slice(-2) as [number, number];
  return { at, rows, columns, rowStep, columnStep };
}

/** `out (+)= x y`; out is a block of a dense matrix of `width` columns, or a whole one. */
export type Product = (x: Matrix, y: Matrix, out: number, add: boolean, width?: number) => void;

export function multiplier(b: Build, type: Compute): Product {
  const f = b.kernel("gemm".concat(type === "f32" ? "" : type === "f64" ? "64" : "I"));
  const ws = type === "f32" ? b.scratch(b.kernel("workspace")()) : 0;
  return (x, y, out, add, width = y.columns) => {
    f(x.rows, y.columns, x.columns, x.at, x.rowStep, x.columnStep, y.at, y.rowStep, y.columnStep, out, width, add ? 1 : 0, ws);
  };
}

/** The product of two matrices, or of as many as there are along a first dimension. @param charged or only what is touched counts */
function multiplied(b: Build, x: Value, y: Value, charged = true): Value {
  sameTypes(x, y);
  require(x.dtype !== "b", "a product of truth values");
  const batch = x.shape.slice(0, -2), [m, k] = x.shape.slice(-2) as [number, number], [l, n] = y.shape.slice(-2) as [number, number];
  require(k === l && String(batch) === String(y.shape.slice(0, -2)), "the matrices do not fit each other");
  const out = b.target(x.dtype, [...batch, m, n]), type = computeType(x.dtype), [p, q] = [b.cast(x, type), b.cast(y, type)];
  if (charged) charge(b, 2 * m * n * k * product(batch), x, y, out);
  if (!out.size) return b.keep(out, x.dtype);
  if (!k) b.fill(out, new Num(0));
  else {
    const multiply = multiplier(b, type), count = product(batch), first = matrix(p), second = matrix(q), to = out.at, bytes = out.bytes;
    const step = batch.length ? [p.strides[0]! * bytes, q.strides[0]! * bytes, m * n * bytes] as const : [0, 0, 0] as const;
    b.steps.push(() => {
      for (let i = 0; i < count; i++) {
        multiply({ ...first, at: first.at + i * step[0] }, { ...second, at: second.at + i * step[1] }, to + i * step[2], false);
      }
    });
  }
  return b.keep(out, x.dtype);
}

function ranks(x: Value, rank: number, y: Value, other: number): void {
  require(x.shape.length === rank && y.shape.length === other, "the operands have other ranks than this product takes");
}

function mm(b: Build, [x, y]: Args): Value {
  ranks(x as Value, 2, y as Value, 2);
  return multiplied(b, x as Value, y as Value);
}

function bmm(b: Build, [x, y]: Args): Value {
  ranks(x as Value, 3, y as Value, 3);
  return multiplied(b, x as Value, y as Value);
}

function mv(b: Build, [x, y]: Args): Value {
  const v = y as Value;
  ranks(x as Value, 2, v, 1);
  const made = multiplied(b, x as Value, v.view([v.shape[0]!, 1], [v.strides[0]!, 1]), false);
  return made.view([made.shape[0]!], [1]);
}

function dot(b: Build, [x, y]: Args): Value {
  const [p, q] = [x as Value, y as Value];
  ranks(p, 1, q, 1);
  const made = multiplied(b, p.view([1, p.size], [1, p.strides[0]!]), q.view([q.size, 1], [q.strides[0]!, 1]), false);
  return made.view([], []);
}

function addmm(b: Build, [given, x, y, beta, alpha]: Args): Value {
  const self = given as Value, [p, q] = [x as Value, y as Value], [scaleSelf, scale] = [fitted(beta as Num, self.dtype), fitted(alpha as Num, self.dtype)];
  ranks(p, 2, q, 2);
  sameTypes(self, p, q);
  const whole = computeType(p.dtype) === "i64";
  const shape = [p.shape[0]!, q.shape[1]!], wide = expanded(self, shape);
  if (whole || p.dtype === "b" || scale.value !== 1 || scaleSelf.value !== 1 || p.dtype === "f64" || !p.shape[1]) {
    let made = multiplied(b, p, q);
    if (scale.value !== 1) made = binary(b, 2, made, scale, p.dtype);
    if (scaleSelf.value === 0) return made; // not even NaN is left of it
    return binary(b, 0, scaleSelf.value === 1 ? wide : binary(b, 2, wide, scaleSelf, p.dtype), made, p.dtype);
  }
  require(p.shape[1] === q.shape[0], "the matrices do not fit each other");
  charge(b, 2 * product(shape) * p.shape[1]!, p, q, wide);
  const out = b.result(p.dtype, shape);
  if (!out.size) return out;
  b.copy(wide, out);
  const multiply = multiplier(b, "f32"), first = matrix(p), second = matrix(q), to = out.at;
  b.steps.push(() => multiply(first, second, to, true));
  return out;
}

export const PRODUCTS: Rules = {
  "mm.default": mm,
  "bmm.default": bmm,
  "addmm.default": addmm,
  "mv.default": mv,
  "dot.default": dot,
};
