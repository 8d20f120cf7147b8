/**
 * A node behind a Network by every way that leads there: `grid+https://network/<verify key>`, in the order of
 * `docs/peers-protocol.md`: direct, WebRTC, TURN, the sealed relay; each 300 ms after the one before.
 */
import { BadSignature, GridError, Unavailable } from "../errors.js";
import { Identity } from "../identity/identity.js";
import type { Envelope } from "../wire/envelope.js";
import type { Fields } from "../wire/fields.js";
import { pause } from "./backoff.js";
import type { Exchange, Frame, Path, Transport } from "./base.js";
import { Connection } from "./connection.js";
import { HttpTransport } from "./http.js";
import { relayTransport, straightTransport } from "./relayed.js";
import { WebRtcTransport, type Carry } from "./webrtc.js";

const STAGGER = 0.3;
/** Seconds for which the last resort waits for what is still connecting: signalling goes over it, so it is always first. */
const LAST_RESORT_WAITS = 1.5;
/** Seconds: in which whoever is at the end of a way proves that they are the node; after which no way leads there. */
const [PROVING, TRYING, CHECKING] = [10, 30, 5];

interface Way {
  readonly name: string;
  readonly open: () => Promise<Transport>;
  readonly lastResort?: boolean;
}

interface Taken {
  readonly name: string;
  readonly transport: Transport;
  readonly failed: Record<string, string>;
}

export class WaysTransport implements Transport {
  ahead = 0;
  private taken: Promise<Taken> | null = null;
  private now: Taken | null = null;
  /** Way → why, of those that were taken and broke. */
  private readonly broken = new Map<string, string>();

  constructor(readonly address: string, private readonly network: string, private readonly nodeKey: string) {}

  get path(): Path {
    if (!this.now) return { taken: "", failed: Object.fromEntries(this.broken) };
    return { taken: this.now.transport.path?.taken || this.now.name, failed: this.now.failed };
  }

  isUnintroduced(): boolean {
    return this.now?.transport.isUnintroduced() ?? false;
  }

  async exchange(envelope: Envelope, payload: Uint8Array, how: Exchange): Promise<Frame> {
    const taken = await this.connected();
    try {
      return await taken.transport.exchange(envelope, payload, how);
    } catch (error) {
      if (error instanceof Unavailable && this.now === taken && !(await this.goesOn(taken.transport))) {
        this.broken.set(taken.name, `it broke: ${error.detail}`);
        if (this.now === taken) this.now = this.taken = null;
        taken.transport.close();
      }
      throw error;
    }
  }

  /** Whether a way still leads there, although an exchange over it failed. */
  private async goesOn(transport: Transport): Promise<boolean> {
    try {
      await prove(transport, this.nodeKey, CHECKING);
      return true;
    } catch {
      return false;
    }
  }

  private connected(): Promise<Taken> {
    if (this.taken) return this.taken;
    const finding = this.find();
    this.taken = finding;
    finding.then(
      (taken) => {
        if (this.taken === finding) this.now = taken;
        else taken.transport.close();
      },
      () => {
        if (this.taken === finding) this.taken = null;
      },
    );
    return finding;
  }

  private async find(): Promise<Taken> {
    const network = new HttpTransport(this.network), relay = relayTransport(this.network, this.nodeKey);
    try {
      const where = await this.locate(network);
      const ways = this.ways(where, relay, network);
      // Those that broke are tried again, after the others.
      ways.sort((one, other) => Number(this.broken.has(one.name)) - Number(this.broken.has(other.name)));
      const taken = await race(ways);
      for (const [name, why] of this.broken) if (name !== taken.name) taken.failed[name] = `${why}; since then: ${taken.failed[name] ?? "not tried"}`;
      this.broken.delete(taken.name);
      taken.transport.ahead = this.ahead;
      return taken;
    } finally {
      relay.close();
      network.close();
    }
  }

  /** The address that the Network tells of the node, in its signed reply; "" where it tells none. */
  private async locate(network: Transport): Promise<string> {
    let told: Fields;
    try {
      told = await new Connection(network, await Identity.generate()).call("network.locate", { domain: this.nodeKey }, { timeout: PROVING });
    } catch (error) {
      if (error instanceof GridError) return "";
      throw error;
    }
    if (told.text("verify_key") !== this.nodeKey) throw new BadSignature("the Network tells another node's address than that which was asked for");
    return told.text("address", "");
  }

  private ways(where: string, relay: Transport, network: Transport): Way[] {
    const proven = async (transport: Transport) => {
      try {
        await prove(transport, this.nodeKey, PROVING);
        return transport;
      } catch (error) {
        transport.close();
        throw error;
      }
    };
    const session = (carry: Carry) => async () => {
      const signalling = { way: relay, network, nodeKey: this.nodeKey, identity: await Identity.generate() };
      return proven(new WebRtcTransport(this.address.replace("grid+", "webrtc+"), async () => signalling, carry, false));
    };
    return [
      {
        name: "direct",
        open: async () => {
          if (!/^https?:\/\/[^/]+$/.test(where)) throw new Unavailable("the Network tells no address of it");
          // The Network named it, and may sit there: what is said is sealed to the node's key, as where it is carried.
          return proven(straightTransport(where, this.nodeKey));
        },
      },
      { name: "webrtc", open: session("free") },
      { name: "turn", open: session("turn") },
      { name: "relay", open: () => proven(relayTransport(this.network, this.nodeKey)), lastResort: true },
    ];
  }

  close(): void {
    this.now?.transport.close();
    this.now = this.taken = null;
  }
}

/** Throws unless the node with the key answers. */
async function prove(transport: Transport, nodeKey: string, timeout: number): Promise<void> {
  await new Connection(transport, await Identity.generate(), nodeKey).call("node.metadata", {}, { timeout });
}

/** Tries ways in their order; what others opened is closed. Throws {@link Unavailable}, with the reason of each. */
export async function race(ways: readonly Way[], stagger = STAGGER, waits = LAST_RESORT_WAITS, trying = TRYING): Promise<Taken> {
  const failed: Record<string, string> = {}, waiting = [...ways], running = new Set<Way>(), arrived: [Way, Transport][] = [];
  const begun = performance.now(), elapsed = () => (performance.now() - begun) / 1000;
  let over = false, nextStart = 0, held: { way: Way; transport: Transport; until: number } | null = null;
  let wake = () => undefined as void;
  const start = (way: Way) => {
    running.add(way);
    way.open().then(
      (transport) => {
        if (over) transport.close();
        else arrived.push([way, transport]);
      },
      (error: unknown) => {
        failed[way.name] = error instanceof Error ? error.message : String(error);
        nextStart = 0;
      },
    ).finally(() => {
      running.delete(way);
      wake();
    });
  };
  try {
    for (;;) {
      const first = arrived.findIndex(([way]) => !way.lastResort), found = arrived.splice(Math.max(first, 0), 1)[0];
      if (found && !(found[0].lastResort && (running.size || waiting.length))) return outcome(ways, found[0], found[1], failed);
      if (found) held = { way: found[0], transport: found[1], until: elapsed() + waits };
      if (waiting.length && (elapsed() >= nextStart || !running.size)) {
        nextStart = elapsed() + stagger;
        start(waiting.shift()!);
        continue;
      }
      if (held && (elapsed() >= held.until || !(running.size || waiting.length))) {
        const { way, transport } = held;
        held = null;
        return outcome(ways, way, transport, failed);
      }
      if (elapsed() >= trying || !running.size) {
        const told = ways.map(({ name }) => `${name}: ${failed[name] ?? "no answer in time"}`).join("; ");
        throw new Unavailable(`no way leads there (${told})`, { failed });
      }
      const until = Math.min(trying, held?.until ?? trying, waiting.length ? nextStart : trying);
      const sleeping = new AbortController();
      wake = () => sleeping.abort();
      await pause(Math.max(until - elapsed(), 0.001), sleeping.signal);
    }
  } finally {
    over = true;
    held?.transport.close();
    for (const [, transport] of arrived) transport.close();
  }
}

/** Why each way but the taken one was not. */
function outcome(ways: readonly Way[], taken: Way, transport: Transport, failed: Record<string, string>): Taken {
  const slower = taken.lastResort ? "did not come about in time" : `slower than ${taken.name}`, position = ways.indexOf(taken);
  const reasons = ways.flatMap((way, at) => way === taken ? [] : [
    [way.name, failed[way.name] ?? (at < position ? slower : `not needed: ${taken.name} leads there`)] as const]);
  return { name: taken.name, transport, failed: Object.fromEntries(reasons) };
}
