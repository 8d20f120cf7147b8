/** What a worker does when a call fails: wait and repeat, authenticate again, or give up. */
import {
  DeadlineExceeded, ExpiredMessage, GridError, InternalError, InvalidEnvelope, InvalidToken, TooManyRequests, Unavailable,
} from "../errors.js";
import { Backoff } from "../transport/backoff.js";
import type { Session } from "./session.js";

/** Somebody called `stop()` while a call was being repeated. */
export class Stopped extends Error {
  override readonly name = "Stopped";
}

/** The node is down, busy or restarting: waiting helps. */
const PASSING = [Unavailable, DeadlineExceeded, TooManyRequests];
/** Waiting may help: the message was caught by a restart, or the node stumbled. Not for ever. */
const DOUBTFUL = [ExpiredMessage, InternalError, InvalidEnvelope];
const DOUBTS = 5;

/** Repeats calls until they work or their error says that repeating is useless. */
export class Persistence {
  constructor(
    private readonly session: Session, private readonly stop: AbortSignal,
    private readonly told: (trouble: GridError | null) => Promise<void> = async () => undefined,
  ) {}

  /**
   * The result of `action`, in the end. Throws {@link Stopped}, or the error that stays; `patience`: seconds after which
   * the last one is thrown. A stop ends the waiting, not the first attempt.
   */
  async call<T>(action: () => Promise<T>, patience = Infinity): Promise<T> {
    const backoff = new Backoff(0.2, 5, this.stop), begun = performance.now();
    let doubts = 0, refused = 0, troubled = false;
    for (;;) {
      let error: unknown;
      try {
        if (refused) await this.session.authenticate();
        const found = await action();
        if (troubled) await this.told(null);
        return found;
      } catch (thrown) {
        error = thrown;
      }
      if (error instanceof InvalidToken) {
        // The token ran out, or the node forgot it: the same key gets a new one for the same worker.
        if (++refused > 1) throw error;
        continue;
      }
      const passing = PASSING.some((kind) => error instanceof kind);
      const doubtful = DOUBTFUL.some((kind) => error instanceof kind);
      if (!passing && !doubtful) throw error;
      if (this.stop.aborted) throw new Stopped();
      if (doubtful && ++doubts >= DOUBTS) throw error;
      if ((performance.now() - begun) / 1000 > patience) throw error;
      if (passing) {
        troubled = true;
        await this.told(error as GridError);
      }
      if (!(await backoff.wait())) throw new Stopped();
    }
  }
}
