/** Tensor files (the safetensors layout, in the model's order): as `syft_ext/tensors.py`. */
import { InvalidTensors, TooLarge } from "../errors.js";
import { concat, text, utf8, type Bytes } from "./bytes.js";
import { ITEM_SIZES, elements, tensor, type Dtype, type Tensor } from "./tensor.js";

/** What a tensor of a model is, and so what may be done with it. */
export type TensorKind = "parameter" | "statistic" | "variance" | "counter" | "constant";

export interface Named {
  readonly name: string;
  readonly tensor: Tensor;
  readonly kind: TensorKind;
}

const MAX_HEADER = 16 << 20;
const KINDS = "grid.kinds";
const ALL_KINDS: readonly string[] = ["parameter", "statistic", "variance", "counter", "constant"];
const FLOATS: readonly Dtype[] = ["F64", "F32", "F16", "BF16"];

export function isFloat(dtype: Dtype): boolean {
  return FLOATS.includes(dtype);
}

/** What a tensor is of which nobody says it. */
export function kindOf(dtype: Dtype): TensorKind {
  return isFloat(dtype) ? "parameter" : dtype === "BOOL" ? "constant" : "counter";
}

function canBe(kind: TensorKind, dtype: Dtype): boolean {
  return kind === "constant" || isFloat(dtype) || (kind === "counter" && dtype !== "BOOL");
}

/** The tensors of a whole file, in its order. Throws {@link InvalidTensors} when anything disagrees. */
export function readTensors(file: Uint8Array): Named[] {
  if (file.length < 8) throw new InvalidTensors("truncated: no header length");
  const length = new DataView(file.buffer, file.byteOffset).getBigUint64(0, true);
  if (length > MAX_HEADER) throw new TooLarge(`tensor header of ${length} bytes`, { limit: MAX_HEADER });
  const begin = 8 + Number(length);
  if (file.length < begin) throw new InvalidTensors("truncated: header incomplete");
  const header = parse(file.subarray(8, begin));
  const data = file.subarray(begin);
  const metadata = header.get("__metadata__");
  header.delete("__metadata__");
  const kinds = declaredKinds(metadata, header);
  const entries = [...header].map(([name, entry]) => ({ name, ...spec(name, entry) }));
  contiguous(entries, data.length);
  return entries.map(({ name, dtype, shape, start, stop }) => {
    const kind = kinds.get(name) ?? kindOf(dtype);
    if (!canBe(kind, dtype)) throw new InvalidTensors(`tensor ${name}: ${dtype} is no ${kind}`);
    const piece = data.slice(start, stop);
    if (dtype === "BOOL" && piece.some((each) => each > 1)) {
      throw new InvalidTensors(`tensor ${name}: a bool that is neither 0 nor 1`);
    }
    return { name, kind, tensor: tensor(dtype, shape, piece.buffer as ArrayBuffer) };
  });
}

/** JSON of which no name stands twice, as a mapping in its order (JavaScript's own objects reorder numbers). */
function parse(raw: Uint8Array): Map<string, unknown> {
  let source: string, whole: unknown;
  try {
    source = text(raw);
    whole = JSON.parse(source);
  } catch {
    throw new InvalidTensors("the tensor header is not JSON");
  }
  if (typeof whole !== "object" || whole === null || Array.isArray(whole)) {
    throw new InvalidTensors("the tensor header is not an object");
  }
  const names = topNames(source);
  if (new Set(names).size !== names.length) throw new InvalidTensors("the tensor header is not JSON");
  const found = whole as Record<string, unknown>;
  return new Map(names.map((name) => [name, Object.getOwnPropertyDescriptor(found, name)?.value]));
}

/** The names of an object's own members, as they stand in its (valid) JSON. */
function topNames(source: string): string[] {
  const names: string[] = [];
  let depth = 0;
  for (let at = 0; at < source.length; at++) {
    const each = source[at];
    if (each === "{" || each === "[") depth++;
    else if (each === "}" || each === "]") depth--;
    else if (each === '"') {
      const begins = at;
      for (at++; source[at] !== '"'; at++) if (source[at] === "\\") at++;
      let after = at + 1;
      while (/\s/.test(source[after] ?? "x")) after++;
      if (depth === 1 && source[after] === ":") names.push(JSON.parse(source.slice(begins, at + 1)) as string);
    }
  }
  return names;
}

function declaredKinds(metadata: unknown, names: ReadonlyMap<string, unknown>): Map<string, TensorKind> {
  const kinds = new Map<string, TensorKind>();
  if (metadata === undefined) return kinds;
  if (typeof metadata !== "object" || metadata === null || Object.values(metadata).some((each) => typeof each !== "string")) {
    throw new InvalidTensors("tensor metadata must map strings to strings");
  }
  const declared = (metadata as Record<string, string>)[KINDS];
  if (declared === undefined) return kinds;
  let groups: unknown;
  try {
    groups = JSON.parse(declared);
  } catch {
    throw new InvalidTensors(`the metadata ${KINDS} are not JSON`);
  }
  if (typeof groups !== "object" || groups === null || Array.isArray(groups)) {
    throw new InvalidTensors(`the metadata ${KINDS} are not kind → names`);
  }
  for (const [kind, members] of Object.entries(groups)) {
    if (!ALL_KINDS.includes(kind) || !Array.isArray(members)) {
      throw new InvalidTensors(`the metadata ${KINDS} are not kind → names`);
    }
    for (const name of members as unknown[]) {
      if (typeof name !== "string" || !names.has(name) || kinds.has(name)) {
        throw new InvalidTensors(`the metadata ${KINDS} name what is no tensor here, or one twice`);
      }
      kinds.set(name, kind as TensorKind);
    }
  }
  return kinds;
}

interface Spec {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly start: number;
  readonly stop: number;
}

function spec(name: string, entry: unknown): Spec {
  const { dtype, shape, data_offsets: offsets } = (entry ?? {}) as Record<string, unknown>;
  if (typeof dtype !== "string" || !Object.hasOwn(ITEM_SIZES, dtype)) throw new InvalidTensors(`tensor ${name}: unknown dtype`);
  if (!Array.isArray(shape) || shape.length > 16 || !Array.isArray(offsets) || offsets.length !== 2) {
    throw new InvalidTensors(`tensor ${name}: bad shape or offsets`);
  }
  const numbers = [...shape, ...offsets] as unknown[];
  if (!numbers.every((each) => typeof each === "number" && Number.isInteger(each) && each >= 0 && each < 2 ** 48)) {
    throw new InvalidTensors(`tensor ${name}: bad shape or offsets`);
  }
  const [start, stop] = offsets as [number, number];
  if (stop - start !== elements(shape as number[]) * ITEM_SIZES[dtype as Dtype]) {
    throw new InvalidTensors(`tensor ${name}: shape and size disagree`);
  }
  return { dtype: dtype as Dtype, shape: shape as number[], start, stop };
}

function contiguous(entries: readonly (Spec & { name: string })[], size: number): void {
  let end = 0;
  for (const each of [...entries].sort((one, other) => one.start - other.start || one.stop - other.stop)) {
    if (each.start !== end) throw new InvalidTensors(`tensor ${each.name}: buffers overlap or leave a hole`);
    end = each.stop;
  }
  if (end !== size) throw new InvalidTensors(`tensor data: ${size} bytes, header says ${end}`);
}

/** The file of these tensors, in this order. */
export function writeTensors(tensors: readonly { readonly name: string; readonly tensor: Tensor }[]): Bytes {
  let offset = 0;
  const entries = tensors.map(({ name, tensor: { dtype, shape, data } }) => {
    const entry = { dtype, shape, data_offsets: [offset, (offset += data.byteLength)] };
    return `${JSON.stringify(name)}:${JSON.stringify(entry)}`;
  });
  let json = utf8(`{${entries.join(",")}}`);
  if (json.length % 8) json = concat(json, new Uint8Array(8 - (json.length % 8)).fill(0x20));
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(json.length), true);
  return concat(length, json, ...tensors.map(({ tensor: { data } }) => new Uint8Array(data)));
}
