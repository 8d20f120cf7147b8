/** What carries whole messages, in order, both ways: a WebSocket, a data channel, or one of those sealed. */
import type { GridError } from "../errors.js";
import type { Bytes } from "../wire/bytes.js";

export interface Pipe {
  /** Bytes that a message may have; null when it may be as large as a frame. */
  readonly maxMessage: number | null;
  /** Bytes of a frame that may be under way, where frames travel in segments. */
  readonly window: number;
  /** Who hears what comes; set once, before anything is awaited after the pipe was made. */
  listener: Listener | null;
  /** Sends one message; waits while the other end is slow. Throws {@link Unavailable} when the pipe has ended. */
  send(message: Bytes): Promise<void>;
  /** Ends it; whoever listens hears of it, once. */
  close(code?: number, reason?: string): void;
}

export interface Listener {
  message(bytes: Bytes): void;
  ended(why: GridError): void;
}

/** The messages of a pipe one by one, for greetings: `next` rejects once the pipe has ended. */
export class Inbox implements Listener {
  private readonly waiting: Bytes[] = [];
  private wake: (() => void) | null = null;
  private why: GridError | null = null;

  message(bytes: Bytes): void {
    this.waiting.push(bytes);
    this.wake?.();
  }

  ended(why: GridError): void {
    this.why ??= why;
    this.wake?.();
  }

  async next(): Promise<Bytes> {
    for (;;) {
      const found = this.waiting.shift();
      if (found) return found;
      if (this.why) throw this.why;
      await new Promise<void>((resolve) => (this.wake = resolve));
      this.wake = null;
    }
  }

  /** Hands over to `listener`, with what nobody has asked for yet. */
  handOver(pipe: Pipe, listener: Listener): void {
    pipe.listener = listener;
    for (const message of this.waiting.splice(0)) listener.message(message);
    if (this.why) listener.ended(this.why);
  }
}
