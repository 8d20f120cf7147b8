/** The operations that this engine computes, by the names that plans use. */
import { LOSSES } from "./losses.js";
import { POINTWISE } from "./pointwise.js";
import { PRODUCTS } from "./product.js";
import { REDUCTIONS } from "./reduce.js";
import type { Rule, Rules } from "./rule.js";
import { SHAPES } from "./shapes.js";

/** Those whose kernels are always there. */
export const COMMON = named([POINTWISE, REDUCTIONS, PRODUCTS, LOSSES, SHAPES]);
export type Table = ReadonlyMap<string, Rule>;

/** All of them. */
export async function everyRule(): Promise<Table> {
  return new Map([...COMMON, ...named((await import("./rest.js")).REST)]);
}

function named(families: readonly Rules[]): Table {
  return new Map(families.flatMap((family) => Object.entries(family).map(([name, rule]) => [`aten.${name}`, rule])));
}

/** Operations that take a number in the place of a later tensor. */
export const WITH_NUMBERS: ReadonlySet<string> = new Set(
  ["add.Tensor", "sub.Tensor", "mul.Tensor", "div.Tensor", "div.Tensor_mode"].map((name) => `aten.${name}`),
);
