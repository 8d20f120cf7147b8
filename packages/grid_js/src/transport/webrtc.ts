/**
 * A node over WebRTC: frames over the two channels of a session, as `docs/peers-protocol.md` says.
 *
 * The node is held to its key, and signs its answer to this very offer; a one-time key signs ours. So nobody in between
 * can put another fingerprint into a description, and a session says nothing about who opened it.
 */
import { GridError, InvalidEnvelope, Unavailable } from "../errors.js";
import { hex, random, type Bytes } from "../wire/bytes.js";
import type { Envelope, Signer } from "../wire/envelope.js";
import { Fields } from "../wire/fields.js";
import type { Exchange, Frame, Path, Transport } from "./base.js";
import { Connection } from "./connection.js";
import { SegmentedFrames } from "./multiplexed.js";
import type { Listener, Pipe } from "./pipe.js";

const [CONTROL, BULK] = [0, 1] as const;
const MAX_MESSAGE = 16 << 10;
const WINDOW = 1 << 20;
/** Bytes of the largest frame that goes on the control channel. */
const CONTROL_FRAME = 64 << 10;
/** Bytes handed to a channel and not sent at which nothing more is handed to it, and at which it goes on. */
const [BUFFERED, BUFFERED_LOW] = [256 << 10, 128 << 10];
/** Seconds: from an offer's answer until both channels are open; of an answer; in which servers are told; of gathering. */
const [OPENING, ANSWERING, SERVERS, GATHERING] = [10, 15, 5, 1];
/** Seconds in which nothing leaves a channel that has something to send, after which the session is over. */
const STALLED = 40;
/** Seconds that what is buffered is given when a session is closed. */
const LINGER = 1;

/** What may carry a session: anything; anything but a TURN server; a TURN server only. */
export type Carry = "any" | "free" | "turn";

/** How a session is asked for: over a way that leads to the node, and a Network that may tell servers. */
export interface Signalling {
  readonly way: Transport;
  readonly network: Transport;
  readonly nodeKey: string;
  readonly identity: Signer;
}

export class WebRtcTransport implements Transport {
  ahead = 0;
  private session: Promise<Session> | null = null;
  private now: Session | null = null;

  constructor(
    readonly address: string, private readonly signalling: () => Promise<Signalling>, private readonly carry: Carry = "any",
    private readonly owned = true,
  ) {}

  get path(): Path {
    return { taken: this.now ? (this.now.relayed ? "turn" : "webrtc") : "", failed: {} };
  }

  isUnintroduced(): boolean {
    return false;
  }

  async exchange(envelope: Envelope, payload: Uint8Array, how: Exchange): Promise<Frame> {
    const session = await this.connected();
    const large = envelope.body.length + payload.length > CONTROL_FRAME || how.most > 0;
    return session.lines[large ? BULK : CONTROL].exchange(envelope, payload, how);
  }

  private connected(): Promise<Session> {
    if (this.session && !this.now?.over) return this.session;
    this.now?.hangUp("it broke");
    this.now = null;
    const opening = this.open();
    this.session = opening;
    opening.then(
      (session) => {
        if (this.session === opening) this.now = session;
        else session.hangUp("it was closed here");
      },
      () => {
        if (this.session === opening) this.session = null;
      },
    );
    return opening;
  }

  private async open(): Promise<Session> {
    if (typeof RTCPeerConnection === "undefined") throw new Unavailable("this browser has no WebRTC");
    const signalling = await this.signalling();
    const node = new Connection(signalling.way, signalling.identity, signalling.nodeKey);
    try {
      return await Session.open(this.address, node, this.usable(await servers(signalling, node)), this.carry === "turn");
    } finally {
      if (this.owned) {
        signalling.way.close();
        signalling.network.close();
      }
    }
  }

  /** Those servers that may carry, or help. Throws where nothing would. */
  private usable(all: readonly RTCIceServer[]): RTCIceServer[] {
    const urls = (server: RTCIceServer) => ([] as string[]).concat(server.urls);
    if (this.carry === "turn" && !all.some((each) => urls(each).some((url) => url.startsWith("turn")))) {
      throw new Unavailable("the Network names no TURN server");
    }
    if (this.carry !== "free") return [...all];
    return all.map((each) => ({ urls: urls(each).filter((url) => url.startsWith("stun")) })).filter(({ urls }) => urls.length);
  }

  close(): void {
    this.now?.hangUp("it was closed here");
    this.now = this.session = null;
  }
}

/** STUN and TURN servers, of the Network or else the node; none where nobody tells any: then host candidates must do. */
async function servers(signalling: Signalling, node: Connection): Promise<RTCIceServer[]> {
  for (const connection of [new Connection(signalling.network, signalling.identity), node]) {
    let told: Fields;
    try {
      told = await connection.call("peers.turn", {}, { timeout: SERVERS });
    } catch (error) {
      if (!(error instanceof GridError)) throw error;
      continue;
    }
    const found = told.list("servers").map((each) => {
      if (!(each instanceof Map)) throw new InvalidEnvelope("a server that is none");
      const fields = new Fields(each, "a server"), username = fields.text("username", ""), credential = fields.text("credential", "");
      return { urls: [...fields.texts("urls")], ...(username ? { username, credential } : {}) };
    });
    if (found.length) return found;
  }
  return [];
}

/** One connection with its two channels, open. */
class Session {
  over = false;
  relayed = false;
  readonly lines: readonly [SegmentedFrames, SegmentedFrames];
  private readonly pipes: readonly [ChannelPipe, ChannelPipe];
  private closing = false;
  private watch: ReturnType<typeof setInterval> | undefined;

  private constructor(private readonly peer: string, private readonly connection: RTCPeerConnection) {
    const pipe = (id: number) => new ChannelPipe(
      connection.createDataChannel("grid", { negotiated: true, id, ordered: true }), peer, (reason) => this.hangUp(reason));
    this.pipes = [pipe(CONTROL), pipe(BULK)];
    this.lines = [new SegmentedFrames(this.pipes[0], peer), new SegmentedFrames(this.pipes[1], peer)];
    connection.ondatachannel = () => this.hangUp("the other end opened a channel of its own");
    connection.onconnectionstatechange = () => {
      const now = connection.connectionState;
      if (now === "failed") this.fail(this.whyFailed());
      else if (now === "closed") this.fail("the connection closed");
    };
  }

  /** Which step failed: ICE finds a way, DTLS tells who is at its end. */
  private whyFailed(): string {
    if (this.connection.sctp?.transport.state === "failed") {
      return "a way was found, and DTLS failed on it: who is at the other end has another key than its description says, or none";
    }
    return this.pipes.some((pipe) => pipe.isOpen) ? "the connection was lost" : "no way was found between the two";
  }

  static async open(peer: string, node: Connection, iceServers: RTCIceServer[], turnOnly: boolean): Promise<Session> {
    const connection = new RTCPeerConnection({ iceServers, iceTransportPolicy: turnOnly ? "relay" : "all" });
    const made = new Session(peer, connection), session = hex(random(16));
    try {
      const late: string[] = [];
      let offered = false, wake = () => undefined as void;
      connection.onicecandidate = ({ candidate }) => {
        if (candidate?.candidate && offered) late.push(candidate.candidate);
        if (offered || !candidate) wake();
      };
      await connection.setLocalDescription(await connection.createOffer());
      await Promise.race([new Promise<void>((resolve) => (wake = resolve)), seconds(GATHERING)]);
      const { sdp } = connection.localDescription!;
      offered = true;
      const reply = await node.call("peers.offer", { session, sdp, wait: ANSWERING }, { timeout: ANSWERING });
      if (reply.text("session") !== session) throw new InvalidEnvelope("an answer to another offer");
      await connection.setRemoteDescription({ type: "answer", sdp: reply.text("sdp") });
      const opened = Promise.all(made.pipes.map((pipe) => pipe.opened));
      opened.catch(() => undefined);
      let open = false;
      opened.then(() => (open = true), () => undefined);
      const trickling = made.trickle(node, session, late, () => open || made.over, (call) => (wake = call));
      trickling.catch(() => undefined); // without its late candidates a session may open all the same
      await Promise.race([opened, seconds(OPENING).then(() => {
        if (!open) throw new Unavailable(`no WebRTC session with ${peer} in ${OPENING} seconds`);
      })]);
      made.relayed = await made.overTurn();
      made.watch = setInterval(() => made.look(), 2000);
      return made;
    } catch (error) {
      made.hangUp("it was never open");
      throw error;
    }
  }

  /** Candidates that were found after the offer, to the node; and the node's, where it tells some later. */
  private async trickle(
    node: Connection, session: string, late: string[], ended: () => boolean, onMore: (wake: () => void) => void,
  ): Promise<void> {
    for (let theirs = false, mine = false; !ended() && !(theirs && mine); ) {
      const candidates = late.splice(0, 24), complete = this.connection.iceGatheringState === "complete" && !late.length;
      const reply = await node.call("peers.candidate", { session, candidates, done: complete }, { timeout: ANSWERING });
      mine = complete;
      theirs = reply.truth("done");
      for (const candidate of reply.texts("candidates")) await this.connection.addIceCandidate({ candidate, sdpMLineIndex: 0 });
      if (!(theirs && mine)) await Promise.race([new Promise<void>((resolve) => onMore(resolve)), seconds(0.5)]);
    }
  }

  /** Whether the pair that is used goes through a TURN server, at this end or the other. */
  private async overTurn(): Promise<boolean> {
    const stats = [...((await this.connection.getStats()) as unknown as Map<string, Record<string, unknown>>).values()];
    const pair = stats.find((each) => each["type"] === "candidate-pair" && each["nominated"] && each["state"] === "succeeded");
    const ends = [pair?.["localCandidateId"], pair?.["remoteCandidateId"]];
    return stats.some((each) => ends.includes(each["id"]) && each["candidateType"] === "relay");
  }

  /** Now and then: what waits to leave, must. */
  private look(): void {
    const now = performance.now();
    if (this.pipes.some((pipe) => pipe.stalledSince(now) > STALLED * 1000)) this.hangUp("nothing is taken of what is sent");
  }

  private fail(reason: string): void {
    this.over = true;
    clearInterval(this.watch);
    for (const pipe of this.pipes) pipe.end(new Unavailable(`${this.peer}: ${reason}`));
  }

  /** Lets go what waits to leave, and closes. */
  hangUp(reason: string): void {
    if (this.closing) return;
    this.closing = true;
    const deadline = performance.now() + LINGER * 1000;
    const finish = () => {
      if (!this.over && this.pipes.some((pipe) => pipe.waiting) && performance.now() < deadline) {
        setTimeout(finish, 10);
        return;
      }
      this.fail(`the session is over: ${reason}`);
      this.connection.close();
    };
    finish();
  }
}

/** One data channel as a pipe of messages. */
class ChannelPipe implements Pipe {
  readonly maxMessage = MAX_MESSAGE;
  readonly window = WINDOW;
  listener: Listener | null = null;
  readonly opened: Promise<void>;
  private why: GridError | null = null;
  private fail: (why: GridError) => void = () => undefined;
  private readonly sleeping = new Set<() => void>();
  private seen = { amount: 0, since: 0 };

  constructor(private readonly channel: RTCDataChannel, peer: string, private readonly hangUp: (reason: string) => void) {
    channel.binaryType = "arraybuffer";
    channel.bufferedAmountLowThreshold = BUFFERED_LOW;
    this.opened = new Promise((resolve, reject) => {
      channel.onopen = () => resolve();
      this.fail = reject;
    });
    this.opened.catch(() => undefined);
    channel.onmessage = ({ data }) => {
      if (data instanceof ArrayBuffer) this.listener?.message(new Uint8Array(data));
      else this.hangUp("text came where bytes are said");
    };
    channel.onbufferedamountlow = () => this.wake();
    channel.onclose = () => {
      this.end(new Unavailable(`${peer} closed a channel`));
      this.hangUp("a channel was closed");
    };
  }

  get isOpen(): boolean {
    return this.channel.readyState === "open";
  }

  get waiting(): boolean {
    return this.channel.readyState === "open" && this.channel.bufferedAmount > 0;
  }

  /** Milliseconds for which nothing has left of what waits; 0 where nothing waits. */
  stalledSince(now: number): number {
    const amount = this.channel.bufferedAmount;
    if (!amount || amount !== this.seen.amount) this.seen = { amount, since: now };
    return amount ? now - this.seen.since : 0;
  }

  async send(message: Bytes): Promise<void> {
    while (!this.why && this.channel.bufferedAmount > BUFFERED) await new Promise<void>((resolve) => this.sleeping.add(resolve));
    if (this.why) throw this.why;
    try {
      this.channel.send(message);
    } catch (error) {
      throw new Unavailable(`the channel takes nothing: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  private wake(): void {
    for (const resolve of this.sleeping) resolve();
    this.sleeping.clear();
  }

  end(why: GridError): void {
    if (this.why) return;
    this.why = why;
    this.fail(why);
    this.wake();
    this.listener?.ended(why);
  }

  close(_code?: number, reason = "it was closed here"): void {
    this.hangUp(reason || "it was closed here");
  }
}

function seconds(count: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, count * 1000));
}
