/** Ed25519 and X25519: by WebCrypto where the browser has them, else by @noble/curves, which is loaded only then. */
import { BadSignature } from "../errors.js";
import { fromHex, hex, type Bytes } from "./bytes.js";

export function noble(): Promise<typeof import("./noble.js")> {
  return import("./noble.js");
}

let signs: Promise<boolean> | undefined;
let agrees: Promise<boolean> | undefined;

/** Whether this browser's WebCrypto knows Ed25519. */
export function hasEd25519(): Promise<boolean> {
  return (signs ??= knows("Ed25519", ["sign", "verify"]));
}

/** Whether this browser's WebCrypto knows X25519. */
export function hasX25519(): Promise<boolean> {
  return (agrees ??= knows("X25519", ["deriveBits"]));
}

async function knows(algorithm: string, uses: KeyUsage[]): Promise<boolean> {
  try {
    await crypto.subtle.generateKey(algorithm, false, uses);
    return true;
  } catch {
    return false;
  }
}

/** Throws {@link BadSignature} unless the holder of `key` (64 hex digits) signed `data` (RFC 8032). */
export async function verify(key: string, data: Bytes, signature: Uint8Array): Promise<void> {
  let holds = false;
  try {
    const raw = fromHex(key);
    if (raw.length === 32 && signature.length === 64) {
      holds = (await hasEd25519()) ? await byBrowser(raw, data, signature) : (await noble()).verifies(raw, data, signature);
    }
  } catch {
    holds = false; // no key of the curve
  }
  if (!holds) throw new BadSignature("the signature does not match the sender's key");
}

async function byBrowser(raw: Bytes, data: Bytes, signature: Uint8Array): Promise<boolean> {
  const key = await crypto.subtle.importKey("raw", raw, "Ed25519", false, ["verify"]);
  return crypto.subtle.verify("Ed25519", key, signature.slice() as Bytes, data);
}

/** A one-time X25519 key pair (RFC 7748). */
export interface Agreement {
  readonly publicKey: Bytes;
  /** The secret shared with the holder of `theirs`; throws where there is none (all zero). */
  shared(theirs: Uint8Array): Promise<Bytes>;
}

export async function agreement(): Promise<Agreement> {
  if (!(await hasX25519())) return (await noble()).agreement();
  const pair = (await crypto.subtle.generateKey("X25519", false, ["deriveBits"])) as CryptoKeyPair;
  const publicKey = new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey));
  return {
    publicKey,
    async shared(theirs) {
      const key = await crypto.subtle.importKey("raw", theirs.slice() as Bytes, "X25519", false, []);
      return new Uint8Array(await crypto.subtle.deriveBits({ name: "X25519", public: key }, pair.privateKey, 256));
    },
  };
}

const P = 2n ** 255n - 19n;

/**
 * The X25519 key that belongs to an Ed25519 key: u = (1 + y) / (1 - y) (RFC 7748, section 4.1; the map of libsodium's
 * `crypto_sign_ed25519_pk_to_curve25519`). That it is a point of the curve is not looked at: of what is none nobody has
 * the private half, so that nobody opens what is sealed to it, or signs as it; of small orders X25519 makes no secret.
 */
export function sealingKey(verifyKey: Uint8Array): Bytes {
  const y = BigInt(`0x${hex(verifyKey.slice().reverse())}`) & (2n ** 255n - 1n);
  const u = ((1n + y) * power(1n - y + P, P - 2n)) % P;
  return fromHex(u.toString(16).padStart(64, "0")).reverse() as Bytes;
}

/** base ** exponent modulo P: for exponent P - 2 the inverse. */
function power(base: bigint, exponent: bigint): bigint {
  let made = 1n;
  for (let square = ((base % P) + P) % P; exponent; square = (square * square) % P, exponent >>= 1n) {
    if (exponent & 1n) made = (made * square) % P;
  }
  return made;
}
