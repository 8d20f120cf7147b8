/** What goes between a page and the worker of its engine. */

export interface Call {
  readonly id: number;
  readonly method: "load" | "run" | "runChain" | "cost" | "selfTest";
  readonly args: readonly unknown[];
}

/** The result, or why there is none: the plan is refused, or something broke. */
export type Answer =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly refused: string; readonly extra: Readonly<Record<string, unknown>> }
  | { readonly id: number; readonly failed: string };
