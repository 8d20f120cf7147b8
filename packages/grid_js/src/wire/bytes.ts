/** Bytes and their forms. */

/** Bytes in a buffer of their own kind, as WebCrypto and sockets take them. */
export type Bytes = Uint8Array<ArrayBuffer>;
export const NOTHING: Bytes = new Uint8Array(0);

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export function utf8(text: string): Bytes {
  return encoder.encode(text) as Bytes;
}

/** The text of UTF-8 bytes; throws TypeError for others. */
export function text(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

export function concat(...parts: readonly Uint8Array[]): Bytes {
  const made = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    made.set(part, at);
    at += part.length;
  }
  return made;
}

export function hex(bytes: Uint8Array): string {
  let made = "";
  for (const each of bytes) made += each.toString(16).padStart(2, "0");
  return made;
}

/** Bytes of hexadecimal digits; throws RangeError for anything else. */
export function fromHex(digits: string): Bytes {
  if (digits.length % 2 || !/^[0-9a-f]*$/.test(digits)) throw new RangeError("not hexadecimal digits");
  return Uint8Array.from({ length: digits.length / 2 }, (_, i) => parseInt(digits.slice(2 * i, 2 * i + 2), 16));
}

export function equal(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((each, i) => each === other[i]);
}

/** Which comes first by its bytes: -1, 0 or 1. */
export function compare(one: Uint8Array, other: Uint8Array): number {
  const shared = Math.min(one.length, other.length);
  for (let i = 0; i < shared; i++) {
    const difference = one[i]! - other[i]!;
    if (difference) return Math.sign(difference);
  }
  return Math.sign(one.length - other.length);
}

export function random(count: number): Bytes {
  return crypto.getRandomValues(new Uint8Array(count));
}

/** The bytes in a buffer of their own: a copy where they share one. */
export function owned(bytes: Uint8Array): Bytes {
  const whole = bytes.byteOffset === 0 && bytes.byteLength === bytes.buffer.byteLength;
  return whole && bytes.buffer instanceof ArrayBuffer ? (bytes as Bytes) : (bytes.slice() as Bytes);
}
