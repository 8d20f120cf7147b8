/** Tensors of a plan while it is prepared: views share a storage, and differ in shape, strides and offset. */
import { ITEM_BYTES, type DType } from "../plan/document.js";
import { require } from "../plan/invalid.js";
import { Real } from "../wire/msgpack.js";

/** A place in memory, and how many values still lie in it. */
export class Storage {
  users = 0;
  constructor(readonly at: number, readonly bytes: number) {}
}

export class Value {
  readonly size: number;
  /** @param strides, offset in elements */
  constructor(
    readonly dtype: DType,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
    readonly offset: number,
    readonly storage: Storage,
  ) {
    this.size = product(shape);
  }

  get bytes(): number {
    return ITEM_BYTES[this.dtype];
  }

  /** Of its first element. */
  get at(): number {
    return this.storage.at + this.offset * this.bytes;
  }

  /** Whether its elements lie one behind the other, the last dimension fastest. */
  get dense(): boolean {
    if (this.size === 0) return true;
    let expected = 1;
    for (let d = this.shape.length - 1; d >= 0; d--) {
      if (this.shape[d] !== 1 && this.strides[d] !== expected) return false;
      expected *= this.shape[d]!;
    }
    return true;
  }

  /** The same memory, seen otherwise. */
  view(shape: readonly number[], strides: readonly number[], offset = this.offset): Value {
    return new Value(this.dtype, shape, strides, offset, this.storage);
  }
}

export function product(shape: readonly number[]): number {
  return shape.reduce((all, size) => all * size, 1);
}

export function denseStrides(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let step = 1;
  for (let d = shape.length - 1; d >= 0; d--) {
    strides[d] = step;
    step *= Math.max(shape[d]!, 1);
  }
  return strides;
}

/** A number among the arguments: a truth value, an integer or a floating-point number. */
export class Num {
  readonly kind: "b" | "i64" | "f32";
  readonly value: number;
  readonly whole: bigint;
  constructor(given: boolean | number | bigint | Real) {
    this.kind = typeof given === "boolean" ? "b" : given instanceof Real ? "f32" : "i64";
    this.value = given instanceof Real ? given.value : Number(given);
    this.whole = given instanceof Real ? 0n : BigInt(given);
  }
}

const LARGEST = 3.4028234663852886e38;

/** The number as an element of this type; integers that do not fit are refused. */
export function fitted(given: Num, dtype: DType): Num {
  if (dtype === "f32") require(!Number.isFinite(given.value) || Math.abs(given.value) <= LARGEST, "the number cannot be converted to f32 without overflow");
  if (isFloat(dtype) || dtype === "b") return given;
  const bits = ITEM_BYTES[dtype] * 8, top = dtype === "u8" ? 255n : (1n << BigInt(bits - 1)) - 1n;
  const low = dtype === "u8" ? 0n : -top - 1n, real = given.kind === "f32";
  const whole = real ? (Number.isFinite(given.value) ? BigInt(Math.trunc(given.value)) : null) : given.whole;
  require(
    // Integers below 0 wrap into bytes, as in C; fractions do not.
    whole !== null && whole <= top && whole >= (!real && dtype === "u8" ? -255n : low)
      && (!real || dtype === "i64" || (given.value <= Number(top) && given.value >= Number(low))),
    `the number cannot be converted to ${dtype} without overflow`,
  );
  return new Num(whole);
}

/** The number wrapped into a type of integers, as an operand beside tensors of it. */
export function wrapped(given: Num, dtype: DType): Num {
  if (isFloat(dtype) || dtype === "b" || given.kind === "f32") return given;
  const bits = ITEM_BYTES[dtype] * 8;
  return new Num(dtype === "u8" ? BigInt.asUintN(bits, given.whole) : BigInt.asIntN(bits, given.whole));
}

export const isFloat = (dtype: DType): boolean => dtype === "f32" || dtype === "f64" || dtype === "f16" || dtype === "bf16";

// -- types of results ------------------------------------------------------------------------------------------

const WIDTH: readonly DType[] = ["b", "u8", "i8", "i16", "i32", "i64", "f16", "bf16", "f32", "f64"];

function promote(a: DType | null, b: DType | null): DType | null {
  if (!a || !b || a === b) return a ?? b;
  const pair = [a, b];
  if (pair.includes("u8") && pair.includes("i8")) return "i16";
  if (pair.includes("f16") && pair.includes("bf16")) return "f32";
  return WIDTH[Math.max(WIDTH.indexOf(a), WIDTH.indexOf(b))]!;
}

/** A lower kind of operand decides only where it is of a higher category: truth value, integer, floating point. */
function combine(higher: DType | null, lower: DType | null): DType | null {
  if (!higher || isFloat(higher)) return higher ?? lower;
  return higher === "b" || (lower && isFloat(lower)) ? promote(higher, lower) : higher;
}

/** As torch.result_type: tensors before tensors without dimensions before numbers. */
export function resultType(...operands: readonly (Value | Num)[]): DType {
  let tensors: DType | null = null, zeros: DType | null = null, numbers: DType | null = null;
  for (const each of operands) {
    if (each instanceof Num) numbers = promote(numbers, each.kind);
    else if (each.shape.length) tensors = promote(tensors, each.dtype);
    else zeros = promote(zeros, each.dtype);
  }
  return combine(tensors, combine(zeros, numbers))!;
}
