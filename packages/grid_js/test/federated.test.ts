/** Rules that Python has too: orders of rows, digests of definitions, bounds, and matching. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { DataMismatch, InvalidTensors, NotAgreed, Unsupported } from "../src/errors.js";
import { checkBounds, difference, metric } from "../src/federated/bounds.js";
import { Consent, checkFormat } from "../src/federated/consent.js";
import type { CategoryColumn, NumberColumn, TableInputs } from "../src/federated/inputs/declared.js";
import { match, type SiteTable } from "../src/federated/inputs/matching.js";
import { nearly } from "../src/federated/inputs/names.js";
import { definitionDigest } from "../src/federated/messages.js";
import { MersenneTwister, randomOrder } from "../src/federated/permutation.js";
import { ReportCounts } from "../src/federated/state.js";
import { MemoryStore } from "../src/identity/database.js";
import { Identity } from "../src/identity/identity.js";
import { KnownNodes } from "../src/identity/known_nodes.js";
import { BadSignature } from "../src/errors.js";
import { Real, type Packed } from "../src/wire/msgpack.js";
import type { Tensor } from "../src/wire/tensor.js";
import type { Named } from "../src/wire/tensor_file.js";

test("rows are taken in torch's order", () => {
  // torch.Generator().manual_seed(7 * 1_000_003 + 3 * 10_007): randperm(12), then randperm(5)
  const generator = new MersenneTwister(7n * 1_000_003n + 3n * 10_007n);
  assert.deepEqual([...randomOrder(12, generator)], [3, 8, 11, 7, 6, 9, 0, 5, 4, 2, 10, 1]);
  assert.deepEqual([...randomOrder(5, generator)], [2, 3, 4, 1, 0]);
});

const facts = () => new Map<string, Packed>([
  ["name", "biopsies"], ["version", "9"],
  ["plans", new Map<string, Packed>([["training_plan", "a".repeat(64)], ["evaluation", "b".repeat(64)]])],
  ["protocols", new Map<string, Packed>([["secure", "c".repeat(64)]])], ["averaging_plan", ""],
  ["client_config", new Map<string, Packed>([
    ["name", "biopsies"], ["version", "9"], ["lr", new Real(0.1)], ["epochs", 1], ["layers", [1, new Real(2), null, true]],
  ])],
  ["server_config", new Map<string, Packed>([
    ["num_cycles", 3], ["max_diffs", 2], ["authentication", new Map<string, Packed>([["type", "jwt"], ["secret", "…"]])],
  ])],
  ["model", "d".repeat(64)], ["tensors", [["weight", "F32", [2, 30]], ["bias", "F32", [2]]]], ["inputs", null],
]);

test("a definition's digest is that of Python's recorded vector, and 1 is not 1.0", () => {
  // tests/wire/test_definition_digest.py
  assert.equal(definitionDigest(facts()), "c484cd4ff6d231add6cdd32fb3edc749ff0be0f1db32fd83c024eaffe83fbb5b");
  const other = facts();
  (other.get("client_config") as Map<string, Packed>).set("epochs", new Real(1));
  assert.notEqual(definitionDigest(other), definitionDigest(facts()));
});

test("only what was agreed to, on somebody's word, in reports that a browser writes", () => {
  const found = definitionDigest(facts());
  const view = (state: string, format = "plain", digest = found) => ({
    digest: found, sizes: new Map(), review: { state, digest, reviewers: [], reviewerCount: 1 },
    facts: {
      name: "biopsies", version: "9", plans: new Map(), protocols: new Map(), averagingPlan: "", clientConfig: new Map(),
      configuration: {}, serverConfig: new Map([["report_format", format]]), model: "", tensors: [], inputs: null,
    },
  });
  new Consent("biopsies", "9").agree(view("approved"));
  new Consent("biopsies", "9").agree(view("own"));
  new Consent("biopsies", "9", found).agree(view("none"));
  for (const state of ["none", "pending", "denied", "revoked", "withdrawn", "open"]) {
    assert.throws(() => new Consent("biopsies", "9").agree(view(state)), NotAgreed);
  }
  assert.throws(() => new Consent("biopsies", "9").agree(view("approved", "plain", "0".repeat(64))), NotAgreed);
  assert.throws(() => new Consent("biopsies", "9", "0".repeat(64)).agree(view("approved")), NotAgreed);
  assert.throws(() => new Consent("biopsies", "8").agree(view("approved")), NotAgreed);
  assert.throws(() => new Consent("biopsies", "9").agree(view("approved", "sealed")), /cannot verify/);
  assert.throws(() => checkFormat("secure_aggregation"), Unsupported);
});

// -- bounds -----------------------------------------------------------------------------------------------------------

const f32 = (...values: number[]): Tensor => ({ dtype: "F32", shape: [values.length], data: Float32Array.from(values).buffer as ArrayBuffer });
const base: Named[] = [
  { name: "w", kind: "parameter", tensor: f32(1, 2, 3) },
  { name: "mean", kind: "statistic", tensor: f32(5) },
  { name: "frozen", kind: "constant", tensor: f32(7) },
];
const read = (tensor: Tensor) => [...new Float32Array(tensor.data)];

test("a report is base − trained, all finite, without constants", () => {
  const made = difference(base, [f32(0.5, 2, 4), f32(6), f32(8)], {});
  assert.deepEqual(made.map(({ name, tensor }) => [name, read(tensor)]), [["w", [0.5, 0, -1]], ["mean", [-1]]]);
  assert.throws(() => difference(base, [f32(NaN, 2, 4), f32(6), f32(8)], {}), InvalidTensors);
  assert.throws(() => difference(base, [f32(1, 2), f32(6), f32(8)], {}), InvalidTensors);
  assert.throws(() => difference(base, [f32(1, 2, 3)], {}), InvalidTensors);
});

test("a clipped difference has at most the bound's exact norm, and nothing else moves", () => {
  let seed = 1;
  const next = () => ((seed = (seed * 48271) % 2147483647) / 2147483647 - 0.5) * 10 ** ((seed % 60) - 30);
  for (let round = 0; round < 300; round++) {
    const after = f32(next(), next(), next()), bound = 10 ** ((round % 20) - 10);
    const [learned, mean] = difference(base, [after, f32(6), f32(8)], { clipNorm: bound });
    const exact = (value: number) => {
      const view = new DataView(new ArrayBuffer(8));
      view.setFloat64(0, value);
      const bits = view.getBigUint64(0), exponent = Number((bits >> 52n) & 0x7ffn);
      const mantissa = (bits & ((1n << 52n) - 1n)) | (exponent ? 1n << 52n : 0n);
      return mantissa << BigInt(Math.max(exponent - 1, 0)); // value · 2^1074
    };
    const squares = read(learned!.tensor).reduce((sum, value) => sum + exact(value) ** 2n, 0n);
    assert.ok(squares <= exact(bound) ** 2n, `round ${round}`);
    assert.deepEqual(read(mean!.tensor), [0]);
  }
});

test("metrics stay here under noise, and are coarse under clipping", () => {
  const policy = { clipNorm: null, noiseMultiplier: null, minRows: 1 };
  assert.equal(metric(0.123456789, {}, policy), 0.123456789);
  assert.equal(metric(0.123456789, { clipNorm: 1 }, policy), 0.1235);
  assert.equal(metric(0.123456789, {}, { ...policy, noiseMultiplier: 1 }), null);
  assert.equal(metric(NaN, { clipNorm: 1 }, policy), null);
  assert.equal(metric(Infinity, {}, policy), null);
  assert.throws(() => checkBounds({ clipNorm: 1, noiseMultiplier: 1 }), Unsupported);
});

test("reports are counted before a plan sees a row, and the bound holds", async () => {
  const counts = new ReportCounts(new MemoryStore(), "one");
  await counts.add(2);
  await counts.add(2);
  await assert.rejects(counts.add(2), NotAgreed);
  assert.equal(await counts.count(), 2);
});

// -- who is who ---------------------------------------------------------------------------------------------------------

test("an identity is one over reloads, and its key is given to nobody", async () => {
  const store = new MemoryStore(), one = await Identity.loadOrCreate(store), again = await Identity.loadOrCreate(store);
  assert.equal(one.verifyKey, again.verifyKey);
  assert.equal(one.protection, "held");
  const { key } = (await store.get("keys", "default")) as { key: CryptoKey };
  assert.equal(key.extractable, false);
  await assert.rejects(crypto.subtle.exportKey("pkcs8", key));
  assert.deepEqual(await one.deriveSecret("a"), await again.deriveSecret("a"));
  assert.notDeepEqual(await one.deriveSecret("a"), await one.deriveSecret("b"));
});

test("a node is held to the key that was met first", async () => {
  const nodes = new KnownNodes(new MemoryStore());
  await nodes.meet("https://north", "a".repeat(64));
  await nodes.meet("https://north", "a".repeat(64));
  await assert.rejects(nodes.meet("https://north", "b".repeat(64)), BadSignature);
  await nodes.forget("https://north");
  await nodes.meet("https://north", "b".repeat(64));
});

// -- matching -----------------------------------------------------------------------------------------------------------

const number = (name: string, more: Partial<NumberColumn> = {}): NumberColumn => ({
  kind: "number", name, unit: "", description: "", whole: false, low: null, high: null, outside: "refuse", missing: "refuse",
  centre: 0, scale: 1, scaling: "declared", ...more,
});
const category = (name: string, categories: string[], more: Partial<CategoryColumn> = {}): CategoryColumn => ({
  kind: "category", name, categories, description: "", oneHot: false, missing: "refuse", ...more,
});
const table = (columns: Record<string, readonly string[]>, about?: SiteTable["about"]): SiteTable => ({
  kind: "table", title: "rows.csv", columns: new Map(Object.entries(columns)), ...(about ? { about } : {}),
});
const inputs: TableInputs = {
  form: "table", columns: [number("age", { low: 0, high: 120, centre: 50, scale: 10 }), category("sex", ["f", "m"], { oneHot: true })],
  label: category("finding", ["benign", "malignant"]),
};
const GOOD = { finding: ["malignant", "benign"], sex: ["m", "f"], age: ["60", "4.5e1"] };
const problems = (columns: Record<string, readonly string[]>, declared = inputs, about?: SiteTable["about"]) => {
  try {
    match(declared, table(columns, about));
  } catch (error) {
    assert.ok(error instanceof DataMismatch);
    return (error.extra["problems"] as { code: string; column: string; row: number | null }[]).map(
      ({ code, column, row }) => [code, column, row]);
  }
  return [];
};

test("columns are found by name, words by the declared ones, numbers in double precision", () => {
  const { x, y, rows, notes } = match(inputs, table(GOOD));
  assert.deepEqual([rows, x.shape, read(x)], [2, [2, 3], [1, 0, 1, -0.5, 1, 0]]);
  assert.deepEqual([y.dtype, [...new BigInt64Array(y.data)]], ["I64", [1n, 0n]]);
  assert.deepEqual(notes, []);
});

test("what does not match is refused, all of it at once, with its row", () => {
  assert.deepEqual(problems({ ...GOOD, age: ["60", "old"], sex: ["x", "f"] }), [["not-a-number", "age", 2], ["not-declared", "sex", 1]]);
  assert.deepEqual(problems({ finding: GOOD.finding, Sex: GOOD.sex, alter: GOOD.age }), [["no-column", "age", null], ["no-column", "sex", null]]);
  for (const [cell, code] of [
    ["", "missing"], ["NaN", "missing"], ["n/a", "missing"], ["-1", "below"], ["121", "above"], ["inf", "not-finite"], ["1_0", "not-a-number"],
    ["1,5", "not-a-number"], ["0x10", "not-a-number"], ["1.00000000000000000001", "inexact"], ["1 2", "not-a-number"], ["٣", "not-a-number"],
  ]) assert.deepEqual(problems({ ...GOOD, age: ["60", cell!] }), [[code, "age", 2]], cell);
  assert.deepEqual(problems({ ...GOOD, age: [" +60. ", ".5"] }), []);
  assert.deepEqual(problems({ ...GOOD, age: ["1"] }), [["length", "", null]]);
  assert.deepEqual(nearly("Âge (years)", ["age", "sex"]), ["age"]);
});

test("rows are left out where that is declared, and counted", () => {
  const [age, ...rest] = inputs.columns as [NumberColumn, CategoryColumn];
  const dropping: TableInputs = { ...inputs, columns: [{ ...age, outside: "drop", missing: "drop" }, ...rest] };
  const { rows, dropped } = match(dropping, table({ finding: ["benign", "benign", "malignant"], sex: ["f", "m", "m"], age: ["200", "", "70"] }));
  assert.deepEqual([rows, dropped], [1, [{ column: "age", outside: 1, missing: 1 }]]);
  assert.deepEqual(problems({ finding: ["benign"], sex: ["f"], age: ["200"] }, dropping), [["empty", "", null]]);
});

test("units are compared, and times are refused", () => {
  const dosed: TableInputs = { ...inputs, columns: [number("dose", { unit: "mg" })] };
  const rows = { dose: ["1", "2"], finding: GOOD.finding };
  assert.deepEqual(problems(rows, dosed, new Map([["dose", { unit: "g" }]])), [["unit", "dose", null]]);
  assert.deepEqual(problems(rows, dosed, new Map([["dose", { unit: "mg" }]])), []);
  const timed: TableInputs = { ...inputs, columns: [number("dose", { unit: "days since 1970-01-01" })] };
  assert.deepEqual(problems(rows, timed), [["times", "dose", null]]);
});

test("what single precision would round away is refused", () => {
  const wide: TableInputs = { ...inputs, columns: [number("serial")] };
  const serials = { serial: ["100000001", "100000002"], finding: GOOD.finding };
  assert.deepEqual(problems(serials, wide), [["single-precision", "serial", 1]]);
  assert.deepEqual(problems(serials, { ...inputs, columns: [number("serial", { centre: 100000001.5 })] }), []);
});

test("pictures are matched by shape, depth and class", () => {
  const digits = {
    form: "arrays", name: "x", shape: [1, 2, 2], label: category("digit", ["0", "1"]), picture: true, bits: 8, whole: false, unit: "",
    description: "", low: null, high: null, centre: [0.5], scale: [0.5],
  } as const;
  const site = { kind: "samples", title: "drawn", shape: [1, 2, 2], values: Uint8Array.of(0, 255, 51, 0), labels: ["1"] } as const;
  const { x, y } = match(digits, site);
  assert.deepEqual([x.shape, read(x).map((value) => Math.round(value * 1e6) / 1e6)], [[1, 1, 2, 2], [-1, 1, -0.6, -1]]);
  assert.deepEqual([...new BigInt64Array(y.data)], [1n]);
  assert.throws(() => match(digits, { ...site, labels: ["2"] }), DataMismatch);
  assert.throws(() => match(digits, { ...site, shape: [1, 1, 4] }), DataMismatch);
  assert.throws(() => match(digits, { ...site, values: Uint16Array.of(0, 1, 2, 3) }), DataMismatch);
  assert.throws(() => match(null, { ...site }), DataMismatch);
});
