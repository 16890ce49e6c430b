/**
 * What is loaded when. A gain here is soon lost again, one import at a time, unless something counts.
 *
 * @module
 */
import assert from "node:assert/strict";
import { build, type Plugin } from "esbuild";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import ts from "typescript";
import { loadedLater, loadedWith, modules, nodesOf, root } from "./support/modules.ts";
import { packageTest as test } from "./support/once.ts";
import { packageFilesLater, packageFilesOf } from "./support/package_files.ts";

test(
  "locks, blobs and sweeping are loaded by the first call that needs them, and nothing else is",
  {
    inAll: true,
  },
  () => {
    const library = modules();
    const lazy = library.flatMap(loadedLater);
    assert.deepEqual([...new Set(lazy)].sort(), [
      "lib/file/blob.ts",
      "lib/file/lock.ts",
      "lib/life/sweep.ts",
    ]);
    const atOnce = new Map(library.map((module) => [module.file, loadedWith(module)]));
    const loaded = new Set(["mod.ts"]);
    for (const file of loaded) for (const target of atOnce.get(file)!) loaded.add(target);
    assert.deepEqual(lazy.filter((file) => loaded.has(file)), []);
  },
);

test("the package loads two files at once, and what only some programs need later", {
  inAll: true,
}, () => {
  const library = packageFilesOf("mod.js");
  assert.deepEqual([...library.keys()].map((name) => name.split("-")[0]), ["mod.js", "chunk"]);
  const lazy = packageFilesLater(library).map((name) => name.split("-")[0]).sort();
  assert.deepEqual(lazy, ["blob", "lock", "sweep"]);
  const bytes = [...library.values()].reduce((sum, text) => sum + text.length, 0);
  assert.ok(bytes < 134_570, `${bytes} bytes are parsed by every program`);
});

/** What can throw: neither a list of names, nor text. */
function codeIn(line: string): string {
  return /^(im|ex)port *\{/.test(line) ? "" : line.replace(/"[^"]*"|`[^`]*`/g, '""');
}

test("no line of the package fills a terminal: runtimes show the one that threw", {
  inAll: true,
}, () => {
  for (const [name, text] of [...packageFilesOf("mod.js"), ...packageFilesOf("cli.js")]) {
    for (const line of text.split("\n")) assert.ok(codeIn(line).length < 320, `${name}: ${line}`);
  }
});

test("functions and classes of the package have their own names, which stack traces show", {
  inAll: true,
}, () => {
  // A number tells apart what several modules have.
  const unnumbered = (name = "") => name.replace(/\d+$/, "");
  const nodes = modules().flatMap(({ tree }) => [...nodesOf(tree)]);
  const declarations = nodes.filter((node) => ts.isFunctionLike(node) || ts.isClassLike(node));
  const own = new Set(declarations.map(({ name }) => unnumbered(name?.getText())));
  const entries = ["mod.js", "cli.js", ...packageFilesLater(packageFilesOf("mod.js"))];
  const texts = entries.flatMap((entry) => [...packageFilesOf(entry).values()]);
  const names = texts.flatMap((text) => text.match(/(?<=\bfunction\*? ?)[A-Za-z]\w*|\w+(?==class\b)/g) ?? []);
  assert.ok(names.length > own.size / 2, `${names.length} names`);
  for (const name of names) assert.ok(own.has(unnumbered(name)), `${name} stands for a name of the source`);
});

/** Leaves apart what is loaded later, as a bundler that splits does. */
const apart: Plugin = {
  name: "apart",
  setup(build) {
    build.onResolve(
      { filter: /./ },
      ({ kind, path }) => kind === "dynamic-import" ? { path, external: true } : null,
    );
  },
};

async function bundled(code: string): Promise<{ text: string; zipped: number }> {
  const { outputFiles: [{ text }] } = await build({
    stdin: { contents: code, resolveDir: root },
    bundle: true,
    minify: true,
    format: "esm",
    platform: "node",
    target: "es2022",
    write: false,
    plugins: [apart],
  });
  return { text, zipped: gzipSync(text, { level: 9 }).byteLength };
}

test("a bundle has only what its program uses", { inAll: true }, async () => {
  const from = JSON.stringify(join(root, "dist", "mod.js"));
  const named = await bundled(`import { namedTemporaryFile } from ${from}; console.log(namedTemporaryFile);`);
  assert.ok(named.zipped < 32_085, `${named.zipped} bytes for a named file`);
  const all = await bundled(`import * as all from ${from}; console.log(all);`);
  for (const [what, mark] of [["directories", "Temporary directories are made by"], ["spools", "rolled: "]]) {
    assert.ok(!named.text.includes(mark), `a named file brings ${what}`);
    assert.ok(all.text.includes(mark), `${what} are told by "${mark}"`);
  }
});
