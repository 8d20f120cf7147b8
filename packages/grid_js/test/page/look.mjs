/** Builds what shows every state: `node test/page/look.mjs FOLDER`. */
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url)), out = process.argv[2];
const served = join(here, "../../../grid/web/pages/static");
mkdirSync(join(out, "static"), { recursive: true });
for (const name of ["join.css", "grid.svg"]) cpSync(join(served, name), join(out, "static", name));
await build({ entryPoints: { states: join(here, "states.ts") }, outdir: join(out, "static"), bundle: true, format: "esm", target: "es2022", charset: "utf8" });
writeFileSync(join(out, "index.html"), `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark"><link rel="stylesheet" href="/static/join.css"><script type="module" src="/static/states.js"></script><body><div id="page"></div></body></html>`);
