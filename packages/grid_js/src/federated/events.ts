/** The events of a job and what they carry: those of Python's, and what a page shows beside them. */
import type { GridError } from "../errors.js";

/** Where the local training stands. Means are over the samples of this cycle so far. */
export interface Progress {
  readonly cycle: number;
  /** Steps taken, and to be taken. */
  readonly update: number;
  readonly updates: number | null;
  readonly samples: number;
  readonly loss: number | null;
  readonly accuracy: number | null;
  /** Of the step just taken. */
  readonly stepLoss: number | null;
}

/** One report, as it was taken by the Domain. */
export interface Sent {
  readonly cycle: number;
  readonly bytes: number;
  readonly samples: number | null;
  readonly loss: number | null;
  readonly accuracy: number | null;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

/** What became of a run. */
export interface RunSummary {
  /** Reports that the Domain accepted. */
  cycles: number;
  /** Assignments that came to nothing: too late, cancelled, or lost by the Domain. */
  missed: number;
  /** Assignments given back after an error in the local training. */
  failures: number;
  samples: number;
  loss: number | null;
  accuracy: number | null;
  reason: "" | "over" | "max-cycles" | "max-reports" | "stopped";
}

/** Event → what its listeners are given after the job. */
export interface Events {
  accepted: [];
  /** Seconds after which to ask again; null when the training is over. `reason`: why, in the Domain's word. */
  rejected: [timeout: number | null, reason: string];
  error: [error: Error];
  cycle_started: [cycle: number];
  progress: [progress: Progress];
  finished: [summary: RunSummary];
  reported: [sent: Sent];
  /** The Domain is being asked for a part in a cycle. */
  waiting: [];
  /** The Domain cannot be reached for now, and is asked again; null once it answers. */
  line: [trouble: GridError | null];
}

export type Listener<Event extends keyof Events, Job> = (job: Job, ...values: Events[Event]) => unknown;

const NAMES: readonly (keyof Events)[] = [
  "accepted", "rejected", "error", "cycle_started", "progress", "finished", "reported", "waiting", "line",
];

/** Callbacks by event, called in the order in which they were added; one that is slow is waited for. */
export class Listeners<Job> {
  private readonly lists = new Map<string, ((job: Job, ...values: never[]) => unknown)[]>();

  add<Event extends keyof Events>(event: Event, listener: Listener<Event, Job>): void {
    if (!NAMES.includes(event)) throw new RangeError(`a job has no event ${event}; there are: ${NAMES.join(", ")}`);
    this.lists.set(event, [...(this.lists.get(event) ?? []), listener as never]);
  }

  any(event: keyof Events): boolean {
    return this.lists.has(event);
  }

  async emit<Event extends keyof Events>(event: Event, job: Job, ...values: Events[Event]): Promise<void> {
    for (const listener of this.lists.get(event) ?? []) await listener(job, ...(values as never[]));
  }
}
