/**
 * A pipe that whoever carries it cannot read or change: as `syft_ext/transport/relayed/sealed.py`, the caller's end.
 *
 * HPKE (RFC 9180, base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM) twice, then AES-256-GCM with a key
 * for either direction and the number of each message as its nonce.
 */
import { BadSignature } from "../errors.js";
import { NOTHING, concat, fromHex, random, utf8, type Bytes } from "./bytes.js";
import { agreement, sealingKey, type Agreement } from "./keys.js";

/** Bytes of a message that is carried, sealed; both ends say the same. */
export const MAX_SEALED = 64 << 10;
export const TAG = 16;
const NAME = "grid sealed pipe v1 ";
const SECRET = 32;
const KEM = concat(utf8("KEM"), Uint8Array.of(0, 0x20));
const SUITE = concat(utf8("HPKE"), Uint8Array.of(0, 0x20, 0, 1, 0, 2));
const VERSION = utf8("HPKE-v1");

async function sha256(data: Bytes): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", data));
}

async function hmac(key: Bytes, data: Bytes): Promise<Bytes> {
  const held = await crypto.subtle.importKey("raw", key, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return new Uint8Array(await crypto.subtle.sign("HMAC", held, data));
}

/** HKDF's first half (RFC 5869): no salt is one of zeros. */
function extract(salt: Bytes, input: Bytes): Promise<Bytes> {
  return hmac(salt.length ? salt : new Uint8Array(32), input);
}

/** HKDF's second half. */
async function expand(key: Bytes, info: Bytes, length: number): Promise<Bytes> {
  let made = NOTHING, last = NOTHING;
  for (let round = 1; made.length < length; round++) {
    last = await hmac(key, concat(last, info, Uint8Array.of(round)));
    made = concat(made, last);
  }
  return made.slice(0, length);
}

function labeledExtract(suite: Bytes, salt: Bytes, label: string, input: Bytes): Promise<Bytes> {
  return extract(salt, concat(VERSION, suite, utf8(label), input));
}

function labeledExpand(suite: Bytes, key: Bytes, label: string, info: Bytes, length: number): Promise<Bytes> {
  return expand(key, concat(Uint8Array.of(length >> 8, length & 0xff), VERSION, suite, utf8(label), info), length);
}

/** Key and nonce of the one message between `enc` and `receiver` (RFC 9180, sections 4.1 and 5.1). */
async function schedule(secret: Bytes, enc: Uint8Array, receiver: Uint8Array, info: Bytes) {
  const eae = await labeledExtract(KEM, NOTHING, "eae_prk", secret);
  const shared = await labeledExpand(KEM, eae, "shared_secret", concat(enc, receiver), 32);
  const context = concat(
    Uint8Array.of(0),
    await labeledExtract(SUITE, NOTHING, "psk_id_hash", NOTHING),
    await labeledExtract(SUITE, NOTHING, "info_hash", info),
  );
  const prk = await labeledExtract(SUITE, shared, "secret", NOTHING);
  const key = await aesKey(await labeledExpand(SUITE, prk, "key", context, 32));
  return { key, nonce: await labeledExpand(SUITE, prk, "base_nonce", context, 12) };
}

function aesKey(raw: Bytes): Promise<CryptoKey> {
  return crypto.subtle.importKey("raw", raw, "AES-GCM", false, ["encrypt", "decrypt"]);
}

/** `plaintext` sealed to `receiver` (X25519, raw): encapsulated key ‖ ciphertext. */
export async function hpkeSeal(plaintext: Bytes, receiver: Uint8Array, info: Bytes): Promise<Bytes> {
  const once = await agreement();
  const { key, nonce } = await schedule(await once.shared(receiver), once.publicKey, receiver, info);
  const sealed = await crypto.subtle.encrypt({ name: "AES-GCM", iv: nonce }, key, plaintext);
  return concat(once.publicKey, new Uint8Array(sealed));
}

/** What was sealed to `own`; throws where it was not, or not for `info`. */
export async function hpkeOpen(sealed: Uint8Array, own: Agreement, info: Bytes): Promise<Bytes> {
  const enc = sealed.subarray(0, 32);
  const { key, nonce } = await schedule(await own.shared(enc), enc, own.publicKey, info);
  return new Uint8Array(await crypto.subtle.decrypt({ name: "AES-GCM", iv: nonce }, key, sealed.slice(32) as Bytes));
}

/** The two keys of a pipe: what the caller sends with, and what the node does. */
async function pipeKeys(secrets: Bytes, hello: Bytes, welcome: Bytes) {
  const prk = await extract(await sha256(concat(hello, welcome)), secrets);
  const made = await expand(prk, utf8(`${NAME}keys`), 64);
  return { asks: await aesKey(made.slice(0, 32)), answers: await aesKey(made.slice(32)) };
}

async function welcomeInfo(hello: Bytes): Promise<Bytes> {
  return concat(utf8(`${NAME}welcome`), await sha256(hello));
}

export function helloInfo(verifyKey: Uint8Array): Bytes {
  return concat(utf8(`${NAME}hello`), verifyKey);
}

/** The caller's greeting of the node that a verify key (64 hex digits) belongs to. */
export class Greeting {
  private constructor(
    readonly hello: Bytes, private readonly own: Agreement, private readonly secret: Uint8Array,
  ) {}

  static async of(verifyKey: string, own?: Agreement, secret: Uint8Array = random(SECRET)): Promise<Greeting> {
    const once = own ?? (await agreement());
    const raw = fromHex(verifyKey);
    try {
      const hello = await hpkeSeal(concat(secret, once.publicKey), sealingKey(raw), helloInfo(raw));
      return new Greeting(hello, once, secret);
    } catch {
      throw new BadSignature("this verify key is no key of a node");
    }
  }

  /** For tests with recorded bytes: a greeting that was sent before. */
  static recorded(hello: Bytes, own: Agreement, secret: Uint8Array): Greeting {
    return new Greeting(hello, own, secret);
  }

  /** The channel, once `welcome` came; throws {@link BadSignature} when another than the node answers. */
  async welcomed(welcome: Bytes): Promise<SealedChannel> {
    let answered: Bytes;
    try {
      answered = await hpkeOpen(welcome, this.own, await welcomeInfo(this.hello));
    } catch {
      throw new BadSignature("another node than the one that was asked for answers");
    }
    if (answered.length !== SECRET) throw new BadSignature("the answer is no welcome");
    const { asks, answers } = await pipeKeys(concat(this.secret, answered), this.hello, welcome);
    return new SealedChannel(asks, answers);
  }
}

/** Seals what goes and opens what comes, each by its number: call them in the order of the messages. */
export class SealedChannel {
  private sent = 0;
  private received = 0;

  constructor(private readonly sends: CryptoKey, private readonly receives: CryptoKey) {}

  async seal(message: Bytes): Promise<Bytes> {
    const iv = nonceOf(this.sent++);
    return new Uint8Array(await crypto.subtle.encrypt({ name: "AES-GCM", iv }, this.sends, message));
  }

  async open(sealed: Bytes): Promise<Bytes> {
    const iv = nonceOf(this.received++);
    try {
      return new Uint8Array(await crypto.subtle.decrypt({ name: "AES-GCM", iv }, this.receives, sealed));
    } catch {
      throw new BadSignature("what was carried here was changed on its way");
    }
  }
}

function nonceOf(number: number): Bytes {
  const made = new Uint8Array(12);
  new DataView(made.buffer).setBigUint64(4, BigInt(number));
  return made;
}

