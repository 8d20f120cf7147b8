/** What the page shows: one of these, and nothing beside it. */

import type { TrainingInputs } from "../federated/inputs/declared.js";
import type { ProblemCode as MatchingCode } from "../federated/inputs/problems.js";

/** What the caller is to a training, and what they may know of it: `invitations.attendance`. */
export interface Attendance {
  readonly status: "member" | "accepted" | "waiting" | "refused" | "open" | "none";
  /** The training's status; "" where it is not told, as all below. */
  readonly training: string;
  readonly name: string;
  readonly version: string;
  readonly host: string;
  readonly policy: Policy | null;
  readonly reportFormat: string;
  readonly statement: readonly string[];
}

/** What the site demands of the training's cycles now. */
export interface Policy {
  readonly minParticipants: number;
  readonly clipNorm: number | null;
  readonly noiseMultiplier: number | null;
  readonly minRows: number;
  readonly participation: "accepted" | "open";
}

/** What the person agrees to. All of it is worked out here, from the bytes whose digest is `definition`. */
export interface Review {
  readonly definition: string;
  readonly plans: readonly PlanReview[];
  /** Cycles in all; null where there is no end. */
  readonly cycles: number | null;
  /** Numbers in a report, and its bytes. */
  readonly numbers: number;
  readonly bytes: number;
  /** Of one cycle: "local steps", null where as many as the rows give. */
  readonly steps: number | null;
  readonly batchSize: number | null;
  readonly inputs: TrainingInputs | null;
  readonly word: "none" | "pending" | "approved" | "denied" | "revoked" | "withdrawn" | "own" | "open";
  readonly reviewers: number;
  /** Why this browser takes no part, whatever the person says; "" where it may. */
  readonly refusal: "" | "confidential" | "format";
}

export interface PlanReview {
  readonly name: string;
  readonly digest: string;
  readonly bytes: number;
  readonly operations: number;
  /** Of one step: floating-point operations, bytes at the peak; null where sizes are not known before the data. */
  readonly flops: number | null;
  readonly peak: number | null;
  readonly text: string;
}

/** What somebody chose: a file, the files of a folder, or pictures that they drew. */
export type Chosen =
  | { readonly kind: "csv"; readonly file: File }
  | { readonly kind: "folder"; readonly files: readonly File[] }
  | { readonly kind: "drawn"; readonly size: readonly [number, number]; readonly pictures: readonly Drawn[] };
export interface Drawn {
  /** Place of its class among the label's categories. */
  readonly label: number;
  /** Height × width bytes, ink is 255. */
  readonly pixels: Uint8Array;
}

/** One finding on chosen data. `row`: from 1, without the header; null where it is about the whole column or file. */
export interface Problem {
  readonly column: string;
  readonly row: number | null;
  readonly line: number | null;
  readonly code: ProblemCode;
  readonly value: string;
  readonly more: string;
}
/** What matching finds, and what is wrong with files before it. */
export type ProblemCode =
  | MatchingCode
  | "encoding" | "quotes" | "width" | "nearly" | "twice" | "other-decimal" | "too-large" | "no-folders" | "not-a-class"
  | "not-a-picture" | "picture-size" | "picture-kind" | "damaged";

export interface Matched {
  readonly title: string;
  readonly rows: number;
  /** Rows that were left out because the training says so, by column. */
  readonly dropped: readonly { readonly column: string; readonly outside: number; readonly missing: number }[];
  readonly columns: readonly { readonly name: string; readonly problem: boolean }[];
  readonly problems: readonly Problem[];
  /** How many rows each class has, of a label with categories. */
  readonly classes: readonly { readonly name: string; readonly rows: number }[];
}

/** What was sent once. */
export interface Sent {
  readonly cycle: number;
  readonly bytes: number;
  readonly samples: number;
  readonly loss: number | null;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

export type Phase =
  | { readonly kind: "joining" }
  | { readonly kind: "waiting"; readonly reason: string }
  | { readonly kind: "fetching" }
  | { readonly kind: "training"; readonly step: number; readonly steps: number }
  | { readonly kind: "sending" }
  | { readonly kind: "lost"; readonly retryIn: number };

export interface Progress {
  readonly phase: Phase;
  readonly cycle: number;
  readonly cycles: number | null;
  /** Loss of each step so far, in order. */
  readonly losses: readonly number[];
  readonly sent: readonly Sent[];
  /** Which way leads to the Domain now. */
  readonly path: string;
}

export const NOTHING_YET: Progress = {
  phase: { kind: "joining" }, cycle: 0, cycles: null, losses: [], sent: [], path: "",
};

/** How trainings end. */
export const ENDS = ["completed", "cancelled", "failed"] as const;
/** How it ended: as the training did; "over" where nobody says how that was. */
export type End = (typeof ENDS)[number] | "stopped" | "over" | "refused";

export interface Receipt {
  readonly training: string;
  readonly name: string;
  readonly version: string;
  readonly domain: string;
  readonly domainKey: string;
  readonly participantKey: string;
  readonly definition: string;
  readonly plans: Readonly<Record<string, string>>;
  readonly sent: readonly Sent[];
}

export type State =
  | { readonly at: "loading" }
  | { readonly at: "insecure" }
  | { readonly at: "unsupported"; readonly detail: string }
  | { readonly at: "unknown" }
  | { readonly at: "invited"; readonly busy: boolean; readonly problem: string }
  | { readonly at: "waiting"; readonly attendance: Attendance; readonly key: string; readonly review: Review | null }
  | { readonly at: "refused" }
  | { readonly at: "ended"; readonly training: string }
  | { readonly at: "review"; readonly attendance: Attendance; readonly review: Review; readonly resumed: boolean }
  | { readonly at: "choose"; readonly review: Review; readonly busy: boolean; readonly matched: Matched | null }
  | { readonly at: "matched"; readonly review: Review; readonly matched: Matched }
  | { readonly at: "part"; readonly review: Review; readonly progress: Progress; readonly stopping: boolean }
  | { readonly at: "done"; readonly how: End; readonly detail: string; readonly receipt: Receipt }
  | { readonly at: "failed"; readonly detail: string; readonly again: boolean };
