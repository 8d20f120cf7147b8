/** One worker's part in a training: `FLJob` (PyGrid paper, listings 7 and 8), with the names and events of Python's. */
import {
  Conflict, DataMismatch, Forbidden, GridError, InvalidConfig, InvalidEnvelope, InvalidToken, NotAgreed, NotFound, Unsupported,
} from "../errors.js";
import { Backoff, pause } from "../transport/backoff.js";
import { hex, random } from "../wire/bytes.js";
import { digest } from "../wire/envelope.js";
import type { Tensor } from "../wire/tensor.js";
import { readTensors, writeTensors, type Named } from "../wire/tensor_file.js";
import { checkRows, difference, metric } from "./bounds.js";
import type { FLClient } from "./client.js";
import { Consent, checkFormat } from "./consent.js";
import { Delivery } from "./delivery.js";
import { Listeners, type Events, type Listener, type RunSummary, type Sent } from "./events.js";
import { Heartbeats } from "./heartbeats.js";
import { match, type Matched, type SiteData } from "./inputs/matching.js";
import { reasonAside } from "./inputs/problems.js";
import { readDefinition, type CheckIn } from "./messages.js";
import type { PlanRunner } from "./plan.js";
import { Persistence, Stopped } from "./retry.js";
import type { Session } from "./session.js";
import { JobRecord, ReportCounts, spent, type Pending } from "./state.js";
import { Account, PlanTrainer, failedOnValues, trainingPlanOf, type Config } from "./trainer.js";

/** Seconds that the Domain may hold a check-in; below the usual idle timeouts of proxies. */
const WAIT = 25;
const MAX_FAILURES = 3;
/** Seconds for which a report is sent again, by whom somebody waits for. */
const REPORT_PATIENCE = 60;
/** Bytes of all plans and protocols of a training. */
export const MAX_PLANS = 8 << 20;

export interface Stated {
  readonly samples?: number;
  readonly loss?: number;
  readonly accuracy?: number;
}

export interface RunOptions {
  /** Returns the trained parameters, or calls `job.report` itself. */
  readonly train?: (job: FLJob) => Promise<readonly Tensor[] | void>;
  /** Instead of `train`: matched against what the training declares, then the training plan is run over batches of it. */
  readonly data?: SiteData | Matched;
  /** Stops after so many reports. */
  readonly maxCycles?: number;
  /** Makes the shuffling of `data` reproducible: the same as in Python. */
  readonly seed?: number;
}

export class FLJob {
  /** Name → plan, downloaded and checked. */
  plans: ReadonlyMap<string, PlanRunner> = new Map();
  protocols: ReadonlyMap<string, Uint8Array> = new Map();
  /** The parameters that the cycle starts from. */
  model: readonly Named[] = [];
  clientConfig: Config = {};
  assignment: CheckIn | null = null;
  account = new Account();
  reported = false;
  readonly consent: Consent;
  private readonly listeners = new Listeners<FLJob>();
  private readonly stopping = new AbortController();
  private readonly heartbeats = new Heartbeats();
  private readonly byDigest = new Map<string, PlanRunner>();
  private opened: Promise<{ session: Session; record: JobRecord; counts: ReportCounts }> | null = null;
  private patience = REPORT_PATIENCE;
  private stated = 0;

  /** @internal `FLClient.newJob` makes jobs. */
  constructor(readonly client: FLClient, readonly modelName: string, readonly modelVersion: string, agreed: string) {
    this.consent = new Consent(modelName, modelVersion, agreed);
  }

  // -- events ---------------------------------------------------------------------------------------------------------

  /** Calls `listener(job, …)` at `event`; one that returns a promise is waited for. */
  addListener<Event extends keyof Events>(event: Event, listener: Listener<Event, FLJob>): this {
    this.listeners.add(event, listener);
    return this;
  }

  private emit<Event extends keyof Events>(event: Event, ...values: Events[Event]): Promise<void> {
    return this.listeners.emit(event, this, ...values);
  }

  /** No error passes unseen: where nobody listens, it is thrown. */
  private async emitError(error: unknown): Promise<void> {
    if (!this.listeners.any("error")) throw error;
    await this.emit("error", error as Error);
  }

  // -- where it stands --------------------------------------------------------------------------------------------------

  get cycle(): number {
    return this.assignment?.cycle ?? 0;
  }

  /** What was sent to this training by this browser, also before its page was loaded again. */
  async sent(): Promise<readonly Sent[]> {
    return (await this.open()).record.state.sent;
  }

  /** Whether a cycle was under way when the page was left: `run` goes on with it. */
  async unfinished(): Promise<boolean> {
    return (await this.open()).record.unfinished;
  }

  /** @internal */
  open() {
    return (this.opened ??= this.client.openJob(this.modelName, this.modelVersion).catch((error: unknown) => {
      this.opened = null;
      throw error;
    }));
  }

  // -- one cycle --------------------------------------------------------------------------------------------------------

  /**
   * Takes part in one cycle: checks in, downloads model and plans, and calls the listeners. `accepted` ones train and call
   * `report`; `rejected` ones get the seconds after which to ask again, or null when the training is over.
   */
  async start(): Promise<void> {
    try {
      await this.authenticate();
      const reply = await this.checkIn(0);
      if (reply.status === "rejected") {
        await this.emit("rejected", reply.retryAfter, reply.reason);
        return;
      }
      await this.take(reply);
      await this.announce();
    } catch (error) {
      if (await this.conceal(error)) return;
      await this.giveBack(this.toldOf(error));
      await this.emitError(error);
    }
  }

  /**
   * Joins the training unless that was done, and looks at what it is before anything of it runs. Throws {@link NotAgreed}
   * where it is not what was agreed to, and {@link Unsupported} for trainings whose reports a browser does not write.
   */
  async authenticate(): Promise<void> {
    const { session, counts } = await this.open();
    const worker = session.worker ?? (await session.authenticate());
    checkFormat(worker.reportFormat);
    if (!this.consent.facts) {
      this.consent.agree(readDefinition(await session.call("federated.definition", { process_id: worker.processId })));
      this.client.say(this.summary());
    }
    const { maxReports } = this.client.bounds;
    if (maxReports != null && (await counts.count()) >= maxReports) throw spent(maxReports);
  }

  private summary(): string {
    const plans = [...this.consent.agreed.plans].map(([name, found]) => `${name} ${found.slice(0, 12)}`).join(", ") || "no plan";
    return `${this.modelName} ${this.modelVersion}: runs ${plans}; definition ${this.consent.digest}`;
  }

  /** One key until an answer arrives, over reloads too: an assignment whose answer was lost is found again. */
  private async checkIn(wait: number): Promise<CheckIn> {
    const { session, record } = await this.open();
    const key = record.state.checkIn || hex(random(16));
    await record.change({ checkIn: key });
    let reply: CheckIn;
    try {
      reply = await session.checkIn(key, wait);
    } catch (error) {
      if (!(error instanceof InvalidToken || error instanceof NotFound)) throw error;
      await session.authenticate(); // the token's time was up, or the Domain's database is older than it
      reply = await session.checkIn(key, wait);
    }
    if (reply.status === "rejected") await record.change({ checkIn: "", report: null });
    return reply;
  }

  /** Downloads what the accepted check-in refers to, and holds it against what was agreed to. */
  private async take(reply: CheckIn): Promise<void> {
    const { session } = await this.open();
    this.assignment = reply;
    this.reported = false;
    this.account = new Account();
    this.heartbeats.begin(session, reply);
    this.consent.checkAssignment(reply);
    this.clientConfig = reply.configuration;
    const ids = { assignment_id: reply.assignmentId, request_key: reply.requestKey };
    const plans = new Map<string, PlanRunner>(), protocols = new Map<string, Uint8Array>();
    for (const [name, id] of reply.plans) plans.set(name, await this.plan(session, name, { ...ids, plan_id: id }));
    for (const [name, id] of reply.protocols) {
      const { data } = await session.download("federated.get_protocol", { ...ids, protocol_id: id }, MAX_PLANS);
      this.consent.checkBytes("protocol", name, data);
      protocols.set(name, data);
    }
    const { data } = await session.download("federated.get_model", ids, reply.modelSize);
    if (hex(digest(data)) !== reply.modelDigest) throw new InvalidEnvelope("the Domain sent another model than it announced");
    if (reply.checkpoint === 1 && reply.modelDigest !== this.consent.agreed.model) {
      throw new NotAgreed("the Domain begins with another model than was agreed to", { reason: "content" });
    }
    const model = readTensors(data);
    this.consent.checkModel(model);
    const half = model.find(({ tensor, kind }) => kind !== "constant" && (tensor.dtype === "F16" || tensor.dtype === "BF16"));
    if (half) throw new Unsupported(`${half.name} is of ${half.tensor.dtype}, which a browser does not compute with yet`);
    [this.plans, this.protocols, this.model] = [plans, protocols, model];
  }

  private async plan(session: Session, name: string, ids: { [name: string]: string }): Promise<PlanRunner> {
    const agreed = this.consent.agreed.plans.get(name)!, known = this.byDigest.get(agreed);
    if (known) return known;
    const { data } = await session.download("federated.get_plan", ids, MAX_PLANS);
    this.consent.checkBytes("plan", name, data);
    const made = await this.client.loadPlan(data, agreed);
    this.byDigest.set(agreed, made);
    return made;
  }

  /** Whatever becomes of it, the plan will have seen the data: it is counted before. */
  private async announce(): Promise<void> {
    const { counts } = await this.open(), { maxReports } = this.client.bounds;
    if (maxReports != null) await counts.add(maxReports);
    await this.emit("cycle_started", this.cycle);
    await this.emit("accepted");
  }

  // -- reporting --------------------------------------------------------------------------------------------------------

  /**
   * Sends what was learned: the difference between the cycle's model and `params`, within the client's bounds. What is
   * left out of samples, loss and accuracy is taken from the plan's steps in this cycle.
   */
  async report(params: readonly Tensor[], stated: Stated = {}): Promise<void> {
    const assignment = this.openAssignment(), { bounds, reportMetrics } = this.client;
    checkRows(this.account.planned || stated.samples || 0, bounds);
    const known = reportMetrics ? this.account : new Account();
    const samples = stated.samples ?? (known.planned || null);
    const bytes = writeTensors(difference(this.model, params, bounds));
    await this.deliver({
      assignmentId: assignment.assignmentId, bytes,
      samples: samples === null ? null : Math.min(samples, bounds.maxSamples ?? Infinity),
      loss: metric(stated.loss ?? known.loss, bounds, assignment.policy),
      accuracy: metric(stated.accuracy ?? known.accuracy, bounds, assignment.policy),
    });
  }

  private openAssignment(): CheckIn {
    if (!this.assignment || this.reported) {
      throw new Conflict("this job has no open assignment; start() or run() takes one", { reason: "state" });
    }
    return this.assignment;
  }

  /** Kept before it is sent: a page that is loaded again sends it, and does not learn it again. */
  private async deliver(report: Pending): Promise<void> {
    const { session, record } = await this.open(), assignment = this.openAssignment();
    await record.change({ report });
    const delivery = new Delivery(session, assignment, report);
    await this.persistence(session).call(() => delivery.attempt(), this.patience);
    this.reported = true;
    this.stated = report.samples ?? 0;
    this.heartbeats.end();
    const { samples, loss, accuracy } = report;
    const sent: Sent = { cycle: assignment.cycle, bytes: report.bytes.length, samples, loss, accuracy, at: Date.now() };
    await record.change({ checkIn: "", report: null, sent: [...record.state.sent, sent] });
    await this.emit("reported", sent);
  }

  private persistence(session: Session): Persistence {
    return new Persistence(session, this.stopping.signal, (trouble) => this.emit("line", trouble));
  }

  /** Whether nobody may hear that the plan failed on what the data hold: where the site demands noise, which would not cover it. */
  private get hidesFailures(): boolean {
    return this.assignment?.policy?.noiseMultiplier != null;
  }

  /** Reports the untouched model where the plan failed on what the data hold and nobody may hear that; whether that was so. */
  private async conceal(error: unknown): Promise<boolean> {
    if (!failedOnValues(error) || !this.hidesFailures || !this.assignment || this.reported) return false;
    const samples = Math.max(this.account.planned, this.stated, this.assignment.policy?.minRows ?? 1);
    const { reportMetrics, bounds } = this.client;
    await this.deliver({
      assignmentId: this.assignment.assignmentId, loss: null, accuracy: null,
      bytes: writeTensors(difference(this.model, this.model.map(({ tensor }) => tensor), bounds)),
      samples: reportMetrics ? Math.min(samples, bounds.maxSamples ?? Infinity) : null,
    });
    return true;
  }

  /** Tells the Domain that the open assignment comes to nothing, so that its slot is free at once. */
  private async giveBack(reason: string): Promise<void> {
    const { assignment } = this;
    this.assignment = null;
    this.heartbeats.end();
    if (!assignment || this.reported) return;
    const { session, record } = await this.open();
    await record.change({ checkIn: "", report: null });
    const body = { assignment_id: assignment.assignmentId, request_key: assignment.requestKey, reason: reason.slice(0, 500) };
    await session.callQuietly("federated.report_failure", body);
  }

  /** What a Domain is told of an error: its kind, since its text may hold numbers of the data; under noise not even that. */
  private toldOf(error: unknown): string {
    if (error instanceof NotAgreed || error instanceof Unsupported || (error instanceof InvalidConfig && !this.hidesFailures)) return error.detail;
    return this.hidesFailures || !(error instanceof Error) ? "the worker failed" : error.name;
  }

  // -- local data -------------------------------------------------------------------------------------------------------

  /**
   * Samples and labels as the plan takes them: by name, in the declared order, classes and scale. Throws
   * {@link DataMismatch} where the data are not what the training declares; the Domain is told so, and no data.
   */
  async rows(data: SiteData | Matched): Promise<Matched> {
    if (!("kind" in data)) return data; // was matched beside the page, which answers meanwhile
    if (!this.consent.facts) await this.authenticate();
    try {
      return match(this.consent.agreed.inputs, data);
    } catch (error) {
      if (error instanceof DataMismatch) {
        const { session } = await this.open(), body = { process_id: await session.processId(), reason: reasonAside(error).slice(0, 2000) };
        await session.callQuietly("federated.stand_aside", body);
      }
      throw error;
    }
  }

  // -- all cycles -------------------------------------------------------------------------------------------------------

  /**
   * Takes part in every cycle until the training ends; waits for cycles, and for a Domain that is down, as long as it
   * takes. A page that is loaded again goes on with the cycle that was under way. One tab at a time takes part.
   */
  async run(options: RunOptions = {}): Promise<RunSummary> {
    if (options.data && options.train) throw new InvalidConfig("give either train or data, not both");
    const act = () => this.participate(options);
    if (typeof navigator === "undefined" || !navigator.locks) return act();
    const name = `grid ${this.client.jobName(this.modelName, this.modelVersion)}`;
    return navigator.locks.request(name, { ifAvailable: true }, (lock) => {
      if (!lock) throw new Conflict("another tab of this browser takes part in this training", { reason: "another-tab" });
      return act();
    });
  }

  /** Ends `run` soon and for good: waits are cut short, and a cycle that was begun is given back. Nothing more leaves. */
  stop(): void {
    this.stopping.abort();
    this.client.hangUp();
  }

  private async participate({ train, data, maxCycles, seed }: RunOptions): Promise<RunSummary> {
    const summary: RunSummary = { cycles: 0, missed: 0, failures: 0, samples: 0, loss: null, accuracy: null, reason: "" };
    const failures = new Backoff(1, 5, this.stopping.signal);
    const trainer = data ? new Lazily(() => this.trainer(data, seed ?? null)) : null;
    this.patience = Infinity; // what was learned waits for the Domain as long as the assignment does
    try {
      while (!summary.reason) {
        await this.oneCycle(summary, failures, train, trainer);
        if (maxCycles !== undefined && summary.cycles >= maxCycles) summary.reason ||= "max-cycles";
      }
    } catch (error) {
      if (error instanceof Stopped) summary.reason = "stopped";
      else if (error instanceof NotAgreed && error.extra["reason"] === "max-reports") summary.reason = "max-reports";
      else throw error;
    } finally {
      this.patience = REPORT_PATIENCE;
      await this.giveBack("the worker stopped");
    }
    await this.emit("finished", summary);
    return summary;
  }

  private async trainer(data: SiteData | Matched, seed: number | null): Promise<PlanTrainer> {
    const { x, y, notes } = await this.rows(data), { record } = await this.open();
    notes.forEach((note) => this.client.say(note));
    return new PlanTrainer(x, y, seed, `${this.client.identity.verifyKey}/${record.state.device}`);
  }

  private stay(): void {
    if (this.stopping.signal.aborted) throw new Stopped();
  }

  private async oneCycle(
    summary: RunSummary, failures: Backoff, train: RunOptions["train"], trainer: Lazily<PlanTrainer> | null,
  ): Promise<void> {
    this.stay();
    const { session } = await this.open(), persistence = this.persistence(session);
    try {
      await persistence.call(() => this.authenticate());
    } catch (error) {
      // A training that is over shows what it is to nobody: the check-in says that it is over.
      if (!(error instanceof NotFound) || this.consent.facts) throw error;
      const reply = await persistence.call(() => this.checkIn(0));
      if (reply.status === "accepted") {
        this.assignment = reply; // what is not shown is not run
        await this.giveBack("its definition is not shown");
      }
      if (reply.status !== "rejected" || reply.retryAfter !== null) throw error;
      await this.emit("rejected", null, reply.reason);
      summary.reason = "over";
      return;
    }
    await trainer?.get();
    await this.emit("waiting");
    const begun = performance.now(), reply = await persistence.call(() => this.checkIn(WAIT));
    if (reply.status === "rejected") {
      await this.emit("rejected", reply.retryAfter, reply.reason);
      if (reply.retryAfter === null) summary.reason = "over";
      else if ((performance.now() - begun) / 1000 < WAIT / 2 && !(await pause(Math.max(reply.retryAfter, 0.05), this.stopping.signal))) {
        throw new Stopped();
      }
      return;
    }
    try {
      await persistence.call(() => this.take(reply));
      await this.learn(train, trainer);
    } catch (error) {
      await this.failed(error, summary, failures);
      return;
    }
    failures.reset();
    summary.cycles++;
    summary.samples += this.account.samples;
    summary.loss = this.account.loss;
    summary.accuracy = this.account.accuracy;
    this.assignment = null;
  }

  private async learn(train: RunOptions["train"], trainer: Lazily<PlanTrainer> | null): Promise<void> {
    const { record } = await this.open(), pending = record.state.report;
    if (pending && pending.assignmentId === this.assignment?.assignmentId) {
      await this.deliver(pending); // it was learned before the page was loaded again
      return;
    }
    try {
      await this.announce();
      const params = trainer ? await this.runPlan(await trainer.get()) : await train?.(this);
      if (params && !this.reported) await this.report(params);
    } catch (error) {
      if (!(await this.conceal(error))) throw error;
    }
    if (!this.reported) throw new GridError("the training ended without a report");
  }

  private runPlan(trainer: PlanTrainer): Promise<Tensor[]> {
    const { account } = this;
    return trainer.train({
      runner: trainingPlanOf(this.plans), model: this.model, config: this.clientConfig, cycle: this.cycle, account,
      stay: () => this.stay(),
      step: (updates, stepLoss) => this.emit("progress", {
        cycle: this.cycle, update: account.updates, updates, samples: account.samples, loss: account.loss,
        accuracy: account.accuracy, stepLoss,
      }),
    });
  }

  /** Lost assignments are another chance; what fails is given back, and gone on with where somebody listens. */
  private async failed(error: unknown, summary: RunSummary, failures: Backoff): Promise<void> {
    if (error instanceof Stopped) throw error;
    if (error instanceof Conflict || error instanceof NotFound || error instanceof Forbidden) {
      summary.missed++;
      this.assignment = null;
      this.heartbeats.end();
      await (await this.open()).record.change({ checkIn: "", report: null });
      return;
    }
    await this.giveBack(this.toldOf(error));
    if (error instanceof NotAgreed || error instanceof Unsupported) throw error; // no other cycle is agreed to either
    summary.failures++;
    await this.emitError(error);
    if (failures.failures + 1 >= MAX_FAILURES) throw error;
    if (!(await failures.wait())) throw new Stopped();
  }

  /** Ends what plans hold. */
  close(): void {
    this.heartbeats.end();
    for (const plan of this.byDigest.values()) plan.close();
    this.byDigest.clear();
  }
}

/** Made at first use; a failure is not kept. */
class Lazily<T> {
  private made: Promise<T> | null = null;

  constructor(private readonly make: () => Promise<T>) {}

  get(): Promise<T> {
    return (this.made ??= this.make().catch((error: unknown) => {
      this.made = null;
      throw error;
    }));
  }
}
