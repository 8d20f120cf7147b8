/**
 * The signed envelope that every message travels in, and its frame on the wire: as `syft_ext/messages/envelope.py`.
 *
 *     frame    = "GRD1" · uint32 length of the envelope (big-endian) · envelope · payload
 *     envelope = msgpack of the fields below, as an array
 */
import { blake3 } from "./blake3.js";
import { InvalidEnvelope, TooLarge } from "../errors.js";
import { NOTHING, concat, equal, hex, owned, random, utf8, type Bytes } from "./bytes.js";
import { verify } from "./keys.js";
import { NotPacked, Real, pack, unpack, type Packable, type Packed } from "./msgpack.js";

/** Recipient of the one message that may be for whoever receives it: `node.metadata`. */
export const ANY_NODE = "*";
export const MAX_ENVELOPE = 8 << 20;
/** Bytes before the envelope: magic and length. */
export const PREFIX = 8;
const MAGIC = utf8("GRD1");
const CONTEXT = utf8("grid envelope v2\0");

/** Who says what to whom, when. Times are seconds since the epoch; keys and ids hex. */
export interface Envelope {
  readonly sender: string;
  readonly recipient: string;
  readonly operation: string;
  readonly body: Uint8Array;
  readonly nonce: Uint8Array;
  readonly issuedAt: number;
  readonly inReplyTo: Uint8Array;
  readonly token: string;
  readonly payloadSize: number;
  readonly payloadDigest: Uint8Array;
  readonly signature: Uint8Array;
  /** Of an envelope about a part of a download: which bytes, of how many, and the digest of the whole. */
  readonly part?: Part;
}

export interface Part {
  readonly start: number;
  readonly stop: number;
  readonly total: number;
  readonly whole: string;
}

/** Who signs: see `identity`. */
export interface Signer {
  readonly verifyKey: string;
  sign(data: Bytes): Promise<Bytes>;
}

/** BLAKE3, 32 bytes. */
export function digest(bytes: Uint8Array): Bytes {
  return blake3(bytes);
}

/** The id of the node that owns a verify key: 32 hex digits of its BLAKE3 hash. */
export function nodeIdOf(verifyKey: Uint8Array): string {
  return hex(digest(verifyKey).subarray(0, 16));
}

function array(envelope: Envelope): Packable[] {
  const { part } = envelope;
  return [
    envelope.sender, envelope.recipient, envelope.operation, envelope.body, envelope.nonce,
    new Real(envelope.issuedAt), // also when it is whole: else the signature would be of other bytes
    envelope.inReplyTo, envelope.token, envelope.payloadSize, envelope.payloadDigest, envelope.signature,
    ...(part ? [part.start, part.stop, part.total, part.whole] : []),
  ];
}

function signedPart(envelope: Envelope): Bytes {
  return concat(CONTEXT, digest(pack(array({ ...envelope, signature: NOTHING }))));
}

/** Throws {@link BadSignature} unless the sender signed exactly this. */
export function verifyEnvelope(envelope: Envelope): Promise<void> {
  return verify(envelope.sender, signedPart(envelope), envelope.signature);
}

export interface Request {
  readonly operation: string;
  readonly body: Packable;
  readonly recipient: string;
  /** Seconds since the epoch, by the recipient's clock as far as that is known. */
  readonly now: number;
  readonly token?: string;
  readonly payload?: Uint8Array;
  readonly part?: Part;
}

/** A signed envelope; the payload is covered by its digest. */
export async function sealRequest(signer: Signer, request: Request): Promise<Envelope> {
  const payload = request.payload ?? NOTHING;
  const unsigned: Envelope = {
    sender: signer.verifyKey,
    recipient: request.recipient,
    operation: request.operation,
    body: pack(request.body),
    nonce: random(16),
    issuedAt: request.now,
    inReplyTo: NOTHING,
    token: request.token ?? "",
    payloadSize: payload.length,
    payloadDigest: payload.length ? digest(payload) : NOTHING,
    signature: NOTHING,
    ...(request.part ? { part: request.part } : {}),
  };
  return { ...unsigned, signature: await signer.sign(signedPart(unsigned)) };
}

/** Prefix and envelope: what precedes the payload on the wire. */
export function frameHead(envelope: Envelope): Bytes {
  const data = pack(array(envelope));
  const prefix = new Uint8Array(PREFIX);
  prefix.set(MAGIC);
  new DataView(prefix.buffer).setUint32(4, data.length);
  return concat(prefix, data);
}

/** Bytes of the envelope, from the first eight of a frame. */
export function envelopeSize(prefix: Uint8Array): number {
  if (prefix.length < PREFIX) throw new InvalidEnvelope("truncated frame");
  if (!equal(prefix.subarray(0, 4), MAGIC)) throw new InvalidEnvelope("this is not a frame of this protocol");
  const size = new DataView(prefix.buffer, prefix.byteOffset).getUint32(4);
  if (size > MAX_ENVELOPE) throw new TooLarge(`envelope of ${size} bytes`, { limit: MAX_ENVELOPE });
  return size;
}

/** Reads an envelope; its signature is not checked yet. */
export function decodeEnvelope(bytes: Uint8Array): Envelope {
  let fields: Packed;
  try {
    fields = unpack(owned(bytes), 2);
  } catch (error) {
    if (!(error instanceof NotPacked)) throw error;
    throw new InvalidEnvelope(`not an envelope: ${error.message}`);
  }
  if (!Array.isArray(fields) || (fields.length !== 11 && fields.length !== 15)) {
    throw new InvalidEnvelope("not an envelope: another number of fields");
  }
  const [sender, recipient, operation, body, nonce, issuedAt, inReplyTo, token, payloadSize, payloadDigest, signature] = fields;
  const [start, stop, total, whole] = fields.slice(11);
  if (
    typeof sender !== "string" || typeof recipient !== "string" || typeof operation !== "string" ||
    !(body instanceof Uint8Array) || !(nonce instanceof Uint8Array) || !(issuedAt instanceof Real) ||
    !(inReplyTo instanceof Uint8Array) || typeof token !== "string" || typeof payloadSize !== "number" || payloadSize < 0 ||
    !(payloadDigest instanceof Uint8Array) || !(signature instanceof Uint8Array) || nonce.length !== 16 || sender.length !== 64
  ) {
    throw new InvalidEnvelope("not an envelope: a field is not what it must be");
  }
  const envelope = {
    sender, recipient, operation, body, nonce, issuedAt: issuedAt.value, inReplyTo, token, payloadSize, payloadDigest, signature,
  };
  if (fields.length === 11) return envelope;
  if (typeof start !== "number" || typeof stop !== "number" || typeof total !== "number" || typeof whole !== "string") {
    throw new InvalidEnvelope("not an envelope: a field is not what it must be");
  }
  return { ...envelope, part: { start, stop, total, whole } };
}

/** Splits a whole frame into envelope (unverified) and payload, which must be as long as it says. */
export function openFrame(frame: Uint8Array): { envelope: Envelope; payload: Uint8Array } {
  const end = PREFIX + envelopeSize(frame);
  if (frame.length < end) throw new InvalidEnvelope("truncated frame");
  const envelope = decodeEnvelope(frame.subarray(PREFIX, end));
  const payload = frame.subarray(end);
  if (payload.length !== envelope.payloadSize) {
    throw new InvalidEnvelope(`${payload.length} bytes follow an envelope that announces ${envelope.payloadSize}`);
  }
  return { envelope, payload };
}
