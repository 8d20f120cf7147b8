/** A worker's calls to the Domain, for one training: authenticated; waiting over a WebSocket where one gets through. */
import { DeadlineExceeded, GridError, InvalidEnvelope, Unavailable } from "../errors.js";
import type { Identity } from "../identity/identity.js";
import type { KnownNodes } from "../identity/known_nodes.js";
import type { Path, Transport } from "../transport/base.js";
import { Connection, type Call } from "../transport/connection.js";
import { openTransport, parseAddress, webSocketTransport } from "../transport/open.js";
import type { Fields } from "../wire/fields.js";
import type { Packable } from "../wire/msgpack.js";
import { declaredBounds, type WorkerBounds } from "./bounds.js";
import { readCheckIn, readWorker, type CheckIn, type WorkerView } from "./messages.js";

/** Seconds beyond a wait that the answer itself may take. */
const PATIENCE = 30;

/** The connections of one client, shared by its jobs; opened at first use. */
export class Lines {
  private readonly bulk: Connection;
  private push: Transport | null = null;
  private meeting: Promise<void> | null = null;

  constructor(
    readonly address: string, readonly identity: Identity, private readonly nodes: KnownNodes, pinned: string,
  ) {
    this.bulk = new Connection(openTransport(address), identity, pinned || parseAddress(address).key);
  }

  get path(): Path | null {
    return this.bulk.transport.path ?? null;
  }

  /** The Domain's key, that every answer is held to; "" before it was met. */
  get nodeKey(): string {
    return this.bulk.nodeKey;
  }

  /** For everything but waiting. Holds the node to the key that is pinned for its address. */
  async connection(): Promise<Connection> {
    await (this.meeting ??= this.meet().catch((error: unknown) => {
      this.meeting = null;
      throw error;
    }));
    return this.bulk;
  }

  private async meet(): Promise<void> {
    const { origin, key } = parseAddress(this.address);
    const name = key ? this.address : origin;
    this.bulk.nodeKey ||= await this.nodes.keyOf(name);
    await this.bulk.metadata();
    if (!key) await this.nodes.meet(name, this.bulk.nodeKey);
  }

  /** For waiting: over a WebSocket if one gets through, else as {@link connection}. */
  async waiting(): Promise<Connection> {
    const bulk = await this.connection(), { scheme, origin } = parseAddress(this.address);
    if (scheme !== "http" && scheme !== "https") return bulk;
    this.push ??= await this.openPush(origin, bulk);
    return new Connection(this.push, this.identity, bulk.nodeKey);
  }

  private async openPush(origin: string, bulk: Connection): Promise<Transport> {
    const transport = webSocketTransport(origin);
    transport.ahead = bulk.transport.ahead;
    try {
      await new Connection(transport, this.identity, bulk.nodeKey).metadata();
      return transport;
    } catch (error) {
      transport.close();
      if (!(error instanceof Unavailable || error instanceof DeadlineExceeded || error instanceof InvalidEnvelope)) throw error;
      await bulk.metadata(); // the node is there: only WebSockets are not
      return bulk.transport;
    }
  }

  /** Closes what somebody may be waiting on; the next wait opens another. */
  hangUp(): void {
    const push = this.push;
    this.push = null;
    if (push && push !== this.bulk.transport) push.close();
  }

  close(): void {
    this.hangUp();
    this.bulk.close();
  }
}

/** One worker in one training. */
export class Session {
  worker: WorkerView | null = null;

  constructor(
    readonly lines: Lines, readonly name: string, readonly version: string, public authToken: string, readonly device: string,
    private readonly login: () => Promise<string>, private readonly bounds: WorkerBounds | null,
  ) {}

  /** Joins the training, or gets a fresh token: the same key and device keep the same worker id. */
  async authenticate(): Promise<WorkerView> {
    const connection = await this.lines.connection();
    const body: Packable = {
      model_name: this.name, model_version: this.version, auth_token: this.authToken, device: this.device,
      bounds: this.bounds ? declaredBounds(this.bounds) : null,
    };
    return (this.worker = readWorker(await connection.call("federated.authenticate", body, { token: await this.login() })));
  }

  async processId(): Promise<string> {
    return (this.worker ?? (await this.authenticate())).processId;
  }

  private async token(): Promise<string> {
    return (this.worker ?? (await this.authenticate())).token;
  }

  /** Asks for a part in a cycle; `wait` is how many seconds the Domain may hold the answer. */
  async checkIn(key: string, wait: number): Promise<CheckIn> {
    const token = await this.token();
    const connection = wait ? await this.lines.waiting() : await this.lines.connection();
    const body: Packable = { idempotency_key: key, wait, heartbeats: true, ...(await this.speeds(token)) };
    try {
      return readCheckIn(await connection.call("federated.check_in", body, { token, timeout: wait + PATIENCE }));
    } catch (error) {
      if (error instanceof Unavailable || error instanceof DeadlineExceeded) this.lines.hangUp();
      throw error;
    }
  }

  private measured: { ping: number; download: number; upload: number } | null = null;

  /** Measured where the training sets minimum speeds: ping in ms, the others in kilobytes per second. */
  private async speeds(token: string): Promise<{ [name: string]: Packable }> {
    if (!this.worker?.requiresSpeedTest) return {};
    if (!this.measured) {
      const connection = await this.lines.connection(), size = 1 << 20;
      const timed = async (act: () => Promise<unknown>) => {
        const begun = performance.now();
        await act();
        return Math.max(performance.now() - begun, 0.1);
      };
      const ping = await timed(() => connection.metadata());
      const down = await timed(() => connection.download("federated.speed_sample", { size }, size, { token }));
      const up = await timed(() => connection.call("federated.speed_upload", {}, { token, payload: new Uint8Array(size) }));
      this.measured = { ping, download: size / down, upload: size / up };
    }
    return { ...this.measured };
  }

  /** Asks the Domain as this worker. */
  async call(operation: string, body: Packable, how: Omit<Call, "token"> = {}): Promise<Fields> {
    const token = await this.token();
    return (await this.lines.connection()).call(operation, body, { ...how, token });
  }

  /** The bytes that an operation answers with, of which at most `most` are taken. */
  async download(operation: string, body: Packable, most: number): Promise<{ reply: Fields; data: Uint8Array }> {
    const token = await this.token();
    return (await this.lines.connection()).download(operation, body, most, { token });
  }

  /** For farewells: at most a few seconds, and no error. */
  async callQuietly(operation: string, body: Packable): Promise<void> {
    try {
      await this.call(operation, body, { timeout: 5 });
    } catch (error) {
      if (!(error instanceof GridError)) throw error;
    }
  }
}
