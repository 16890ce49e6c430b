/**
 * What is published.
 *
 * @module
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import * as m from "#mod";
import { scratch } from "./support/scratch.ts";

const root = process.env.MAYFLY_TEST_ROOT ?? process.cwd();
// deno-lint-ignore no-explicit-any -- whatever stands in it
const read = (name: string): any => JSON.parse(readFileSync(join(root, name), "utf8"));
const npm = read("package.json"), jsr = read("deno.json");

test("C32 the exports are exactly the documented ones", () => {
  assert.deepEqual(Object.keys(m).sort(), [
    "FileLock",
    "NamedTemporaryFile",
    "SpooledTemporaryFile",
    "TempfileError",
    "TemporaryDirectory",
    "TemporaryFile",
    "adoptDirectory",
    "adoptDirectorySync",
    "adoptFile",
    "adoptFileSync",
    "configure",
    "diskSpace",
    "diskSpaceSync",
    "findTmpdir",
    "findTmpdirSync",
    "fromDescriptor",
    "mkdtemp",
    "mkdtempSync",
    "mkstemp",
    "mkstempSync",
    "namedTemporaryFile",
    "namedTemporaryFileSync",
    "spooledTemporaryFile",
    "sweep",
    "temporaryDirectory",
    "temporaryDirectorySync",
    "temporaryFile",
    "temporaryFileSync",
    "tmpdir",
    "usage",
    "usageSync",
    "watchSpace",
    "writeFileAtomic",
    "writeFileAtomicSync",
  ]);
});

test("C301 the package has no dependency, no install script and no native code", () => {
  for (const field of ["dependencies", "optionalDependencies", "peerDependencies", "bundledDependencies"]) {
    assert.equal(npm[field], undefined, field);
  }
  for (const script of ["preinstall", "install", "postinstall", "prepare"]) {
    assert.equal(npm.scripts[script], undefined);
  }
  assert.equal(existsSync(join(root, "binding.gyp")), false);
});

test("both packages have one version, and types come first in every export", () => {
  assert.equal(jsr.version, npm.version);
  for (const entry of Object.values(npm.exports)) assert.equal(Object.keys(entry as object)[0], "types");
  assert.deepEqual(Object.keys(jsr.exports), Object.keys(npm.exports));
});

test("C303 the library needs neither AsyncDisposableStack nor SuppressedError, which Node 20 and 22 lack", () => {
  const built = readFileSync(join(root, "dist", "mod.js"), "utf8").replace(/\/\*[^]*?\*\//g, "");
  const found = /AsyncDisposableStack|SuppressedError|\busing [a-z]\w* =/.exec(built);
  assert.equal(found?.[0], undefined);
});

const USER = `
import { namedTemporaryFile, temporaryDirectory, temporaryFileSync, TempfileError } from "mayfly";

export async function main(): Promise<string> {
  await using file = await namedTemporaryFile({ suffix: ".txt" });
  await file.write(new Uint8Array([1, 2, 3]));
  using scratch = temporaryFileSync();
  scratch.writeSync("x");
  await using directory = await temporaryDirectory();
  try {
    return directory.join("a") + (await file.text());
  } catch (error) {
    if (error instanceof TempfileError) return error.code;
    throw error;
  }
}
`;

test("C302 using and await using compile against the built types, strictly and without any @types", () => {
  using place = scratch();
  const installed = join(place.path, "node_modules", "mayfly");
  mkdirSync(installed, { recursive: true });
  cpSync(join(root, "dist"), join(installed, "dist"), { recursive: true });
  cpSync(join(root, "package.json"), join(installed, "package.json"));
  writeFileSync(join(place.path, "package.json"), '{ "type": "module" }');
  writeFileSync(join(place.path, "user.ts"), USER);
  for (const resolution of ["nodenext", "bundler"]) {
    const module = resolution === "nodenext" ? "nodenext" : "esnext";
    const compilerOptions = {
      strict: true,
      noEmit: true,
      target: "es2022",
      lib: ["es2023", "esnext.disposable", "dom", "dom.iterable"],
      types: [],
      module,
      moduleResolution: resolution,
    };
    writeFileSync(join(place.path, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["user.ts"] }));
    const args = [join(root, "node_modules", "typescript", "bin", "tsc"), "-p", "."];
    const { stdout, status } = spawnSync("node", args, { cwd: place.path, encoding: "utf8" });
    assert.deepEqual([status, stdout], [0, ""]);
  }
});
