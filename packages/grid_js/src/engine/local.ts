/** The engine itself, where it computes: in a worker, or in a test. */
import { decode } from "../plan/decode.js";
import { ITEM_BYTES, type Const, type DType, type Document } from "../plan/document.js";
import { evaluateShape, type Binding } from "../plan/expr.js";
import { InvalidPlan, require } from "../plan/invalid.js";
import { LIMITS, type Cost, type Limits } from "../plan/limits.js";
import { compare, madeValues, type Deviation } from "../plan/selftest.js";
import { asText, describeSymbols, describeType } from "../plan/text.js";
import { validate } from "../plan/validate.js";
import { elements, type Dtype, type Tensor } from "../wire/tensor.js";
import { Heap } from "./kernels.js";
import { known, prepare, type Program } from "./prepare.js";
import { COMMON, everyRule, loadRest, type Rest, type Table } from "./table.js";
import type { Value } from "./value.js";

/** Of one input or result: what a page shows of it. */
export interface Described { readonly name: string; readonly role: string; readonly type: string }

/** What a person reads before they agree, and what a program needs to know of a plan. */
export interface PlanText {
  readonly id: string;
  readonly name: string;
  readonly kind: string;
  readonly doc: string;
  /** Line by line, as Plan.text() in Python. */
  readonly text: string;
  readonly sizes: string;
  readonly symbols: Readonly<Record<string, readonly [number, number]>>;
  readonly inputs: readonly Described[];
  readonly outputs: readonly Described[];
  /** Of one run at the sizes of the self-test. */
  readonly cost: Cost;
}

/** Kernels: those that every plan needs, and how to get those that some need. */
export interface Modules {
  readonly common: WebAssembly.Module | Promise<WebAssembly.Module>;
  readonly rest: () => WebAssembly.Module | Promise<WebAssembly.Module>;
}

/** A tensor, or the number of a result of the step before. */
export type Operand = Tensor | number;

const WIRE: Readonly<Record<DType, Dtype>> = {
  f64: "F64", f32: "F32", f16: "F16", bf16: "BF16", i64: "I64", i32: "I32", i16: "I16", i8: "I8", u8: "U8", b: "BOOL",
};
/** Bindings whose steps are kept: a batch that is full, and the last one. */
const MAX_BINDINGS = 4;

export class LocalEngine {
  private readonly heap: Heap;
  private readonly programs = new Map<string, Program>();
  /** Whose constants lie in memory, and whose results. */
  private current: Program | null = null;

  private constructor(
    private readonly document: Document, private readonly rules: Table, readonly id: string, readonly limits: Limits, common: WebAssembly.Module,
    rest?: readonly [WebAssembly.Module, Rest],
  ) {
    this.heap = new Heap(common, rest);
  }

  /**
   * Reads, validates and prices a plan; throws InvalidPlan. Allocates nothing of its sizes.
   * @param expectedDigest the id under which it was agreed to
   */
  static async load(bytes: Uint8Array, expectedDigest: string, modules: Modules, limits: Limits = LIMITS): Promise<LocalEngine> {
    const document = decode(bytes, expectedDigest, limits.maxPlanBytes);
    // Names that nobody knows are looked for among the others too, before they are refused; their kernels come meanwhile.
    const common = document.ops.every((op) => COMMON.has(op)), others = common ? undefined : Promise.resolve(modules.rest());
    others?.catch(() => undefined); // a plan that is refused waits for none
    const rest = common ? undefined : await loadRest(), rules = rest ? everyRule(rest) : COMMON;
    validate(document);
    known(document, rules);
    const kernels = await modules.common;
    const engine = new LocalEngine(document, rules, expectedDigest, limits, kernels, rest && [(await others)!, rest]);
    engine.program(engine.tested());
    return engine;
  }

  /** Bytes of memory that this engine holds. */
  get bytes(): number {
    return this.heap.bytes;
  }

  describe(): PlanText {
    const { document } = this;
    const described = (each: Document["inputs"][number] | Document["outputs"][number]): Described =>
      ({ name: each.name, role: each.role, type: describeType(each) });
    return {
      id: this.id, name: document.name, kind: document.kind, doc: document.doc, text: asText(document, this.id),
      sizes: describeSymbols(document),
      symbols: Object.fromEntries([...document.symbols].map(([name, [low, high]]) => [name, [Number(low), Number(high)] as const])),
      inputs: document.inputs.map(described),
      outputs: document.outputs.map(described),
      cost: this.program(this.tested()).cost,
    };
  }

  /** What a run at these sizes costs; symbols that are left out have those of the self-test. Throws InvalidPlan. */
  cost(sizes: Readonly<Record<string, number>> = {}): Cost {
    const binding = new Map(this.tested());
    for (const [name, size] of Object.entries(sizes)) this.bound(binding, name, size, "");
    return this.program(binding).cost;
  }

  /** Flat inputs to flat results, both in the plan's order. */
  run(inputs: readonly Tensor[]): Tensor[] {
    return this.execute(inputs).outputs.map((value) => this.read(value));
  }

  /**
   * Runs once for each of `steps`; where a step has a number, it takes that result of the step before. Of all steps but
   * the last only the `wanted` results come back.
   */
  runChain(steps: readonly (readonly Operand[])[], wanted: readonly number[]): (Tensor | null)[][] {
    return steps.map((step, at) => {
      const { outputs } = this.execute(step);
      return outputs.map((value, place) => (at === steps.length - 1 || wanted.includes(place) ? this.read(value) : null));
    });
  }

  /** Reproduces the plan's self-test vector, or throws InvalidPlan. */
  selfTest(): Deviation {
    const binding = this.tested(), made = madeValues(this.document, binding);
    const inputs = this.document.inputs.map((item, place) => {
      const given = made[place];
      return given ? converted(item.dtype, given.shape, given.values) : constant(item.default!);
    });
    const { outputs } = this.execute(inputs);
    return compare(this.document, outputs.map((value) => ({ shape: value.shape, values: this.floats(value) })));
  }

  // -- inside --------------------------------------------------------------------------------------------------

  private tested(): Binding {
    return new Map([...this.document.selftest.symbols].map(([name, size]) => [name, Number(size)]));
  }

  private program(binding: Binding): Program {
    const key = JSON.stringify([...binding]);
    const found = this.programs.get(key);
    if (found) return found;
    const made = prepare(this.document, this.rules, binding, this.limits, this.heap);
    if (this.programs.size >= MAX_BINDINGS) this.programs.delete(this.programs.keys().next().value!);
    this.programs.set(key, made);
    return made;
  }

  private execute(inputs: readonly Operand[]): Program {
    const { document } = this, before = this.current;
    require(inputs.length === document.inputs.length, `the plan takes ${document.inputs.length} tensors, ${inputs.length} were given`);
    const shapes = inputs.map((given, place) => this.typed(given, place, before));
    const binding = this.bind(shapes);
    document.inputs.forEach((item, place) => {
      if (String(evaluateShape(item.shape, binding)) !== String(shapes[place])) throw this.mismatch(place, shapes[place]!);
    });
    const program = this.program(binding);
    // What comes of the step before is read before anything is written.
    const data = inputs.map((given) => (typeof given === "number" ? this.raw(before!.outputs[given]!, program !== before) : new Uint8Array(given.data)));
    if (program !== before) {
      this.current = null;
      this.heap.reach(program.top);
      for (const [at, bytes] of program.fixed) this.heap.u8.set(bytes, at);
    }
    this.current = null; // a run that fails leaves nothing to go on from
    program.inputs.forEach((value, place) => this.heap.u8.set(data[place]!, value.at));
    for (const step of program.steps) step();
    this.current = program;
    return program;
  }

  /** The shape of an input, whose type must be the plan's. */
  private typed(given: Operand, place: number, before: Program | null): readonly number[] {
    const item = this.document.inputs[place]!;
    if (typeof given === "number") {
      const value = before?.outputs[given];
      require(value, `argument ${item.name}: there is no result ${given} of a step before`);
      if (value.dtype !== item.dtype) throw this.mismatch(place, value.shape, value.dtype);
      return value.shape;
    }
    if (given.dtype !== WIRE[item.dtype]) throw this.mismatch(place, given.shape, given.dtype);
    require(
      given.data.byteLength === elements(given.shape) * ITEM_BYTES[item.dtype], `argument ${item.name}: its shape and bytes disagree`,
    );
    if (item.dtype === "b") {
      require(new Uint8Array(given.data).every((each) => each <= 1), `argument ${item.name}: a truth value that is neither 0 nor 1`);
    }
    return given.shape;
  }

  private bind(shapes: readonly (readonly number[])[]): Binding {
    const binding = new Map<string, number>();
    this.document.inputs.forEach((item, place) => {
      const shape = shapes[place]!;
      if (shape.length !== item.shape.length) throw this.mismatch(place, shape);
      item.shape.forEach((size, d) => {
        if (!Array.isArray(size) || size[0] !== "sym" || binding.has(size[1] as string)) return;
        this.bound(binding, size[1] as string, shape[d]!, `argument ${item.name}: `);
      });
    });
    // In the order of the plan, so that equal bindings are one.
    return new Map([...this.document.symbols.keys()].map((name) => [name, binding.get(name)!]));
  }

  private bound(binding: Map<string, number>, name: string, size: number, where: string): void {
    const range = this.document.symbols.get(name);
    require(range, `the plan has no symbol ${name}`);
    require(range[0] <= size && size <= range[1], `${where}${name} = ${size} is outside [${range[0]}, ${range[1]}]`);
    binding.set(name, size);
  }

  private mismatch(place: number, shape: readonly number[], dtype?: string): InvalidPlan {
    const item = this.document.inputs[place]!;
    return new InvalidPlan(`argument ${item.name}: the plan takes ${describeType(item)}, this is ${(dtype ?? item.dtype).toLowerCase()}[${shape.join(", ")}]`);
  }

  /** The bytes of a value where they lie, or a copy of them. */
  private raw(value: Value, copied: boolean): Uint8Array {
    const { u8 } = this.heap, end = value.at + value.size * value.bytes;
    return copied ? u8.slice(value.at, end) : u8.subarray(value.at, end);
  }

  private read(value: Value): Tensor {
    return { dtype: WIRE[value.dtype], shape: [...value.shape], data: this.raw(value, true).buffer as ArrayBuffer };
  }

  private floats(value: Value): Float64Array {
    const elements = typed(value.dtype, this.raw(value, true).buffer as ArrayBuffer), made = new Float64Array(elements.length);
    if (elements instanceof BigInt64Array) for (let i = 0; i < made.length; i++) made[i] = Number(elements[i]);
    else made.set(elements);
    return made;
  }
}

type Elements = Float32Array | Float64Array | BigInt64Array | Int32Array | Int16Array | Int8Array | Uint8Array;

function typed(dtype: DType, data: ArrayBuffer): Iterable<number | bigint> & Elements {
  switch (dtype) {
    case "f32": return new Float32Array(data);
    case "f64": return new Float64Array(data);
    case "i64": return new BigInt64Array(data);
    case "i32": return new Int32Array(data);
    case "i16": return new Int16Array(data);
    case "i8": return new Int8Array(data);
    default: return new Uint8Array(data);
  }
}

/** Made values in the type of an input, as a conversion in torch has them. */
function converted(dtype: DType, shape: readonly number[], values: Float64Array | BigInt64Array): Tensor {
  const made = typed(dtype, new ArrayBuffer(values.length * ITEM_BYTES[dtype]));
  if ((made instanceof Float32Array || made instanceof Float64Array) && values instanceof Float64Array) made.set(values);
  else for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (made instanceof BigInt64Array) made[i] = typeof value === "bigint" ? value : BigInt(Math.trunc(value));
    else made[i] = dtype === "b" ? (Number(value) ? 1 : 0) : typeof value === "bigint" && dtype !== "f32" && dtype !== "f64" ? Number(BigInt.asIntN(32, value)) : Number(value);
  }
  return { dtype: WIRE[dtype], shape: [...shape], data: made.buffer as ArrayBuffer };
}

function constant(given: Const): Tensor {
  return { dtype: WIRE[given.dtype as DType], shape: given.shape.map(Number), data: new Uint8Array(given.raw).buffer };
}
