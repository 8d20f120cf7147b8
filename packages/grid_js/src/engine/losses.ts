/** Softmax and losses. */
import { require } from "../plan/invalid.js";
import { Build, axis, floating, notEmpty, sameShapes, sameTypes } from "./build.js";
import { around } from "./reduce.js";
import type { Args, Rule, Rules } from "./rule.js";
import { Value } from "./value.js";

function softmax(log: boolean): Rule {
  return (b, [given, dim, wide]) => {
    const x = given as Value;
    floating(x);
    const { outer, k, inner } = around(x.shape, axis(dim as number, x.shape.length));
    require(!wide, "the kernel that widens halves is not on this machine");
    const out = b.result(x.dtype, x.shape), from = b.dense(x).at, to = out.at, f = b.kernel("softmax", x.dtype);
    if (out.size) b.steps.push(() => f(log ? 1 : 0, outer, k, inner, from, to));
    return out;
  };
}

function softmaxBack(log: boolean): Rule {
  return (b, [grad, output, dim, dtype]) => {
    const g = grad as Value, y = output as Value;
    sameShapes(g, y);
    notEmpty(g);
    sameTypes(g, y);
    require(dtype === y.dtype, "the operands must have one dtype");
    floating(g);
    const { outer, k, inner } = around(g.shape, axis(dim as number, g.shape.length));
    const out = b.result(g.dtype, g.shape), [p, q, to] = [b.dense(g).at, b.dense(y).at, out.at], f = b.kernel("softmaxBack", g.dtype);
    b.steps.push(() => f(log ? 1 : 0, outer, k, inner, p, q, to));
    return out;
  };
}

/** The address of an operand, dense; 0 where there is none. */
export function addressed(b: Build, value: Value | null): number {
  return value ? b.dense(value).at : 0;
}

function checkLoss(b: Build, x: Value, target: Value, weight: Value | null, reduction: number, ignored: bigint): void {
  floating(x);
  sameTypes(x, weight);
  require((x.shape.length === 1 || x.shape.length === 2) && x.size > 0, "scores of classes, of one row or several, are needed");
  require(String(target.shape) === String(x.shape.slice(0, -1)), "each row needs one target");
  require(target.dtype === "i64", "targets are numbers of classes, of i64");
  const classes = x.shape.at(-1)!;
  require(!weight || String(weight.shape) === String([classes]), "the weight does not match the classes");
  require([0, 1, 2].includes(reduction), "malformed reduction");
  const f = b.kernel("astray"), at = b.dense(target).at, n = target.size, count = BigInt(classes);
  b.steps.push(() => {
    if (f(n, at, count, ignored)) b.refuse(`a target is not in [0, ${classes}), and not ${ignored}`);
  });
}

function nll(b: Build, args: Args): Value[] {
  const [x, target, weight, reduction, ignored] = args as unknown as [Value, Value, Value | null, number, number];
  const ignore = BigInt(ignored);
  checkLoss(b, x, target, weight, reduction, ignore);
  const rows = target.size, classes = x.shape.at(-1)!;
  const out = b.result(x.dtype, reduction === 0 ? target.shape : []), total = b.result(x.dtype, []);
  const [from, t, w, o, all] = [b.dense(x).at, b.dense(target).at, addressed(b, weight), out.at, total.at], f = b.kernel("nll", x.dtype);
  const how = reduction === 0 && x.shape.length === 1 ? 3 : reduction;
  b.steps.push(() => f(rows, classes, from, t, w, how, ignore, o, all));
  return [out, total];
}

function nllBack(b: Build, args: Args): Value {
  const [grad, x, target, weight, reduction, ignored, total] = args as unknown as [Value, Value, Value, Value | null, number, number, Value];
  const ignore = BigInt(ignored);
  checkLoss(b, x, target, weight, reduction, ignore);
  sameTypes(grad, x, total);
  require(String(grad.shape) === String(reduction === 0 ? x.shape.slice(0, -1) : []), "the gradient is not one of this loss");
  require(total.shape.length === 0, "the total weight is one number");
  const rows = target.size, classes = x.shape.at(-1)!, out = b.result(x.dtype, x.shape);
  const [g, t, w, all, o] = [b.dense(grad).at, b.dense(target).at, addressed(b, weight), total.at, out.at], f = b.kernel("nllBack", x.dtype);
  b.steps.push(() => f(rows, classes, g, t, w, reduction, ignore, all, o));
  return out;
}

// -- pools -----------------------------------------------------------------------------------------------------

export const LOSSES: Rules = {
  "_softmax.default": softmax(false),
  "_log_softmax.default": softmax(true),
  "_softmax_backward_data.default": softmaxBack(false),
  "_log_softmax_backward_data.default": softmaxBack(true),
  "nll_loss_forward.default": nll,
  "nll_loss_backward.default": nllBack,
};
