/** The one interface of all transports: a frame goes out, a frame comes back. */
import { DeadlineExceeded, TooLarge } from "../errors.js";
import type { Envelope } from "../wire/envelope.js";

/** An answer: its envelope (unverified) and its payload. */
export interface Frame {
  readonly envelope: Envelope;
  readonly payload: Uint8Array;
}

export interface Exchange {
  /** Seconds that the other end may take at a time: until its answer begins, until more of it comes. */
  readonly timeout: number;
  /** Bytes of the answer's payload that are taken at most; an answer that announces more is refused before it is held. */
  readonly most: number;
}

/** Carries frames to one node; knows nothing of operations, identities or tokens. */
export interface Transport {
  readonly address: string;
  /** Seconds by which the clock at the other end is ahead of ours, as the node told. */
  ahead: number;
  /** Which way was taken, and why others were not, where there are several; else null. */
  readonly path?: Path | null;
  /**
   * Throws {@link Unavailable} when the node cannot be reached or hangs up, {@link DeadlineExceeded} when it does not
   * answer in time.
   */
  exchange(envelope: Envelope, payload: Uint8Array, how: Exchange): Promise<Frame>;
  /** Whether the other end does not know yet who speaks here, and would take large frames from nobody. */
  isUnintroduced(): boolean;
  close(): void;
}

/** Which way leads to a node now. `failed`: each other way, and why it was not taken. */
export interface Path {
  readonly taken: string;
  readonly failed: Readonly<Record<string, string>>;
}

export function checkSize(size: number, most: number): void {
  if (size > most) throw new TooLarge(`the answer has ${size} bytes, where at most ${most} are taken`, { limit: most });
}

/** Runs `act` with a signal that is aborted `seconds` after the last call of `again`. */
export async function within<T>(
  seconds: number, what: string, act: (signal: AbortSignal, again: () => void) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const again = () => {
    clearTimeout(timer);
    timer = setTimeout(() => controller.abort(new DeadlineExceeded(what)), seconds * 1000);
  };
  again();
  try {
    return await act(controller.signal, again);
  } catch (error) {
    throw controller.signal.aborted ? controller.signal.reason : error;
  } finally {
    clearTimeout(timer);
  }
}
