/** Which key belongs to which address: pinned where it is first met, and held to from then on. */
import { BadSignature } from "../errors.js";
import type { Store } from "./database.js";

export class KnownNodes {
  constructor(private readonly store: Store) {}

  /** The key that is pinned for an address; "" where nobody was met there. */
  async keyOf(address: string): Promise<string> {
    const found = await this.store.get("nodes", address);
    return typeof found === "string" ? found : "";
  }

  /** Pins `key` where none is pinned yet; throws {@link BadSignature} where another one is. */
  async meet(address: string, key: string): Promise<void> {
    const pinned = await this.store.change("nodes", address, (before) => (typeof before === "string" ? before : key));
    if (pinned !== key) {
      throw new BadSignature(
        `${address} answers with another key than before (${key.slice(0, 16)}…, known was ${pinned.slice(0, 16)}…): it was ` +
          "replaced, or somebody stands in between. Ask its owner; then forget the old key to go on",
        { pinned, found: key },
      );
    }
  }

  /** Unpins an address: the next key that is met there is believed. */
  forget(address: string): Promise<void> {
    return this.store.remove("nodes", address);
  }
}
