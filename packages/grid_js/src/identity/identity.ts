/** Who takes part: an Ed25519 key pair that is made in the browser and never leaves it. */
import { fromHex, hex, random, utf8, type Bytes } from "../wire/bytes.js";
import { digest, nodeIdOf, type Signer } from "../wire/envelope.js";
import { hasEd25519, noble } from "../wire/keys.js";
import { InvalidConfig } from "../errors.js";
import type { Store } from "./database.js";
import { requireSecureContext } from "./secure.js";

/**
 * How a private key is kept. "held": by the browser, which signs with it and gives it to nobody, this page's scripts
 * included. "readable": where WebCrypto does not know Ed25519 (Chromium before 137, Firefox before 129, Safari before 17)
 * it lies in the page's own storage: no other site reads it, but a script that somebody brings into this page could
 * copy it, and then speak as this participant for ever.
 */
export type Protection = "held" | "readable";

type Kept = { readonly verifyKey: string; readonly key: CryptoKey } | { readonly verifyKey: string; readonly seed: Uint8Array };

/** A signing key and what follows from it. `verifyKey` is what others know this identity by. */
export class Identity implements Signer {
  private constructor(
    readonly verifyKey: string, readonly protection: Protection, private readonly signer: (data: Bytes) => Promise<Bytes>,
  ) {}

  /** A fresh key pair, in memory only. */
  static async generate(): Promise<Identity> {
    return Identity.of(await make());
  }

  /** The identity of that name in `store`; made at first use, by one of all tabs that ask. */
  static async loadOrCreate(store: Store, name = "default"): Promise<Identity> {
    requireSecureContext();
    const found = await store.get("keys", name);
    if (found !== undefined) return Identity.of(kept(found));
    const fresh = await make();
    return Identity.of(await store.change("keys", name, (before) => (before === undefined ? fresh : kept(before))));
  }

  private static async of(found: Kept): Promise<Identity> {
    if ("key" in found) {
      return new Identity(found.verifyKey, "held", async (data) =>
        new Uint8Array(await crypto.subtle.sign("Ed25519", found.key, data)));
    }
    const signer = (await noble()).signer(found.seed);
    return new Identity(found.verifyKey, "readable", async (data) => signer.sign(data));
  }

  get nodeId(): string {
    return nodeIdOf(fromHex(this.verifyKey));
  }

  sign(data: Bytes): Promise<Bytes> {
    return this.signer(data);
  }

  /** 32 bytes that only the holder of this key can compute, one value per purpose (a signature has one value, RFC 8032). */
  async deriveSecret(purpose: string): Promise<Bytes> {
    return digest(await this.sign(utf8(`grid browser secret v1\0${purpose}`)));
  }
}

async function make(): Promise<Kept> {
  requireSecureContext();
  if (await hasEd25519()) {
    const pair = (await crypto.subtle.generateKey("Ed25519", false, ["sign", "verify"])) as CryptoKeyPair;
    return { verifyKey: hex(new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey))), key: pair.privateKey };
  }
  const seed = random(32);
  return { verifyKey: hex((await noble()).signer(seed).publicKey), seed };
}

function kept(value: unknown): Kept {
  const found = value as Partial<{ verifyKey: string; key: CryptoKey; seed: Uint8Array }> | null;
  const verifyKey = found?.verifyKey;
  if (typeof verifyKey === "string" && /^[0-9a-f]{64}$/.test(verifyKey)) {
    if (found?.key instanceof CryptoKey) return { verifyKey, key: found.key };
    if (found?.seed instanceof Uint8Array && found.seed.length === 32) return { verifyKey, seed: found.seed };
  }
  throw new InvalidConfig("what is kept here as an identity is none");
}
