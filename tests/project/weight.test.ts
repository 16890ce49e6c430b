/**
 * What is loaded when, and its size, which would grow unnoticed, one import at a time, without these bounds.
 *
 * @module
 */
import assert from "node:assert/strict";
import { build, type Plugin } from "esbuild";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import ts from "typescript";
import { loadedLater, loadedWith, modules, nodesOf } from "../support/modules.ts";
import { packageTest as test } from "../support/once.ts";
import { packageFilesLater, packageFilesOf } from "../support/package_files.ts";
import { isWindows, root } from "../support/platform.ts";

test(
  "only blob.ts, lock.ts, locks.ts and sweep.ts are imported dynamically, and nothing imports them statically",
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
      "lib/runtime/locks.ts",
    ]);
    const atOnce = new Map(library.map((module) => [module.file, loadedWith(module)]));
    const loaded = new Set(["mod.ts"]);
    for (const file of loaded) for (const target of atOnce.get(file)!) loaded.add(target);
    assert.deepEqual(lazy.filter((file) => loaded.has(file)), []);
  },
);

test(
  "the package loads two files at start, within the size bound, and blob, lock, locks and sweep on demand",
  {
    inAll: true,
  },
  () => {
    const library = packageFilesOf("mod.js");
    assert.deepEqual([...library.keys()].map((name) => name.split("-")[0]), ["mod.js", "chunk"]);
    const lazy = packageFilesLater(library).map((name) => name.split("-")[0]).sort();
    assert.deepEqual(lazy, ["blob", "lock", "locks", "sweep"]);
    const bytes = [...library.values()].reduce((sum, text) => sum + text.length, 0);
    assert.ok(bytes < 132_500, `${bytes} bytes are parsed by every program`);
  },
);

/** The code of a line that can throw: without lists of imports or exports, and without strings. */
function codeIn(line: string): string {
  return /^(im|ex)port *\{/.test(line) ? "" : line.replace(/"[^"]*"|`[^`]*`/g, '""');
}

test("no line of code in the package is longer than 320 characters: runtimes print the line that threw", {
  inAll: true,
}, () => {
  for (const [name, text] of [...packageFilesOf("mod.js"), ...packageFilesOf("cli.js")]) {
    for (const line of text.split("\n")) assert.ok(codeIn(line).length < 320, `${name}: ${line}`);
  }
});

test("the package is ASCII: V8 keeps a source with any other character in two bytes each", {
  inAll: true,
}, () => {
  for (const [name, text] of [...packageFilesOf("mod.js"), ...packageFilesOf("cli.js")]) {
    assert.match(text, /^\p{ASCII}*$/u, name);
  }
});

test("functions and classes in the package keep the names that they have in the source, for stack traces", {
  inAll: true,
}, () => {
  // A number distinguishes the names that several modules have.
  const unnumbered = (name = "") => name.replace(/\d+$/, "");
  const nodes = modules().flatMap(({ tree }) => [...nodesOf(tree)]);
  const declarations = nodes.filter((node) => ts.isFunctionLike(node) || ts.isClassLike(node));
  const own = new Set(declarations.map(({ name }) => unnumbered(name?.getText())));
  const entries = ["mod.js", "cli.js", ...packageFilesLater(packageFilesOf("mod.js"))];
  const texts = entries.flatMap((entry) => [...packageFilesOf(entry).values()]);
  const names = texts.flatMap((text) => text.match(/(?<=\bfunction\*? ?)[A-Za-z]\w*|\w+(?==class\b)/g) ?? []);
  assert.ok(names.length > own.size / 2, `${names.length} names`);
  for (const name of names) assert.ok(own.has(unnumbered(name)), `${name} is not a name of the source`);
});

/** Leaves out what is imported dynamically, as a bundler with code splitting does. */
const dynamicImportsExternal: Plugin = {
  name: "dynamic-imports-external",
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
    plugins: [dynamicImportsExternal],
  });
  return { text, zipped: gzipSync(text, { level: 9 }).byteLength };
}

const PACKAGE = JSON.stringify(join(root, "dist", "mod.js"));
const bundledNamed = () =>
  bundled(`import { namedTemporaryFile } from ${PACKAGE}; console.log(namedTemporaryFile);`);

test("a bundle for a named file is within the size bound (not on Windows, where zlib packs differently)", {
  inAll: true,
  skip: isWindows,
}, async () => {
  const { zipped } = await bundledNamed();
  assert.ok(zipped < 31_520, `${zipped} bytes`);
});

test("a bundle contains only what its program uses", { inAll: true }, async () => {
  const named = await bundledNamed();
  const all = await bundled(`import * as all from ${PACKAGE}; console.log(all);`);
  for (
    const [what, mark] of [["directories", "Temporary directories are made by"], [
      "spools",
      "SpooledTemporaryFile",
    ]]
  ) {
    assert.ok(!named.text.includes(mark), `the bundle of a named file contains ${what}`);
    assert.ok(all.text.includes(mark), `"${mark}" is not in a bundle with ${what}`);
  }
});
