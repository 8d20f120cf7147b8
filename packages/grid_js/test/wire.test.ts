/** The bytes that Python recorded (tests/wire): read here, and written again as they were. */
import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { concat, fromHex, hex, text, utf8 } from "../src/wire/bytes.js";
import { decodeEnvelope, digest, frameHead, nodeIdOf, openFrame, sealRequest, verifyEnvelope, type Envelope } from "../src/wire/envelope.js";
import { Fields } from "../src/wire/fields.js";
import { hasEd25519, noble, sealingKey, verify } from "../src/wire/keys.js";
import { NotPacked, Real, pack, unpack, type Packed } from "../src/wire/msgpack.js";
import { Greeting, helloInfo, hpkeOpen, hpkeSeal } from "../src/wire/sealed.js";
import { Segments } from "../src/wire/segments.js";
import { readTensors, writeTensors } from "../src/wire/tensor_file.js";
import { BadSignature, InvalidEnvelope, InvalidTensors } from "../src/errors.js";

const WIRE = join("..", "..", "tests", "wire");
const FOLDERS = readdirSync(WIRE).filter((name) => existsSync(join(WIRE, name, "expected.json")));
const bytes = (...path: string[]) => new Uint8Array(readFileSync(join(WIRE, ...path)));
const json = (...path: string[]) => JSON.parse(text(bytes(...path)));

test("there are recorded bytes", () => assert.ok(FOLDERS.length));

for (const folder of FOLDERS) {
  const expected = json(folder, "expected.json");

  for (const [name, sender] of [["request.bin", "user"], ["reply.bin", "node"], ["error.bin", "node"]] as const) {
    test(`${folder}/${name}: the envelope is what was written, verifies, and is written again as it was`, async () => {
      const raw = bytes(folder, name), { envelope, payload } = openFrame(raw);
      const told = expected[name];
      assert.equal(envelope.sender, expected.verify_keys[sender]);
      assert.deepEqual(
        [envelope.recipient, envelope.operation, hex(envelope.body), hex(envelope.nonce), envelope.issuedAt, hex(envelope.inReplyTo),
          envelope.token, envelope.payloadSize, hex(envelope.payloadDigest), hex(envelope.signature)],
        [told.recipient, told.operation, told.body, told.nonce, told.issued_at, told.in_reply_to, told.token, told.payload_size,
          told.payload_digest, told.signature],
      );
      await verifyEnvelope(envelope);
      if (payload.length) assert.equal(hex(digest(payload)), told.payload_digest);
      assert.deepEqual(concat(frameHead(envelope), payload), raw);
      await assert.rejects(verifyEnvelope({ ...envelope, recipient: "somebody else" }), BadSignature);
      await assert.rejects(verifyEnvelope({ ...envelope, issuedAt: envelope.issuedAt + 1 }), BadSignature);
    });
  }

  test(`${folder}/messages.bin: every message is read, and written again as it was`, () => {
    const all = unpack(bytes(folder, "messages.bin")) as Map<string, Packed>;
    assert.equal(all.size, Object.keys(expected["messages.bin"]).length);
    for (const [name, raw] of all) {
      assert.ok(raw instanceof Uint8Array);
      assert.deepEqual(pack(unpack(raw)), new Uint8Array(raw), name);
    }
    const metadata = Fields.read(all.get("node.metadata reply") as Uint8Array, "metadata");
    assert.equal(metadata.text("verify_key"), expected["messages.bin"]["node.metadata reply"].verify_key);
    assert.throws(() => metadata.text("time"), InvalidEnvelope);
  });

  test(`${folder}/segments.bin: what the asking end says is said the same, and what comes means the same`, () => {
    const said = unpack(bytes(folder, "segments.bin")) as [string, Uint8Array][];
    const { max_message: most, window } = expected["segments.bin"];
    const asks = new Segments(most, window), question = Uint8Array.from({ length: 100 }, (_, i) => i);
    const first = asks.open(100, question.subarray(0, 40)), second = asks.open(4, utf8("ping"));
    const mine = said.filter(([side]) => side === "asks").map(([, message]) => message);
    const theirs = said.filter(([side]) => side === "answers").map(([, message]) => message);
    assert.deepEqual([first.message, second.message], mine.slice(0, 2).map((each) => new Uint8Array(each)));
    assert.equal(asks.room(first.stream), 24);
    assert.deepEqual(asks.receive(theirs[0]!), { kind: "credit", stream: 1 });
    assert.deepEqual(asks.data(1, question.subarray(40, 90)), new Uint8Array(mine[2]!));
    assert.deepEqual(asks.receive(theirs[1]!), { kind: "reset", stream: 2, code: 1013, reason: "später" });
    assert.deepEqual(asks.data(1, question.subarray(90)), new Uint8Array(mine[3]!));
    const opened = asks.receive(theirs[2]!);
    assert.ok(opened?.kind === "opened" && opened.size === 6 && text(opened.data) === "answer");
    assert.deepEqual(asks.receive(theirs[3]!), { kind: "closed", code: 1001, reason: "the node stops" });
    assert.equal(asks.underWay, 0);
  });

  test(`${folder}/tensors.bin: the tensors are read, and written again as they were`, () => {
    const raw = bytes(folder, "tensors.bin"), found = readTensors(raw);
    assert.deepEqual(
      found.slice(0, 10).map(({ tensor }) => tensor.dtype),
      ["F32", "F64", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL"],
    );
    assert.deepEqual([...new Float32Array(found[0]!.tensor.data)], [1.5, -2, 0, 3.25]);
    assert.deepEqual([...new BigInt64Array(found[4]!.tensor.data)], [1n << 40n, -1n]);
    const body = (file: Uint8Array) => file.subarray(8 + Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true)));
    const again = writeTensors(found);
    assert.deepEqual(body(again), new Uint8Array(body(raw)));
    assert.deepEqual(readTensors(again).map((each) => [each.name, each.tensor.shape]), found.map((each) => [each.name, each.tensor.shape]));
    for (const cut of [0, 7, 20, raw.length - 1]) assert.throws(() => readTensors(raw.subarray(0, cut)), InvalidTensors);
  });

  test(`${folder}: bytes that end early, or go on, are refused`, () => {
    const raw = bytes(folder, "request.bin"), end = raw.length;
    for (let cut = 0; cut < end; cut++) assert.throws(() => openFrame(raw.subarray(0, cut)));
    assert.throws(() => openFrame(concat(raw, Uint8Array.of(0))), InvalidEnvelope);
    for (let at = 8; at < end; at++) {
      const other = raw.slice();
      other[at]! ^= 0xff;
      try {
        openFrame(other);
      } catch (error) {
        assert.ok(error instanceof InvalidEnvelope, `byte ${at}: ${error}`);
      }
    }
  });
}

test("each single bit of a signed envelope counts", async () => {
  const { signer } = await noble(), mine = signer(new Uint8Array(32).fill(7));
  const who = { verifyKey: hex(mine.publicKey), sign: async (data: Uint8Array) => mine.sign(data) };
  const made = await sealRequest(who, { operation: "node.metadata", body: {}, recipient: "*", now: 1_800_000_000 });
  const raw = frameHead(made).subarray(8);
  let read = 0;
  for (let at = 0; at < raw.length; at++) {
    const other = raw.slice();
    other[at]! ^= 1;
    let envelope: Envelope;
    try {
      envelope = decodeEnvelope(other);
    } catch {
      continue;
    }
    read++;
    await assert.rejects(verifyEnvelope(envelope), BadSignature, `byte ${at}`);
  }
  assert.ok(read > raw.length / 2);
  // A time on a whole second is a floating-point number all the same.
  assert.equal(decodeEnvelope(raw).issuedAt, 1_800_000_000);
  assert.ok((unpack(raw) as Packed[])[5] instanceof Real);
});

test("signatures: WebCrypto and @noble/curves agree", async () => {
  assert.ok(await hasEd25519());
  const { signer, verifies } = await noble(), { publicKey, sign } = signer(fromHex("00".repeat(31) + "01"));
  const data = utf8("what is signed"), signature = sign(data);
  await verify(hex(publicKey), data, signature);
  assert.ok(verifies(publicKey, data, signature));
  const broken = signature.slice();
  broken[3]! ^= 1;
  await assert.rejects(verify(hex(publicKey), data, broken), BadSignature);
  assert.ok(!verifies(publicKey, data, broken));
  await assert.rejects(verify("00".repeat(32), data, signature), BadSignature);
  await assert.rejects(verify("zz", data, signature), BadSignature);
  assert.equal(nodeIdOf(fromHex("00".repeat(32))).length, 32);
});

test("msgpack: integers and floating-point numbers stay apart, and there is one form of each", () => {
  for (const value of [0, 127, 128, 255, 256, 65535, 65536, 2 ** 32 - 1, 2 ** 32, 2 ** 53, -1, -32, -33, -128, -129, -32768, -32769, -(2 ** 31), -(2 ** 31) - 1, -(2 ** 53)]) {
    assert.equal(unpack(pack(value)), value);
    const floating = unpack(pack(new Real(value)));
    assert.ok(floating instanceof Real && floating.value === value);
  }
  for (const value of [(1n << 64n) - 1n, -(1n << 63n)]) assert.equal(unpack(pack(value)), value);
  for (const wide of ["cc05", "cd00ff", "d0ff", "d9026869", "dc0000", "dd00000000", "de0000", "c50001ff", "ca3f800000", "c1", "d4aabb"]) {
    assert.throws(() => unpack(fromHex(wide)), NotPacked, wide);
  }
  assert.throws(() => unpack(fromHex("82a16101a16102")), NotPacked, "a key twice");
  assert.throws(() => unpack(fromHex("810102")), NotPacked, "a key that is no text");
  assert.throws(() => unpack(fromHex("a1ff")), NotPacked, "no UTF-8");
  assert.throws(() => unpack(fromHex("91".repeat(100) + "00")), NotPacked, "too deep");
  assert.throws(() => unpack(fromHex("ddffffffff")), NotPacked, "longer than what is there");
  assert.throws(() => unpack(pack([[], [], []]), 3), NotPacked, "more lists than are taken");
  assert.equal(hex(pack({ b: 1, a: 2, "é": 3, "𝄞": 4, "\uffff": 5 }, true)), hex(pack(new Map([["a", 2], ["b", 1], ["é", 3], ["\uffff", 5], ["𝄞", 4]]))));
});

// -- sealed pipes ---------------------------------------------------------------------------------------------------

const recorded = json("sealed.json");
const own = async () => (await noble()).agreement(fromHex(recorded.own));

test("a sealed pipe as Python opened it once", async () => {
  const { openingKey, agreement } = await noble();
  const node = agreement(openingKey(fromHex(recorded.seed)));
  assert.equal(hex(node.publicKey), hex(sealingKey(fromHex(recorded.verify_key))));
  const hello = fromHex(recorded.hello);
  const opened = await hpkeOpen(hello, node, helloInfo(fromHex(recorded.verify_key)));
  assert.equal(hex(opened), recorded.asked + hex((await own()).publicKey));
  const channel = await Greeting.recorded(hello, await own(), fromHex(recorded.asked)).welcomed(fromHex(recorded.welcome));
  for (const [at, message] of recorded.messages.entries()) {
    assert.equal(hex(await channel.seal(fromHex(message))), recorded.asks[at]);
    assert.equal(hex(await channel.open(fromHex(recorded.answers[at]))), message);
  }
});

test("what is sealed here is opened there, and by nobody else", async () => {
  const { openingKey, agreement } = await noble(), node = agreement(openingKey(fromHex(recorded.seed)));
  const greeting = await Greeting.of(recorded.verify_key), info = helloInfo(fromHex(recorded.verify_key));
  assert.equal((await hpkeOpen(greeting.hello, node, info)).length, 64);
  await assert.rejects(hpkeOpen(greeting.hello, agreement(), info));
  await assert.rejects(hpkeOpen(greeting.hello, node, helloInfo(new Uint8Array(32))));
  await assert.rejects(hpkeSeal(new Uint8Array(1), new Uint8Array(32), info), "a key to which everybody has the secret");
  await assert.rejects(Greeting.of("00".repeat(32)), BadSignature);
  await assert.rejects(greeting.welcomed(fromHex(recorded.welcome)), BadSignature, "a welcome to somebody else");
});

test("a message that is changed, left out, repeated or put elsewhere does not open", async () => {
  const fresh = async () => Greeting.recorded(fromHex(recorded.hello), await own(), fromHex(recorded.asked)).welcomed(fromHex(recorded.welcome));
  const [first, second] = recorded.answers.map(fromHex);
  const changed = second.slice();
  changed[0] ^= 1;
  for (const order of [[changed], [second], [first, first], [first, changed]]) {
    const channel = await fresh();
    for (const message of order.slice(0, -1)) await channel.open(message);
    await assert.rejects(channel.open(order.at(-1)), BadSignature);
  }
});
