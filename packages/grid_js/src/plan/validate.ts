/**
 * Structure of a decoded plan: every id defined before use, every argument of the kind that the operation declares.
 * As `syft_ext/plans/checking/validate.py`, rule by rule and word by word; runs and allocates nothing.
 */
import { Real } from "../wire/msgpack.js";
import { DTYPES, ITEM_BYTES, type Argument, type Const, type DType, type Document, type Expr, type Node, type Tree, type Whole } from "./document.js";
import { checkExpr } from "./expr.js";
import { InvalidPlan, require } from "./invalid.js";
import { SIGNATURES, type Kind } from "./schema.js";

const NAME = /^[A-Za-z_][A-Za-z0-9_.]{0,127}$/;
const SYMBOL = /^[A-Za-z_][A-Za-z0-9_]{0,31}$/;
const MAX_RANK = 16;
const MAX_LIST = 4096;
const MAX_TREE_DEPTH = 8;

/** Throws InvalidPlan unless the document is well-formed. */
export function validate(document: Document): void {
  header(document);
  document.consts.forEach(constant);
  for (const item of document.inputs) {
    typed(item.name, item.dtype, item.shape, document.symbols);
    if (!item.default) continue;
    constant(item.default);
    require(
      item.default.dtype === item.dtype && same(item.default.shape, item.shape),
      `input ${item.name}: the default has another type than the input`,
    );
  }
  covers(document.arguments.map((each) => each.tree), document.inputs.length, "arguments");
  const values = nodes(document);
  for (const output of document.outputs) {
    typed(output.name, output.dtype, output.shape, document.symbols);
    require(output.id >= 0 && output.id < values, `output ${output.name}: unknown value ${output.id}`);
  }
  covers([document.result], document.outputs.length, "result");
  selfTest(document);
  const sized = document.inputs.flatMap((each) => each.shape).filter((size) => Array.isArray(size) && size[0] === "sym");
  for (const symbol of document.symbols.keys()) {
    require(sized.some((size) => (size as Expr[])[1] === symbol), `no input has the symbol ${symbol} as a size`);
  }
}

function same(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a.length === b.length && a.every((each, place) => each === b[place]);
}

function header(document: Document): void {
  require(NAME.test(document.name) && length(document.doc) <= 16384, "the plan's name or description is malformed");
  require(
    document.provenance.size <= 16 && [...document.provenance].every(([key, value]) => length(key) <= 64 && length(value) <= 256),
    "the plan's provenance is too long",
  );
  for (const [name, [low, high]] of document.symbols) {
    require(SYMBOL.test(name) && 1 <= low && low <= high && high < 2 ** 40, "a symbol has a malformed name or range");
  }
  unique(document.arguments, "argument");
  unique(document.inputs, "input");
  unique(document.outputs, "output");
  require(document.outputs.length, "the plan returns nothing");
  for (const op of document.ops) {
    const known = SIGNATURES.get(op);
    require(known && known.opset <= document.opset, `operation '${op.slice(0, 80)}' is not in the op set`, { op: op.slice(0, 80) });
  }
  require(new Set(document.ops).size === document.ops.length, "the op table names an operation twice");
}

/** Characters, as Python counts them. */
function length(text: string): number {
  return [...text].length;
}

function unique(named: readonly { readonly name: string }[], what: string): void {
  const names = named.map((each) => each.name);
  require(
    names.every((name) => NAME.test(name)) && new Set(names).size === names.length,
    `${what} names must be unique identifiers`,
  );
}

function constant(value: Const): void {
  require(
    (DTYPES as readonly string[]).includes(value.dtype) && value.shape.length <= MAX_RANK,
    "a constant has an unknown dtype or too many dimensions",
  );
  require(value.shape.every((size) => size >= 0 && size < 2 ** 48), "a constant has a malformed shape");
  const bytes = value.shape.reduce<bigint>((product, size) => product * BigInt(size), BigInt(ITEM_BYTES[value.dtype as DType]));
  require(bytes === BigInt(value.raw.length), "a constant's shape and bytes disagree");
  require(value.dtype !== "b" || value.raw.every((byte) => byte <= 1), "a constant holds a bool that is neither 0 nor 1");
}

function typed(name: string, dtype: string, shape: readonly Expr[], symbols: Document["symbols"]): void {
  require(
    (DTYPES as readonly string[]).includes(dtype) && shape.length <= MAX_RANK,
    `${name}: unknown dtype or too many dimensions`,
  );
  for (const size of shape) checkExpr(size, symbols);
}

// --- trees ---

/** The indices at the leaves of a tree, in order; InvalidPlan if it is malformed. */
export function treeLeaves(tree: Tree | undefined, depth = 0): Whole[] {
  if (typeof tree === "number" || typeof tree === "bigint") return [tree];
  require(
    Array.isArray(tree) && tree.length && depth <= MAX_TREE_DEPTH && ["l", "t", "d"].includes(tree[0] as string),
    "malformed structure of arguments or results",
  );
  const keys = new Set<string>();
  return tree.slice(1).flatMap((part) => {
    if (tree[0] !== "d") return treeLeaves(part, depth + 1);
    require(
      Array.isArray(part) && part.length === 2 && typeof part[0] === "string" && !keys.has(part[0]),
      "malformed structure of arguments or results",
    );
    keys.add(part[0]);
    return treeLeaves(part[1], depth + 1);
  });
}

function covers(trees: readonly Tree[], count: number, what: string): void {
  const leaves = trees.flatMap((tree) => treeLeaves(tree));
  require(
    leaves.length === count && leaves.every((leaf, place) => leaf === place),
    `the ${what} do not name each value once and in order`,
  );
}

// --- nodes ---

/** Ids of the values that a checked argument reads, in order. */
export function references(argument: Argument): number[] {
  if (!Array.isArray(argument)) return [];
  if (argument[0] === "r") return [argument[1] as number];
  return argument[0] === "l" ? argument.slice(1).flatMap(references) : [];
}

/** Checks all nodes and returns the number of values. */
function nodes(document: Document): number {
  let defined = document.inputs.length + document.consts.length;
  document.nodes.forEach((node, index) => {
    require(node.op >= 0 && node.op < document.ops.length, `node ${index}: no such operation in the op table`);
    const name = document.ops[Number(node.op)]!;
    try {
      call(name, node, defined, document.symbols);
    } catch (error) {
      if (!(error instanceof InvalidPlan)) throw error;
      throw new InvalidPlan(`node ${index} (${name}): ${error.detail}`, { node: index, op: name });
    }
    defined += Number(node.outs);
  });
  return defined;
}

function call(name: string, node: Node, defined: number, symbols: Document["symbols"]): void {
  const { outs, parameters } = SIGNATURES.get(name)!;
  require(node.outs === outs, "wrong number of results");
  const positional = parameters.filter((each) => !each.byName);
  require(node.args.length <= positional.length, "too many arguments");
  const given = new Map<string, Argument>(node.args.map((value, place) => [positional[place]!.name, value]));
  for (const [key, value] of node.kwargs) {
    require(
      parameters.some((each) => each.name === key) && !given.has(key) && key !== "pin_memory",
      "unknown or repeated keyword argument",
    );
    given.set(key, value);
  }
  for (const { name: key, kind, required } of parameters) {
    const value = given.get(key);
    if (value !== undefined) argument(key, kind, value, defined, symbols);
    else require(!required, `argument ${key} is missing`);
  }
}

const WORDS = { T: "Tensor", n: "number", i: "int", f: "float", b: "bool", s: "str", d: "ScalarType", x: "Device or layout" };

function argument(key: string, kind: Kind, value: Argument, defined: number, symbols: Document["symbols"]): void {
  if (value === null && kind.optional) return;
  if (kind.list) {
    require(Array.isArray(value) && value[0] === "l" && value.length <= MAX_LIST, `argument ${key}: a list is needed`);
    const part = { ...kind, list: false, optional: kind.partOptional };
    for (const each of value.slice(1)) argument(key, part, each, defined, symbols);
    return;
  }
  // A number given for a later tensor operand (`x * 2.0`) becomes a tensor without dimensions.
  const number = kind.base === "T" && key !== "self" && (isNumber(value) || tag(value) === "s");
  require(fits(number ? "n" : kind.base, kind, value, defined, symbols), `argument ${key}: not a ${WORDS[number ? "n" : kind.base]}`);
}

function isNumber(value: Argument): value is number | bigint | Real {
  return typeof value === "number" || typeof value === "bigint" || value instanceof Real;
}

function tag(value: Argument): Argument | undefined {
  return Array.isArray(value) && value.length === 2 ? value[0] : undefined;
}

function fits(base: Kind["base"], kind: Kind, value: Argument, defined: number, symbols: Document["symbols"]): boolean {
  const second = Array.isArray(value) ? value[1] : undefined;
  switch (base) {
    case "T": return tag(value) === "r" && typeof second === "number" && second >= 0 && second < defined;
    case "d": return tag(value) === "d" && (DTYPES as readonly unknown[]).includes(second);
    case "s": return typeof value === "string" && kind.words.includes(value);
    case "b": return typeof value === "boolean";
    case "x": return false;
    default:
      if (tag(value) === "s") {
        checkExpr(second, symbols);
        return true;
      }
      if (typeof value === "number") return true;
      if (typeof value === "bigint") return value >= -(1n << 63n) && value < 1n << 63n;
      return (value instanceof Real && base !== "i") || (typeof value === "boolean" && base === "n");
  }
}

function selfTest(document: Document): void {
  const test = document.selftest;
  require(
    test.symbols.size === document.symbols.size && [...test.symbols.keys()].every((name) => document.symbols.has(name)),
    "the self-test binds other symbols than the plan",
  );
  for (const [name, value] of test.symbols) {
    const [low, high] = document.symbols.get(name)!;
    require(low <= value && value <= high && value <= 4096, "the self-test binds a symbol outside its range");
  }
  require(
    test.inputs.length === document.inputs.length && test.outputs.length === document.outputs.length,
    "the self-test does not match the plan's inputs and outputs",
  );
  const tolerable = [test.rtol, test.atol].every((each) => each >= 0 && each <= 0.1);
  require(test.seed >= 0 && test.seed < 2 ** 32 && tolerable, "the self-test has a malformed seed or tolerance");
  test.inputs.forEach(({ kind, low, high }, place) => {
    require(-(2 ** 53) <= low && low <= high && high <= 2 ** 53, "the self-test has a malformed range");
    require(kind !== "default" || document.inputs[place]!.default, "the self-test uses a default that the input does not have");
  });
  require(
    test.outputs.every((each) => each.first.length <= 8 && each.shape.length <= MAX_RANK),
    "the self-test's results are malformed",
  );
}
