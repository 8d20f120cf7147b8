/**
 * Pictures exactly as a PNG has them (ISO/IEC 15948), or a refusal.
 *
 * A browser's own decoder manages colours, multiplies by alpha and keeps eight bits of sixteen without a word.
 */

export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly channels: 1 | 3;
  /** channels × height × width. */
  readonly pixels: Uint8Array;
}

export type PictureProblem = "not-a-picture" | "picture-kind" | "damaged";

export class NotExact extends Error {
  constructor(readonly code: PictureProblem, readonly value: string) {
    super(value);
  }
}

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
/** Pixels of one picture. */
const MOST = 1 << 24;

export async function readPng(bytes: Uint8Array<ArrayBuffer>): Promise<Picture> {
  if (!SIGNATURE.every((byte, place) => bytes[place] === byte)) throw new NotExact("not-a-picture", "");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let header: DataView | undefined, palette: Uint8Array | undefined;
  const data: Uint8Array<ArrayBuffer>[] = [];
  let ended = false;
  for (let at = 8; at + 12 <= bytes.length && !ended;) {
    const length = view.getUint32(at), kind = String.fromCharCode(...bytes.subarray(at + 4, at + 8)), start = at + 8;
    if (length > bytes.length - start - 4) throw new NotExact("damaged", "it is cut off");
    if (crc(bytes.subarray(at + 4, start + length)) !== view.getUint32(start + length)) throw new NotExact("damaged", kind);
    const chunk = bytes.subarray(start, start + length);
    if (kind === "IHDR" && length === 13) header = new DataView(chunk.buffer, chunk.byteOffset, 13);
    else if (kind === "PLTE") palette = chunk;
    else if (kind === "tRNS") throw new NotExact("picture-kind", "transparent");
    else if (kind === "acTL") throw new NotExact("picture-kind", "animated");
    else if (kind === "eXIf") throw new NotExact("picture-kind", "turned by EXIF");
    else if (kind === "IDAT") data.push(chunk);
    else if (kind === "IEND") ended = true;
    else if (!/^[a-z]/.test(kind)) throw new NotExact("damaged", kind);
    at = start + length + 4;
  }
  if (!header || !data.length || !ended) throw new NotExact("damaged", "it is cut off");
  return decode(header, palette, data);
}

async function decode(header: DataView, palette: Uint8Array | undefined, data: Uint8Array<ArrayBuffer>[]): Promise<Picture> {
  const width = header.getUint32(0), height = header.getUint32(4), depth = header.getUint8(8), kind = header.getUint8(9);
  if (!width || !height || width * height > MOST) throw new NotExact("picture-kind", `${width} × ${height}`);
  if (depth > 8) throw new NotExact("picture-kind", `${depth} bits`);
  if (kind === 4 || kind === 6) throw new NotExact("picture-kind", "transparent");
  if (![0, 2, 3].includes(kind) || (kind === 2 && depth !== 8) || ![1, 2, 4, 8].includes(depth)) throw new NotExact("damaged", "IHDR");
  if (header.getUint8(12) !== 0) throw new NotExact("picture-kind", "interlaced");
  if (kind === 0 && depth > 1 && depth < 8) throw new NotExact("picture-kind", `${depth} bits`);
  const samples = kind === 2 ? 3 : 1, line = Math.ceil((width * samples * depth) / 8), step = Math.max(1, (samples * depth) >> 3);
  const raw = await inflate(data, height * (line + 1));
  unfilter(raw, height, line, step);
  const channels = kind === 0 ? 1 : 3, pixels = new Uint8Array(channels * height * width), plane = height * width;
  for (let y = 0; y < height; y++) {
    const start = y * (line + 1) + 1;
    for (let x = 0; x < width; x++) {
      const at = y * width + x;
      if (kind === 2) for (let c = 0; c < 3; c++) pixels[c * plane + at] = raw[start + 3 * x + c]!;
      else {
        const bit = x * depth, value = (raw[start + (bit >> 3)]! >> (8 - depth - (bit & 7))) & ((1 << depth) - 1);
        if (kind === 0) pixels[at] = depth === 1 ? value * 255 : value;
        else {
          if (!palette || 3 * value + 2 >= palette.length) throw new NotExact("damaged", "PLTE");
          for (let c = 0; c < 3; c++) pixels[c * plane + at] = palette[3 * value + c]!;
        }
      }
    }
  }
  return { width, height, channels, pixels };
}

/** Exactly `size` bytes: neither more nor fewer are taken. */
async function inflate(data: Uint8Array<ArrayBuffer>[], size: number): Promise<Uint8Array> {
  const out = new Uint8Array(size);
  let filled = 0;
  try {
    const reader = new Blob(data).stream().pipeThrough(new DecompressionStream("deflate")).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      if (filled + value.length > size) {
        await reader.cancel();
        throw new NotExact("damaged", "IDAT");
      }
      out.set(value, filled);
      filled += value.length;
    }
  } catch (error) {
    throw error instanceof NotExact ? error : new NotExact("damaged", "IDAT");
  }
  if (filled !== size) throw new NotExact("damaged", "IDAT");
  return out;
}

function unfilter(raw: Uint8Array, height: number, line: number, step: number): void {
  for (let y = 0; y < height; y++) {
    const start = y * (line + 1) + 1, kind = raw[start - 1]!, up = start - line - 1;
    if (kind > 4) throw new NotExact("damaged", "IDAT");
    for (let at = 0; at < line; at++) {
      const left = at >= step ? raw[start + at - step]! : 0, above = y ? raw[up + at]! : 0;
      const corner = y && at >= step ? raw[up + at - step]! : 0;
      const guess = kind === 1 ? left : kind === 2 ? above : kind === 3 ? (left + above) >> 1 : kind === 4 ? paeth(left, above, corner) : 0;
      raw[start + at] = (raw[start + at]! + guess) & 255;
    }
  }
}

function paeth(left: number, above: number, corner: number): number {
  const guess = left + above - corner, l = Math.abs(guess - left), a = Math.abs(guess - above), c = Math.abs(guess - corner);
  return l <= a && l <= c ? left : a <= c ? above : corner;
}

const TABLE = Uint32Array.from({ length: 256 }, (_, start) => {
  let value = start;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

function crc(bytes: Uint8Array): number {
  let value = 0xffffffff;
  for (const byte of bytes) value = TABLE[(value ^ byte) & 255]! ^ (value >>> 8);
  return (value ^ 0xffffffff) >>> 0;
}
