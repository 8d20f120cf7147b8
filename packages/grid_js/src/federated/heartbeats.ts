/** A job that trains says that it is alive, so that a step may take as long as it does. */
import { Conflict, GridError, NotFound } from "../errors.js";
import type { CheckIn } from "./messages.js";
import type { Session } from "./session.js";

/** Calls `act` every so many seconds, also in a tab that nobody looks at; returns what ends it. */
export function every(seconds: number, act: () => void): () => void {
  if (typeof Worker === "undefined") {
    const timer = setInterval(act, seconds * 1000);
    return () => clearInterval(timer);
  }
  const worker = new Worker(new URL("./ticker.js", import.meta.url), { type: "module" });
  worker.onmessage = act;
  worker.postMessage(seconds);
  return () => worker.terminate();
}

/** Beats for one assignment until `end` is called, or the Domain says that it is gone. What fails is not told. */
export class Heartbeats {
  private stop: (() => void) | null = null;

  begin(session: Session, assignment: CheckIn): void {
    this.end();
    if (!assignment.heartbeat) return;
    let under = false;
    const beat = async () => {
      if (under) return;
      under = true;
      try {
        const body = { assignment_id: assignment.assignmentId, request_key: assignment.requestKey };
        await session.call("federated.heartbeat", body, { timeout: 10 });
      } catch (error) {
        if (error instanceof Conflict || error instanceof NotFound) this.end();
        else if (!(error instanceof GridError)) throw error;
      } finally {
        under = false;
      }
    };
    this.stop = every(assignment.heartbeat, () => void beat());
  }

  end(): void {
    this.stop?.();
    this.stop = null;
  }
}
