/** Reads tables as the page does: cases as JSON on standard input, what became of them on standard output. */
import { readFileSync } from "node:fs";
import type { TrainingInputs } from "../../src/federated/inputs/declared.js";
import { read } from "../../src/page/data/reading.js";

const cases = JSON.parse(readFileSync(0, "utf8")) as { inputs: TrainingInputs; name: string; text: string }[];
const answers = [];
for (const { inputs, name, text } of cases) {
  const { matched, rows } = await read(inputs, { kind: "csv", file: new File([text], name) });
  answers.push(rows ? {
    x: [...new Uint8Array(rows.x.data)], y: [...new Uint8Array(rows.y.data)], rows: rows.rows,
  } : { problems: matched.problems.map(({ code, column, row }) => ({ code, column, row })) });
}
process.stdout.write(JSON.stringify(answers));
