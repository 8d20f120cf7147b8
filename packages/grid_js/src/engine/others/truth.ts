/** Truths of all and of any, and products: reductions that few plans of tables have. */
import type { Build } from "../build.js";
import { flat, narrowed, one, reduced, reduction, several, summed, typed, whole, without } from "../reduce.js";
import type { Rules } from "../rule.js";
import { Num, Value, product } from "../value.js";

/** Truth of all (3: the smallest) or any (2: the largest). */
function truth(op: number): (b: Build, x: Value, dims: number[], keep: boolean) => Value {
  return (b, x, dims, keep) => {
    const kept = x.dtype === "u8" ? "u8" : "b", found = b.cast(x.dtype === "b" ? x : b.cast(x, "b"), "i64");
    const count = product(dims.map((d) => x.shape[d]!));
    if (!count) {
      const made = b.result(kept, without(x.shape, dims, keep));
      b.fill(made, new Num(op === 3));
      return made;
    }
    return b.keep(flat(reduced(b, "reduce", op, found, dims), without(x.shape, dims, keep)), kept);
  };
}

const products = typed((b, x, dims, keep, dtype) => reduction(b, 1, narrowed(b, x, dtype), dims, keep, summed(x, dtype)));

export const TRUTHS: Rules = {
  "prod.default": products.whole,
  "prod.dim_int": products.one,
  "any.default": whole(truth(2)),
  "any.dim": one(truth(2)),
  "any.dims": several(truth(2)),
  "all.default": whole(truth(3)),
  "all.dim": one(truth(3)),
};
