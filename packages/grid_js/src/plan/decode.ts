/**
 * Bytes to a document: the cap on size, the digest that names the plan, canonical msgpack, and the strict shape of
 * every part. Only then is anything of it looked at.
 */
import { blake3 } from "../wire/blake3.js";
import { compare, hex, utf8 } from "../wire/bytes.js";
import { NotPacked, Real, unpack, type Packed } from "../wire/msgpack.js";
import * as doc from "./document.js";
import { InvalidPlan, require } from "./invalid.js";
import { OPSET } from "./operations.js";

export const MAX_PLAN_BYTES = 64 << 20;
const FORMAT = "grid.plan";
const VERSION = 1;
const MAX_CONTAINERS = 200_000;
const MAX_CONSTS = 20_000;
/** Bytes of a plan without those of its tensors. */
const MAX_STRUCTURE = 2 << 20;

/** The id of a plan: 64 hex digits, the BLAKE3 digest of its bytes. */
export function planId(bytes: Uint8Array): string {
  return hex(blake3(bytes));
}

/** Decodes a plan whose id must be `expected`. Throws InvalidPlan. */
export function decode(bytes: Uint8Array, expected: string, maxBytes = MAX_PLAN_BYTES): doc.Document {
  require(bytes.length <= maxBytes, `a plan of ${bytes.length} bytes, the limit is ${maxBytes}`, { limit: maxBytes });
  const id = planId(bytes);
  require(id === expected, `the plan's bytes are not those of plan ${expected.slice(0, 12)}: their digest is ${id.slice(0, 12)}`);
  const root = fields(unpacked(bytes), "plan", [
    "format", "version", "opset", "kind", "name", "doc", "provenance", "symbols", "arguments", "inputs", "consts", "ops",
    "nodes", "outputs", "result", "selftest",
  ]);
  require(root.format === FORMAT, "this is not a plan");
  require(
    root.version === VERSION && typeof root.opset === "number" && root.opset >= 1 && root.opset <= OPSET,
    `format version ${String(root.version)}, op set ${String(root.opset)}: this reader knows version ${VERSION} and op sets up to ${OPSET}`,
  );
  const consts = list(root.consts, constant);
  const inputs = list(root.inputs, input);
  const tensors = [...consts, ...inputs.flatMap((each) => (each.default ? [each.default] : []))];
  require(tensors.length <= MAX_CONSTS, `more than ${MAX_CONSTS} tensors in a plan`);
  const inTensors = tensors.reduce((sum, each) => sum + each.raw.length, 0);
  require(bytes.length - inTensors <= MAX_STRUCTURE, "there is too much in the plan beside its tensors");
  return {
    opset: root.opset,
    kind: word(root.kind, doc.KINDS),
    name: text(root.name),
    doc: text(root.doc),
    provenance: mapping(root.provenance, text),
    symbols: mapping(root.symbols, range),
    arguments: list(root.arguments, (each) => {
      const { name, tree } = fields(each, "argument", ["name", "tree"]);
      return { name: text(name), tree: tree! };
    }),
    inputs,
    consts,
    ops: list(root.ops, text),
    nodes: list(root.nodes, node),
    outputs: list(root.outputs, output),
    result: root.result!,
    selftest: selfTest(root.selftest),
  };
}

function unpacked(bytes: Uint8Array): Packed {
  try {
    return unpack(bytes, MAX_CONTAINERS);
  } catch (error) {
    if (!(error instanceof NotPacked)) throw error;
    malformed(error.message);
  }
}

type Value = Packed | undefined;

function malformed(what: string): never {
  throw new InvalidPlan(`the plan's bytes cannot be read: ${what}`);
}

/** The fields of a mapping that has exactly these keys, in this order. */
function fields<K extends string>(value: Value, what: string, names: readonly K[]): Record<K, Packed> {
  if (!(value instanceof Map) || value.size !== names.length) malformed(`a ${what} is none`);
  let place = 0;
  for (const key of value.keys()) if (key !== names[place++]) malformed(`a ${what} has other fields, or in another order`);
  return Object.fromEntries(value) as Record<K, Packed>;
}

function items(value: Value, what: string, count: number): Packed[] {
  if (!Array.isArray(value) || value.length !== count) malformed(`a ${what} is none`);
  return value;
}

function list<T>(value: Value, each: (value: Value) => T): T[] {
  if (!Array.isArray(value)) malformed("a list is needed");
  return value.map((part) => each(part));
}

/** A mapping, its keys sorted as they must be. */
function mapping<T>(value: Value, each: (value: Value) => T): Map<string, T> {
  if (!(value instanceof Map)) malformed("a mapping is needed");
  let last: Uint8Array | undefined;
  for (const key of value.keys()) {
    const bytes = utf8(key);
    require(!last || compare(last, bytes) < 0, "the plan's bytes are not in canonical form");
    last = bytes;
  }
  return new Map([...value].map(([key, part]) => [key, each(part)]));
}

function text(value: Value): string {
  return typeof value === "string" ? value : malformed("a text is needed");
}

function word<T extends string>(value: Value, words: readonly T[]): T {
  return words.find((each) => each === value) ?? malformed("a word is none of those that are known");
}

function whole(value: Value): doc.Whole {
  return typeof value === "number" || typeof value === "bigint" ? value : malformed("an integer is needed");
}

/** A floating-point number; an integer in its place would not be canonical. */
function real(value: Value): number {
  return value instanceof Real ? value.value : malformed("a floating-point number is needed");
}

function range(value: Value): [doc.Whole, doc.Whole] {
  const [low, high] = items(value, "range", 2);
  return [whole(low), whole(high)];
}

function constant(value: Value): doc.Const {
  const [dtype, shape, raw] = items(value, "tensor", 3);
  if (!(raw instanceof Uint8Array)) malformed("a tensor in the plan has no bytes");
  return { dtype: text(dtype), shape: list(shape, whole), raw };
}

function sizes(value: Value): Packed[] {
  return list(value, (each) => each!);
}

function input(value: Value): doc.Input {
  const found = fields(value, "input", ["name", "role", "dtype", "shape", "default"]);
  return {
    name: text(found.name),
    role: word(found.role, doc.INPUT_ROLES),
    dtype: text(found.dtype) as doc.DType, // proved by validate
    shape: sizes(found.shape),
    default: found.default === null ? null : constant(found.default),
  };
}

function output(value: Value): doc.Output {
  const found = fields(value, "output", ["name", "role", "dtype", "shape", "id"]);
  return {
    name: text(found.name),
    role: word(found.role, doc.OUTPUT_ROLES),
    dtype: text(found.dtype) as doc.DType,
    shape: sizes(found.shape),
    id: Number(whole(found.id)),
  };
}

function node(value: Value): doc.Node {
  const [op, args, kwargs, outs] = items(value, "node", 4);
  return { op: whole(op), args: sizes(args), kwargs: mapping(kwargs, (each) => each!), outs: whole(outs) };
}

function generator(value: Value): doc.Generator {
  const [kind, low, high] = items(value, "generator", 3);
  return { kind: word(kind, ["uniform", "integers", "sorted", "default"]), low: real(low), high: real(high) };
}

function summary(value: Value): doc.Summary {
  const [shape, mean, absMean, first] = items(value, "summary", 4);
  return { shape: list(shape, whole), mean: real(mean), absMean: real(absMean), first: list(first, real) };
}

function selfTest(value: Value): doc.SelfTest {
  const found = fields(value, "self-test", ["seed", "symbols", "rtol", "atol", "inputs", "outputs"]);
  return {
    seed: whole(found.seed),
    symbols: mapping(found.symbols, whole),
    rtol: real(found.rtol),
    atol: real(found.atol),
    inputs: list(found.inputs, generator),
    outputs: list(found.outputs, summary),
  };
}
