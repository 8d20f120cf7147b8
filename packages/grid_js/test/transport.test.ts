/** Addresses, the race of ways, and exchanges in segments against an end that answers, or breaks the rules. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { BadRequest, GridError, InvalidEnvelope, TooLarge, Unavailable } from "../src/errors.js";
import type { Transport } from "../src/transport/base.js";
import { parseAddress } from "../src/transport/open.js";
import type { Listener, Pipe } from "../src/transport/pipe.js";
import { StreamConnection } from "../src/transport/streams.js";
import { race } from "../src/transport/ways.js";
import { concat, type Bytes } from "../src/wire/bytes.js";

const KEY = "ab".repeat(32);

test("addresses are read, or refused", () => {
  assert.deepEqual(parseAddress("https://Domain.example/"), { scheme: "https", origin: "https://domain.example", key: "" });
  assert.deepEqual(parseAddress("ws://h:1"), { scheme: "ws", origin: "http://h:1", key: "" });
  for (const way of ["relay", "webrtc", "grid"]) {
    assert.deepEqual(parseAddress(`${way}+https://n:8443/${KEY}`), { scheme: way, origin: "https://n:8443", key: KEY });
    for (const wrong of [`${way}+https://n:8443`, `${way}+wss://n/${KEY}`, `${way}+https://n/${KEY}0`]) assert.throws(() => parseAddress(wrong), BadRequest);
  }
  for (const wrong of ["", "h:1", "ftp://h", `https://h/${KEY}`, "https://u@h", "other+https://h/" + KEY, "https://h:99999"]) {
    assert.throws(() => parseAddress(wrong), BadRequest, wrong);
  }
});

// -- the race -------------------------------------------------------------------------------------------------------------

class Way {
  closed = 0;
  started = false;
  settle!: { lead: () => void; fail: (why: string) => void };
  readonly transport: Transport;
  readonly open: () => Promise<Transport>;

  constructor(readonly name: string, readonly lastResort = false) {
    this.transport = { address: name, ahead: 0, isUnintroduced: () => false, exchange: () => Promise.reject(), close: () => void this.closed++ };
    const settled = new Promise<Transport>((resolve, reject) => {
      this.settle = { lead: () => resolve(this.transport), fail: (why) => reject(new Unavailable(why)) };
    });
    this.open = () => ((this.started = true), settled);
  }
}

test("a way that fails starts the next at once, and the first that leads there is taken", async () => {
  const [direct, webrtc, relay] = [new Way("direct"), new Way("webrtc"), new Way("relay", true)];
  direct.settle.fail("no address");
  webrtc.settle.lead();
  const taken = await race([direct, webrtc, relay], 3600, 3600, 3600);
  assert.equal(taken.name, "webrtc");
  assert.deepEqual(taken.failed, { direct: "no address", relay: "not needed: webrtc leads there" });
  assert.equal(relay.started, false);
  assert.equal(webrtc.closed, 0);
});

test("the last resort waits for what still connects, and is closed when that leads there", async () => {
  const [webrtc, relay] = [new Way("webrtc"), new Way("relay", true)];
  relay.settle.lead();
  const racing = race([webrtc, relay], 0, 3600, 3600);
  while (!relay.started) await new Promise((resolve) => setImmediate(resolve));
  webrtc.settle.lead();
  assert.equal((await racing).name, "webrtc");
  assert.equal(relay.closed, 1);
});

test("the last resort is taken where all else fails, and what comes later is closed", async () => {
  const [direct, webrtc, relay] = [new Way("direct"), new Way("webrtc"), new Way("relay", true)];
  relay.settle.lead();
  direct.settle.fail("no");
  const taken = await race([direct, webrtc, relay], 0, 0, 3600);
  assert.equal(taken.name, "relay");
  assert.deepEqual(taken.failed, { direct: "no", webrtc: "did not come about in time" });
  webrtc.settle.lead();
  while (!webrtc.closed) await new Promise((resolve) => setImmediate(resolve));
});

test("where no way leads there, each says why", async () => {
  const [direct, relay] = [new Way("direct"), new Way("relay", true)];
  direct.settle.fail("refused");
  relay.settle.fail("not known");
  await assert.rejects(race([direct, relay], 0, 0, 3600), /direct: refused; relay: not known/);
});

// -- exchanges in segments -------------------------------------------------------------------------------------------------

class Other implements Pipe {
  readonly maxMessage = 64;
  readonly window = 64;
  listener: Listener | null = null;
  closed: string | null = null;
  readonly said: Bytes[] = [];

  constructor(private readonly answer: (message: Bytes, other: Other) => void) {}

  async send(message: Bytes): Promise<void> {
    this.said.push(message);
    queueMicrotask(() => this.answer(message, this));
  }

  say(kind: number, stream: number, ...body: (number | Uint8Array)[]): void {
    const head = Uint8Array.of(kind, 0, 0, 0, stream);
    this.listener?.message(concat(head, ...body.map((each) => (typeof each === "number" ? Uint8Array.of(each) : each))));
  }

  close(_code?: number, reason = ""): void {
    this.closed ??= reason;
  }
}

const size = (count: number) => Uint8Array.of(0, 0, 0, 0, 0, 0, 0, count);
const question = Uint8Array.from({ length: 150 }, (_, at) => at);

test("a question goes as far as there is credit, and its answer comes back whole", async () => {
  let got = 0;
  const other = new Other((message, { say }) => {
    const body = message.length - (message[0] === 1 ? 13 : 5);
    if (message[0] === 3) return;
    got += body;
    if (got < 150) say.call(other, 3, 1, Uint8Array.of(0, 0, 0, body)); // credit for what was read
    else {
      say.call(other, 1, 1, size(100), question.subarray(0, 40));
      say.call(other, 2, 1, question.subarray(40, 64));
      say.call(other, 2, 1, question.subarray(64, 100));
    }
  });
  const connection = new StreamConnection(other, "the node");
  assert.deepEqual(await connection.ask([question], 60, 1000), question.slice(0, 100));
  assert.ok(other.said.some((message) => message[0] === 3), "credit was given for what was read");
  assert.equal(connection.ended, false);
});

test("what breaks the rules ends the connection, and what is too large ends the exchange", async () => {
  const cases: readonly [string, (other: Other) => void, new (...values: never[]) => GridError][] = [
    ["more than was announced", (other) => { other.say(1, 1, size(3), 1, 2, 3); other.say(1, 1, size(3)); }, InvalidEnvelope],
    ["a stream that nobody opened", (other) => other.say(1, 9, size(1), 1), InvalidEnvelope],
    ["credit for nothing", (other) => other.say(3, 1, 0, 0, 0, 0), InvalidEnvelope],
    ["an answer that is larger than is taken", (other) => other.say(1, 1, Uint8Array.of(0, 0, 1, 0, 0, 0, 0, 0)), TooLarge],
    ["a reset", (other) => other.say(4, 1, 3, 245), Unavailable],
    ["the end", (other) => other.say(5, 0, 3, 233), Unavailable],
  ];
  for (const [what, act, error] of cases) {
    let acted = false;
    const other = new Other((_, each) => {
      if (!acted) act(each);
      acted = true;
    });
    const asked = new StreamConnection(other, "the node").ask([question.subarray(0, 10)], 60, 1000);
    // What is whole by then was answered, whatever comes behind it.
    if (what === "more than was announced") assert.equal((await asked).length, 3);
    else await assert.rejects(asked, error, what);
  }
});
