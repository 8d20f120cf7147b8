/**
 * msgpack as Python's side writes and digests it: one encoding of each value, and integers apart from floating-point
 * numbers, which JavaScript's numbers do not tell and libraries therefore lose: 1 and 1.0 have different digests.
 */
import { compare, concat, text, utf8, type Bytes } from "./bytes.js";

/** A floating-point number, whole or not. */
export class Real {
  constructor(readonly value: number) {}
}

/** What came: integers are numbers where those are exact, else bigints; mappings keep the order of their keys. */
export type Packed = null | boolean | number | bigint | Real | string | Uint8Array | Packed[] | Map<string, Packed>;
/** What goes: a number that is whole is an integer; say `new Real(1)` for 1.0. Properties that are undefined are left out. */
export type Packable =
  | null | boolean | number | bigint | Real | string | Uint8Array | readonly Packable[]
  | ReadonlyMap<string, Packable> | { readonly [name: string]: Packable | undefined };

/** Bytes that are no msgpack, or not in its one form. */
export class NotPacked extends Error {
  override readonly name = "NotPacked";
}

const MAX_DEPTH = 64;

// -- writing ------------------------------------------------------------------------------------------------------

/** The bytes of a value; `sorted`: with the keys of all mappings in order of their bytes, as digests take them. */
export function pack(value: Packable, sorted = false): Bytes {
  const parts: Uint8Array[] = [];
  write(value, sorted, parts);
  return concat(...parts);
}

function write(value: Packable, sorted: boolean, out: Uint8Array[]): void {
  if (value === null) out.push(Uint8Array.of(0xc0));
  else if (typeof value === "boolean") out.push(Uint8Array.of(value ? 0xc3 : 0xc2));
  else if (typeof value === "number") out.push(Number.isInteger(value) ? integer(BigInt(value)) : real(value));
  else if (typeof value === "bigint") out.push(integer(value));
  else if (value instanceof Real) out.push(real(value.value));
  else if (typeof value === "string") {
    const raw = utf8(value);
    out.push(raw.length < 32 ? Uint8Array.of(0xa0 | raw.length) : sized(raw.length, 0xd9, 0xda, 0xdb), raw);
  } else if (value instanceof Uint8Array) out.push(sized(value.length, 0xc4, 0xc5, 0xc6), value);
  else if (Array.isArray(value)) {
    out.push(value.length < 16 ? Uint8Array.of(0x90 | value.length) : sized(value.length, null, 0xdc, 0xdd));
    for (const each of value as readonly Packable[]) write(each, sorted, out);
  } else mapping(value as ReadonlyMap<string, Packable> | { readonly [name: string]: Packable | undefined }, sorted, out);
}

function mapping(
  value: ReadonlyMap<string, Packable> | { readonly [name: string]: Packable | undefined }, sorted: boolean, out: Uint8Array[],
): void {
  const entries = value instanceof Map ? [...value] : Object.entries(value);
  const pairs = entries.filter((pair): pair is [string, Packable] => pair[1] !== undefined);
  if (sorted) pairs.sort((one, other) => compare(utf8(one[0]), utf8(other[0])));
  out.push(pairs.length < 16 ? Uint8Array.of(0x80 | pairs.length) : sized(pairs.length, null, 0xde, 0xdf));
  for (const [name, each] of pairs) {
    write(name, sorted, out);
    write(each, sorted, out);
  }
}

/** A head with a length, in as few bytes as hold it. */
function sized(length: number, one: number | null, two: number, four: number): Uint8Array {
  if (one !== null && length < 0x100) return Uint8Array.of(one, length);
  if (length < 0x10000) return Uint8Array.of(two, length >> 8, length & 0xff);
  if (length > 0xffffffff) throw new RangeError("too long for msgpack");
  const made = new Uint8Array(5);
  made[0] = four;
  new DataView(made.buffer).setUint32(1, length);
  return made;
}

function real(value: number): Uint8Array {
  const made = new Uint8Array(9);
  made[0] = 0xcb;
  new DataView(made.buffer).setFloat64(1, value);
  return made;
}

function integer(value: bigint): Uint8Array {
  if (value >= -32n && value < 128n) return Uint8Array.of(Number(value) & 0xff);
  const widths = value < 0n
    ? ([[0xd0, 1, 1n << 7n], [0xd1, 2, 1n << 15n], [0xd2, 4, 1n << 31n], [0xd3, 8, 1n << 63n]] as const)
    : ([[0xcc, 1, 1n << 8n], [0xcd, 2, 1n << 16n], [0xce, 4, 1n << 32n], [0xcf, 8, 1n << 64n]] as const);
  for (const [head, size, end] of widths) {
    if (value < 0n ? value < -end : value >= end) continue;
    const made = new Uint8Array(1 + size);
    made[0] = head;
    for (let i = size; i > 0; i--, value >>= 8n) made[i] = Number(value & 0xffn);
    return made;
  }
  throw new RangeError("no integer of msgpack is so large");
}

// -- reading ------------------------------------------------------------------------------------------------------

/**
 * The value of `bytes`, all of them; at most `containers` lists and mappings, none with a key twice. Throws
 * {@link NotPacked}, before memory is spent on it, for what is not written as `pack` writes it.
 */
export function unpack(bytes: Uint8Array, containers = 1 << 16): Packed {
  const reader = new Reader(bytes, containers);
  const value = reader.value(0);
  hold(reader.ended, "there is something behind the end");
  return value;
}

function hold(condition: unknown, detail: string): asserts condition {
  if (!condition) throw new NotPacked(detail);
}

class Reader {
  private at = 0;
  private readonly view: DataView;

  constructor(private readonly bytes: Uint8Array, private containers: number) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get ended(): boolean {
    return this.at === this.bytes.length;
  }

  value(depth: number): Packed {
    const kind = this.unsigned(1);
    if (kind <= 0x7f) return kind;
    if (kind >= 0xe0) return kind - 0x100;
    if (kind <= 0x8f) return this.mapping(kind & 15, depth);
    if (kind <= 0x9f) return this.list(kind & 15, depth);
    if (kind <= 0xbf) return this.string(kind & 31);
    switch (kind) {
      case 0xc0: return null;
      case 0xc2: return false;
      case 0xc3: return true;
      case 0xc4: return this.raw(this.length(1, 0));
      case 0xc5: return this.raw(this.length(2, 0x100));
      case 0xc6: return this.raw(this.length(4, 0x10000));
      case 0xcb: return new Real(this.view.getFloat64(this.step(8)));
      case 0xcc: return this.length(1, 0x80);
      case 0xcd: return this.length(2, 0x100);
      case 0xce: return this.length(4, 0x10000);
      case 0xcf: return this.wide(this.view.getBigUint64(this.step(8)), 1n << 32n, 1n << 64n);
      case 0xd0: return this.below(this.view.getInt8(this.step(1)), -32);
      case 0xd1: return this.below(this.view.getInt16(this.step(2)), -0x80);
      case 0xd2: return this.below(this.view.getInt32(this.step(4)), -0x8000);
      case 0xd3: return this.wide(this.view.getBigInt64(this.step(8)), -(1n << 63n), -(1n << 31n));
      case 0xd9: return this.string(this.length(1, 32));
      case 0xda: return this.string(this.length(2, 0x100));
      case 0xdb: return this.string(this.length(4, 0x10000));
      case 0xdc: return this.list(this.length(2, 16), depth);
      case 0xdd: return this.list(this.length(4, 0x10000), depth);
      case 0xde: return this.mapping(this.length(2, 16), depth);
      case 0xdf: return this.mapping(this.length(4, 0x10000), depth);
      default: throw new NotPacked("a kind of value that nobody here writes");
    }
  }

  private step(size: number): number {
    const begins = this.at;
    hold(size <= this.bytes.length - begins, "it ends early");
    this.at += size;
    return begins;
  }

  private unsigned(size: 1 | 2 | 4): number {
    const at = this.step(size);
    return size === 1 ? this.view.getUint8(at) : size === 2 ? this.view.getUint16(at) : this.view.getUint32(at);
  }

  private length(size: 1 | 2 | 4, least: number): number {
    const value = this.unsigned(size);
    hold(value >= least, "not in canonical form");
    return value;
  }

  private below(value: number, end: number): number {
    hold(value < end, "not in canonical form");
    return value;
  }

  private wide(value: bigint, from: bigint, to: bigint): number | bigint {
    hold(value >= from && value < to, "not in canonical form");
    return value >= -(1n << 53n) && value <= 1n << 53n ? Number(value) : value;
  }

  private raw(size: number): Uint8Array {
    const at = this.step(size);
    return this.bytes.subarray(at, at + size);
  }

  private string(size: number): string {
    try {
      return text(this.raw(size));
    } catch (error) {
      if (error instanceof NotPacked) throw error;
      throw new NotPacked("a text is not UTF-8");
    }
  }

  private enter(count: number, depth: number): void {
    this.containers -= 1;
    hold(this.containers >= 0, "too many lists");
    hold(depth < MAX_DEPTH, "lists in lists, too deep");
    hold(count <= this.bytes.length - this.at, "it ends early");
  }

  private list(count: number, depth: number): Packed[] {
    this.enter(count, depth);
    const made: Packed[] = [];
    for (let i = 0; i < count; i++) made.push(this.value(depth + 1));
    return made;
  }

  private mapping(count: number, depth: number): Map<string, Packed> {
    this.enter(count, depth);
    const made = new Map<string, Packed>();
    for (let i = 0; i < count; i++) {
      const key = this.value(depth + 1);
      hold(typeof key === "string" && !made.has(key), "a key is no text, or there twice");
      made.set(key, this.value(depth + 1));
    }
    return made;
  }
}
