/**
 * Frames in segments: many exchanges over a connection whose messages are small, without any socket. As
 * `syft_ext/transport/segments.py`, the half that asks.
 *
 *     message = uint8 kind · uint32 stream · body            big-endian, at most `maxMessage` bytes
 *     1 OPEN uint64 size · bytes   2 DATA bytes   3 CREDIT uint32 count   4 RESET uint16 code · UTF-8   5 CLOSE likewise
 */
import { concat, text, utf8, type Bytes } from "./bytes.js";

export const WINDOW = 256 << 10;
const HEAD = 5;
const [OPEN, DATA, CREDIT, RESET, CLOSE] = [1, 2, 3, 4, 5] as const;
const LAST_STREAM = 2 ** 32 - 1;
const REASON = 123;

/** What came in does not keep the rules; the connection cannot go on (1002). */
export class MalformedSegment extends Error {
  override readonly name = "MalformedSegment";
}

export type SegmentEvent =
  | { readonly kind: "opened"; readonly stream: number; readonly size: number; readonly data: Uint8Array }
  | { readonly kind: "data"; readonly stream: number; readonly data: Uint8Array }
  | { readonly kind: "credit"; readonly stream: number }
  | { readonly kind: "reset"; readonly stream: number; readonly code: number; readonly reason: string }
  | { readonly kind: "closed"; readonly code: number; readonly reason: string };

interface Stream {
  /** Bytes of the incoming frame that have not come; null before it is opened. */
  expected: number | null;
  /** How many of them the other side may send now. */
  allowed: number;
  /** Bytes that were read, and for which no credit was given yet. */
  used: number;
  /** Bytes of the outgoing frame that were not sent; null before it is opened. */
  left: number | null;
  /** How many of them may be sent now. */
  credit: number;
}

/** The asking end of a connection: messages in, events out, and the messages to send. */
export class Segments {
  private readonly streams = new Map<number, Stream>();
  private last = 0;

  constructor(readonly maxMessage: number, private readonly window = WINDOW) {
    if (maxMessage < 64) throw new RangeError("a message must hold more than its head");
  }

  get underWay(): number {
    return this.streams.size;
  }

  has(stream: number): boolean {
    return this.streams.has(stream);
  }

  /** How many bytes of a frame the message may carry that begins it. */
  get firstRoom(): number {
    return Math.min(this.maxMessage - HEAD - 8, this.window);
  }

  /** A number for the next exchange, and the message that begins its frame of `size` bytes with `first`. */
  open(size: number, first: Uint8Array): { stream: number; message: Bytes } {
    if (first.length > Math.min(size, this.firstRoom)) throw new RangeError("there is no room for so many bytes");
    if (this.last === LAST_STREAM) throw new MalformedSegment("this connection has no streams left");
    const stream = ++this.last;
    this.streams.set(stream, {
      expected: null, allowed: this.window, used: 0, left: size - first.length, credit: this.window - first.length,
    });
    const head = new Uint8Array(HEAD + 8);
    head[0] = OPEN;
    const view = new DataView(head.buffer);
    view.setUint32(1, stream);
    view.setBigUint64(HEAD, BigInt(size));
    return { stream, message: concat(head, first) };
  }

  /** How many bytes the next message may carry; 0 while there is no credit, and when no more is wanted. */
  room(stream: number): number {
    const state = this.streams.get(stream);
    return state?.left ? Math.min(state.credit, state.left, this.maxMessage - HEAD) : 0;
  }

  /** The message that carries `piece`, of at most {@link room} bytes. */
  data(stream: number, piece: Uint8Array): Bytes {
    const state = this.streams.get(stream);
    if (!state || state.left === null || !piece.length || piece.length > this.room(stream)) {
      throw new RangeError("there is no room for this piece");
    }
    state.credit -= piece.length;
    state.left -= piece.length;
    this.settle(stream, state);
    return concat(head(DATA, stream), piece);
  }

  /** `count` bytes of the incoming frame were read; the message that gives credit, if it is time. */
  consumed(stream: number, count: number): Bytes | null {
    const state = this.streams.get(stream);
    if (!state) return null;
    state.used += count;
    if (state.used < this.window >> 1 || !state.expected || state.expected <= state.allowed) return null;
    const given = state.used;
    state.used = 0;
    state.allowed += given;
    const body = new Uint8Array(4);
    new DataView(body.buffer).setUint32(0, given);
    return concat(head(CREDIT, stream), body);
  }

  /** The message that ends an exchange, if it is under way; whatever still comes for it is ignored. */
  reset(stream: number, code: number, reason = ""): Bytes | null {
    return this.streams.delete(stream) ? concat(head(RESET, stream), because(code, reason)) : null;
  }

  /** The message that ends the connection. */
  static close(code: number, reason = ""): Bytes {
    return concat(head(CLOSE, 0), because(code, reason));
  }

  private settle(stream: number, state: Stream): void {
    if (state.left === 0 && state.expected === 0) this.streams.delete(stream);
  }

  /** What `message` means; null for what belongs to an exchange that is over. Throws {@link MalformedSegment}. */
  receive(message: Uint8Array): SegmentEvent | null {
    if (message.length < HEAD || message.length > this.maxMessage) throw new MalformedSegment(`a message of ${message.length} bytes`);
    const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
    const kind = message[0], stream = view.getUint32(1), body = message.subarray(HEAD);
    if (kind === CLOSE) {
      if (stream) throw new MalformedSegment("the end of the connection belongs to no stream");
      return { kind: "closed", ...reasonOf(body) };
    }
    if (stream < 1 || stream > this.last) throw new MalformedSegment(`stream ${stream} was never opened`);
    const state = this.streams.get(stream);
    switch (kind) {
      case OPEN: return this.opened(stream, state, body);
      case DATA: return this.arrived(stream, state, body);
      case CREDIT: return this.credited(stream, state, body);
      case RESET: {
        const ended = reasonOf(body);
        return this.streams.delete(stream) ? { kind: "reset", stream, ...ended } : null;
      }
      default: throw new MalformedSegment(`there is no message of kind ${kind}`);
    }
  }

  private opened(stream: number, state: Stream | undefined, body: Uint8Array): SegmentEvent | null {
    if (body.length < 8) throw new MalformedSegment("a frame without its size");
    const size = Number(new DataView(body.buffer, body.byteOffset).getBigUint64(0)), data = body.subarray(8);
    if (!Number.isSafeInteger(size) || data.length > Math.min(size, this.window)) {
      throw new MalformedSegment(`a frame of ${size} bytes that begins with ${data.length}`);
    }
    if (!state) return null;
    if (state.expected !== null) throw new MalformedSegment(`two frames on stream ${stream}`);
    state.left = 0; // of what is answered no more is wanted
    state.expected = size - data.length;
    state.allowed -= data.length;
    this.settle(stream, state);
    return { kind: "opened", stream, size, data };
  }

  private arrived(stream: number, state: Stream | undefined, body: Uint8Array): SegmentEvent | null {
    if (!state) return null;
    if (state.expected === null) throw new MalformedSegment(`stream ${stream} has no frame yet`);
    if (!body.length || body.length > state.expected) {
      throw new MalformedSegment(`${body.length} bytes where stream ${stream} has ${state.expected} to come`);
    }
    if (body.length > state.allowed) throw new MalformedSegment(`more bytes on stream ${stream} than there is room for`);
    state.expected -= body.length;
    state.allowed -= body.length;
    this.settle(stream, state);
    return { kind: "data", stream, data: body };
  }

  private credited(stream: number, state: Stream | undefined, body: Uint8Array): SegmentEvent | null {
    if (body.length !== 4) throw new MalformedSegment("credit is four bytes");
    if (!state) return null;
    const count = new DataView(body.buffer, body.byteOffset).getUint32(0), used = this.window - state.credit;
    if (count < 1 || count > used) {
      throw new MalformedSegment(`credit for ${count} bytes on stream ${stream}, where ${used} are under way`);
    }
    state.credit += count;
    return { kind: "credit", stream };
  }
}

function head(kind: number, stream: number): Uint8Array {
  const made = new Uint8Array(HEAD);
  made[0] = kind;
  new DataView(made.buffer).setUint32(1, stream);
  return made;
}

function because(code: number, reason: string): Uint8Array {
  let raw = utf8(reason);
  while (raw.length > REASON) raw = utf8((reason = reason.slice(0, -1)));
  return concat(Uint8Array.of(code >> 8, code & 0xff), raw);
}

function reasonOf(body: Uint8Array): { code: number; reason: string } {
  if (body.length < 2 || body.length > 2 + REASON) throw new MalformedSegment("an end without a readable reason");
  try {
    return { code: (body[0]! << 8) | body[1]!, reason: text(body.subarray(2)) };
  } catch {
    throw new MalformedSegment("a reason that is not UTF-8");
  }
}
