import assert from "node:assert/strict";
import { test } from "node:test";
import { elements, tensor } from "../src/wire/tensor.js";

test("a tensor holds exactly its elements", () => {
  const made = tensor("F32", [2, 3], new ArrayBuffer(24));
  assert.equal(elements(made.shape), 6);
  assert.equal(elements([]), 1);
  assert.throws(() => tensor("F32", [2, 3], new ArrayBuffer(20)), RangeError);
  assert.throws(() => tensor("F32", [-1], new ArrayBuffer(0)), RangeError);
  assert.throws(() => tensor("F32", [2 ** 40, 2 ** 40], new ArrayBuffer(0)), RangeError);
});
