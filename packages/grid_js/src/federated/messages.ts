/** What a Domain says to participants: `syft_ext/messages/federated.py` and `training_reviews.py`, as far as used here. */
import { InvalidEnvelope } from "../errors.js";
import { hex } from "../wire/bytes.js";
import { digest } from "../wire/envelope.js";
import { Fields, plain, type Plain } from "../wire/fields.js";
import { pack, type Packable, type Packed } from "../wire/msgpack.js";
import { readInputs, type TrainingInputs } from "./inputs/declared.js";

export interface WorkerView {
  readonly workerId: string;
  readonly token: string;
  readonly processId: string;
  readonly requiresSpeedTest: boolean;
  readonly reportFormat: string;
}

export function readWorker(reply: Fields): WorkerView {
  return {
    workerId: reply.text("worker_id"), token: reply.text("token"), processId: reply.text("process_id"),
    requiresSpeedTest: reply.truth("requires_speed_test"), reportFormat: reply.text("report_format", "plain"),
  };
}

/** What the site demands of a cycle, as far as it changes what a participant sends. */
export interface CyclePolicy {
  readonly clipNorm: number | null;
  readonly noiseMultiplier: number | null;
  readonly minRows: number;
}

function readPolicy(fields: Fields | null): CyclePolicy | null {
  if (!fields) return null;
  return {
    clipNorm: fields.maybe("clip_norm"), noiseMultiplier: fields.maybe("noise_multiplier"), minRows: fields.whole("min_rows", 1),
  };
}

export interface CheckIn {
  readonly status: "accepted" | "rejected";
  readonly reason: string;
  readonly retryAfter: number | null;
  readonly assignmentId: string;
  readonly requestKey: string;
  readonly cycle: number;
  readonly numCycles: number;
  readonly checkpoint: number;
  readonly modelDigest: string;
  readonly modelSize: number;
  readonly plans: ReadonlyMap<string, string>;
  readonly protocols: ReadonlyMap<string, string>;
  /** As it came, to be held against what was agreed to; `configuration` is the same to look at. */
  readonly clientConfig: Packed;
  readonly configuration: Readonly<Record<string, Plain>>;
  readonly reportFormat: string;
  readonly reportOptions: Packed;
  readonly deadline: number;
  readonly definition: string;
  readonly policy: CyclePolicy | null;
  readonly heartbeat: number;
}

export function readCheckIn(reply: Fields): CheckIn {
  const status = reply.text("status");
  if (status !== "accepted" && status !== "rejected") throw new InvalidEnvelope("a check-in is accepted or rejected");
  const clientConfig = new Map(reply.mapping("client_config", new Map()));
  const options = new Map(reply.mapping("report_options", new Map()));
  return {
    status, reason: reply.text("reason", ""), retryAfter: reply.maybe("retry_after"),
    assignmentId: reply.text("assignment_id", ""), requestKey: reply.text("request_key", ""),
    cycle: reply.whole("cycle", 0), numCycles: reply.whole("num_cycles", 0), checkpoint: reply.whole("checkpoint", 0),
    modelDigest: reply.text("model_digest", ""), modelSize: reply.whole("model_size", 0),
    plans: reply.names("plans", new Map()), protocols: reply.names("protocols", new Map()),
    clientConfig, configuration: plain(clientConfig) as Record<string, Plain>,
    reportFormat: reply.text("report_format", "plain"), reportOptions: options,
    deadline: reply.number("deadline", 0), definition: reply.text("definition", ""),
    policy: readPolicy(reply.inner("policy")), heartbeat: reply.number("heartbeat", 0),
  };
}

/** One tensor of a training's model: name, type as in a tensor file, shape. */
export type Layout = readonly [name: string, dtype: string, shape: readonly number[]];

/** Everything of a training that is fixed when it is hosted. */
export interface DefinitionFacts {
  readonly name: string;
  readonly version: string;
  readonly plans: ReadonlyMap<string, string>;
  readonly protocols: ReadonlyMap<string, string>;
  readonly averagingPlan: string;
  readonly clientConfig: Packed;
  readonly configuration: Readonly<Record<string, Plain>>;
  readonly serverConfig: ReadonlyMap<string, Packed>;
  readonly model: string;
  readonly tensors: readonly Layout[];
  readonly inputs: TrainingInputs | null;
}

export interface TrainingReview {
  readonly state: string;
  readonly digest: string;
  readonly reviewers: readonly string[];
  readonly reviewerCount: number;
}

export interface DefinitionView {
  /** Computed here, of the facts as they came. */
  readonly digest: string;
  readonly facts: DefinitionFacts;
  /** Digest → bytes, of plans and protocols, as the Domain says. */
  readonly sizes: ReadonlyMap<string, number>;
  readonly review: TrainingReview;
}

export function readDefinition(reply: Fields): DefinitionView {
  const facts = reply.inner("facts"), review = reply.inner("review");
  if (!facts || !review) throw new InvalidEnvelope("a definition without its facts");
  const clientConfig = new Map(facts.mapping("client_config", new Map()));
  const sizes = new Fields(reply.mapping("sizes"), "sizes");
  return {
    digest: definitionDigest(facts.map),
    facts: {
      name: facts.text("name"), version: facts.text("version"), plans: facts.names("plans"),
      protocols: facts.names("protocols", new Map()), averagingPlan: facts.text("averaging_plan", ""),
      clientConfig, configuration: plain(clientConfig) as Record<string, Plain>,
      serverConfig: facts.mapping("server_config", new Map()), model: facts.text("model"),
      tensors: facts.list("tensors").map(layout), inputs: readInputs(facts.inner("inputs")),
    },
    sizes: new Map([...sizes.map.keys()].map((name) => [name, sizes.whole(name)])),
    review: {
      state: review.text("state", "none"), digest: review.text("digest", ""),
      reviewers: review.texts("reviewers", []), reviewerCount: review.whole("reviewer_count", 0),
    },
  };
}

function layout(entry: Packed): Layout {
  const [name, dtype, shape] = Array.isArray(entry) ? entry : [];
  const sizes = Array.isArray(shape) && shape.every((size) => typeof size === "number" && size >= 0);
  if (typeof name !== "string" || typeof dtype !== "string" || !sizes) throw new InvalidEnvelope("a definition: tensors are not read");
  return [name, dtype, shape as number[]];
}

/**
 * The digest of a training's definition, of its facts as they came: msgpack with all keys sorted, of the fields and
 * `"context"`; what nobody declared is left out (`syft_ext.messages.training_reviews.definition_digest`).
 */
export function definitionDigest(facts: ReadonlyMap<string, Packed>): string {
  const fields = new Map<string, Packable>(facts as ReadonlyMap<string, Packable>);
  if (fields.get("inputs") === null) fields.delete("inputs");
  return hex(digest(pack(new Map([...fields, ["context", "grid training v1"]]), true)));
}
