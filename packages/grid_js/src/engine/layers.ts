/** Norms and pools. */
import { require } from "../plan/invalid.js";
import { Build, floating, notEmpty, sameShapes, sameTypes } from "./build.js";
import { ownMemory, sizes } from "./convolution.js";
import { addressed } from "./losses.js";
import { SLOW } from "./reduce.js";
import type { Args, Rules } from "./rule.js";
import { Value, isFloat, product } from "./value.js";

function layerNorm(b: Build, args: Args): Value[] {
  const [x, shape, weight, bias, eps] = args as unknown as [Value, number[], Value | null, Value | null, number];
  floating(x);
  notEmpty(x);
  sameTypes(x, weight, bias);
  const front = x.shape.length - shape.length;
  require(shape.length && front >= 0 && String(x.shape.slice(front)) === String(shape), "the normalized shape is not that of the last dimensions");
  for (const each of [weight, bias]) require(!each || String(each.shape) === String(shape), "the weight or bias has another shape");
  const k = product(shape), rows = x.size / k, statistics = [...x.shape.slice(0, front), ...shape.map(() => 1)];
  const out = b.result(x.dtype, x.shape), mean = b.result(x.dtype, statistics), inv = b.result(x.dtype, statistics);
  const f = b.kernel("norm", x.dtype), [from, w, c, o, m, v] = [b.dense(x).at, addressed(b, weight), addressed(b, bias), out.at, mean.at, inv.at];
  b.steps.push(() => f(rows, k, from, w, c, 1, 1, 0, eps, o, m, v));
  return [out, mean, inv];
}

function groupNorm(b: Build, args: Args): Value[] {
  const [x, weight, bias, n, c, plane, groups, eps] = args as unknown as [Value, Value | null, Value | null, number, number, number, number, number];
  floating(x);
  ownMemory(weight, bias);
  sameTypes(x, weight, bias);
  require(
    x.shape.length >= 2 && n === x.shape[0] && c === x.shape[1] && n * c * plane === x.size && x.size > 0,
    "the sizes do not match the tensor",
  );
  require(
    groups >= 1 && c % groups === 0 && [weight, bias].every((each) => !each || String(each.shape) === String([c])),
    "the groups, weight or bias do not match the channels",
  );
  const rows = n * groups, k = (c / groups) * plane;
  const out = b.result(x.dtype, x.shape), mean = b.result(x.dtype, [n, groups]), inv = b.result(x.dtype, [n, groups]);
  const f = b.kernel("norm", x.dtype), [from, w, d, o, m, v] = [b.dense(x).at, addressed(b, weight), addressed(b, bias), out.at, mean.at, inv.at];
  b.steps.push(() => f(rows, k, from, w, d, plane, groups, 1, eps, o, m, v));
  return [out, mean, inv];
}

/** Rows, channels and what each channel has. */
function channels(x: Value): [number, number, number] {
  return [x.shape[0]!, x.shape[1]!, product(x.shape.slice(2))];
}

function batchNorm(b: Build, args: Args): Value[] {
  const [x, weight, bias, training, , eps] = args as unknown as [Value, Value | null, Value | null, boolean, number, number];
  floating(x);
  require(x.shape.length >= 2, "there is no dimension of channels");
  ownMemory(weight, bias);
  notEmpty(x);
  sameTypes(x, weight, bias);
  require(training, "statistics are missing");
  const [n, c, s] = channels(x);
  for (const each of [weight, bias]) require(!each || String(each.shape) === String([c]), "the weight or bias does not match the channels");
  const out = b.result(x.dtype, x.shape), mean = b.result(x.dtype, [c]), inv = b.result(x.dtype, [c]);
  const f = b.kernel("batchNorm", x.dtype), [from, w, d, o, m, v] = [b.dense(x).at, addressed(b, weight), addressed(b, bias), out.at, mean.at, inv.at];
  b.steps.push(() => f(n, c, s, from, w, d, eps, o, m, v));
  return [out, mean, inv];
}

function batchNormBack(b: Build, args: Args): (Value | null)[] {
  const [grad, x, weight, runningMean, runningVar, saveMean, saveInv] = args as unknown as [Value, Value, ...(Value | null)[]];
  const [train, eps, mask] = args.slice(7) as unknown as [boolean, number, boolean[]];
  floating(x);
  sameShapes(grad, x);
  const statistics = [runningMean ?? null, runningVar ?? null, saveMean ?? null, saveInv ?? null];
  const needed = train ? statistics.slice(2) : statistics.slice(0, 2);
  ownMemory(weight ?? null, ...statistics);
  require(x.shape.length >= 2 && needed.every((each) => each), "statistics are missing");
  notEmpty(x);
  sameTypes(grad, x, weight ?? null, ...statistics);
  const [n, c, s] = channels(x);
  for (const each of [weight, ...needed]) require(!each || String(each.shape) === String([c]), "the statistics do not match the channels");
  require(mask.length === 3, "the output mask has three entries");
  const results = [x.shape, [c], [c]].map((shape, place) => (mask[place] ? b.result(x.dtype, shape) : null));
  const [gx, gw, gb] = results.map((each) => each?.at ?? 0) as [number, number, number];
  const [g, from, w, m, v] = [grad, x, weight ?? null, needed[0]!, needed[1]!].map((each) => addressed(b, each)) as [number, number, number, number, number];
  const f = b.kernel("batchNormBack", x.dtype);
  b.steps.push(() => f(train ? 1 : 0, n, c, s, g, from, w, m, v, eps, gx, gw, gb));
  return results;
}

// -- losses ----------------------------------------------------------------------------------------------------

/** Places of windows along a dimension, as torch counts them: none begins in the padding behind. */
function windows(size: number, kernel: number, stride: number, padding: number, dilation: number, ceil: boolean): number {
  const room = size + 2 * padding - dilation * (kernel - 1) - 1;
  const count = (ceil ? Math.ceil(room / stride) : Math.floor(room / stride)) + 1;
  return ceil && (count - 1) * stride >= size + padding ? count - 1 : count;
}

function pooled(b: Build, x: Value, kernel: number[], stride: number[], padding: number[], dilation: number[], ceil: boolean): { shape: number[]; table: number; planes: number } {
  require(x.shape.length === 3 || x.shape.length === 4, "an image or a batch of images is needed");
  notEmpty(x);
  const k = sizes(kernel, 2, 1, "kernel size"), p = sizes(padding, 2, 0, "padding"), d = sizes(dilation, 2, 1, "dilation");
  sizes(stride, 2, 1, "stride", 1);
  const s = stride.length ? sizes(stride, 2, 1, "stride") : k, own = x.shape.slice(-2);
  require(p.every((each, i) => 2 * each <= k[i]!), "a padding is half the kernel at most");
  const places = own.map((size, i) => windows(size, k[i]!, s[i]!, p[i]!, d[i]!, ceil));
  require(places.every((each) => each > 0), "the window is larger than the image");
  const front = x.shape.slice(0, -2), planes = product(front);
  const looked = own.map((size, i) => Math.max(Math.floor((size + 2 * p[i]! - d[i]! * (k[i]! - 1) - 1) / s[i]!) + 2, 1) * Math.min(k[i]!, Math.floor(size / d[i]!) + 1));
  b.work(SLOW * planes * looked[0]! * looked[1]!);
  return { shape: [...front, ...places], planes, table: b.ints(...own, ...k, ...s, ...p, ...d, ...places) };
}

function maxPool(b: Build, args: Args): Value[] {
  const [x, kernel, stride, padding, dilation, ceil] = args as unknown as [Value, number[], number[], number[], number[], boolean];
  require(x.dtype !== "b", "a pool of truth values");
  const { shape, table, planes } = pooled(b, x, kernel, stride, padding, dilation, ceil);
  const out = b.target(x.dtype, shape), places = b.result("i64", shape), f = b.kernel("maxPool", x.dtype);
  const [from, o, p] = [b.ready(x).at, out.at, places.at];
  b.steps.push(() => f(planes, table, from, o, p));
  return [b.keep(out, x.dtype), places];
}

function avgPool(b: Build, args: Args): Value {
  const [x, kernel, stride, padding, ceil, padded, divisor] = args as unknown as [Value, number[], number[], number[], boolean, boolean, number | null];
  const { shape, table, planes } = pooled(b, x, kernel, stride, padding, [1, 1], ceil);
  require(isFloat(x.dtype) || x.dtype === "i64", "an operand of i64 or floating point");
  require(divisor === null || (divisor >= 1 && divisor < 2 ** 48), "a divisor is a number of elements");
  const out = b.result(x.dtype, shape), f = b.kernel("avgPool", x.dtype), [from, o, by] = [b.dense(x).at, out.at, BigInt(divisor ?? 0)];
  b.steps.push(() => f(planes, table, from, o, padded ? 1 : 0, by));
  return out;
}

function adaptive(b: Build, args: Args): Value {
  const [x, wanted] = args as unknown as [Value, number[]];
  floating(x);
  require(x.shape.length === 3 || x.shape.length === 4, "an image or a batch of images is needed");
  notEmpty(x);
  const [oh, ow] = sizes(wanted, 2, 1, "output size") as [number, number], [h, w] = x.shape.slice(-2) as [number, number];
  require(wanted.length === 2, "an output size of two numbers is needed");
  const planes = product(x.shape.slice(0, -2));
  b.work(SLOW * planes * oh * (Math.ceil(h / oh) + 1) * ow * (Math.ceil(w / ow) + 1));
  const out = b.result(x.dtype, [...x.shape.slice(0, -2), oh, ow]), f = b.kernel("adaptive", x.dtype), [from, o] = [b.dense(x).at, out.at];
  b.steps.push(() => f(planes, h, w, oh, ow, from, o));
  return out;
}

export const LAYERS: Rules = {
  "native_layer_norm.default": layerNorm,
  "native_group_norm.default": groupNorm,
  "_native_batch_norm_legit.no_stats": batchNorm,
  "native_batch_norm_backward.default": batchNormBack,
  "max_pool2d_with_indices.default": maxPool,
  "avg_pool2d.default": avgPool,
  "_adaptive_avg_pool2d.default": adaptive,
};
