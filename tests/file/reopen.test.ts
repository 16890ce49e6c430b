import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { inspect } from "node:util";
import {
  NamedTemporaryFile,
  namedTemporaryFile,
  spooledTemporaryFile,
  temporaryDirectory,
  TemporaryFile,
  temporaryFile,
} from "#mod";
import { runtime } from "../../lib/runtime/mod.ts";
import { runChild } from "../support/child.ts";
import { packageTest } from "../support/once.ts";
import { namesLinger, namesStay } from "../support/platform.ts";
import { scratch } from "../support/scratch.ts";

test("C138 two reopened handles see each other's writes, with a cursor each, after the owner is closed", {
  skip: namesStay,
}, async () => {
  const owner = await namedTemporaryFile();
  const writer = await owner.reopen(), reader = owner.reopenSync();
  assert.ok(writer instanceof TemporaryFile && !(writer instanceof NamedTemporaryFile));
  await owner.close();
  assert.equal(existsSync(owner.path), false);
  await writer.write("abcde");
  assert.deepEqual([writer.position, reader.position], [5, 0]);
  assert.equal(await reader.readText(), "abcde");
  await writer.close();
  assert.equal(await reader.text(), "abcde");
  await reader.close();
});

test("C138 a reopened handle reads earlier writes, buffered or not, and closing it does not remove the file", async () => {
  for (const bufferSize of [0, 1000]) {
    await using owner = await namedTemporaryFile({ bufferSize });
    await owner.write("before");
    const again = await owner.reopen();
    assert.deepEqual([again.position, owner.position], [0, 6]);
    assert.equal(await again.text(), "before");
    await again.write("BE");
    await again.close();
    assert.equal(existsSync(owner.path), true);
    assert.deepEqual([owner.closed, again.closed], [false, true]);
    assert.equal(await owner.text(), "BEfore");
  }
});

/** What an attacker, or a program that replaces files, puts at the path. */
const REPLACEMENTS: { readonly [what: string]: (path: string, other: string) => void } = {
  "another file": (path, other) => renameSync(other, path),
  "a link to another file": (path, other) => symlinkSync(other, path),
  "a directory": (path) => mkdirSync(path),
  "a named pipe": (path) => void spawnSync("mkfifo", [path]),
};

test("C139 reopen() of a replaced file fails with ERR_REPLACED, and leaves the replacement alone", {
  skip: namesStay,
}, async () => {
  for (const [what, replace] of Object.entries(REPLACEMENTS)) {
    using place = scratch();
    const file = await namedTemporaryFile({ dir: place.path, delete: false });
    await file.write("ours");
    const other = join(place.path, "other");
    writeFileSync(other, "theirs");
    rmSync(file.path);
    replace(file.path, other);
    const wanted = { name: "TempfileError", code: "ERR_REPLACED", path: file.path };
    await assert.rejects(file.reopen(), wanted, what);
    assert.throws(() => file.reopenSync(), wanted, what);
    if (what.includes("file")) assert.equal(readFileSync(file.path, "utf8"), "theirs");
    assert.equal(await file.text(), "ours");
    await file.close();
  }
});

test("C139 reopen() of a file whose path was removed fails with ENOENT", { skip: namesLinger }, async () => {
  await using file = await namedTemporaryFile();
  rmSync(file.path);
  await assert.rejects(file.reopen(), { name: "TempfileError", code: "ENOENT", path: file.path });
  assert.throws(() => file.reopenSync(), { name: "TempfileError", code: "ENOENT", path: file.path });
});

test("C139 reopen() of a closed file fails with ERR_CLOSED", async () => {
  const file = await namedTemporaryFile();
  await file.close();
  await assert.rejects(file.reopen(), { code: "ERR_CLOSED", message: /^Cannot reopen / });
  assert.throws(() => file.reopenSync(), { code: "ERR_CLOSED" });
});

test("C140 keep() leaves the file at its path, where the handle and others read it, also after close()", async () => {
  using place = scratch();
  const file = await namedTemporaryFile({ dir: place.path });
  await file.write("contents");
  assert.equal(file.keep(), file.path);
  assert.equal(file.keep(), file.path);
  assert.deepEqual([await file.text(), readFileSync(file.path, "utf8")], ["contents", "contents"]);
  await file.write(" and more");
  await file.close();
  await file[Symbol.asyncDispose]();
  assert.equal(readFileSync(file.path, "utf8"), "contents and more");
});

packageTest("C140 process exit does not remove a file after keep(), open or closed", async () => {
  using place = scratch();
  const { said, stderr } = await runChild(
    `const files = [await m.namedTemporaryFile({ dir: args[0] }), m.namedTemporaryFileSync({ dir: args[0] })];
     for (const file of files) file.writeSync("kept");
     say(files.map((file) => file.keep()));
     files[1].closeSync();
     m.namedTemporaryFileSync({ dir: args[0] });`,
    { args: [place.path] },
  );
  assert.equal(said[0]?.length, 2, stderr);
  assert.deepEqual(said[0].map((path: string) => readFileSync(path, "utf8")), ["kept", "kept"]);
  // The file without keep() is gone.
  assert.equal(place.names().length, 2);
});

test("C291 others can open, read and write a named file while its handle is open", async () => {
  await using file = await namedTemporaryFile();
  await file.write("ours");
  assert.equal(readFileSync(file.path, "utf8"), "ours");
  writeFileSync(file.path, "theirs");
  assert.equal(await file.text(), "theirs");
});

/** How this runtime's console shows a value. */
const printed = (value: object): string => "Deno" in globalThis ? denoInspect(value) : inspect(value);

const denoInspect = (value: object): string =>
  (globalThis as unknown as { Deno: { inspect(value: object): string } }).Deno.inspect(value);

test("C224 a handle is printed with its path and state, and converts to its path as a string", async () => {
  const file = await namedTemporaryFile(), directory = await temporaryDirectory();
  assert.deepEqual([`${file}`, `${directory}`], [file.path, directory.path]);
  for (const show of [printed, inspect]) {
    assert.equal(
      show(file),
      `NamedTemporaryFile { path: ${JSON.stringify(file.path)}, closed: ${file.closed} }`,
    );
    assert.ok(show(directory).startsWith(`TemporaryDirectory { path: ${JSON.stringify(directory.path)}`));
    assert.match(show(Object.getPrototypeOf(file)), /TemporaryFile/, "printing a prototype does not throw");
  }
  await file.close();
  assert.ok(printed(file).includes("closed: true"));
  await directory.remove();
});

test("C224 a handle without a path is printed with its state", async () => {
  const unnamed = await temporaryFile(), spooled = spooledTemporaryFile({ maxMemory: 3 });
  for (const show of [printed, inspect]) {
    assert.equal(show(unnamed), "TemporaryFile { closed: false }");
    assert.equal(show(spooled), "SpooledTemporaryFile { rolled: false, closed: false }");
  }
  await spooled.write("more");
  await unnamed.close();
  assert.equal(printed(unnamed), "TemporaryFile { closed: true }");
  assert.equal(printed(spooled), "SpooledTemporaryFile { rolled: true, closed: false }");
  await spooled.close();
});

test("C224 a lock is printed with its state", {
  skip: runtime.locks === undefined && "needs a platform whose locks the runtime has",
}, async () => {
  const file = await temporaryFile();
  const lock = await file.lock();
  assert.equal(printed(lock), "FileLock { shared: false, released: false }");
  await file.close();
  assert.equal(printed(lock), "FileLock { shared: false, released: true }");
});
