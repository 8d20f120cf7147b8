/** What of @noble/curves is used; a part of its own, loaded where it is needed. */
import { ed25519, x25519 } from "@noble/curves/ed25519.js";
import type { Bytes } from "./bytes.js";
import type { Agreement } from "./keys.js";

export function verifies(key: Uint8Array, data: Uint8Array, signature: Uint8Array): boolean {
  return ed25519.verify(signature, data, key, { zip215: false });
}

export function signer(seed: Uint8Array): { publicKey: Bytes; sign(data: Uint8Array): Bytes } {
  return {
    publicKey: ed25519.getPublicKey(seed) as Bytes,
    sign: (data) => ed25519.sign(data, seed) as Bytes,
  };
}

export function agreement(secret: Uint8Array = x25519.utils.randomSecretKey()): Agreement {
  return {
    publicKey: x25519.getPublicKey(secret) as Bytes,
    shared: async (theirs) => x25519.getSharedSecret(secret, theirs) as Bytes,
  };
}

/** The private half of `sealingKey`, of a key given by its seed. */
export function openingKey(seed: Uint8Array): Bytes {
  return ed25519.utils.toMontgomerySecret(seed) as Bytes;
}
