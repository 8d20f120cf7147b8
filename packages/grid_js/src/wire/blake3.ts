/** BLAKE3 (its specification, section 2): 32 bytes of digest, without a key. Small, and no slower than larger ones. */
import type { Bytes } from "./bytes.js";

const IV = Uint32Array.of(0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19);
const ORDER = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8];
/** Which word of the block each of the seven rounds takes where. */
const SCHEDULE = new Uint8Array(7 * 16);
for (let i = 0; i < SCHEDULE.length; i++) SCHEDULE[i] = i < 16 ? i : SCHEDULE[(i & ~15) - 16 + ORDER[i & 15]!]!;

const CHUNK = 1024, BLOCK = 64;
const [CHUNK_START, CHUNK_END, PARENT, ROOT] = [1, 2, 4, 8];
const words = new Uint32Array(16), state = new Uint32Array(16), block = new Uint8Array(words.buffer);

function mix(a: number, b: number, c: number, d: number, x: number, y: number): void {
  let p = state[a]!, q = state[b]!, r = state[c]!, s = state[d]!;
  p = (p + q + x) | 0, s ^= p, s = (s >>> 16) | (s << 16), r = (r + s) | 0, q ^= r, q = (q >>> 12) | (q << 20);
  p = (p + q + y) | 0, s ^= p, s = (s >>> 8) | (s << 24), r = (r + s) | 0, q ^= r, q = (q >>> 7) | (q << 25);
  state[a] = p, state[b] = q, state[c] = r, state[d] = s;
}

/** The chaining value after the block in `words`, in the place of the one before. */
function compress(value: Uint32Array, counter: number, length: number, flags: number): void {
  state.set(value);
  state.set(IV.subarray(0, 4), 8);
  state.set([counter, counter / 2 ** 32, length, flags], 12);
  for (let round = 0; round < SCHEDULE.length; round += 16) {
    const word = (i: number): number => words[SCHEDULE[round + i]!]!;
    for (let i = 0; i < 4; i++) mix(i, 4 + i, 8 + i, 12 + i, word(2 * i), word(2 * i + 1));
    for (let i = 0; i < 4; i++) mix(i, 4 + ((i + 1) & 3), 8 + ((i + 2) & 3), 12 + ((i + 3) & 3), word(8 + 2 * i), word(9 + 2 * i));
  }
  for (let i = 0; i < 8; i++) value[i] = state[i]! ^ state[i + 8]!;
}

/** The digest of these bytes. */
export function blake3(bytes: Uint8Array): Bytes {
  const chunks = Math.max(1, Math.ceil(bytes.length / CHUNK)), left: Uint32Array[] = [];
  for (let number = 0; number < chunks; number++) {
    const chunk = bytes.subarray(number * CHUNK, (number + 1) * CHUNK), last = number === chunks - 1;
    let value = IV.slice();
    for (let at = 0; at === 0 || at < chunk.length; at += BLOCK) {
      const part = chunk.subarray(at, at + BLOCK), ends = at + BLOCK >= chunk.length;
      block.fill(0);
      block.set(part);
      compress(value, number, part.length, (at ? 0 : CHUNK_START) | (ends ? CHUNK_END : 0) | (ends && chunks === 1 ? ROOT : 0));
    }
    // Trees that are complete, and at the end those that are left, become the left halves of larger ones.
    for (let count = number + 1; left.length && (last || count % 2 === 0); count >>= 1) {
      words.set(left.pop()!);
      words.set(value, 8);
      value = IV.slice();
      compress(value, 0, BLOCK, PARENT | (last && !left.length ? ROOT : 0));
    }
    left.push(value);
  }
  return new Uint8Array(left[0]!.buffer as ArrayBuffer);
}
