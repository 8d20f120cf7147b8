import assert from "node:assert/strict";
import { test } from "node:test";
import { deflateSync } from "node:zlib";
import type { TableInputs } from "../src/federated/inputs/declared.js";
import { thinned } from "../src/page/chart.js";
import { Cells } from "../src/page/data/csv.js";
import { Unreadable } from "../src/page/data/unreadable.js";
import { NotExact, readPng } from "../src/page/data/png.js";
import { read } from "../src/page/data/reading.js";
import { Texts, preferred } from "../src/page/texts/index.js";
import { en } from "../src/page/texts/en.js";
import { pt } from "../src/page/texts/pt.js";

// -- texts

const names = (text: string) => [...text.matchAll(/\{(\w+)\}/g)].map((each) => each[1]).sort();

test("every language says everything, about the same values", () => {
  assert.deepEqual(Object.keys(pt).sort(), Object.keys(en).sort());
  for (const [key, text] of Object.entries(en)) {
    const other = pt[key as keyof typeof en];
    assert.deepEqual(names(other), names(text), key);
    assert.ok(other.trim().length > 0 && text.trim().length > 0, key);
    if (text.length > 25) assert.notEqual(other, text, `${key} is not translated`);
  }
});

test("the first language that the page has is taken", () => {
  assert.equal(preferred(["pt-BR", "en"]), "pt");
  assert.equal(preferred(["de", "fr-CA"]), "en");
  assert.equal(preferred([]), "en");
});

test("values stand where they belong, and text of others is only text", () => {
  const texts = new Texts("en", en);
  assert.equal(texts.say("p_not_a_number", { value: "{more} $& <b>" }), "“{more} $& <b>” is not a number");
  assert.equal(texts.count("match_good_one", "match_good", 1), "One row matches what the training takes");
  assert.equal(texts.count("match_good_one", "match_good", 2500), "2,500 rows match what the training takes");
  assert.equal(new Texts("pt", pt).bytes(1_240_000), "1,24 MB");
});

test("a curve has few points, and none that is not a number", () => {
  const points = thinned([1, NaN, 3, Infinity, 5, 6, 7], 3);
  assert.ok(points.length <= 3);
  assert.ok(points.every(({ loss }) => Number.isFinite(loss)));
  assert.deepEqual(thinned([], 3), []);
});

// -- CSV

function parsed(text: string, sizes: readonly number[], delimiter = ","): string[][] {
  const rows: string[][] = [], cells = new Cells(delimiter, (row) => rows.push([...row.cells]));
  let at = 0;
  for (let turn = 0; at < text.length; turn++) {
    const size = sizes[turn % sizes.length]!;
    cells.feed(text.slice(at, at + size));
    at += size;
  }
  cells.close();
  return rows;
}

test("cells are the same, wherever the text is cut", () => {
  const text = 'a,"b ""q"" ,\n x",c\r\n\r\n1,,""\r2,"",z\n"last"';
  const whole = parsed(text, [text.length]);
  assert.deepEqual(whole, [["a", 'b "q" ,\n x', "c"], ["1", "", ""], ["2", "", "z"], ["last"]]);
  for (let size = 1; size < 9; size++) assert.deepEqual(parsed(text, [size, 1, 3]), whole, String(size));
});

test("what is written as CSV is read again", () => {
  let state = 7;
  const draw = (most: number) => (state = (state * 48271) % 2147483647) % most;
  const signs = ["a", "é", '"', ",", "\n", "\r", " ", "0", ";", ""];
  for (let round = 0; round < 300; round++) {
    const rows = Array.from({ length: 1 + draw(5) }, () => Array.from({ length: 2 + draw(3) }, () => Array.from({ length: draw(4) }, () => signs[draw(signs.length)]).join("")));
    const text = rows.map((row) => row.map((cell) => (/[",\n\r]/.test(cell) || !cell ? `"${cell.replaceAll('"', '""')}"` : cell)).join(",")).join(draw(2) ? "\r\n" : "\n");
    assert.deepEqual(parsed(text, [1 + draw(7)]), rows, JSON.stringify(text));
  }
});

test("quotes that are not closed, or close too early, are refused", () => {
  for (const text of ['a,"b', 'a,"b"c\n']) assert.throws(() => parsed(text, [3]), Unreadable, text);
  assert.deepEqual(parsed('a,b"c"\n', [9]), [["a", 'b"c"']]); // as Python's reader
});

// -- tables

const INPUTS: TableInputs = {
  form: "table",
  columns: [
    { kind: "number", name: "age", description: "", unit: "", whole: true, low: 0, high: 120, outside: "refuse", missing: "drop", centre: 0, scale: 1, scaling: "declared" },
    { kind: "category", name: "ward", description: "", categories: ["north", "south"], oneHot: true, missing: "refuse" },
  ],
  label: { kind: "category", name: "sick", description: "", categories: ["no", "yes"], oneHot: false, missing: "refuse" },
};
const csv = (text: string | Uint8Array<ArrayBuffer>, name = "a.csv") => ({ kind: "csv", file: new File([text], name) }) as const;

test("columns are found by name, and rows become what the model takes", async () => {
  const { matched, rows } = await read(INPUTS, csv("\ufeffsick;other;ward;age\nyes;x;south;41\nno;;north;\nno;y;north;7\n"));
  assert.deepEqual(matched.problems, []);
  assert.equal(matched.rows, 2);
  assert.deepEqual(matched.dropped, [{ column: "age", outside: 0, missing: 1 }]);
  assert.deepEqual([...new Float32Array(rows!.x.data)], [41, 0, 1, 7, 1, 0]);
  assert.deepEqual([...new BigInt64Array(rows!.y.data)], [1n, 0n]);
  assert.deepEqual(matched.classes, [{ name: "no", rows: 1 }, { name: "yes", rows: 1 }]);
});

test("each problem says its column, row and line", async () => {
  const found = async (text: string | Uint8Array<ArrayBuffer>) =>
    (await read(INPUTS, csv(text))).matched.problems.map(({ code, column, row, line, value }) => [code, column, row, line, value]);
  assert.deepEqual(await found('age,ward,sick\n41,"nor\nth",no\n1,5,no\n'), [["not-declared", "ward", 1, 3, "nor\nth"]]);
  assert.deepEqual(await found("age,ward,sick\n1,north,no\n130,north,no\n4.5,north,maybe\n3o,north,no\n"), [
    ["above", "age", 2, 3, "130"], ["not-whole", "age", 3, 4, "4.5"], ["not-a-number", "age", 4, 5, "3o"], ["not-declared", "sick", 3, 4, "maybe"],
  ]);
  assert.deepEqual(await found("age,ward,sick\n\"4,5\",north,no\n"), [["other-decimal", "age", 1, 2, "4,5"]]);
  assert.deepEqual(await found("Age,ward,sick\n1,north,no\n"), [["nearly", "age", null, null, "Age"]]);
  assert.deepEqual(await found("age,ward,sick,age\n1,north,no,2\n"), [["twice", "age", null, null, ""]]);
  assert.deepEqual(await found("age,ward,sick\n1,north\n"), [["width", "", 1, 2, "2"]]);
  assert.deepEqual(await found("age,ward,sick\n"), [["empty", "", null, null, ""]]);
  assert.deepEqual(await found(""), [["empty", "", null, null, ""]]);
  assert.equal((await found(new Uint8Array([97, 44, 0xe9, 10])))[0]![0], "encoding");
});

// -- pictures

function chunk(kind: string, data: Uint8Array): Buffer {
  const body = Buffer.concat([Buffer.from(kind, "latin1"), data]), out = Buffer.alloc(body.length + 8);
  out.writeUInt32BE(data.length, 0);
  body.copy(out, 4);
  let crc = 0xffffffff;
  for (const byte of body) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? 0xedb88320 ^ (crc >>> 1) : crc >>> 1;
  }
  out.writeUInt32BE((crc ^ 0xffffffff) >>> 0, body.length + 4);
  return out;
}

function png(width: number, height: number, depth: number, kind: number, raw: Uint8Array, more: Buffer[] = []): Uint8Array<ArrayBuffer> {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([depth, kind, 0, 0, 0], 8);
  return new Uint8Array(Buffer.concat([
    Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]), chunk("IHDR", header), ...more, chunk("IDAT", deflateSync(raw)), chunk("IEND", new Uint8Array()),
  ]));
}

test("pixels are those of the file, and what is not exact is refused", async () => {
  const grey = await readPng(png(2, 2, 8, 0, new Uint8Array([0, 1, 2, 2, 10, 20])));
  assert.deepEqual([grey.channels, ...grey.pixels], [1, 1, 2, 11, 22]); // the second line is filtered by the one above
  const colour = await readPng(png(1, 1, 8, 2, new Uint8Array([0, 9, 8, 7])));
  assert.deepEqual([colour.channels, ...colour.pixels], [3, 9, 8, 7]);
  const refused: [Uint8Array<ArrayBuffer>, string][] = [
    [png(1, 1, 16, 0, new Uint8Array([0, 1, 2])), "picture-kind"],
    [png(1, 1, 8, 6, new Uint8Array([0, 1, 2, 3, 4])), "picture-kind"],
    [png(1, 1, 8, 0, new Uint8Array([0, 1]), [chunk("tRNS", new Uint8Array([0, 1]))]), "picture-kind"],
    [png(1, 2, 8, 0, new Uint8Array([0, 1])), "damaged"],
    [png(1, 1, 8, 0, new Uint8Array([0, 1, 2])), "damaged"],
    [png(1, 1, 8, 0, new Uint8Array([9, 1])), "damaged"],
    [new Uint8Array([1, 2, 3]), "not-a-picture"],
  ];
  for (const [bytes, code] of refused) await assert.rejects(readPng(bytes), (error: NotExact) => error instanceof NotExact && error.code === code);
});

test("no flipped byte of a picture is taken for another picture", async () => {
  const whole = png(3, 2, 8, 0, new Uint8Array([0, 1, 2, 3, 1, 4, 5, 6])), told = [...(await readPng(whole)).pixels];
  for (let at = 0; at < whole.length; at++) {
    const other = whole.slice();
    other[at]! ^= 0x10;
    const found = await readPng(other).catch((error: unknown) => error);
    if (found instanceof Error) assert.ok(found instanceof NotExact, String(found));
    else assert.deepEqual([...(found as { pixels: Uint8Array }).pixels], told); // behind the end nothing is read
  }
});
