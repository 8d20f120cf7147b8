/** Functions of one number that WebAssembly has no instruction for; the kernels import them by number. */

/** Their numbers, as the kernels call them: the first ones directly, all as `unary` of their number + 32. */
export const BY_NUMBER = [
  "erf", "expm1", "log1p", "erfc", "erfinv", "lgamma", "digamma", "log2", "log10", "sin", "cos", "tan", "asin", "acos", "atan", "sinh",
  "cosh", "asinh", "acosh", "atanh",
] as const;
/** All of them by number. `special`: those that browsers lack, where the plan has an operation that needs one. */
export function functions(special: Readonly<Record<string, (x: number) => number>>): ((x: number) => number)[] {
  return BY_NUMBER.map((name) => special[name] ?? (Math as unknown as Record<string, (x: number) => number>)[name]!);
}
