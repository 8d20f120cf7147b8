/** Taking part in the trainings of a Domain, from a browser. */

export * from "./errors.js";
export { ITEM_SIZES, elements, tensor } from "./wire/tensor.js";
export type { Dtype, Tensor } from "./wire/tensor.js";
export { readTensors, writeTensors } from "./wire/tensor_file.js";
export { Identity, type Protection } from "./identity/identity.js";
export { KnownNodes } from "./identity/known_nodes.js";
export { BrowserStore, MemoryStore, type Store } from "./identity/database.js";
export { requireSecureContext } from "./identity/secure.js";
export { Connection } from "./transport/connection.js";
export { openTransport } from "./transport/open.js";
export type { Path, Transport } from "./transport/base.js";
export * from "./federated/index.js";
