/** The worker's side of model-centric federated learning: `FLClient` (PyGrid paper, listing 8). */
import { BrowserStore, type Store } from "../identity/database.js";
import { Identity } from "../identity/identity.js";
import { KnownNodes } from "../identity/known_nodes.js";
import { requireSecureContext } from "../identity/secure.js";
import { NotAgreed } from "../errors.js";
import type { Path } from "../transport/base.js";
import { hex } from "../wire/bytes.js";
import { digest } from "../wire/envelope.js";
import { checkBounds, type WorkerBounds } from "./bounds.js";
import { FLJob, MAX_PLANS } from "./job.js";
import { readDefinition, type DefinitionView } from "./messages.js";
import type { LoadPlan } from "./plan.js";
import { Lines, Session } from "./session.js";
import { JobRecord, ReportCounts } from "./state.js";

export interface ClientOptions {
  /** `https://host:port`, `wss://host:port`, `relay+https://network:port/<verify key>`, … */
  readonly address: string;
  /** The key of this worker, and all that it is known by. */
  readonly identity: Identity;
  /** Makes runners of plans. */
  readonly loadPlan: LoadPlan;
  /** Whose word counts: the Domain's verify key, where it is known; else the one that is met first is held to. */
  readonly trust?: { readonly nodeKey?: string };
  /** Where identities, known nodes and trainings under way are kept. */
  readonly store?: Store;
  /** Satisfies the authentication that the training's host configured. */
  readonly authToken?: string;
  /** The token of the account that takes part, asked for at each authentication; "" without one. */
  readonly login?: () => Promise<string>;
  /** What leaves at most, whatever a training does. */
  readonly bounds?: WorkerBounds;
  /** Send loss, accuracy and samples with reports that do not state them, as the plan's steps gave them. */
  readonly reportMetrics?: boolean;
  /** Is given the line that says what a job will run. */
  readonly say?: (line: string) => void;
}

/** All that would run of a training, to read before anybody agrees; nothing of it has run. */
export interface TrainingOffer {
  readonly view: DefinitionView;
  /** Name → bytes of the plan, of the digest that the definition names. */
  readonly plans: ReadonlyMap<string, Uint8Array>;
}

/** A participant of federated trainings at one Domain. */
export class FLClient {
  readonly address: string;
  readonly identity: Identity;
  readonly loadPlan: LoadPlan;
  readonly bounds: WorkerBounds;
  readonly reportMetrics: boolean;
  readonly say: (line: string) => void;
  private readonly lines: Lines;
  private readonly store: Store;

  constructor(private readonly options: ClientOptions) {
    requireSecureContext();
    this.address = options.address.replace(/\/$/, "");
    this.identity = options.identity;
    this.loadPlan = options.loadPlan;
    this.bounds = checkBounds(options.bounds ?? {});
    this.reportMetrics = options.reportMetrics ?? true;
    this.say = options.say ?? (() => undefined);
    this.store = options.store ?? new BrowserStore();
    this.lines = new Lines(this.address, this.identity, new KnownNodes(this.store), options.trust?.nodeKey ?? "");
  }

  /** Which way leads to the Domain, where there are several. */
  get path(): Path | null {
    return this.lines.path;
  }

  /** The Domain's key, that every answer is held to; "" before it was met. */
  get nodeKey(): string {
    return this.lines.nodeKey;
  }

  /**
   * A part in the training; nothing is sent yet. It runs what reviewers at the Domain have approved, or what is the
   * Domain's own; `agreed`: the digest of the definition that you agree to, whoever has approved it or has not.
   */
  newJob(modelName: string, modelVersion: string, agreed = ""): FLJob {
    return new FLJob(this, modelName, modelVersion, agreed);
  }

  /** All that would run of a training, for people to read; no slot is asked for. */
  async review(modelName: string, modelVersion: string): Promise<TrainingOffer> {
    const { session } = await this.openJob(modelName, modelVersion), process_id = await session.processId();
    const view = readDefinition(await session.call("federated.definition", { process_id }));
    const plans = new Map<string, Uint8Array>();
    for (const [name, wanted] of view.facts.plans) {
      const { data } = await session.download("federated.definition_file", { process_id, digest: wanted }, MAX_PLANS);
      if (hex(digest(data)) !== wanted) throw new NotAgreed("the Domain sent another file than was agreed to", { reason: "content" });
      plans.set(name, data);
    }
    return { view, plans };
  }

  /** @internal Name of what is kept of a job. */
  jobName(modelName: string, modelVersion: string): string {
    return JSON.stringify([this.address, modelName, modelVersion, this.identity.verifyKey]);
  }

  /** @internal */
  async openJob(modelName: string, modelVersion: string) {
    const name = this.jobName(modelName, modelVersion), record = await JobRecord.open(this.store, name);
    const session = new Session(
      this.lines, modelName, modelVersion, this.options.authToken ?? "", record.state.device,
      this.options.login ?? (async () => ""), this.options.bounds ?? null,
    );
    return { session, record, counts: new ReportCounts(this.store, name) };
  }

  /** @internal */
  hangUp(): void {
    this.lines.hangUp();
  }

  close(): void {
    this.lines.close();
  }
}
