/** The operations that plans of tables do without: loaded where a plan names one of them. */
import { CONVOLUTIONS } from "./convolution.js";
import { LAYERS } from "./layers.js";
import { ORDER } from "./order.js";
import { PARTS } from "./parts.js";
import { PLACES } from "./places.js";
import type { Rules } from "./rule.js";

export const REST: readonly Rules[] = [CONVOLUTIONS, LAYERS, ORDER, PARTS, PLACES];
