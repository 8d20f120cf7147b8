/**
 * A plan prepared for one binding: shapes, types and cost of every value by rule, before anything is allocated; what
 * comes out is a list of steps over fixed addresses. As `syft_ext/plans/checking/propagate.py`, node by node.
 */
import type { Argument, DType, Document, Node } from "../plan/document.js";
import { evaluate, evaluateShape, type Binding } from "../plan/expr.js";
import { InvalidPlan, require } from "../plan/invalid.js";
import { enforce, type Cost, type Limits } from "../plan/limits.js";
import { Real } from "../wire/msgpack.js";
import { SIGNATURES, type Kind, type Parameter } from "../plan/schema.js";
import { references } from "../plan/validate.js";
import { Build, extent, type Step } from "./build.js";
import { HEAP_BASE, type Heap } from "./kernels.js";
import type { Arg, Args } from "./rule.js";
import { WITH_NUMBERS, type Table } from "./table.js";
import { Num, Storage, Value, denseStrides } from "./value.js";

export interface Program {
  readonly steps: readonly Step[];
  readonly inputs: readonly Value[];
  /** Dense, and alive until the next run. */
  readonly outputs: readonly Value[];
  readonly fixed: readonly (readonly [at: number, bytes: Uint8Array])[];
  /** Of memory that it needs, the kernels' own included. */
  readonly top: number;
  readonly cost: Cost;
}

/** Throws InvalidPlan if an operation is none of this engine's: before a model is asked for. */
export function known(document: Document, rules: Table): void {
  for (const op of document.ops) {
    require(rules.has(op), `operation '${op}' is not among those that this engine computes`, { op });
  }
}

/** Throws InvalidPlan if an operation refuses its operands, a result is not what is declared, or a limit would be passed. */
export function prepare(document: Document, rules: Table, binding: Binding, limits: Limits, heap: Heap): Program {
  enforce(limits, "maxOps", document.nodes.length);
  return new Preparation(document, rules, binding, limits, heap).program();
}

class Preparation {
  private readonly build: Build;
  private readonly values: (Value | null)[] = [];
  private readonly lastUse = new Map<number, number>();
  private readonly kept: Set<number>;

  constructor(
    private readonly document: Document, private readonly rules: Table, private readonly binding: Binding, private readonly limits: Limits,
    heap: Heap,
  ) {
    this.build = new Build(heap, limits);
    document.nodes.forEach((node, index) => reads(node).forEach((value) => this.lastUse.set(value, index)));
    this.kept = new Set(document.outputs.map((each) => each.id));
  }

  program(): Program {
    const { document, build } = this;
    const inputs = document.inputs.map((item) => build.result(item.dtype, evaluateShape(item.shape, this.binding)));
    inputs.forEach((each) => this.define(each));
    build.settle(new Set(inputs.map((each) => each.storage)));
    for (const each of document.consts) {
      const dtype = each.dtype as DType, shape = each.shape.map(Number);
      require(dtype !== "f16" && dtype !== "bf16", `a tensor of ${dtype}: browsers do not compute with halves`, { dtype });
      build.seen(shape);
      this.define(new Value(dtype, shape, denseStrides(shape), 0, new Storage(build.table(each.raw), each.raw.length)));
    }
    for (let value = 0; value < this.values.length; value++) this.kept.add(value);
    document.nodes.forEach((node, index) => this.node(node, index));
    return this.finish(inputs);
  }

  private define(value: Value | null): void {
    this.values.push(value);
    if (!value) return;
    this.build.seen(value.shape);
    value.storage.users += 1;
  }

  private node(node: Node, index: number): void {
    const op = this.document.ops[Number(node.op)]!, { build } = this;
    try {
      const args = this.arguments(op, node);
      const operands = reads(node).map((value) => this.values[value]!);
      const given = this.rules.get(op)!(build, args), results = given instanceof Value ? [given] : given;
      const shapes = [...operands, ...results.filter((each) => each !== null)].map((each) => extent(each.shape));
      build.work(Math.max(build.formula, 0, ...shapes));
      build.formula = 0;
      const first = this.values.length;
      results.forEach((each) => this.define(each));
      build.settle(new Set([...results, ...operands].flatMap((each) => (each ? [each.storage] : []))));
      this.release(node, index, first);
    } catch (error) {
      if (!(error instanceof InvalidPlan)) throw error;
      throw new InvalidPlan(`node ${index} (${op}): ${error.detail}`, { ...error.extra, node: index, op });
    }
  }

  private arguments(op: string, node: Node): Args {
    const { parameters } = SIGNATURES.get(op)!;
    return parameters.filter(({ name, kind }) => kind.base !== "x" && name !== "pin_memory").map((parameter) => {
      const place = parameters.indexOf(parameter);
      const given = !parameter.byName && place < node.args.length ? node.args[place] : node.kwargs.get(parameter.name);
      if (given === undefined) return initial(parameter);
      const value = this.argument(given, parameter.kind);
      const numbers = value instanceof Num && parameter.kind.base === "T" && !WITH_NUMBERS.has(op);
      require(!numbers, `argument ${parameter.name}: a tensor is needed, not a number`);
      return value;
    });
  }

  private argument(given: Argument, kind: Kind): Arg {
    if (given === null || typeof given === "string") return given;
    if (Array.isArray(given)) {
      const [tag, ...rest] = given;
      if (tag === "l") return rest.map((part) => this.argument(part, { ...kind, list: false }));
      if (tag === "d") return rest[0] as DType;
      if (tag === "r") {
        const value = this.values[rest[0] as number];
        require(value, "an operand is a result that the kernel does not compute");
        return value;
      }
      return literal(evaluate(rest[0]!, this.binding), kind);
    }
    return literal(given as boolean | number | bigint | Real, kind);
  }

  private release(node: Node, index: number, first: number): void {
    const dead = [...new Set(reads(node))].filter((value) => this.lastUse.get(value) === index);
    for (let value = first; value < this.values.length; value++) if (!this.lastUse.has(value)) dead.push(value);
    for (const value of dead) {
      const { storage } = this.values[value] ?? {};
      if (!storage || this.kept.has(value)) continue;
      this.values[value] = null;
      storage.users -= 1;
      if (storage.users === 0) this.build.arena.give(storage.at, storage.bytes);
    }
  }

  private finish(inputs: readonly Value[]): Program {
    const { document, build, limits } = this;
    let outputBytes = 0;
    const outputs = document.outputs.map((output) => {
      const found = this.values[output.id], declared = evaluateShape(output.shape, this.binding);
      require(
        found?.dtype === output.dtype && String(found.shape) === String(declared),
        `output ${output.name} is not the ${output.dtype}[${declared.join(", ")}] it declares`,
      );
      outputBytes += found.size * found.bytes;
      enforce(limits, "maxOutputBytes", outputBytes);
      return build.dense(found);
    });
    const { arena, steps, fixed, flops, largest } = build;
    return {
      steps, inputs, outputs, fixed, top: arena.top,
      cost: { ops: document.nodes.length, peakBytes: arena.top - HEAP_BASE, largest, flops, outputBytes },
    };
  }
}

/** The values that a node reads, in the order of its arguments. */
function reads(node: Node): number[] {
  return [...node.args, ...node.kwargs.values()].flatMap(references);
}

function literal(given: boolean | number | bigint | Real, kind: Kind): Arg {
  if (kind.base === "b") return given as boolean;
  if (kind.base === "T" || kind.base === "n") return new Num(given);
  const value = given instanceof Real ? given.value : Number(given);
  require(kind.base !== "i" || !(given instanceof Real), "a size is no integer");
  return value;
}

function initial({ kind, initial: value }: Parameter): Arg {
  if (value === null || Array.isArray(value)) return value as Arg;
  if (kind.base === "n" && typeof value === "number") return new Num(Number.isInteger(value) ? value : new Real(value));
  return value as Arg;
}
