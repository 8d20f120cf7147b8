/** The operations that this engine computes, by the names that plans use. */
import { learn } from "../plan/schema.js";
import { LOSSES } from "./losses.js";
import { POINTWISE } from "./pointwise.js";
import { PRODUCTS } from "./product.js";
import { REDUCTIONS } from "./reduce.js";
import type { Rule, Rules } from "./rule.js";
import { SHAPES } from "./shapes.js";

/** Those whose kernels are always there. */
export const COMMON = named([POINTWISE, REDUCTIONS, PRODUCTS, LOSSES, SHAPES]);
export type Table = ReadonlyMap<string, Rule>;

/** What comes with the operations that few plans have: their rules and signatures, and functions that browsers lack. */
export type Rest = typeof import("./rest.js");

/** Loads them, and makes their signatures known. */
export async function loadRest(): Promise<Rest> {
  const rest = await import("./rest.js");
  learn(rest.OTHERS);
  return rest;
}

/** The rules of all operations. */
export function everyRule(rest: Rest): Table {
  return new Map([...COMMON, ...named(rest.RULES)]);
}

function named(families: readonly Rules[]): Table {
  return new Map(families.flatMap((family) => Object.entries(family).map(([name, rule]) => [`aten.${name}`, rule])));
}

/** Operations that take a number in the place of a later tensor. */
export const WITH_NUMBERS: ReadonlySet<string> = new Set(
  ["add.Tensor", "sub.Tensor", "mul.Tensor", "div.Tensor", "div.Tensor_mode"].map((name) => `aten.${name}`),
);
