/** Takes part in one training at the Domain that served this page. */
import { Engine } from "../engine/index.js";
import { GridError, NotAgreed, Forbidden, Unsupported } from "../errors.js";
import { FLClient, type FLJob } from "../federated/index.js";
import type { Matched as Rows } from "../federated/inputs/matching.js";
import { readDefinition, type DefinitionView } from "../federated/messages.js";
import { BrowserStore } from "../identity/database.js";
import { Identity } from "../identity/identity.js";
import { Connection } from "../transport/connection.js";
import { openTransport } from "../transport/open.js";
import { hex } from "../wire/bytes.js";
import { digest } from "../wire/envelope.js";
import type { Fields, Plain } from "../wire/fields.js";
import { ITEM_SIZES, elements, type Dtype } from "../wire/tensor.js";
import { loadPlan } from "./plans.js";
import type { Answer, Asked } from "./data/worker.js";
import type { Participant } from "./participant.js";
import {
  ENDS, NOTHING_YET, type Attendance, type Chosen, type End, type Matched, type Phase, type PlanReview, type Policy, type Progress,
  type Receipt, type Review, type Sent,
} from "./state.js";

/** Bytes of one plan. */
const MOST = 8 << 20;
/** Milliseconds between two looks at progress. */
const OFTEN = 100;

export interface Served {
  /** Where the Domain is: the page's own origin. */
  readonly address: string;
  readonly training: string;
  readonly domain: string;
  /** The Domain's verify key, as its page said: every answer is held to it. */
  readonly nodeKey: string;
}

export class BrowserParticipant implements Participant {
  private readonly store = new BrowserStore();
  private identity: Promise<Identity> | null = null;
  private line: Promise<Connection> | null = null;
  private client: FLClient | null = null;
  private job: FLJob | null = null;
  private shown: { attendance: Attendance; view: DefinitionView } | null = null;
  private rows: Rows | null = null;

  constructor(private readonly served: Served) {}

  private me(): Promise<Identity> {
    return (this.identity ??= Identity.loadOrCreate(this.store));
  }

  private connection(): Promise<Connection> {
    return (this.line ??= this.me().then((identity) => new Connection(openTransport(this.served.address), identity, this.served.nodeKey)));
  }

  async key(): Promise<string> {
    return (await this.me()).verifyKey;
  }

  async attendance(): Promise<Attendance> {
    return attendanceOf(await (await this.connection()).call("invitations.attendance", { process_id: this.served.training }));
  }

  async redeem(secret: string, name: string): Promise<Attendance> {
    return attendanceOf(await (await this.connection()).call("invitations.redeem", { secret, name }));
  }

  async review(attendance: Attendance): Promise<Review> {
    const connection = await this.connection(), process_id = this.served.training;
    const view = readDefinition(await connection.call("federated.definition", { process_id }));
    const { facts, review } = view;
    if (facts.name !== attendance.name || facts.version !== attendance.version) {
      throw new NotAgreed("the Domain shows the definition of another training", { reason: "definition" });
    }
    this.shown = { attendance, view };
    const refusal = attendance.reportFormat === "sealed" ? "confidential" : attendance.reportFormat === "plain" ? "" : "format";
    const plans: PlanReview[] = [];
    if (!refusal) {
      for (const [name, wanted] of facts.plans) {
        const { data } = await connection.download("federated.definition_file", { process_id, digest: wanted }, MOST);
        if (hex(digest(data)) !== wanted) throw new NotAgreed(`the Domain sent another plan ${name} than it shows`, { reason: "content" });
        plans.push(await planReview(name, wanted, data));
      }
    }
    const numbers = facts.tensors.reduce((sum, [, , shape]) => sum + elements(shape), 0);
    const word = review.digest === view.digest ? review.state : "none";
    return {
      definition: view.digest, plans, numbers, refusal, inputs: facts.inputs, reviewers: review.reviewerCount, word: word as Review["word"],
      bytes: facts.tensors.reduce((sum, [, dtype, shape]) => sum + elements(shape) * (ITEM_SIZES[dtype as Dtype] ?? 4), 0),
      cycles: positive(facts.serverConfig.get("num_cycles")), steps: positive(facts.configuration["max_updates"]),
      batchSize: positive(facts.configuration["batch_size"]),
    };
  }

  match(review: Review, chosen: Chosen): Promise<Matched> {
    const worker = new Worker(new URL("./data.js", import.meta.url), { type: "module" });
    const asked: Asked = { inputs: review.inputs!, chosen };
    return new Promise<Matched>((resolve, reject) => {
      worker.onmessage = ({ data }: MessageEvent<Answer>) => {
        if ("error" in data) return reject(new GridError(data.error));
        this.rows = data.reading.rows;
        resolve(data.reading.matched);
      };
      worker.onerror = (event) => reject(new GridError(event.message || "the data cannot be read here"));
      worker.postMessage(asked);
    }).finally(() => worker.terminate());
  }

  private async newJob(): Promise<FLJob> {
    const shown = this.shown;
    if (!shown) throw new GridError("nobody has read what would run");
    this.client ??= new FLClient({
      address: this.served.address, identity: await this.me(), store: this.store, trust: { nodeKey: this.served.nodeKey },
      loadPlan,
    });
    const { facts, digest: agreed } = shown.view;
    return this.client.newJob(facts.name, facts.version, agreed);
  }

  async take(review: Review, say: (progress: Progress) => void): Promise<{ how: End; detail: string }> {
    const rows = this.rows, job = await this.newJob();
    if (!rows) throw new GridError("there are no data to take part with");
    this.job = job;
    const told = new Told(review.cycles, say, await job.sent(), () => this.client?.path?.taken ?? "");
    told.listen(job);
    try {
      const summary = await job.run({ data: rows });
      if (summary.reason === "stopped") return { how: "stopped", detail: "" };
      return { how: await this.ended(), detail: "" };
    } catch (error) {
      if (error instanceof NotAgreed || error instanceof Forbidden || error instanceof Unsupported) return { how: "refused", detail: error.detail };
      throw error;
    } finally {
      told.close();
      job.close();
      this.job = null;
    }
  }

  /** How the training ended: a check-in says only that it is over. */
  private async ended(): Promise<End> {
    try {
      const { training } = await this.attendance();
      return ENDS.find((each) => each === training) ?? "over";
    } catch (error) {
      if (error instanceof GridError) return "over"; // the Domain has gone: nobody knows
      throw error;
    }
  }

  async stop(): Promise<void> {
    this.job?.stop();
  }

  async receipt(): Promise<Receipt> {
    const { view } = this.shown!, { facts } = view, sent = await (await this.newJob()).sent();
    return {
      training: this.served.training, name: facts.name, version: facts.version, domain: this.served.domain,
      domainKey: this.served.nodeKey, participantKey: await this.key(), definition: view.digest,
      plans: Object.fromEntries(facts.plans), sent: sent.map(sentOf),
    };
  }

  async unfinished(): Promise<boolean> {
    return (await this.newJob()).unfinished();
  }
}

/** What a job tells, as what the page shows; often enough to look alive, and no more. */
class Told {
  private now: Progress;
  private before: Phase = { kind: "joining" };
  private readonly losses: number[] = [];
  private later: ReturnType<typeof setTimeout> | undefined;

  constructor(cycles: number | null, private readonly say: (progress: Progress) => void, sent: readonly { readonly cycle: number }[], private readonly path: () => string) {
    this.now = { ...NOTHING_YET, cycles, sent: (sent as readonly JobSent[]).map(sentOf) };
    this.tell({}, true);
  }

  listen(job: FLJob): void {
    job.addListener("waiting", () => this.phase({ kind: "waiting", reason: "" }));
    job.addListener("rejected", (_, _again, reason) => this.phase({ kind: "waiting", reason }));
    job.addListener("cycle_started", (_, cycle) => this.tell({ cycle, phase: { kind: "fetching" } }, true));
    job.addListener("progress", (_, progress) => {
      if (progress.stepLoss !== null) this.losses.push(progress.stepLoss);
      const { update, updates } = progress, last = update === updates;
      this.tell({ phase: last ? { kind: "sending" } : { kind: "training", step: update, steps: updates ?? update } }, last);
    });
    job.addListener("reported", (_, sent) => this.tell({ sent: [...this.now.sent, sentOf(sent)], phase: { kind: "waiting", reason: "taking-part" } }, true));
    job.addListener("line", (_, trouble) => {
      if (trouble && this.now.phase.kind !== "lost") {
        this.before = this.now.phase;
        this.phase({ kind: "lost", retryIn: 0 });
      } else if (!trouble && this.now.phase.kind === "lost") this.phase(this.before);
    });
    // Somebody may look at the page's console; who takes part reads the page, which shows what goes on.
    job.addListener("error", (_, error) => this.tell({ phase: { kind: "waiting", reason: error instanceof GridError ? error.code : "" } }, true));
  }

  private phase(phase: Phase): void {
    this.tell({ phase }, true);
  }

  private tell(changed: Partial<Progress>, atOnce: boolean): void {
    this.now = { ...this.now, ...changed };
    if (!atOnce) {
      this.later ??= setTimeout(() => this.show(), OFTEN);
      return;
    }
    clearTimeout(this.later);
    this.show();
  }

  private show(): void {
    this.later = undefined;
    if (this.losses.length !== this.now.losses.length) this.now = { ...this.now, losses: [...this.losses] };
    this.say({ ...this.now, path: this.path() });
  }

  close(): void {
    clearTimeout(this.later);
  }
}

interface JobSent {
  readonly cycle: number;
  readonly bytes: number;
  readonly samples: number | null;
  readonly loss: number | null;
  readonly at: number;
}

function sentOf({ cycle, bytes, samples, loss, at }: JobSent): Sent {
  return { cycle, bytes, samples: samples ?? 0, loss, at };
}

async function planReview(name: string, digest: string, data: Uint8Array): Promise<PlanReview> {
  const engine = await Engine.load(data, digest);
  try {
    const found = await engine.describe();
    return {
      name, digest, bytes: data.length, operations: found.cost.ops, flops: found.cost.flops, peak: found.cost.peakBytes, text: found.text,
    };
  } finally {
    engine.close();
  }
}

function attendanceOf(reply: Fields): Attendance {
  const policy = reply.inner("policy"), status = reply.text("status");
  return {
    status: status as Attendance["status"], training: reply.text("training", ""), name: reply.text("name", ""),
    version: reply.text("version", ""), host: reply.text("host", ""), reportFormat: reply.text("report_format", ""),
    statement: reply.texts("statement", []), policy: policy && policyOf(policy),
  };
}

function policyOf(fields: Fields): Policy {
  return {
    minParticipants: fields.whole("min_participants", 1), clipNorm: fields.maybe("clip_norm"), noiseMultiplier: fields.maybe("noise_multiplier"),
    minRows: fields.whole("min_rows", 1), participation: fields.text("participation", "accepted") === "open" ? "open" : "accepted",
  };
}

function positive(value: Plain | unknown): number | null {
  return typeof value === "number" && value > 0 ? value : null;
}
