import assert from "node:assert/strict";
import { closeSync, cpSync, mkdirSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import {
  adoptDirectory,
  mkdtemp,
  mkstemp,
  namedTemporaryFile,
  spooledTemporaryFile,
  temporaryDirectory,
  temporaryFile,
  temporaryFileSync,
  type Usage,
  usage,
  usageSync,
  writeFileAtomic,
} from "#mod";
import { adoptDirectorySync as sourceAdopt } from "../lib/adopt.ts";
import { temporaryFileSync as sourceFile } from "../lib/file/unnamed.ts";
import { held as registered } from "../lib/life/registry.ts";
import { usage as sourceUsage, usageSync as sourceUsageSync } from "../lib/usage.ts";
import { runChild } from "./support/child.ts";
import { gcFlags } from "./support/gc.ts";
import { packageTest as test } from "./support/once.ts";
import { namesLinger, root } from "./support/platform.ts";
import { scratch } from "./support/scratch.ts";
import { substitute, systemError } from "./support/substitute.ts";

const NOTHING: Usage = { files: [], directories: [], bytes: 0 };

/** Returns the result of both functions, which must be the same. */
async function held(): Promise<Usage> {
  const [one, other] = [await usage(), usageSync()];
  assert.deepEqual(one, other);
  return one;
}

test("C287 usage() is empty for a process that holds nothing, and again after everything is removed", async () => {
  assert.deepEqual(await held(), NOTHING);
  {
    await using _named = await namedTemporaryFile();
    await using _unnamed = await temporaryFile();
    using _spooled = spooledTemporaryFile();
    await using _directory = await temporaryDirectory();
    const { files, directories } = await held();
    assert.deepEqual([files.length, directories.length], [3, 1]);
  }
  assert.deepEqual(await held(), NOTHING);
});

test("usage() lists each file with its size and whether it is in memory, and its path if it has one", async () => {
  await using named = await namedTemporaryFile();
  await named.write("four");
  assert.deepEqual(await held(), {
    files: [{ path: named.path, bytes: 4, inMemory: false }],
    directories: [],
    bytes: 4,
  });
  await using unnamed = await temporaryFile();
  await unnamed.write("x".repeat(100_000));
  using spooled = spooledTemporaryFile({ maxMemory: 10 });
  spooled.writeSync("memory");
  const { files, bytes } = await held();
  assert.equal(bytes, 4 + 100_000 + 6);
  const sorted = files.sort((one, other) => one.bytes - other.bytes);
  assert.deepEqual(sorted, [
    { path: named.path, bytes: 4, inMemory: false },
    { bytes: 6, inMemory: true },
    { bytes: 100_000, inMemory: false },
  ]);
  spooled.writeSync(" that has grown");
  const grown = (await held()).files.find((file) => file.bytes === 21);
  assert.deepEqual(grown, { bytes: 21, inMemory: false });
});

test("usage() counts buffered bytes and does not change them", () => {
  using file = temporaryFileSync({ bufferSize: 1000 });
  file.writeSync("waiting");
  assert.equal(usageSync().bytes, 7);
  file.writeSync("x".repeat(2000));
  file.writeSync("y");
  assert.equal(usageSync().bytes, 2008);
  file.truncateSync(0);
  file.writeSync("z", { at: 50 });
  assert.equal(usageSync().bytes, 51);
  assert.equal(file.textSync().at(-1), "z");
  // Nothing is buffered any more, at whatever position it was.
  file.truncateSync(0);
  assert.equal(usageSync().bytes, 0);
});

test("usage() returns while a write to a file is pending", async () => {
  await using file = await temporaryFile();
  const writing = file.write(new Uint8Array(4 * 1024 * 1024));
  const found = usageSync();
  assert.equal(found.files.length, 1);
  await writing;
  assert.equal((await held()).bytes, 4 * 1024 * 1024);
});

test("C287 usage() of a directory counts its files, directories and bytes at every depth", async () => {
  await using directory = await temporaryDirectory();
  mkdirSync(directory.join("one", "two"), { recursive: true });
  writeFileSync(directory.join("a"), "12345");
  writeFileSync(directory.join("one", "two", "b"), "123");
  assert.deepEqual(await held(), {
    files: [],
    directories: [{ path: directory.path, files: 2, directories: 2, bytes: 8 }],
    bytes: 8,
  });
});

test("usage() counts bytes in nested directories only once in the total", async () => {
  await using outer = await temporaryDirectory();
  await using inner = await outer.temporaryDirectory();
  await using file = await inner.namedTemporaryFile();
  await file.write("12345");
  // A path that begins with that of a directory is not necessarily inside it.
  writeFileSync(outer.join("plain"), "1");
  await using beside = await namedTemporaryFile();
  await beside.write("1234567");
  const { files, directories, bytes } = await held();
  assert.equal(bytes, 5 + 1 + 7);
  assert.deepEqual(files.map((found) => found.bytes).sort(), [5, 7]);
  assert.deepEqual(directories.map((found) => [found.path, found.bytes]), [[outer.path, 6], [inner.path, 5]]);
});

test("usage() omits entries that are kept, persisted, or the caller's to remove", async () => {
  using place = scratch();
  const dir = place.path;
  (await namedTemporaryFile({ dir })).keep();
  (await temporaryDirectory({ dir })).keep();
  await (await namedTemporaryFile({ dir })).persist(join(dir, "named"));
  await (await temporaryFile({ dir })).persist(join(dir, "unnamed"));
  await spooledTemporaryFile({ dir }).persist(join(dir, "spooled"));
  await (await temporaryDirectory({ dir })).persist(join(dir, "directory"));
  for (const overwrite of [true, false]) await writeFileAtomic(join(dir, `${overwrite}`), "x", { overwrite });
  await mkdtemp({ dir });
  const { fd } = await mkstemp({ dir });
  closeSync(fd);
  assert.deepEqual(await held(), NOTHING);
  // Nor does the registry have the former names of what was moved.
  assert.deepEqual(registered(), { entries: [], contents: [] });
});

test("usage() omits a file that somebody else has removed", { skip: namesLinger }, async () => {
  await using gone = await namedTemporaryFile();
  unlinkSync(gone.path);
  assert.deepEqual(await held(), NOTHING);
});

test("usage() includes adopted directories, and closed files with deleteOnClose: false until they are disposed", async () => {
  using place = scratch();
  mkdirSync(join(place.path, "mine"));
  writeFileSync(join(place.path, "mine", "file"), "12");
  {
    await using _adopted = await adoptDirectory(join(place.path, "mine"));
    const file = await namedTemporaryFile({ dir: place.path, deleteOnClose: false });
    await file.write("123");
    await file.close();
    assert.equal((await held()).bytes, 5);
    await file[Symbol.asyncDispose]();
  }
  assert.deepEqual(await held(), NOTHING);
});

test("usage() includes what another copy of the module holds", async () => {
  using place = scratch();
  const urls = ["one", "other"].map((name) => {
    cpSync(join(root, "dist"), join(place.path, name), { recursive: true });
    return pathToFileURL(join(place.path, name, "mod.js")).href;
  });
  const code = `
    const [one, other] = await Promise.all(args.map((url) => import(url)));
    const made = [one.temporaryFileSync(), one.namedTemporaryFileSync(), one.temporaryDirectorySync(), one.spooledTemporaryFile()];
    for (const file of [made[0], made[1], made[3]]) file.writeSync("12345");
    fs.writeFileSync(made[2].join("file"), "123");
    say(other.usageSync());
    say(made[1].path);`;
  const { said: [found, path], stderr } = await runChild(code, { bare: true, args: urls });
  assert.ok(found, stderr);
  assert.deepEqual([found.files.length, found.directories.length, found.bytes], [3, 1, 18]);
  assert.ok(found.files.some((file: { path?: string }) => file.path === path));
});

test("usage() omits files that were never closed once their handles are collected", async () => {
  const code = `
    const collect = () => globalThis.Bun ? Bun.gc(true) : gc();
    process.on("warning", () => {});
    (() => { for (let i = 0; i < 20; i++) m.spooledTemporaryFile().writeSync("x"); for (let i = 0; i < 20; i++) m.temporaryFileSync(); })();
    say(m.usageSync().files.length);
    for (let i = 0; i < 100 && m.usageSync().files.length > 5; i++) {
      collect();
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    say(m.usageSync().files.length);`;
  const { said: [before, after] } = await runChild(code, { flags: gcFlags });
  assert.equal(before, 40);
  assert.ok(after <= 5, `${after} are left`);
});

test("usage() omits a file whose descriptor somebody else has closed, and lists the others", async () => {
  using place = scratch();
  using lost = sourceFile({ dir: place.path });
  using kept = sourceFile({ dir: place.path });
  kept.writeSync("12345");
  kept.flushSync();
  const { fd } = lost;
  using _ = substitute({
    primitives: {
      statusOf(real, ...[handle]: [unknown]) {
        if (handle === fd) throw systemError("EBADF");
        return real(...[handle] as never[]);
      },
    },
  });
  for (const { files } of [await sourceUsage(), sourceUsageSync()]) {
    assert.deepEqual(files, [{ bytes: 5, inMemory: false }]);
  }
});

test("C287 usage() of a directory omits entries that vanish or cannot be listed, and throws on errors without a code", async () => {
  using place = scratch();
  for (const name of ["one", "two"]) {
    mkdirSync(join(place.path, name));
    writeFileSync(join(place.path, name, "file"), "12345");
  }
  using _adopted = sourceAdopt(place.path);
  let failing = { list: "EACCES", status: "ENOENT" };
  const unless = (code: string, name: string) => (real: (path: string) => unknown, path: string): unknown => {
    if (path === join(place.path, name)) throw code === "" ? new Error("no code") : systemError(code);
    return real(path);
  };
  using _ = substitute({
    primitives: {
      list: (real, path: string) => unless(failing.list, "two")(real, path),
      status: (real, path: string) => unless(failing.status, "one/file")(real, path),
    },
  });
  const held = { path: place.path, files: 0, directories: 2, bytes: 0 };
  assert.deepEqual([await sourceUsage(), sourceUsageSync()].map(({ directories }) => directories), [[held], [
    held,
  ]]);
  for (failing of [{ list: "", status: "ENOENT" }, { list: "ENOENT", status: "" }]) {
    await assert.rejects(sourceUsage(), /no code/);
    assert.throws(sourceUsageSync, /no code/);
  }
});
