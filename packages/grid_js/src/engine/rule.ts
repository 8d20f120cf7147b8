/** The form of the rules of operations. */
import type { DType } from "../plan/document.js";
import type { Build } from "./build.js";
import type { Num, Value } from "./value.js";

/** An argument as rules get it: in the order of the schema, defaults filled in, sizes evaluated; dtypes and words as text. */
export type Arg = Value | Num | number | boolean | string | DType | null | Arg[];
export type Args = readonly Arg[];
/** Results; null stands for one that is not computed. */
export type Rule = (b: Build, args: Args) => Value | (Value | null)[];
export type Rules = Readonly<Record<string, Rule>>;
