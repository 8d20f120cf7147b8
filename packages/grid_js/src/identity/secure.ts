/** Where browsers give a page keys and storage at all, and what to do where they do not. */
import { Unsupported } from "../errors.js";

/** Throws {@link Unsupported}, saying what to do, on a page that browsers do not trust with keys. */
export function requireSecureContext(): void {
  if (globalThis.crypto?.subtle) return;
  const here = globalThis.location?.origin ?? "this address";
  throw new Unsupported(
    `browsers give keys only to pages over https, or on this machine (http://localhost), and this one is ${here}: ` +
      "open it by https, or ask whoever runs the Domain for its https address",
    { reason: "insecure-context" },
  );
}

/** Throws {@link Unsupported} where this page's browser will not let it call `address` because it has no TLS. */
export function requireNotMixed(address: URL): void {
  const page = globalThis.location;
  if (page?.protocol !== "https:" || address.protocol === "https:" || address.protocol === "wss:") return;
  if (/^(localhost|.*\.localhost|127(\.\d+){3}|\[::1\])$/.test(address.hostname)) return;
  throw new Unsupported(
    `a page over https may not call ${address.protocol}//${address.host}: give the Domain TLS (https), or reach it ` +
      "through its Network (grid+https://network/<verify key>)",
    { reason: "mixed-content" },
  );
}
