/** The default local training: the hosted plan over batches of local data, as `client_config` says (`batches.py`). */
import { GridError, InvalidConfig, InvalidTensors } from "../errors.js";
import type { Plain } from "../wire/fields.js";
import { random, utf8 } from "../wire/bytes.js";
import { ITEM_SIZES, elements, type Dtype, type Tensor } from "../wire/tensor.js";
import { isFloat, type Named } from "../wire/tensor_file.js";
import { numbers } from "./bounds.js";
import { MersenneTwister, randomOrder } from "./permutation.js";
import type { PlanDocument, PlanInput, PlanRunner } from "./plan.js";

/** What every participant's local training knows, beside the options of the plan. */
const SETTINGS = ["batch_size", "custom", "drop_last", "epochs", "max_updates", "shuffle", "name", "version"];
/** Input role → the output role whose values it takes in the next step. */
const CARRIED = ["param", "buffer", "state"] as const;
/** Plans fail on what the data hold for this reason, which says something about the data. */
export const VALUES = "values";

export type Config = Readonly<Record<string, Plain>>;

/** A plan failed on what its inputs hold; `extra.reason` is "values". */
export function failedOnValues(error: unknown): boolean {
  const extra = (error as { extra?: Record<string, unknown> } | null)?.extra;
  return extra?.["reason"] === VALUES;
}

/** Means over the samples of all steps of one cycle; `planned`: different samples that are used. */
export class Account {
  updates = 0;
  samples = 0;
  planned = 0;
  private readonly sums = { loss: 0, accuracy: 0 };
  private readonly weights = { loss: 0, accuracy: 0 };

  add(samples: number, loss: number | null, accuracy: number | null): void {
    this.updates++;
    this.samples += samples;
    for (const [name, value] of [["loss", loss], ["accuracy", accuracy]] as const) {
      if (value === null) continue;
      this.sums[name] += value * samples;
      this.weights[name] += samples;
    }
  }

  get loss(): number | null {
    return this.weights.loss ? this.sums.loss / this.weights.loss : null;
  }

  get accuracy(): number | null {
    return this.weights.accuracy ? this.sums.accuracy / this.weights.accuracy : null;
  }
}

export function dtypeOf(name: string): Dtype {
  return (name === "b" ? "BOOL" : name.toUpperCase()) as Dtype;
}

export interface Training {
  readonly runner: PlanRunner;
  readonly model: readonly Named[];
  readonly config: Config;
  readonly cycle: number;
  readonly account: Account;
  /** Throws where nobody wants to go on. */
  stay(): void;
  /** One more of so many steps is done. */
  step(updates: number, loss: number | null): Promise<void>;
}

/** Runs a training plan over `x` and `y`. */
export class PlanTrainer {
  /**
   * @param seed of the shuffling, together with the cycle's number; null: drawn for each run.
   * @param site who trains: random draws of the plan differ at each site, cycle and step, and are the same for the same.
   */
  constructor(private readonly x: Tensor, private readonly y: Tensor, private readonly seed: number | null, private readonly site: string) {
    if (x.shape[0] !== y.shape[0] || !x.shape[0]) {
      throw new InvalidTensors(`${x.shape[0]} samples and ${y.shape[0]} targets: as many of both are needed`);
    }
  }

  private get count(): number {
    return this.x.shape[0]!;
  }

  /** The updated parameters, in the model's order. */
  async train(training: Training): Promise<Tensor[]> {
    const { runner, config, account } = training, { document } = runner;
    checkNames(document, config);
    const inputs = new Inputs(document, training.model, config);
    const batches = this.batches(config, batchBounds(document), training.cycle);
    const used = new Uint8Array(this.count);
    for (const rows of batches) for (const row of rows) used[row] = 1;
    account.planned = used.reduce((sum, each) => sum + each, 0);
    const x = fit(inputs.data.item, this.x, false), y = fit(inputs.target.item, this.y, true);
    const first = await this.draws(training.cycle);
    for (const [number, rows] of batches.entries()) {
      training.stay();
      const flat = inputs.flat(take(x, rows), take(y, rows), first + number);
      const outputs = await runner.run(flat);
      const metrics = inputs.carry(outputs);
      const loss = named(metrics, ["loss"], 0);
      account.add(rows.length, loss, named(metrics, ["accuracy", "acc"], 1));
      await training.step(batches.length, loss);
    }
    training.stay();
    return inputs.trained();
  }

  /** The seed of the plan's first step in this cycle; the next steps have those that follow. */
  private async draws(cycle: number): Promise<number> {
    const text = utf8(`${this.site}/${this.seed ?? 0}/${cycle}`);
    return new DataView(await crypto.subtle.digest("SHA-256", text)).getUint32(0);
  }

  /** The rows of every batch of this cycle; `bounds`: how many the plan takes at least and at most. */
  private batches(config: Config, bounds: readonly [number, number] | null, cycle: number): Uint32Array[] {
    const { count } = this, [low, high] = bounds ?? [1, count];
    const fixed = low === high && low > 1;
    const size = fixed ? low : positive(config, "batch_size", count);
    const limit = positive(config, "max_updates", 0) || Infinity, epochs = positive(config, "epochs", 1);
    const drop = truth(config, "drop_last", fixed);
    this.checkSize(size, low, high, drop);
    const all = Uint32Array.from({ length: count }, (_, at) => at), made: Uint32Array[] = [];
    const seed = this.seed === null
      ? new DataView(random(8).buffer).getBigUint64(0) : BigInt(this.seed) * 1_000_003n + BigInt(cycle) * 10_007n;
    const generator = new MersenneTwister(seed);
    for (let epoch = 0; epoch < epochs; epoch++) {
      if (size >= count) {
        if (made.length < limit) made.push(all);
        continue;
      }
      const drawn = randomOrder(count, generator);
      const order = truth(config, "shuffle", true) ? drawn : all;
      const stop = drop ? count - (count % size) : count;
      for (let start = 0; start < stop && made.length < limit; start += size) made.push(order.subarray(start, Math.min(start + size, stop)));
    }
    return made;
  }

  private checkSize(size: number, low: number, high: number, drop: boolean): void {
    const { count } = this, rows = low === high ? `exactly ${low}` : `${low} to ${high}`;
    if (count < low || (drop && count < size)) {
      throw new InvalidTensors(`the plan takes batches of ${count < low ? rows : `exactly ${size}`}, there are ${count} samples`);
    }
    const made = Math.min(size, count);
    if (made < low || made > high) throw new InvalidTensors(`the plan takes batches of ${rows}, and batch_size makes them ${made}`);
    const last = count % size;
    if (size < count && last > 0 && last < low && !drop) {
      throw new InvalidTensors(`the plan takes batches of ${rows}, and the last one has ${last} of ${count} samples: drop_last leaves them out`);
    }
  }
}

/** Throws {@link InvalidConfig} for a name in `client_config` that nothing reads. */
function checkNames(document: PlanDocument, config: Config): void {
  const options = document.inputs.filter(({ role }) => role === "hyper" || role === "count").map(({ name }) => name);
  for (const name of Object.keys(config)) {
    if (SETTINGS.includes(name) || options.includes(name)) continue;
    throw new InvalidConfig(`client_config: ${name} is read by nobody. Options of the plan: ${options.join(", ") || "none"}`, { field: name });
  }
}

function positive(config: Config, name: string, otherwise: number): number {
  const value = config[name] ?? null;
  if (value === null) return otherwise;
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0) {
    throw new InvalidConfig(`client_config: ${name} is ${String(value)}, a whole number is needed`, { field: name });
  }
  return value || otherwise;
}

function truth(config: Config, name: string, otherwise: boolean): boolean {
  const value = config[name] ?? null;
  if (value === null) return otherwise;
  if (typeof value !== "boolean") throw new InvalidConfig(`client_config: ${name} is ${String(value)}, not true or false`, { field: name });
  return value;
}

/** How many rows the plan takes in one step, at least and at most; null where no input has rows. */
export function batchBounds(document: PlanDocument): readonly [number, number] | null {
  for (const { role, shape } of document.inputs) {
    if (role !== "data" || !shape.length) continue;
    const first = shape[0];
    if (typeof first === "number") return [first, first];
    if (Array.isArray(first) && first[0] === "sym") {
      const bounds = document.symbols.get(first[1] as string);
      return bounds ? [Number(bounds[0]), Number(bounds[1])] : null;
    }
  }
  return null;
}

/** A metric by one of its usual names; if no metric has a usual name, by its place (loss, accuracy). */
function named(metrics: ReadonlyMap<string, number>, names: readonly string[], place: number): number | null {
  for (const name of names) if (metrics.has(name)) return metrics.get(name)!;
  if (["loss", "accuracy", "acc"].some((name) => metrics.has(name))) return null;
  return [...metrics.values()][place] ?? null;
}

/** The flat inputs of a plan, step after step: what one step returned goes into the next. */
class Inputs {
  readonly data: { at: number; item: PlanInput };
  readonly target: { at: number; item: PlanInput };
  private readonly values: (Tensor | null)[];
  private readonly places: readonly number[];
  /** Output → the input that takes it in the next step. */
  private readonly carried: readonly (readonly [number, number])[];

  constructor(private readonly document: PlanDocument, model: readonly Named[], config: Config) {
    this.data = this.only("data");
    this.target = this.only("target");
    this.values = document.inputs.map(byDefault);
    document.inputs.forEach((item, at) => {
      const value = config[item.name];
      if ((item.role !== "hyper" && item.role !== "count") || value === undefined || item.name === "batch_size") return;
      this.values[at] = scalar(item, value);
    });
    this.places = placed(document, model.length);
    this.places.forEach((place, at) => (this.values[place] = model[at]!.tensor));
    this.carried = this.pairs();
  }

  private where(role: string): number[] {
    return this.document.inputs.flatMap((item, at) => (item.role === role ? [at] : []));
  }

  private only(role: string): { at: number; item: PlanInput } {
    const found = this.where(role);
    if (found.length !== 1) throw new InvalidConfig(`the plan has ${found.length} inputs of role ${role}: call it yourself, in an accepted listener`);
    return { at: found[0]!, item: this.document.inputs[found[0]!]! };
  }

  private pairs(): (readonly [number, number])[] {
    return CARRIED.flatMap((role) => {
      const found = this.document.outputs.flatMap((item, at) => (item.role === role ? [at] : [])), places = this.where(role);
      if (found.length && found.length !== places.length) {
        throw new InvalidConfig(`the plan takes ${places.length} inputs of role ${role} and returns ${found.length}`);
      }
      return found.map((output, at) => [output, places[at]!] as const);
    });
  }

  flat(x: Tensor, y: Tensor, seed: number): Tensor[] {
    this.values[this.data.at] = x;
    this.values[this.target.at] = y;
    return this.document.inputs.map((item, at) => {
      if (item.name === "batch_size" && (item.role === "hyper" || item.role === "count")) return scalar(item, x.shape[0]!);
      if (item.role === "seed") return scalar(item, seed);
      const value = this.values[at];
      if (!value) throw new InvalidConfig(`client_config: the plan needs ${item.name}, which has no default`, { field: item.name });
      return value;
    });
  }

  /** Takes over what a step returned; its metrics. */
  carry(outputs: readonly Tensor[]): ReadonlyMap<string, number> {
    if (outputs.length !== this.document.outputs.length) throw new InvalidTensors("the plan returned another number of results");
    for (const [output, place] of this.carried) this.values[place] = outputs[output]!;
    const metrics = new Map<string, number>();
    this.document.outputs.forEach(({ role, name }, at) => {
      const tensor = outputs[at]!;
      if ((role === "metric" || role === "result") && elements(tensor.shape) === 1) metrics.set(name, Number(numbers(tensor)[0]));
    });
    return metrics;
  }

  trained(): Tensor[] {
    return this.places.map((place) => this.values[place]!);
  }
}

/** Which inputs the model's tensors are, in the model's order: parameters, and buffers where the model has them. */
function placed(document: PlanDocument, count: number): number[] {
  const of = (role: string) => document.inputs.flatMap((item, at) => (item.role === role ? [at] : []));
  const params = of("param"), buffers = of("buffer");
  for (const places of [params, [...params, ...buffers]]) if (places.length === count) return places;
  throw new InvalidConfig(`the plan takes ${params.length} parameters and ${buffers.length} buffers, the model has ${count} tensors`);
}

/** What an input is before anybody says: the plan's default; an optimiser's state begins at zero. */
function byDefault(item: PlanInput): Tensor | null {
  if (item.default) {
    const { dtype, shape, raw } = item.default;
    return { dtype: dtypeOf(dtype), shape: shape.map(Number), data: raw.slice().buffer as ArrayBuffer };
  }
  if (item.role !== "state" || !item.shape.every((size) => typeof size === "number")) return null;
  const dtype = dtypeOf(item.dtype), shape = item.shape as number[];
  return { dtype, shape, data: new ArrayBuffer(elements(shape) * ITEM_SIZES[dtype]) };
}

function scalar(item: PlanInput, value: Plain): Tensor {
  if (typeof value !== "number") throw new InvalidConfig(`client_config: ${item.name} is ${String(value)}, a number is needed`, { field: item.name });
  if (item.shape.some((size) => size !== 1)) throw new InvalidConfig(`client_config: ${item.name} of the plan is no single number`, { field: item.name });
  const dtype = dtypeOf(item.dtype);
  const made: Tensor = { dtype, shape: item.shape.map(() => 1), data: new ArrayBuffer(ITEM_SIZES[dtype]) };
  const out = numbers(made);
  if (out instanceof BigInt64Array) out[0] = BigInt(Math.trunc(value));
  else out[0] = value;
  return made;
}

/** The rows of these numbers. */
function take(tensor: Tensor, rows: Uint32Array): Tensor {
  const [, ...rest] = tensor.shape, size = elements(rest) * ITEM_SIZES[tensor.dtype];
  const made = new Uint8Array(rows.length * size), source = new Uint8Array(tensor.data);
  rows.forEach((row, at) => made.set(source.subarray(row * size, (row + 1) * size), at * size));
  return { dtype: tensor.dtype, shape: [rows.length, ...rest], data: made.buffer };
}

/**
 * Local data as the plan takes them: in its dtype, where that keeps every value; class numbers as columns of 0 and 1
 * where it takes two columns or more. Throws {@link InvalidTensors} for another shape.
 */
function fit(item: PlanInput, values: Tensor, target: boolean): Tensor {
  const last = item.shape.at(-1), classes = values.shape.length === item.shape.length - 1 && typeof last === "number" ? last : 0;
  const made = target && classes >= 2 && !isFloat(values.dtype) ? oneHot(values, classes) : values;
  const fits = made.shape.length === item.shape.length &&
    item.shape.every((size, at) => at === 0 || typeof size !== "number" || size === made.shape[at]);
  if (!fits) {
    const wanted = item.shape.map((size, at) => (at === 0 ? "N" : typeof size === "number" ? size : "*")).join(", ");
    throw new InvalidTensors(`${item.name}: the plan takes [${wanted}], the data are [${["N", ...made.shape.slice(1)].join(", ")}]`);
  }
  return converted(item, made);
}

function oneHot(values: Tensor, classes: number): Tensor {
  const labels = numbers(values), made = new BigInt64Array(labels.length * classes);
  for (let at = 0; at < labels.length; at++) {
    const label = Number(labels[at]);
    if (!Number.isInteger(label) || label < 0 || label >= classes) {
      throw new NotHeld(`the plan takes targets from 0 to ${classes - 1}, and there are others`);
    }
    made[at * classes + label] = 1n;
  }
  return { dtype: "I64", shape: [...values.shape, classes], data: made.buffer as ArrayBuffer };
}

/** Values that a plan's type does not hold, or that are none of its classes. */
class NotHeld extends GridError {
  override readonly code = "invalid-plan";

  constructor(detail: string) {
    super(detail, { reason: VALUES });
  }
}

/** In the plan's dtype; a fraction for whole numbers, or a number that is too large, is refused and not rounded. */
function converted(item: PlanInput, values: Tensor): Tensor {
  const dtype = dtypeOf(item.dtype);
  if (dtype === values.dtype) return values;
  const made: Tensor = { dtype, shape: values.shape, data: new ArrayBuffer(elements(values.shape) * ITEM_SIZES[dtype]) };
  const source = numbers(values), out = numbers(made), rounds = isFloat(dtype) && isFloat(values.dtype);
  for (let at = 0; at < source.length; at++) {
    const value = source[at]!;
    const whole = typeof value === "bigint" || Number.isInteger(value);
    if (out instanceof BigInt64Array) out[at] = whole ? BigInt(value) : 0n;
    else out[at] = Number(value);
    const held = rounds ? Number.isFinite(out[at] as number) || !Number.isFinite(value as number) : (out[at]! == value);
    if (!held || (out instanceof BigInt64Array && !whole)) {
      throw new NotHeld(`${item.name}: the plan takes ${item.dtype}, which does not hold all values of the data (${values.dtype}) as they are`);
    }
  }
  return made;
}

/** The plan to train with: `training_plan`, or the only one that returns updated parameters. */
export function trainingPlanOf(plans: ReadonlyMap<string, PlanRunner>): PlanRunner {
  const found = [...plans].filter(([, plan]) => plan.document.outputs.some(({ role }) => role === "param"));
  const chosen = found.find(([name]) => name === "training_plan") ?? (found.length === 1 ? found[0] : undefined);
  if (!chosen) throw new InvalidConfig(`${found.length} of the plans (${[...plans.keys()].join(", ") || "none"}) train; call one yourself in an accepted listener`);
  return chosen[1];
}

