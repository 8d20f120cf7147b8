/** Exchanges in segments over a pipe: what waits and holds bytes around {@link Segments}. */
import { DeadlineExceeded, GridError, InvalidEnvelope, TooLarge, Unavailable } from "../errors.js";
import { concat, type Bytes } from "../wire/bytes.js";
import { MalformedSegment, Segments, type SegmentEvent } from "../wire/segments.js";
import type { Pipe } from "./pipe.js";

interface Waiting {
  size: number | null;
  held: number;
  readonly parts: Uint8Array[];
  failure: GridError | null;
  /** Called at every change. */
  wake: () => void;
  readonly most: number;
}

/** The asking end of one connection. */
export class StreamConnection {
  private readonly segments: Segments;
  private readonly exchanges = new Map<number, Waiting>();
  private failure: GridError | null = null;

  constructor(private readonly pipe: Pipe, private readonly peer: string) {
    if (pipe.maxMessage === null) throw new RangeError("this pipe carries whole frames");
    this.segments = new Segments(pipe.maxMessage, pipe.window);
    pipe.listener = { message: (bytes) => this.take(bytes), ended: (why) => this.end(why) };
  }

  get ended(): boolean {
    return this.failure !== null;
  }

  /** Sends the frame that `pieces` are together; the frame that answers it, of at most `most` bytes. */
  async ask(pieces: readonly Uint8Array[], timeout: number, most: number): Promise<Bytes> {
    if (this.failure) throw this.failure;
    const size = pieces.reduce((sum, piece) => sum + piece.length, 0);
    const source = new Source(pieces);
    const { stream, message } = this.segments.open(size, source.take(Math.min(size, this.segments.firstRoom)));
    const exchange: Waiting = { size: null, held: 0, parts: [], failure: null, wake: () => undefined, most };
    this.exchanges.set(stream, exchange);
    try {
      await this.pipe.send(message); // pipes keep the order in which they are asked
      await this.sendRest(stream, exchange, source, timeout);
      await this.until(exchange, () => exchange.size !== null, timeout, "did not answer in time");
      let seen = -1;
      while (exchange.held < exchange.size!) {
        if (exchange.held === seen) throw new DeadlineExceeded(`${this.peer} sends nothing more`);
        seen = exchange.held;
        await this.until(exchange, () => exchange.held > seen, timeout, "sends nothing more");
      }
      return concat(...exchange.parts);
    } finally {
      this.exchanges.delete(stream);
      const ended = this.segments.reset(stream, 1000, "nobody waits for it any more");
      if (ended && !this.failure) this.pipe.send(ended).catch(() => undefined);
    }
  }

  private async sendRest(stream: number, exchange: Waiting, source: Source, timeout: number): Promise<void> {
    while (source.left && exchange.size === null) {
      await this.until(
        exchange, () => exchange.size !== null || this.segments.room(stream) > 0, timeout, "takes nothing of what it is sent",
      );
      const room = this.segments.room(stream);
      if (!room) return; // its answer has begun
      await this.pipe.send(this.segments.data(stream, source.take(room)));
      if (exchange.failure) throw exchange.failure;
    }
  }

  private async until(exchange: Waiting, met: () => boolean, seconds: number, what: string): Promise<void> {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      exchange.wake();
    }, seconds * 1000);
    try {
      while (!exchange.failure && !met()) {
        if (late) throw new DeadlineExceeded(`${this.peer} ${what}`);
        await new Promise<void>((resolve) => (exchange.wake = resolve));
      }
    } finally {
      clearTimeout(timer);
    }
    if (exchange.failure) throw exchange.failure;
  }

  private take(message: Bytes): void {
    if (this.failure) return;
    let event: SegmentEvent | null;
    try {
      event = this.segments.receive(message);
    } catch (error) {
      if (!(error instanceof MalformedSegment)) throw error;
      this.end(new InvalidEnvelope(`${this.peer} breaks the rules of this connection: ${error.message}`));
      this.close(1002, error.message);
      return;
    }
    if (event?.kind === "closed") {
      this.end(new Unavailable(`${this.peer} hung up${because(event.code, event.reason)}`));
      this.pipe.close();
    } else if (event) this.apply(event);
  }

  private apply(event: Exclude<SegmentEvent, { kind: "closed" }>): void {
    const exchange = this.exchanges.get(event.stream);
    if (!exchange) return;
    if (event.kind === "reset") {
      exchange.failure = new Unavailable(`${this.peer} broke off${because(event.code, event.reason)}`);
    } else if (event.kind !== "credit") {
      if (event.kind === "opened") {
        exchange.size = event.size;
        if (event.size > exchange.most) {
          exchange.failure = new TooLarge(`the answer has ${event.size} bytes, where at most ${exchange.most} are taken`);
        }
      }
      exchange.parts.push(event.data);
      exchange.held += event.data.length;
      const credit = this.segments.consumed(event.stream, event.data.length);
      if (credit) this.pipe.send(credit).catch(() => undefined); // that it ended is heard where it is read
    }
    exchange.wake();
  }

  private end(why: GridError): void {
    if (this.failure) return;
    this.failure = why;
    for (const exchange of this.exchanges.values()) {
      exchange.failure ??= why;
      exchange.wake();
    }
  }

  /** Ends the connection, and tells the other end why. */
  close(code: number, reason = ""): void {
    this.end(new Unavailable(`the connection to ${this.peer} was closed`));
    this.pipe.send(Segments.close(code, reason)).catch(() => undefined).finally(() => this.pipe.close(code, reason));
  }
}

/** Pieces read as one stream of bytes. */
class Source {
  left: number;
  private readonly pieces: Uint8Array[];

  constructor(pieces: readonly Uint8Array[]) {
    this.pieces = pieces.filter((piece) => piece.length);
    this.left = this.pieces.reduce((sum, piece) => sum + piece.length, 0);
  }

  /** `count` bytes, of which there must be as many. */
  take(count: number): Uint8Array {
    const found: Uint8Array[] = [];
    for (let missing = count; missing; ) {
      const piece = this.pieces[0]!, part = piece.subarray(0, missing);
      found.push(part);
      missing -= part.length;
      if (part.length === piece.length) this.pieces.shift();
      else this.pieces[0] = piece.subarray(part.length);
    }
    this.left -= count;
    return found.length === 1 ? found[0]! : concat(...found);
  }
}

function because(code: number, reason: string): string {
  return reason ? ` (${code}: ${reason})` : code === 1000 ? "" : ` (${code})`;
}
