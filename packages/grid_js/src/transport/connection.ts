/** A caller's connection to a node: signs what goes out, checks what comes back, over any transport. */
import {
  BadSignature, DeadlineExceeded, ExpiredMessage, GridError, InternalError, InvalidEnvelope, Unavailable, fromProblem,
} from "../errors.js";
import { concat, equal, fromHex, hex, NOTHING } from "../wire/bytes.js";
import { ANY_NODE, digest, nodeIdOf, sealRequest, verifyEnvelope, type Part, type Signer } from "../wire/envelope.js";
import { Fields, plain } from "../wire/fields.js";
import type { Packable } from "../wire/msgpack.js";
import { Backoff } from "./backoff.js";
import type { Frame, Transport } from "./base.js";

export const TIMEOUT = 60;
/** Bytes of a frame that every node takes from whoever sends them. */
const SMALL = 32 << 10;
/** Bytes of an answer that brings no content. */
const NO_CONTENT = 0;

export interface Call {
  /** Bytes that go beside the message. */
  readonly payload?: Uint8Array;
  /** Seconds that the node may take at a time. */
  readonly timeout?: number;
  readonly token?: string;
}

export class Connection {
  /**
   * @param nodeKey the node's verify key; "" to believe the one that is met first, and hold the node to it.
   */
  constructor(readonly transport: Transport, readonly identity: Signer, public nodeKey = "") {}

  /** Who the node says it is; from then on it is held to that key. */
  async metadata(): Promise<Fields> {
    const { envelope } = await this.exchange("node.metadata", {}, {}, NO_CONTENT);
    const reply = Fields.read(envelope.body, "the node's metadata");
    const key = reply.text("verify_key");
    if (key !== envelope.sender) throw new BadSignature("the node signs with another key than it names");
    this.nodeKey ||= key;
    return reply;
  }

  /** Sends a message and the bytes beside it; the reply, or the node's error. */
  async call(operation: string, body: Packable, how: Call = {}): Promise<Fields> {
    if (!this.nodeKey) await this.metadata();
    const { envelope } = await this.exchange(operation, body, how, NO_CONTENT);
    return Fields.read(envelope.body, `the answer to ${operation}`);
  }

  /** For operations that answer with bytes, of which at most `most` are taken. A line that drops is gone on with. */
  async download(operation: string, body: Packable, most: number, how: Call = {}): Promise<{ reply: Fields; data: Uint8Array }> {
    if (!this.nodeKey) await this.metadata();
    let frame: Frame;
    try {
      frame = await this.exchange(operation, body, how, most);
    } catch (error) {
      if (!(error instanceof Unavailable || error instanceof DeadlineExceeded)) throw error;
      frame = await this.inParts(operation, body, how, most);
    }
    return { reply: Fields.read(frame.envelope.body, `the answer to ${operation}`), data: frame.payload };
  }

  /** The answer where whole frames do not get through: its payload is asked for part by part. */
  private async inParts(operation: string, body: Packable, how: Call, most: number): Promise<Frame> {
    const sizes = new PartSizes(), parts: Uint8Array[] = [];
    let done = 0, total = Infinity, whole = "", last: Frame | undefined;
    while (!last || done < total) {
      const stop = Math.min(done + sizes.size, total);
      let frame: Frame;
      try {
        frame = await this.exchange(operation, body, how, sizes.size, { start: done, stop, total: 0, whole });
      } catch (error) {
        if (error instanceof InternalError) throw new Unavailable(`the download broke off, and cannot go on: ${error.detail}`);
        if (!(error instanceof Unavailable || error instanceof DeadlineExceeded)) throw error;
        await sizes.failed(error);
        continue;
      }
      const part = frame.envelope.part;
      if (!part || part.start !== done || part.stop !== done + frame.payload.length || (whole && part.whole !== whole)) {
        throw new InvalidEnvelope("the answer is not the part that was asked for");
      }
      if (part.total > most) throw new InvalidEnvelope(`the answer has ${part.total} bytes, where at most ${most} are taken`);
      if (!frame.payload.length && done < part.total) throw new InvalidEnvelope("an empty part of what has not ended");
      sizes.succeeded();
      ({ total, whole } = part);
      parts.push(frame.payload);
      done += frame.payload.length;
      last = frame;
    }
    const payload = concat(...parts);
    if (done !== total || hex(digest(payload)) !== whole) throw new InvalidEnvelope("the parts do not make the whole");
    return { envelope: last.envelope, payload };
  }

  private async exchange(operation: string, body: Packable, how: Call, most: number, part?: Part): Promise<Frame> {
    try {
      return await this.once(operation, body, how, most, part);
    } catch (error) {
      const told = error instanceof ExpiredMessage ? error.extra["time"] : undefined;
      if (typeof told !== "number" || !Number.isFinite(told)) throw error;
      // Our clock differs from the node's, or one of them was set: what it says of its own it has signed.
      this.transport.ahead = told - Date.now() / 1000;
      return this.once(operation, body, how, most, part);
    }
  }

  private async once(operation: string, body: Packable, how: Call, most: number, part?: Part): Promise<Frame> {
    const payload = how.payload ?? NOTHING, timeout = how.timeout ?? TIMEOUT;
    if (payload.length > SMALL / 2 && this.transport.isUnintroduced()) await this.send("node.metadata", {}, NOTHING, timeout, 0, "");
    return this.send(operation, body, payload, timeout, most, how.token ?? "", part);
  }

  private async send(
    operation: string, body: Packable, payload: Uint8Array, timeout: number, most: number, token: string, part?: Part,
  ): Promise<Frame> {
    const recipient = this.nodeKey ? nodeIdOf(fromHex(this.nodeKey)) : ANY_NODE;
    const now = Date.now() / 1000 + this.transport.ahead;
    const request = await sealRequest(this.identity, { operation, body, recipient, now, token, payload, ...(part ? { part } : {}) });
    const frame = await this.transport.exchange(request, payload, { timeout, most });
    const { envelope } = frame;
    await verifyEnvelope(envelope);
    if (this.nodeKey && envelope.sender !== this.nodeKey) throw new BadSignature("the answer was signed by another node");
    const unreadable = envelope.operation === "error" && !envelope.inReplyTo.length;
    if (!unreadable && !equal(envelope.inReplyTo, request.nonce)) throw new InvalidEnvelope("the answer belongs to another request");
    if (envelope.operation === "error") throw problem(envelope.body);
    if (envelope.operation !== operation) throw new InvalidEnvelope("the answer is to another operation");
    if (frame.payload.length && !equal(digest(frame.payload), envelope.payloadDigest)) {
      throw new InvalidEnvelope("the bytes are not those that the answer was signed with");
    }
    return frame;
  }

  close(): void {
    this.transport.close();
  }
}

function problem(body: Uint8Array): GridError {
  const fields = Fields.read(body, "the node's error");
  const extra = plain(new Map(fields.mapping("extra", new Map()))) as Record<string, unknown>;
  return fromProblem(fields.text("code", ""), fields.whole("status", 0), fields.text("detail", ""), extra);
}

/** How many bytes to try next: half of what did not get through, twice of what did a few times. */
export class PartSizes {
  size = 2 << 20;
  private well = 0;
  private readonly backoff = new Backoff();

  succeeded(): void {
    this.backoff.reset();
    if (++this.well >= 4) {
      this.size = Math.min(2 * this.size, 8 << 20);
      this.well = 0;
    }
  }

  /** Waits a moment, or throws `error` when it was tried often enough. */
  async failed(error: GridError): Promise<void> {
    if (this.backoff.failures + 1 >= 12) throw error;
    this.size = Math.max(this.size >> 1, 64 << 10);
    this.well = 0;
    await this.backoff.wait();
  }
}
