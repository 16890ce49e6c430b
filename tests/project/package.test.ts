/**
 * The published packages, and the workflows that test them.
 *
 * @module
 */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import * as m from "#mod";
import { functionsOf } from "../support/creators.ts";
import { packageFilesLater, packageFilesOf } from "../support/package_files.ts";
import { root } from "../support/platform.ts";

// deno-lint-ignore no-explicit-any -- a configuration file of any shape
const read = (name: string): any => JSON.parse(readFileSync(join(root, name), "utf8"));
const npm = read("package.json"), jsr = read("deno.json");

test("C32 the exports are exactly the documented ones, and README names each function, or the one it is the twin of", () => {
  const readme = readFileSync(join(root, "README.md"), "utf8");
  const unnamed = functionsOf(m).filter((name) => !readme.includes(name.replace(/Sync$/, "")));
  assert.deepEqual(unnamed, []);
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

test("the name property of each exported class and function is its export name", () => {
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
  for (const name of npm.files) {
    const path = join(root, name);
    if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) continue;
    const files = readdirSync(path, { recursive: true }).map(String);
    assert.deepEqual(files.filter((file) => /\.(node|wasm|so|dll|dylib|gyp)$/.test(file)), [], name);
  }
});

/** The code of the package: the library, and what it loads only when needed. */
function builtCode(): string {
  const library = packageFilesOf("mod.js");
  return [
    ...library.values(),
    ...packageFilesLater(library).map((name) => packageFilesOf(name).get(name)),
  ].join("\n").replaceAll("\\\n", "");
}

test("C301 the package uses no network: neither modules nor functions that connect to anything", () => {
  const network =
    /\b(?:node:)?(?:https?2?|net|tls|dgram|dns|inspector)(?:\/promises)?["'`]|\bfetch\(|\bXMLHttpRequest\b|\bnew (?:WebSocket|EventSource)\b|\.(?:connect|connectTls|listenTls|listenDatagram|resolveDns|createHttpClient)\(/;
  // The control: the pattern finds each way.
  for (
    const code of [
      `from "node:net"`,
      `require("https")`,
      "fetch(url)",
      "Deno.connect(to)",
      `import("node:dns/promises")`,
      "new WebSocket(url)",
    ]
  ) assert.match(code, network);
  assert.equal(network.exec(builtCode())?.[0], undefined);
});

test("both packages have the same version, and the types condition comes first in every export of package.json", () => {
  assert.equal(jsr.version, npm.version);
  for (const entry of Object.values(npm.exports)) assert.equal(Object.keys(entry as object)[0], "types");
});

test("main and types in package.json name the same files as exports, for tools that do not read exports", () => {
  const { types, default: main } = npm.exports["."];
  assert.deepEqual({ main: npm.main, types: npm.types }, { main, types });
});

test("both packages export the same files, whose @ts-self-types comment names a source file that is published to JSR", () => {
  assert.deepEqual(Object.keys(jsr.exports), Object.keys(npm.exports));
  for (const [name, entry] of Object.entries<string>(jsr.exports)) {
    assert.equal(entry, npm.exports[name].default);
    const text = readFileSync(join(root, entry), "utf8");
    const [, types] = /^(?:#!.*\n)?\/\/ @ts-self-types="\.\.\/([^"]+)"\n/.exec(text)!;
    assert.ok(existsSync(join(root, types)) && jsr.publish.include.includes(types), types);
  }
});

test("C303 the package uses neither AsyncDisposableStack, SuppressedError nor using, which Node 20 and 22 lack", () => {
  const built = builtCode();
  assert.match(built, /Temporary files are made by/);
  const found = /AsyncDisposableStack|SuppressedError|\busing [a-z]\w* =/.exec(built);
  assert.equal(found?.[0], undefined);
});

test("workflows grant no permissions by default, and use actions only by commit hash", () => {
  for (const name of readdirSync(join(root, ".github/workflows"))) {
    const text = readFileSync(join(root, ".github/workflows", name), "utf8");
    assert.match(text, /^permissions: \{\}$/m, name);
    const actions = [...text.matchAll(/uses: *(\S+)/g)].map(([, action]) => action);
    assert.ok(actions.length > 0, name);
    for (const action of actions) assert.match(action, /@[\da-f]{40}$/);
  }
});

test("jobs on Windows check files out without line-ending conversion, and run their steps in bash", () => {
  assert.match(readFileSync(join(root, ".gitattributes"), "utf8"), /^\* -text$/m);
  const jobs = readFileSync(join(root, ".github/workflows/test.yml"), "utf8").split(/^ {2}(?=\w+:$)/m);
  const onWindows = jobs.filter((job) => job.includes("windows-"));
  assert.ok(onWindows.length > 0);
  for (const job of onWindows) assert.match(job, /^ {8}shell: bash$/m);
});
