/**
 * A plan being prepared for the sizes of one binding: each operation finds the types of its results, says what it costs
 * and where it will write, and leaves steps behind. Nothing is computed, and no memory taken, before all have passed
 * the limits.
 */
import { ITEM_BYTES, type DType } from "../plan/document.js";
import { InvalidPlan, VALUES, require } from "../plan/invalid.js";
import { enforce, type Limits } from "../plan/limits.js";
import { Arena } from "./arena.js";
import { HEAP_BASE, type Heap, type Kernels } from "./kernels.js";
import { Num, Storage, Value, denseStrides, isFloat, product } from "./value.js";

export type Step = () => void;

/** Numbers of the types of elements, as the kernels have them. */
const CODES: Readonly<Record<DType, number>> = { f32: 0, f64: 1, i64: 2, i32: 3, i16: 4, i8: 5, u8: 6, b: 7, f16: -1, bf16: -1 };
const MAX_RANK = 16;
/** Kernels count and step in 32 bits. */
const MAX_EXTENT = 2 ** 31;
const POOL = 1 << 14;

/** In what an operation computes: the suffix of its kernels. Small integers are computed as i64, and wrap when kept. */
export type Compute = "f32" | "f64" | "i64";
export function computeType(dtype: DType): Compute {
  return dtype === "f32" || dtype === "f64" ? dtype : "i64";
}
export const SUFFIX: Readonly<Record<Compute, string>> = { f32: "32", f64: "64", i64: "I" };

/** Elements of a shape, empty dimensions counted as one: limits hold for what is large in one dimension and empty in another. */
export function extent(shape: readonly number[]): number {
  return shape.reduce((all, size) => all * Math.max(size, 1), 1);
}

export class Build {
  readonly steps: Step[] = [];
  readonly arena = new Arena(HEAP_BASE);
  /** Bytes that lie at their places for as long as this plan is in memory: tables, numbers, constants. */
  readonly fixed: [at: number, bytes: Uint8Array][] = [];
  flops = 0;
  largest = 0;
  /** Multiply-adds of this operation, where it is a product. */
  formula = 0;
  private readonly k: Kernels;
  private temporary: Storage[] = [];
  private pool = 0;
  private poolEnd = 0;

  constructor(readonly heap: Heap, readonly limits: Limits) {
    this.k = heap.kernels;
  }

  /** The kernel of this name and type. */
  kernel(name: string, dtype?: DType): (...args: (number | bigint)[]) => number {
    const found = this.k[dtype ? name + SUFFIX[computeType(dtype)] : name];
    if (!found) throw new Error(`no kernel ${name} of ${dtype}`);
    return found;
  }

  // -- memory --------------------------------------------------------------------------------------------------

  private storage(dtype: DType, shape: readonly number[]): Storage {
    require(dtype !== "f16" && dtype !== "bf16", `a tensor of ${dtype}: browsers do not compute with halves`, { dtype });
    this.seen(shape);
    const bytes = product(shape) * ITEM_BYTES[dtype];
    return this.taken(bytes);
  }

  private taken(bytes: number): Storage {
    const made = new Storage(this.arena.take(bytes), bytes);
    this.measure();
    this.temporary.push(made);
    return made;
  }

  /** Holds a shape against the limits. */
  seen(shape: readonly number[]): void {
    require(shape.length <= MAX_RANK, `a result of more than ${MAX_RANK} dimensions`);
    const numel = extent(shape);
    enforce(this.limits, "maxNumel", numel);
    require(numel < MAX_EXTENT, "a tensor has more elements than this machine counts");
    this.largest = Math.max(this.largest, numel);
  }

  private measure(): void {
    enforce(this.limits, "maxBytes", this.arena.top - HEAP_BASE);
    require(this.arena.top < MAX_EXTENT, "the plan needs more memory than a browser gives", { limit: "maxBytes" });
  }

  /** A new tensor, dense; its memory is that of nothing that is alive. */
  result(dtype: DType, shape: readonly number[]): Value {
    return new Value(dtype, shape, denseStrides(shape), 0, this.storage(dtype, shape));
  }

  /** As `result`; what an operation does not return lasts until its end. */
  temp(dtype: DType, shape: readonly number[]): Value {
    return this.result(dtype, shape);
  }

  /** The address of so many bytes, until the end of this operation. */
  scratch(bytes: number): number {
    return this.taken(bytes).at;
  }

  /** The end of an operation: takes back what its results do not lie in. */
  settle(kept: ReadonlySet<Storage>): void {
    for (const each of this.temporary) if (!kept.has(each)) this.arena.give(each.at, each.bytes);
    this.temporary = [];
  }

  /** The address of bytes that stay. */
  table(bytes: Uint8Array): number {
    if (this.pool + bytes.length > this.poolEnd) {
      const size = Math.max(POOL, bytes.length);
      this.pool = this.arena.fresh(size);
      this.poolEnd = this.pool + size;
      this.measure();
    }
    const at = this.pool;
    this.pool += Math.ceil(bytes.length / 16) * 16;
    this.fixed.push([at, bytes]);
    return at;
  }

  /** The address of integers of 32 bits. */
  ints(...values: readonly number[]): number {
    require(values.every((each) => Math.abs(each) < MAX_EXTENT), "sizes beyond what this machine counts");
    return this.table(new Uint8Array(Int32Array.from(values).buffer));
  }

  /** A number as a tensor without dimensions. */
  number(given: Num, dtype: DType): Value {
    const bytes = dtype === "f32" ? new Float32Array([given.value]).buffer
      : dtype === "f64" ? new Float64Array([given.value]).buffer
      : new BigInt64Array([BigInt.asIntN(64, given.kind === "f32" ? wholeOf(given.value) : given.whole)]).buffer;
    return new Value(dtype === "f32" || dtype === "f64" ? dtype : "i64", [], [], 0, new Storage(this.table(new Uint8Array(bytes)), bytes.byteLength));
  }

  // -- cost ----------------------------------------------------------------------------------------------------

  work(flops: number): void {
    this.flops += flops;
    enforce(this.limits, "maxFlops", this.flops);
  }

  // -- copies --------------------------------------------------------------------------------------------------

  /** Copies `from` to `to`, of one shape and type. */
  copy(from: Value, to: Value): void {
    if (from.size === 0) return;
    const groups = collapse(from.shape, [from.strides, to.strides]);
    const size = from.bytes, log = Math.log2(size), rank = groups.sizes.length;
    const a = from.at, b = to.at;
    if (rank === 1 && groups.strides[0]![0] === 1 && groups.strides[1]![0] === 1) {
      const bytes = from.size * size, heap = this.heap;
      this.steps.push(() => heap.u8.copyWithin(b, a, a + bytes));
      return;
    }
    const table = this.ints(...groups.sizes, ...groups.strides.flatMap((steps) => steps.map((step) => step * size)));
    const copy = this.kernel("copy");
    this.steps.push(() => copy(log, rank, table, a, b));
  }

  /** The same elements, one behind the other. */
  dense(value: Value): Value {
    if (value.dense) return value;
    const made = this.temp(value.dtype, value.shape);
    this.copy(value, made);
    return made;
  }

  /** A copy that nothing shares. */
  clone(value: Value): Value {
    const made = this.result(value.dtype, value.shape);
    this.copy(value, made);
    return made;
  }

  /** The elements in another type; dense where that is another one. */
  cast(value: Value, dtype: DType): Value {
    return value.dtype === dtype ? value : this.converted(value, this.temp(dtype, value.shape));
  }

  converted(value: Value, made: Value): Value {
    const source = this.dense(value), n = value.size, a = source.at, b = made.at;
    const from = CODES[value.dtype], to = CODES[made.dtype], cast = this.kernel("cast");
    if (n) this.steps.push(() => cast(from, to, n, a, b));
    return made;
  }

  /** An operand in the type that is computed in. */
  operand(given: Value | Num, dtype: DType): Value {
    return given instanceof Num ? this.number(given, computeType(dtype)) : this.cast(given, computeType(dtype));
  }

  /** Where a kernel of `dtype` writes: a result, or what becomes one by `keep`. */
  target(dtype: DType, shape: readonly number[]): Value {
    return computeType(dtype) === dtype ? this.result(dtype, shape) : this.temp("i64", shape);
  }

  keep(computed: Value, dtype: DType): Value {
    return computed.dtype === dtype ? computed : this.converted(computed, this.result(dtype, computed.shape));
  }

  /** A dense tensor of the same elements in this type of computing. */
  ready(value: Value, dtype: DType = value.dtype): Value {
    return this.dense(this.cast(value, computeType(dtype)));
  }

  fill(value: Value, given: Num): void {
    const { heap } = this, n = value.size, at = value.at;
    if (!n) return;
    const whole = given.kind === "f32" ? wholeOf(given.value) : given.whole;
    switch (value.dtype) {
      case "f32": this.steps.push(() => heap.f32.fill(given.value, at / 4, at / 4 + n)); break;
      case "f64": this.steps.push(() => heap.f64.fill(given.value, at / 8, at / 8 + n)); break;
      case "i64": {
        const wrapped = BigInt.asIntN(64, whole);
        this.steps.push(() => heap.i64.fill(wrapped, at / 8, at / 8 + n));
        break;
      }
      case "i32": {
        const wrapped = Number(BigInt.asIntN(32, whole));
        this.steps.push(() => heap.i32.fill(wrapped, at / 4, at / 4 + n));
        break;
      }
      default: {
        const small = this.number(given, "i64"), { bytes } = value, code = CODES[value.dtype], cast = this.kernel("cast");
        this.steps.push(() => {
          cast(value.dtype === "b" && given.kind === "f32" ? 0 : 2, code, 1, source.at, at);
          for (let have = 1; have < n; have *= 2) heap.u8.copyWithin(at + have * bytes, at, at + Math.min(have, n - have) * bytes);
        });
        const source = value.dtype === "b" && given.kind === "f32" ? this.number(given, "f32") : small;
      }
    }
  }

  /** Copies bytes within memory, at the beginning of a step. */
  move(from: number, to: number, bytes: number): void {
    const { heap } = this;
    this.steps.push(() => heap.u8.copyWithin(to, from, from + bytes));
  }

  // -- rules on elements ---------------------------------------------------------------------------------------

  /** Every element is an index in [low, high). */
  inRange(index: Value, low: number, high: number): void {
    if (!index.size) return;
    const dense = this.dense(index), n = index.size, at = dense.at, code = CODES[index.dtype];
    const extremes = this.kernel("extremes"), { least, most } = this.k;
    this.steps.push(() => {
      extremes(code, n, at);
      if (least() < low || most() >= high) this.refuse(`an index is not in [${low}, ${high})`);
    });
  }

  refuse(detail: string): never {
    throw new InvalidPlan(`the plan failed on these values: ${detail}`, { reason: VALUES });
  }
}

function wholeOf(value: number): bigint {
  return Number.isFinite(value) ? BigInt(Math.trunc(value)) : 0n;
}

// -- shapes ----------------------------------------------------------------------------------------------------

/** The shape that these are brought to together. */
export function broadcast(...shapes: readonly (readonly number[])[]): number[] {
  const result = new Array<number>(Math.max(0, ...shapes.map((shape) => shape.length))).fill(1);
  for (const shape of shapes) {
    shape.forEach((size, i) => {
      const place = i + result.length - shape.length;
      if (result[place] === 1) result[place] = size;
      else require(size === 1 || size === result[place], "the operands do not match each other");
    });
  }
  return result;
}

/** `value` as a tensor of this shape: repeated dimensions have steps of 0. */
export function expanded(value: Value, shape: readonly number[]): Value {
  const front = shape.length - value.shape.length;
  require(front >= 0, "the operands do not match each other");
  return value.view(shape, shape.map((size, d) => {
    if (d < front) return 0;
    const own = value.shape[d - front]!;
    require(own === size || own === 1, "the operands do not match each other");
    return own === 1 && size !== 1 ? 0 : value.strides[d - front]!;
  }));
}

/** Dimensions that lie one in the other for all operands are counted as one; at least one is left. */
export function collapse(shape: readonly number[], strides: readonly (readonly number[])[]): { sizes: number[]; strides: number[][] } {
  const sizes: number[] = [], steps: number[][] = strides.map(() => []);
  for (let d = shape.length - 1; d >= 0; d--) {
    const size = shape[d]!;
    if (size === 1) continue;
    if (sizes.length && strides.every((each, i) => each[d] === steps[i]![0]! * sizes[0]!)) {
      sizes[0]! *= size;
      continue;
    }
    sizes.unshift(size);
    strides.forEach((each, i) => steps[i]!.unshift(each[d]!));
  }
  if (!sizes.length) return { sizes: [1], strides: strides.map(() => [1]) };
  return { sizes, strides: steps };
}

/** `dim` counted from the front; a tensor without dimensions counts as one with one. */
export function axis(dim: number, rank: number): number {
  const dimensions = Math.max(rank, 1);
  require(-dimensions <= dim && dim < dimensions, "there is no such dimension");
  return dim < 0 ? dim + dimensions : dim;
}

export function floating(value: Value): void {
  require(isFloat(value.dtype), "a floating-point operand is needed");
}

export function sameTypes(...values: readonly (Value | null)[]): void {
  const found = new Set(values.filter((each) => each !== null).map((each) => each.dtype));
  require(found.size <= 1, "the operands must have one dtype");
}

export function sameShapes(...values: readonly Value[]): void {
  const first = String(values[0]!.shape);
  require(values.every((each) => String(each.shape) === first), "the operands must have equal shapes");
}

export function notEmpty(...values: readonly Value[]): void {
  require(values.every((each) => each.size > 0), "an empty operand");
}
