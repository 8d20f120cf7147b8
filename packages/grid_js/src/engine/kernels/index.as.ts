// The kernels that most plans need. Nothing here allocates or checks: the engine does both before.

export * from "./losses.as";
export * from "./memory.as";
export * from "./pointwise.as";
export * from "./product.as";
export * from "./reduce.as";
