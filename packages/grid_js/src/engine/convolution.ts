/** Convolutions, as products of matrices: the windows are written out as columns, block by block. */
import { require } from "../plan/invalid.js";
import { Build, floating, notEmpty, sameTypes, type Compute } from "./build.js";
import { multiplier, charge, type Product } from "./product.js";
import type { Args, Rules } from "./rule.js";
import { Num, Value, product } from "./value.js";

/** Kernels of pools and convolutions keep sizes in 32 bits. */
const WINDOW = 2 ** 31;
/** Columns of windows that are written out at once: what they fill stays in a processor's cache. */
const COLUMN_BYTES = 256 << 10;

interface Geometry {
  /** Of what the windows move over. */
  planes: number[];
  window: number[];
  stride: number[];
  padding: number[];
  dilation: number[];
  places: number[];
  groups: number;
}

/** A list of `count` sizes, of which one may stand for all. */
export function sizes(values: readonly number[], count: number, low: number, what: string, otherwise?: number): number[] {
  const found = values.length === 1 ? new Array<number>(count).fill(values[0]!) : [...values];
  if (!found.length && otherwise !== undefined) return new Array<number>(count).fill(otherwise);
  require(found.length === count && found.every((each) => low <= each && each < WINDOW), `malformed ${what}`);
  return found;
}

/** Weights, biases and statistics that kernels read one element behind the other. */
export function ownMemory(...values: readonly (Value | null)[]): void {
  for (const each of values) {
    require(
      !each || each.shape.every((size, d) => each.strides[d] !== 0 || size <= 1),
      "an expanded weight, bias or statistic: use its clone()",
    );
  }
}

interface Convolution { spatial: number; out: number[]; geometry: Geometry; transposed: boolean; outputs: number }

function checked(x: Value, weight: Value, bias: Value | null, args: Args): Convolution {
  const [stride, padding, dilation, transposed, outputPadding, groups] = args as unknown as [number[], number[], number[], boolean, number[], number];
  const spatial = x.shape.length - 2;
  require(spatial >= 1 && spatial <= 3 && weight.shape.length === x.shape.length, "a batch of 1 to 3 spatial dimensions is needed");
  floating(x);
  sameTypes(x, weight, bias);
  notEmpty(x, weight);
  const strides = sizes(stride, spatial, 1, "stride"), paddings = sizes(padding, spatial, 0, "padding");
  const dilations = sizes(dilation, spatial, 1, "dilation"), extra = sizes(outputPadding, spatial, 0, "output padding", 0);
  require(groups >= 1 && groups < WINDOW, "malformed groups");
  if (transposed) {
    require(extra.every((each, d) => each < Math.max(strides[d]!, dilations[d]!)), "the output padding must be smaller than the stride or the dilation");
  } else require(extra.every((each) => each === 0), "an output padding belongs to a transposed convolution");
  const inputs = transposed ? weight.shape[0]! : weight.shape[1]! * groups, outputs = transposed ? weight.shape[1]! * groups : weight.shape[0]!;
  require(x.shape[1] === inputs && inputs % groups === 0 && outputs % groups === 0, "the channels do not match the groups");
  require(!bias || (bias.shape.length === 1 && bias.shape[0] === outputs), "the bias does not match the channels");
  const window = weight.shape.slice(2), own = x.shape.slice(2);
  const reach = window.map((size, d) => dilations[d]! * (size - 1) + 1);
  const made = own.map((size, d) => (transposed
    ? (size - 1) * strides[d]! - 2 * paddings[d]! + reach[d]! + extra[d]!
    : Math.floor((size + 2 * paddings[d]! - reach[d]!) / strides[d]!) + 1));
  require(made.every((size) => size > 0), "the window is larger than what it moves over");
  const geometry = {
    planes: transposed ? made : own, places: transposed ? own : made, window, stride: strides, padding: paddings, dilation: dilations, groups,
  };
  return { spatial, out: [x.shape[0]!, outputs, ...made], geometry, transposed, outputs };
}

/** Sizes of three dimensions, those in front filled up. */
const three = (values: readonly number[], fill: number): number[] => [...new Array<number>(3 - values.length).fill(fill), ...values];

function geometryTable(b: Build, g: Geometry): number {
  return b.ints(...three(g.planes, 1), ...three(g.window, 1), ...three(g.stride, 1), ...three(g.padding, 0), ...three(g.dilation, 1), ...three(g.places, 1));
}

/** Kernels, and memory for the columns of `block` places of one image and group at a time. */
function windows(b: Build, g: Geometry, channels: number, type: Compute): {
  rows: number; places: number; plane: number; block: number; col: number;
  columns: (back: number, x: number, from: number, until: number) => void;
  multiply: Product;
} {
  const rows = channels * product(g.window), places = product(g.places), bytes = type === "f32" ? 4 : 8;
  const line = g.places.at(-1)!;
  const fitting = Math.max(Math.floor(COLUMN_BYTES / (rows * bytes * line)), 1) * line;
  const block = Math.min(fitting, places), col = b.scratch(rows * block * bytes);
  const table = geometryTable(b, g), f = b.kernel("columns", type);
  return {
    rows, places, plane: product(g.planes), block, col,
    columns: (back, x, from, until) => { f(back, channels, table, x, col, from, until); },
    multiply: multiplier(b, type),
  };
}

/** A window of one place, moved one by one: its columns are the image itself. */
function pointwise(g: Geometry): boolean {
  return product(g.window) === 1 && g.stride.every((each) => each === 1) && g.padding.every((each) => each === 0);
}

/**
 * y[n, o, place] (+)= Σ w[o, c, window] x[n, c, place + window]: what a convolution does, and the gradient of a
 * transposed one. x has the planes, y the places.
 */
function correlate(b: Build, x: number, w: number, y: number, batch: number, inputs: number, outputs: number, g: Geometry, type: Compute, add: boolean): void {
  const channels = inputs / g.groups, filters = outputs / g.groups, size = type === "f32" ? 4 : 8;
  const { rows, places, plane, block, col, columns, multiply } = windows(b, g, channels, type), direct = pointwise(g);
  b.steps.push(() => {
    for (let n = 0; n < batch; n++) for (let k = 0; k < g.groups; k++) {
      const from = x + (n * inputs + k * channels) * plane * size, to = y + (n * outputs + k * filters) * places * size;
      const weights = { at: w + k * filters * rows * size, rows: filters, columns: rows, rowStep: rows, columnStep: 1 };
      if (direct) {
        multiply(weights, { at: from, rows, columns: places, rowStep: plane, columnStep: 1 }, to, add);
        continue;
      }
      for (let s = 0; s < places; s += block) {
        const until = Math.min(s + block, places);
        columns(0, from, s, until);
        multiply(weights, { at: col, rows, columns: until - s, rowStep: until - s, columnStep: 1 }, to + s * size, add, places);
      }
    }
  });
}

/** x (+)= the gradient of `correlate`: what a transposed convolution does. x is zero before. */
function spread(b: Build, x: number, w: number, y: number, batch: number, inputs: number, outputs: number, g: Geometry, type: Compute): void {
  const channels = inputs / g.groups, filters = outputs / g.groups, size = type === "f32" ? 4 : 8;
  const { rows, places, plane, block, col, columns, multiply } = windows(b, g, channels, type), direct = pointwise(g);
  b.steps.push(() => {
    for (let n = 0; n < batch; n++) for (let k = 0; k < g.groups; k++) {
      const to = x + (n * inputs + k * channels) * plane * size, from = y + (n * outputs + k * filters) * places * size;
      const weights = { at: w + k * filters * rows * size, rows, columns: filters, rowStep: 1, columnStep: rows };
      if (direct) {
        multiply(weights, { at: from, rows: filters, columns: places, rowStep: places, columnStep: 1 }, to, false);
        continue;
      }
      for (let s = 0; s < places; s += block) {
        const until = Math.min(s + block, places);
        multiply(weights, { at: from + s * size, rows: filters, columns: until - s, rowStep: places, columnStep: 1 }, col, false);
        columns(1, to, s, until);
      }
    }
  });
}

/** w (+)= Σ y[n, o, place] x[n, c, place + window]: the gradient of the weights. w is zero before. */
function weigh(b: Build, x: number, w: number, y: number, batch: number, inputs: number, outputs: number, g: Geometry, type: Compute): void {
  const channels = inputs / g.groups, filters = outputs / g.groups, size = type === "f32" ? 4 : 8;
  const { rows, places, plane, block, col, columns, multiply } = windows(b, g, channels, type), direct = pointwise(g);
  b.steps.push(() => {
    for (let n = 0; n < batch; n++) for (let k = 0; k < g.groups; k++) {
      const from = x + (n * inputs + k * channels) * plane * size, grad = y + (n * outputs + k * filters) * places * size;
      const to = w + k * filters * rows * size;
      if (direct) {
        multiply(
          { at: grad, rows: filters, columns: places, rowStep: places, columnStep: 1 },
          { at: from, rows: places, columns: rows, rowStep: 1, columnStep: plane }, to, true,
        );
        continue;
      }
      for (let s = 0; s < places; s += block) {
        const until = Math.min(s + block, places), count = until - s;
        columns(0, from, s, until);
        multiply(
          { at: grad + s * size, rows: filters, columns: count, rowStep: places, columnStep: 1 },
          { at: col, rows: count, columns: rows, rowStep: 1, columnStep: count }, to, true,
        );
      }
    }
  });
}

/** Multiply-adds of a convolution, twice. */
function flops(batch: number, conv: readonly number[], filters: readonly number[]): number {
  return 2 * product(conv) * product(filters) * batch;
}

function zero(b: Build, value: Value): void {
  b.fill(value, new Num(0));
}

function convolution(b: Build, args: Args): Value {
  const [x, w, bias] = [args[0] as Value, args[1] as Value, args[2] as Value | null];
  const { out: shape, geometry, transposed, outputs } = checked(x, w, bias, args.slice(3));
  const out = b.result(x.dtype, shape), type = x.dtype as Compute, batch = x.shape[0]!, inputs = x.shape[1]!;
  charge(b, flops(batch, transposed ? x.shape.slice(2) : shape.slice(2), w.shape), x, w, out);
  const [from, weights, to] = [b.dense(x).at, b.dense(w).at, out.at];
  const start = bias && b.dense(bias), plane = product(shape.slice(2));
  if (start) { // each plane begins with its bias
    const { heap } = b, at = start.at, size = out.bytes;
    b.steps.push(() => {
      const memory = type === "f32" ? heap.f32 : heap.f64;
      for (let n = 0; n < batch; n++) for (let o = 0; o < outputs; o++) {
        const begin = to / size + (n * outputs + o) * plane;
        memory.fill(memory[at / size + o]!, begin, begin + plane);
      }
    });
  } else if (transposed) zero(b, out);
  if (!transposed) {
    correlate(b, from, weights, to, batch, inputs, outputs, geometry, type, start !== null);
    return out;
  }
  if (start && pointwise(geometry)) { // the product is written, not added
    const sum = b.temp(x.dtype, shape), f = b.kernel("binary", type), n = out.size;
    spread(b, sum.at, weights, from, batch, outputs, inputs, geometry, type);
    b.steps.push(() => f(0, n, to, 1, sum.at, 1, to));
  } else spread(b, to, weights, from, batch, outputs, inputs, geometry, type);
  return out;
}

function convolutionBackward(b: Build, args: Args): (Value | null)[] {
  const [grad, x, w] = args.slice(0, 3) as [Value, Value, Value], biasSizes = args[3] as number[] | null, mask = args[10] as boolean[];
  const { out: shape, geometry, transposed, outputs } = checked(x, w, null, args.slice(4, 10));
  sameTypes(grad, x);
  require(String(grad.shape) === String(shape), "the operands must have equal shapes");
  notEmpty(grad);
  require(mask.length === 3 && (!mask[2] || String(biasSizes ?? []) === String([outputs])), "the output mask or the bias sizes do not match");
  const type = x.dtype as Compute, batch = x.shape[0]!, inputs = x.shape[1]!;
  const each = flops(batch, transposed ? x.shape.slice(2) : shape.slice(2), w.shape);
  charge(b, each * ((mask[0] ? 1 : 0) + (mask[1] ? 1 : 0)), grad, x, w);
  const [g, from, weights] = [b.dense(grad).at, b.dense(x).at, b.dense(w).at];
  const results: (Value | null)[] = [null, null, null];
  if (mask[0]) {
    const gx = results[0] = b.result(x.dtype, x.shape);
    if (transposed) correlate(b, g, weights, gx.at, batch, outputs, inputs, geometry, type, false);
    else {
      zero(b, gx);
      spread(b, gx.at, weights, g, batch, inputs, outputs, geometry, type);
    }
  }
  if (mask[1]) {
    const gw = results[1] = b.result(w.dtype, w.shape);
    zero(b, gw);
    if (transposed) weigh(b, g, gw.at, from, batch, outputs, inputs, geometry, type);
    else weigh(b, from, gw.at, g, batch, inputs, outputs, geometry, type);
  }
  if (mask[2]) {
    const gb = results[2] = b.result(w.dtype, [outputs]), plane = product(shape.slice(2));
    const sums = b.temp(w.dtype, [batch, outputs]), f = b.kernel("reduce", type), [s, to] = [sums.at, gb.at];
    b.steps.push(() => {
      f(0, batch * outputs, plane, 1, g, s);
      f(0, 1, batch, outputs, s, to);
    });
  }
  return results;
}

export const CONVOLUTIONS: Rules = {
  "convolution.default": convolution,
  "convolution_backward.default": convolutionBackward,
};
