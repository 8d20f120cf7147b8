/** Waiting longer after each failure: capped exponential backoff with full jitter, as `syft_ext/transport/backoff.py`. */

export class Backoff {
  failures = 0;

  constructor(private readonly base = 0.2, private readonly cap = 5, private readonly stop?: AbortSignal) {}

  /** Waits after a failure; false when the wait was ended by `stop`. */
  wait(): Promise<boolean> {
    const ceiling = Math.min(this.cap, this.base * 2 ** Math.min(this.failures++, 30));
    return pause(Math.max(this.base / 2, Math.random() * ceiling), this.stop);
  }

  reset(): void {
    this.failures = 0;
  }
}

/** Waits so many seconds; false when `stop` ended it. */
export function pause(seconds: number, stop?: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    if (stop?.aborted) return resolve(false);
    const done = (whole: boolean) => {
      clearTimeout(timer);
      stop?.removeEventListener("abort", ended);
      resolve(whole);
    };
    const ended = () => done(false);
    const timer = setTimeout(() => done(true), seconds * 1000);
    stop?.addEventListener("abort", ended);
  });
}
