/** A report as its participant lets it out: `syft_ext/federated/bounds`, without noise, which is refused by name. */
import { BadRequest, InvalidConfig, InvalidTensors, Unsupported } from "../errors.js";
import { Real, type Packable } from "../wire/msgpack.js";
import { isFloat, type Named } from "../wire/tensor_file.js";
import type { Tensor } from "../wire/tensor.js";
import type { CyclePolicy } from "./messages.js";

/** What leaves at most, whatever a training does; null or left out: no bound. */
export interface WorkerBounds {
  /** The L2 norm that a report's difference to the model is clipped to. */
  readonly clipNorm?: number | null;
  /** A browser adds no exact noise yet: refused. */
  readonly noiseMultiplier?: number | null;
  /** Reports on fewer rows are not made. */
  readonly minRows?: number;
  /** The weight that a report claims at most. */
  readonly maxSamples?: number | null;
  /** Reports to one training, all its cycles and reloads together. */
  readonly maxReports?: number | null;
}

export function checkBounds(bounds: WorkerBounds): WorkerBounds {
  if (bounds.noiseMultiplier != null) {
    throw new Unsupported("a browser cannot add exact noise to its reports yet: take part with Grid's SDK or a Worker", {
      field: "noise_multiplier",
    });
  }
  if (bounds.clipNorm != null && !(bounds.clipNorm >= 1e-30 && bounds.clipNorm <= 1e30)) {
    throw new InvalidConfig(`clip_norm is ${bounds.clipNorm}: it is from 1e-30 to 1e30`, { field: "clip_norm" });
  }
  for (const [field, value] of [
    ["min_rows", bounds.minRows], ["max_samples", bounds.maxSamples], ["max_reports", bounds.maxReports],
  ] as const) {
    if (value != null && !(Number.isSafeInteger(value) && value >= 1)) {
      throw new InvalidConfig(`${field} is ${value}: it is a whole number from 1 on`, { field });
    }
  }
  return bounds;
}

/** As the Domain is told them. */
export function declaredBounds(bounds: WorkerBounds): Packable {
  return {
    clip_norm: bounds.clipNorm == null ? null : new Real(bounds.clipNorm), noise_multiplier: null, min_rows: bounds.minRows ?? 1,
    max_samples: bounds.maxSamples ?? null, max_reports: bounds.maxReports ?? null,
  };
}

type Numbers = Float32Array | Float64Array | Int8Array | Uint8Array | Int16Array | Int32Array | BigInt64Array;

/** A tensor's elements to compute with; throws {@link Unsupported} for half precision, which browsers do not read. */
export function numbers(tensor: Tensor): Numbers {
  switch (tensor.dtype) {
    case "F32": return new Float32Array(tensor.data);
    case "F64": return new Float64Array(tensor.data);
    case "I64": return new BigInt64Array(tensor.data);
    case "I32": return new Int32Array(tensor.data);
    case "I16": return new Int16Array(tensor.data);
    case "I8": return new Int8Array(tensor.data);
    case "U8": case "BOOL": return new Uint8Array(tensor.data);
    default: throw new Unsupported(`tensors of ${tensor.dtype} are not computed with in a browser yet`, { dtype: tensor.dtype });
  }
}

/**
 * `base − trained` of each tensor that moves, within the bounds: all finite, constants left out; with a clip norm the
 * exact L2 norm of all parameters together is at most that, and everything else is reported as unchanged. Throws
 * {@link InvalidTensors} where `trained` is not shaped as `base`, or not finite.
 */
export function difference(
  base: readonly Named[], trained: readonly Tensor[], bounds: WorkerBounds,
): { name: string; tensor: Tensor }[] {
  if (trained.length !== base.length) {
    throw new InvalidTensors(`${trained.length} trained tensors, where the model has ${base.length}`);
  }
  base.forEach(({ name, tensor }, at) => {
    const other = trained[at]!;
    if (other.dtype !== tensor.dtype || other.shape.join() !== tensor.shape.join()) {
      throw new InvalidTensors(`${name}: ${other.dtype}[${other.shape}] was learned, where the model has ${tensor.dtype}[${tensor.shape}]`);
    }
  });
  const moving = base.map((each, at) => ({ ...each, after: trained[at]! })).filter(({ kind }) => kind !== "constant");
  // Where nothing moves a report has all tensors, as unchanged: it has the model's names at least.
  if (!moving.length) return base.map(({ name, tensor }) => ({ name, tensor: unchanged(tensor) }));
  const { clipNorm } = bounds;
  if (clipNorm == null) {
    return moving.map(({ name, tensor, after }) => ({ name, tensor: subtracted(name, tensor, after) }));
  }
  const pairs = moving.filter(({ kind }) => kind === "parameter");
  const scale = clipScale(pairs.map(({ name, tensor, after }) => wide(name, tensor, after)), clipNorm);
  return moving.map(({ name, tensor, after, kind }) =>
    ({ name, tensor: kind === "parameter" ? scaled(tensor, wide(name, tensor, after), scale) : unchanged(tensor) }));
}

function unchanged(tensor: Tensor): Tensor {
  return { ...tensor, data: new ArrayBuffer(tensor.data.byteLength) };
}

function subtracted(name: string, before: Tensor, after: Tensor): Tensor {
  const made = unchanged(before), out = numbers(made), one = numbers(before), other = numbers(after);
  const floating = isFloat(before.dtype);
  for (let at = 0; at < out.length; at++) {
    if (out instanceof BigInt64Array) out[at] = (one[at] as bigint) - (other[at] as bigint);
    else {
      const value = (one[at] as number) - (other[at] as number);
      out[at] = value;
      if (floating && !Number.isFinite(out[at])) throw notFinite(name);
    }
  }
  return made;
}

function notFinite(name: string): InvalidTensors {
  return new InvalidTensors(`what was learned for ${name} holds a number that is not finite`);
}

/** The difference in double precision, in which that of two floats is exact. */
function wide(name: string, before: Tensor, after: Tensor): Float64Array {
  const one = numbers(before), other = numbers(after), made = new Float64Array(one.length);
  for (let at = 0; at < made.length; at++) {
    made[at] = Number(one[at]) - Number(other[at]);
    if (!Number.isFinite(made[at])) throw notFinite(name);
  }
  return made;
}

const SLACK = 2 ** -52;

/**
 * What to multiply the difference by, so that its exact L2 norm is at most `bound` after it was rounded towards zero
 * (`syft_ext/federated/bounds/clipping.py`; N. Higham, "Accuracy and Stability of Numerical Algorithms", 2002, section 3.1).
 */
function clipScale(parts: readonly Float64Array[], bound: number): number {
  let largest = 0, count = 0, squares = 0;
  for (const part of parts) for (const value of part) largest = Math.max(largest, Math.abs(value));
  if (!largest) return 1;
  for (const part of parts) {
    for (const value of part) squares += (value / largest) ** 2;
    count += part.length;
  }
  const above = Math.sqrt(squares * (1 + (count + 16) * SLACK)) * (1 + 4 * SLACK);
  const norm = largest * above * (1 + 4 * SLACK);
  if (norm <= bound) return 1;
  const scale = (bound / norm) * (1 - 8 * SLACK);
  return scale > 2 ** -1000 ? scale : 0;
}

function scaled(like: Tensor, values: Float64Array, scale: number): Tensor {
  const made = unchanged(like), out = numbers(made) as Float32Array | Float64Array;
  const bits = out instanceof Float32Array ? new Int32Array(made.data) : null;
  for (let at = 0; at < values.length; at++) {
    const value = values[at]! * scale;
    out[at] = value;
    // Floats are sign and magnitude: one less as a whole number is the next one towards zero.
    if (bits && Math.abs(out[at]!) > Math.abs(value)) bits[at]! -= 1;
  }
  return made;
}

/** Throws {@link BadRequest} for a report on fewer rows than its participant wants behind one. */
export function checkRows(rows: number, bounds: WorkerBounds): void {
  if (rows < (bounds.minRows ?? 1)) {
    throw new BadRequest(`the bounds demand at least ${bounds.minRows} rows behind a report`, { field: "min_rows" });
  }
}

/** Loss or accuracy as it is reported: under noise it stays here, and where reports are clipped little of it is left. */
export function metric(value: number | null, bounds: WorkerBounds, policy: CyclePolicy | null): number | null {
  if (value === null || policy?.noiseMultiplier != null) return null;
  if (bounds.clipNorm == null && policy?.clipNorm == null) return Number.isFinite(value) ? value : null;
  if (Number.isNaN(value)) return null;
  if (Math.abs(value) >= 1e6) return Math.sign(value) * 1e6;
  return Math.abs(value) >= 1e-6 ? Number(value.toExponential(3)) : 0;
}

