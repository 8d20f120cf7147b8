/** The operations that plans of tables do without: loaded where a plan names one of them. */
import { CONVOLUTIONS } from "./convolution.js";
import { LAYERS } from "./layers.js";
import { ORDER } from "./order.js";
import { ELEMENTWISE } from "./others/elementwise.js";
import { TRUTHS } from "./others/truth.js";
import { PARTS } from "./parts.js";
import { PLACES } from "./places.js";
import type { Rules } from "./rule.js";

export { OTHERS } from "../plan/other_operations.js";
export { SPECIAL } from "./others/special.js";

export const RULES: readonly Rules[] = [CONVOLUTIONS, ELEMENTWISE, LAYERS, ORDER, PARTS, PLACES, TRUTHS];
