/**
 * What is published.
 *
 * @module
 */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import * as m from "#mod";
import { packageFilesLater, packageFilesOf } from "./support/package_files.ts";

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

test("classes and functions are called by the names that they are exported by: consoles and stacks show them", () => {
  for (const [name, value] of Object.entries(m)) assert.equal(value.name, name);
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
});

test("what does not read exports, as Parcel and TypeScript's node10 do not, finds the same files by main and types", () => {
  const { types, default: main } = npm.exports["."];
  assert.deepEqual({ main: npm.main, types: npm.types }, { main, types });
});

test("both packages run the same files, and those say where JSR finds their types: in the source, which goes with them", () => {
  assert.deepEqual(Object.keys(jsr.exports), Object.keys(npm.exports));
  for (const [name, entry] of Object.entries<string>(jsr.exports)) {
    assert.equal(entry, npm.exports[name].default);
    const text = readFileSync(join(root, entry), "utf8");
    const [, types] = /^(?:#!.*\n)?\/\/ @ts-self-types="\.\.\/([^"]+)"\n/.exec(text)!;
    assert.ok(existsSync(join(root, types)) && jsr.publish.include.includes(types), types);
  }
});

test("C303 the library needs neither AsyncDisposableStack nor SuppressedError, which Node 20 and 22 lack", () => {
  const library = packageFilesOf("mod.js");
  const built = [
    ...library.values(),
    ...packageFilesLater(library).map((name) => packageFilesOf(name).get(name)),
  ].join("\n").replaceAll("\\\n", "");
  assert.match(built, /Temporary files are made by/);
  const found = /AsyncDisposableStack|SuppressedError|\busing [a-z]\w* =/.exec(built);
  assert.equal(found?.[0], undefined);
});

test("workflows have no permission that a job does not name, and run actions by the commit, not by a name that can move", () => {
  for (const name of readdirSync(join(root, ".github/workflows"))) {
    const text = readFileSync(join(root, ".github/workflows", name), "utf8");
    assert.match(text, /^permissions: \{\}$/m, name);
    const actions = [...text.matchAll(/uses: *(\S+)/g)].map(([, action]) => action);
    assert.ok(actions.length > 0, name);
    for (const action of actions) assert.match(action, /@[\da-f]{40}$/);
  }
});

test("a job on Windows has the files as they are in the repository, and says npm what the others do: Git does not end lines anew, and the shell is no PowerShell, which keeps -- for itself", () => {
  assert.match(readFileSync(join(root, ".gitattributes"), "utf8"), /^\* -text$/m);
  const jobs = readFileSync(join(root, ".github/workflows/test.yml"), "utf8").split(/^ {2}(?=\w+:$)/m);
  const onWindows = jobs.filter((job) => job.includes("windows-"));
  assert.ok(onWindows.length > 0);
  for (const job of onWindows) assert.match(job, /^ {8}shell: bash$/m);
});
