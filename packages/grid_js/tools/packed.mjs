/** `node tools/packed.mjs FOLDER`: is each script and module there beside its Brotli, and that of nothing else? */
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { brotliDecompressSync } from "node:zlib";

const folder = process.argv[2], names = readdirSync(folder);
const packed = (name) => join(folder, `${name}.br`);
const wrong = [
  ...names.filter((name) => /\.(js|wasm)$/.test(name) && !holds(name)),
  ...names.filter((name) => name.endsWith(".br") && !names.includes(name.slice(0, -3))),
];
for (const name of wrong) console.log(`${name}: not what is packed beside it`);
process.exitCode = wrong.length ? 1 : 0;

function holds(name) {
  if (!existsSync(packed(name))) return false;
  try {
    return brotliDecompressSync(readFileSync(packed(name))).equals(readFileSync(join(folder, name)));
  } catch {
    return false; // no Brotli
  }
}
