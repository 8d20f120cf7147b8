/** Size expressions, as `syft_ext/plans/graph/expr.py`: integers are exact, everything here is total. */
import { Real } from "../wire/msgpack.js";
import type { Expr } from "./document.js";
import { InvalidPlan, require } from "./invalid.js";

const MAX_DEPTH = 16;
const LIMIT = 1n << 62n;
const OPERATORS = ["+", "*", "//", "%", "/", "max", "min"];

/** Sizes of symbols. */
export type Binding = ReadonlyMap<string, number>;

/** Proves that `expr` has the form of an expression and names known symbols only. */
export function checkExpr(expr: Expr | undefined, symbols: { has(name: string): boolean }, depth = 0): void {
  if (typeof expr === "number" || typeof expr === "bigint" || expr instanceof Real) return;
  require(
    Array.isArray(expr) && expr.length >= 2 && depth <= MAX_DEPTH && typeof expr[0] === "string",
    "malformed size expression",
  );
  const [operator, ...parts] = expr;
  if (operator === "sym") {
    require(
      parts.length === 1 && typeof parts[0] === "string" && symbols.has(parts[0]),
      "a size expression names an unknown symbol",
    );
    return;
  }
  const arity = operator === "float" ? 1 : OPERATORS.includes(operator as string) ? 2 : 0;
  require(arity > 0 && parts.length === arity, "malformed size expression");
  for (const part of parts) checkExpr(part, symbols, depth + 1);
}

/** The value of a checked expression; every intermediate value must be finite and below 2**62. */
export function evaluate(expr: Expr, binding: Binding): bigint | Real {
  const value = raw(expr, binding);
  const inside = value instanceof Real
    ? Number.isFinite(value.value) && Math.abs(value.value) < Number(LIMIT)
    : value < LIMIT && value > -LIMIT;
  require(inside, "a size expression leaves the range of sizes");
  return value;
}

function raw(expr: Expr, binding: Binding): bigint | Real {
  if (typeof expr === "number" || typeof expr === "bigint") return BigInt(expr);
  if (expr instanceof Real) return expr;
  const [operator, ...parts] = expr as Expr[];
  if (operator === "sym") return BigInt(binding.get(parts[0] as string)!);
  const [a, b] = parts.map((part) => evaluate(part, binding)) as [bigint | Real, bigint | Real];
  if (operator === "float") return new Real(number(a));
  if (operator === "max") return less(a, b) ? b : a;
  if (operator === "min") return less(b, a) ? b : a;
  const divides = operator === "//" || operator === "%" || operator === "/";
  if (divides && number(b) === 0) throw new InvalidPlan("a size expression divides by zero or overflows");
  if (operator === "/") return new Real(number(a) / number(b));
  if (typeof a === "bigint" && typeof b === "bigint") {
    if (operator === "+") return a + b;
    if (operator === "*") return a * b;
    const rest = ((a % b) + b) % b; // of the sign of the divisor
    return operator === "%" ? rest : (a - rest) / b;
  }
  const x = number(a), y = number(b);
  if (operator === "+") return new Real(x + y);
  if (operator === "*") return new Real(x * y);
  const rest = modulo(x, y);
  return new Real(operator === "%" ? rest : Math.round((x - rest) / y));
}

/** The rest of a division, of the sign of the divisor. */
export function modulo(x: number, y: number): number {
  const rest = x % y;
  return rest !== 0 && (rest < 0) !== (y < 0) ? rest + y : rest;
}

function number(value: bigint | Real): number {
  return value instanceof Real ? value.value : Number(value);
}

function less(a: bigint | Real, b: bigint | Real): boolean {
  return (a instanceof Real ? a.value : a) < (b instanceof Real ? b.value : b);
}

/** A shape; every size must be a non-negative integer. */
export function evaluateShape(shape: readonly Expr[], binding: Binding): number[] {
  return shape.map((expr) => {
    const size = evaluate(expr, binding);
    require(typeof size === "bigint" && size >= 0n, "a shape has a size that is not a non-negative integer");
    return Number(size);
  });
}
