/**
 * Builds what browsers load: `node tools/build.mjs [--out FOLDER] [--package]`.
 *
 * The same sources give the same bytes, on every run and machine: what is used is fixed by package-lock.json, nothing
 * of the machine goes in, and names of parts come of their contents. `--package` makes what npm publishes instead:
 * modules and types, not minified, without the packages that npm installs beside them.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { brotliCompressSync, constants } from "node:zlib";
import { rollup } from "@rollup/wasm-node";
import { build, transform } from "esbuild";
import { minify } from "terser";

const HERE = dirname(dirname(fileURLToPath(import.meta.url)));
const SERVED = join(HERE, "..", "grid", "web", "pages", "static", "peer");

/** Scripts that pages and workers start with. */
const ENTRIES = {
  grid: "src/index.ts",
  engine: "src/served/engine.ts",
  join: "src/served/join.ts",
  data: "src/served/data.ts",
  ticker: "src/served/ticker.ts",
};
/** AssemblyScript → WebAssembly: name of the file → its source and what the compiler is told. */
const KERNELS = {
  "kernels.wasm": { source: "src/engine/kernels/index.as.ts", flags: [] },
  // In the first page of the others' memory, above what is theirs (`HEAP_BASE` is its end).
  "rest.wasm": { source: "src/engine/kernels/rest.as.ts", flags: ["--importMemory", "--memoryBase", "32768"] },
};

const { values: options } = parseArgs({
  options: { out: { type: "string" }, package: { type: "boolean", default: false } },
});
const out = resolve(options.out ?? SERVED);
process.chdir(HERE);
rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
if (options.package) await modules();
else await bundle();

/** Scripts, kernels, all of them compressed as well, and whose work is in them. */
async function bundle() {
  const made = await rollup({ input: ENTRIES, plugins: [typescript()] });
  const { output } = await made.generate({
    format: "es", generatedCode: "es2015", chunkFileNames: "part-[hash].js",
    // What every visit loads is one part: it compresses better than ten. What few need comes by `import()`.
    manualChunks: (id, { getModuleIds, getModuleInfo }) => {
      const module = getModuleInfo(id);
      return !module.isEntry && needed(getModuleIds, getModuleInfo).has(id) ? "core" : null;
    },
  });
  await made.close();
  const banner = "/* Grid, Apache-2.0. Parts of others: NOTICES.txt, beside this file. */\n";
  const used = new Set(["assemblyscript"]);
  for (const { fileName, code, modules } of output) {
    const { code: small } = await minify(code, { module: true, ecma: 2022, compress: { passes: 3 } });
    serve(fileName, Buffer.from(banner + small));
    for (const [id, { renderedLength }] of Object.entries(modules)) if (renderedLength) used.add(packageOf(relative(HERE, id)));
  }
  for (const [name, { source, flags }] of Object.entries(KERNELS)) {
    kernel(name, source, flags);
    serve(name, readFileSync(join(out, name)));
  }
  used.delete("");
  notices([...used].sort());
}

/** Writes a file, and beside it what browsers take that know Brotli: nothing on a Domain makes that by itself. */
function serve(name, bytes) {
  writeFileSync(join(out, name), bytes);
  const { BROTLI_PARAM_QUALITY, BROTLI_PARAM_LGWIN, BROTLI_PARAM_SIZE_HINT } = constants;
  const params = { [BROTLI_PARAM_QUALITY]: 11, [BROTLI_PARAM_LGWIN]: 20, [BROTLI_PARAM_SIZE_HINT]: bytes.length };
  writeFileSync(join(out, `${name}.br`), brotliCompressSync(bytes, { params }));
}

/** The modules that entries import, and those import, and so on; not what is imported only when it is needed. */
function needed(getModuleIds, getModuleInfo) {
  const found = new Set(), follow = (id) => {
    if (found.has(id)) return;
    found.add(id);
    getModuleInfo(id).importedIds.forEach(follow);
  };
  for (const id of getModuleIds()) if (getModuleInfo(id).isEntry) follow(id);
  return found;
}

/** Sources as rollup takes them: types away, and packages found where npm put them. */
function typescript() {
  return {
    name: "typescript",
    resolveId(id, from) {
      if (id.startsWith("@")) return join(HERE, "node_modules", id);
      return from && id.startsWith(".") ? join(dirname(from), existsSync(join(dirname(from), id)) ? id : id.replace(/\.js$/, ".ts")) : join(HERE, id);
    },
    async transform(code, id) {
      if (!id.endsWith(".ts")) return null;
      return (await transform(code, { loader: "ts", target: "es2022", charset: "utf8", tsconfigRaw: { compilerOptions: { verbatimModuleSyntax: true, useDefineForClassFields: false } } })).code;
    },
  };
}

async function modules() {
  await build({
    entryPoints: ENTRIES, outdir: out, absWorkingDir: HERE, bundle: true, format: "esm", target: "es2022", charset: "utf8",
    logLevel: "warning", packages: "external", splitting: true, chunkNames: "part-[hash]",
  });
  execFileSync(process.execPath, [
    "node_modules/typescript/bin/tsc", "--noEmit", "false", "--declaration", "--emitDeclarationOnly",
    "--rootDir", "src", "--outDir", out, "--project", "tools/types.json",
  ], { stdio: "inherit" });
  writeFileSync(join(out, "index.js"), 'export * from "./grid.js";\n');
}

function kernel(name, source, flags) {
  execFileSync(process.execPath, [
    "node_modules/assemblyscript/bin/asc.js", source, "-O3", "--runtime", "stub", "--noAssert", "--enable", "simd", ...flags,
    "-o", join(out, name),
  ], { stdio: "inherit" });
}

/** The package that a source belongs to; "" for ours. */
function packageOf(path) {
  const found = /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path);
  return found ? found[1] : "";
}

/** Writes NOTICES.txt, for people, and parts.json, for the bill of materials. */
function notices(names) {
  const lock = JSON.parse(readFileSync("package-lock.json", "utf8")).packages;
  const texts = [], parts = [];
  for (const name of names) {
    const folder = join("node_modules", name);
    const about = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    const licenses = ["LICENSE", "LICENSE.md", "LICENSE.txt", "NOTICE"].filter((file) => existsSync(join(folder, file)));
    if (!licenses.length) throw new Error(`${name} has no license beside it`);
    texts.push(`${name} ${about.version} (${about.license})\n`);
    texts.push(...licenses.map((file) => `${readFileSync(join(folder, file), "utf8").trim()}\n`));
    parts.push({ name, version: about.version, license: about.license, integrity: lock[folder].integrity });
  }
  const line = `\n${"-".repeat(80)}\n\n`;
  writeFileSync(join(out, "NOTICES.txt"), `What is here contains work of others.\n${line}${texts.join(line)}`);
  writeFileSync(join(out, "parts.json"), `${JSON.stringify(parts, null, 2)}\n`);
}
