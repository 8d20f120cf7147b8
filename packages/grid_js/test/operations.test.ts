/** What every visit loads of operations, and what comes where a plan needs it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { BY_NUMBER, functions } from "../src/engine/math.js";
import { COMMON, everyRule, loadRest } from "../src/engine/table.js";
import { SIGNATURES } from "../src/plan/schema.js";

const names = (table: ReadonlyMap<string, unknown>): string[] => [...table.keys()].sort();

test("each operation has its rule and its signature in one part", async () => {
  assert.deepEqual(names(COMMON), names(SIGNATURES));
  const rest = await loadRest(), all = everyRule(rest);
  assert.deepEqual(names(all), names(SIGNATURES));
  assert.ok(all.size > COMMON.size);
});

test("every function of a number is the browser's own, or comes with the operations that need it", async () => {
  const { SPECIAL } = await loadRest();
  assert.deepEqual(Object.keys(SPECIAL).sort(), BY_NUMBER.filter((name) => !(name in Math)).sort());
  assert.ok(functions(SPECIAL).every((each) => Number.isFinite(each(1)) || each(1) === Infinity));
  functions({}).forEach((each, i) => assert.equal(typeof each === "function", !(BY_NUMBER[i]! in SPECIAL)));
});
