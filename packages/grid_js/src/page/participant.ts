/** What the page asks of whoever speaks to the Domain and trains: one implementation, and fakes in tests. */
import type { Attendance, Chosen, End, Matched, Progress, Receipt, Review } from "./state.js";

export interface Participant {
  /** What others know this browser by: 64 hex digits. */
  key(): Promise<string>;
  attendance(): Promise<Attendance>;
  redeem(secret: string, name: string): Promise<Attendance>;
  /** Downloads the definition and its plans, checks their digests, and reads them. */
  review(attendance: Attendance): Promise<Review>;
  /** Reads and matches data; the rows stay where they were read. */
  match(review: Review, chosen: Chosen): Promise<Matched>;
  /** Takes part with what was matched last, until the training is over or `stop` is called. */
  take(review: Review, say: (progress: Progress) => void): Promise<{ readonly how: End; readonly detail: string }>;
  /** Ends taking part: a cycle that was begun is given back. */
  stop(): Promise<void>;
  /** What was sent to this training by this browser, also before the page was loaded again. */
  receipt(): Promise<Receipt>;
  /** Whether a cycle was under way when the page was left. */
  unfinished(): Promise<boolean>;
}
