/** What is kept of one job over reloads of its page: who comes back, which slot is theirs, what was sent. */
import { hex, random } from "../wire/bytes.js";
import type { Store } from "../identity/database.js";
import { NotAgreed } from "../errors.js";
import type { Sent } from "./events.js";

/** Kept under the Domain, the training and the key of who takes part. */
export interface JobState {
  /** Tells this browser's worker from others with the same key: who comes back with it is the same worker. */
  readonly device: string;
  /** Of the check-in under way: asked for again, it gives the same assignment. "" where none is under way. */
  readonly checkIn: string;
  /** What was learned and may not have arrived: it is sent again, not learned again. */
  readonly report: Pending | null;
  readonly sent: readonly Sent[];
}

export interface Pending {
  readonly assignmentId: string;
  readonly bytes: Uint8Array;
  readonly samples: number | null;
  readonly loss: number | null;
  readonly accuracy: number | null;
}

/** The state of one job in a store. */
export class JobRecord {
  private constructor(private readonly store: Store, private readonly name: string, private now: JobState) {}

  static async open(store: Store, name: string): Promise<JobRecord> {
    const state = await store.change("jobs", name, (before) =>
      isState(before) ? before : ({ device: hex(random(16)), checkIn: "", report: null, sent: [] } satisfies JobState));
    return new JobRecord(store, name, state);
  }

  get state(): JobState {
    return this.now;
  }

  async change(changed: Partial<JobState>): Promise<void> {
    this.now = { ...this.now, ...changed };
    await this.store.change("jobs", this.name, () => this.now);
  }

  /** Whether a cycle was under way when the page was left. */
  get unfinished(): boolean {
    return this.now.checkIn !== "";
  }
}

function isState(value: unknown): value is JobState {
  const found = value as Partial<JobState> | null | undefined;
  return typeof found?.device === "string" && typeof found.checkIn === "string" && Array.isArray(found.sent);
}

/**
 * How many reports each training has had of this browser: counted before its plan sees a row, so that no reload makes it
 * fewer. What counts is that a plan ran on the data, not that a report arrived.
 */
export class ReportCounts {
  constructor(private readonly store: Store, private readonly name: string) {}

  async count(): Promise<number> {
    const found = await this.store.get("counts", this.name);
    return typeof found === "number" ? found : 0;
  }

  /** Counts one more; throws {@link NotAgreed} where `limit` is reached: nothing is counted then. */
  async add(limit: number): Promise<void> {
    await this.store.change("counts", this.name, (before) => {
      const count = typeof before === "number" ? before : 0;
      if (count >= limit) throw spent(limit);
      return count + 1;
    });
  }
}

export function spent(limit: number): NotAgreed {
  return new NotAgreed(`the bound of ${limit} reports to one training is reached`, { reason: "max-reports" });
}
