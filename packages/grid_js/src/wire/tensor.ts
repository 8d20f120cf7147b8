/** What a tensor is in this package: the seam between wire, engine and page. */

/** Elements of a tensor, by the names of the tensor file (`syft_ext.tensors`). */
export type Dtype = "BOOL" | "U8" | "I8" | "I16" | "I32" | "I64" | "F16" | "BF16" | "F32" | "F64";

/** Bytes of one element. */
export const ITEM_SIZES: Readonly<Record<Dtype, number>> = {
  BOOL: 1, U8: 1, I8: 1, I16: 2, F16: 2, BF16: 2, I32: 4, F32: 4, I64: 8, F64: 8,
};

/** A dense tensor: row-major, little-endian, and `data` holds exactly its elements. */
export interface Tensor {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly data: ArrayBuffer;
}

/** How many elements a tensor of this shape has; 1 for a number by itself. */
export function elements(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** A tensor, once its parts fit together; throws RangeError where they do not. */
export function tensor(dtype: Dtype, shape: readonly number[], data: ArrayBuffer): Tensor {
  if (shape.some((size) => !Number.isSafeInteger(size) || size < 0)) {
    throw new RangeError(`a tensor of shape [${shape.join(", ")}]`);
  }
  const bytes = elements(shape) * ITEM_SIZES[dtype];
  if (!Number.isSafeInteger(bytes) || bytes !== data.byteLength) {
    throw new RangeError(`${dtype}[${shape.join(", ")}] takes ${bytes} bytes, not ${data.byteLength}`);
  }
  return { dtype, shape: [...shape], data };
}
