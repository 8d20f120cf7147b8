// The kernels of what plans of tables do without: it works in the memory of the others. Its own tables lie above theirs.

export * from "./columns.as";
export * from "./layers.as";
export * from "./order.as";
export * from "./places.as";
