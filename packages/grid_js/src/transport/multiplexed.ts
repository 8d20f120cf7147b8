/** Many exchanges over one pipe: whole frames, found by their nonce, or frames in segments. */
import { DeadlineExceeded, GridError, InvalidEnvelope } from "../errors.js";
import { concat, equal, hex, type Bytes } from "../wire/bytes.js";
import { MAX_ENVELOPE, PREFIX, frameHead, openFrame, type Envelope } from "../wire/envelope.js";
import { checkSize, type Exchange, type Frame, type Transport } from "./base.js";
import type { Listener, Pipe } from "./pipe.js";
import { StreamConnection } from "./streams.js";

export interface Line {
  readonly ended: boolean;
  readonly introduced: boolean;
  exchange(envelope: Envelope, payload: Uint8Array, how: Exchange): Promise<Frame>;
  close(): void;
}

/** Opens its pipe at the first exchange, and again when it has ended. */
export class MultiplexedTransport implements Transport {
  ahead = 0;
  private line: Promise<Line> | null = null;
  private now: Line | null = null;

  constructor(readonly address: string, private readonly open: () => Promise<Pipe>) {}

  async exchange(envelope: Envelope, payload: Uint8Array, how: Exchange): Promise<Frame> {
    return (await this.connected()).exchange(envelope, payload, how);
  }

  private connected(): Promise<Line> {
    if (this.line && !this.now?.ended) return this.line;
    this.now = null;
    const opening = this.open().then((pipe) =>
      pipe.maxMessage === null ? new WholeFrames(pipe, this.address) : new SegmentedFrames(pipe, this.address));
    this.line = opening;
    opening.then(
      (line) => {
        if (this.line === opening) this.now = line;
        else line.close(); // it was closed meanwhile
      },
      () => {
        if (this.line === opening) this.line = null;
      },
    );
    return opening;
  }

  isUnintroduced(): boolean {
    return !this.now || this.now.ended || !this.now.introduced;
  }

  close(): void {
    this.now?.close();
    this.now = this.line = null;
  }
}

/** A connection on which every frame is one message. */
class WholeFrames implements Line {
  ended = false;
  introduced = false;
  private readonly pending = new Map<string, { most: number; resolve(frame: Frame): void; reject(error: unknown): void }>();

  constructor(private readonly pipe: Pipe, private readonly address: string) {
    pipe.listener = { message: (bytes) => this.message(bytes), ended: (why) => this.end(why) } satisfies Listener;
  }

  async exchange(envelope: Envelope, payload: Uint8Array, { timeout, most }: Exchange): Promise<Frame> {
    const nonce = hex(envelope.nonce);
    let timer: ReturnType<typeof setTimeout> | undefined;
    try {
      const answer = new Promise<Frame>((resolve, reject) => {
        this.pending.set(nonce, { most, resolve, reject });
        timer = setTimeout(() => reject(new DeadlineExceeded(`${this.address} did not answer in time`)), timeout * 1000);
      });
      answer.catch(() => undefined); // awaited below, unless sending fails first
      await this.pipe.send(concat(frameHead(envelope), payload));
      const frame = await answer;
      this.introduced ||= frame.envelope.operation !== "error";
      return frame;
    } finally {
      clearTimeout(timer);
      this.pending.delete(nonce);
    }
  }

  private message(bytes: Bytes): void {
    let frame: Frame;
    try {
      frame = openFrame(bytes);
    } catch (error) {
      if (error instanceof GridError) return; // not an answer to anything
      throw error;
    }
    const pending = this.pending.get(hex(frame.envelope.inReplyTo));
    if (!pending) return;
    try {
      checkSize(frame.payload.length, pending.most);
      pending.resolve(frame);
    } catch (error) {
      pending.reject(error);
    }
  }

  private end(why: GridError): void {
    this.ended = true;
    for (const { reject } of this.pending.values()) reject(why);
  }

  close(): void {
    this.pipe.close();
  }
}

/** A connection on which frames travel in segments: of none is more held than its window. */
export class SegmentedFrames implements Line {
  readonly introduced = true;
  private readonly connection: StreamConnection;

  constructor(pipe: Pipe, private readonly address: string) {
    this.connection = new StreamConnection(pipe, address);
  }

  get ended(): boolean {
    return this.connection.ended;
  }

  async exchange(envelope: Envelope, payload: Uint8Array, { timeout, most }: Exchange): Promise<Frame> {
    const answer = await this.connection.ask([frameHead(envelope), payload], timeout, most + MAX_ENVELOPE + PREFIX);
    const frame = openFrame(answer);
    checkSize(frame.payload.length, most);
    const { inReplyTo } = frame.envelope;
    if (inReplyTo.length && !equal(inReplyTo, envelope.nonce)) {
      throw new InvalidEnvelope(`${this.address} answered another request on this stream`);
    }
    return frame;
  }

  close(): void {
    this.connection.close(1000);
  }
}

