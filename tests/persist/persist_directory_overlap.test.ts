/**
 * `persist()` of a directory while other calls or the end of the process overlap with it, or it is aborted.
 *
 * @module
 */
import assert from "node:assert/strict";
import { existsSync, readdirSync, renameSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { temporaryDirectory as sourceDirectory } from "../../lib/directory.ts";
import { held } from "../../lib/life/registry.ts";
import { configure } from "../../lib/settings.ts";
import { assertFilled, crossDevice, filled, variants } from "../support/filled_directory.ts";
import { failureOf } from "../support/kinds.ts";
import { packageTest as test } from "../support/once.ts";
import { isWindows } from "../support/platform.ts";
import { scratch } from "../support/scratch.ts";
import { heldLease, substitute, systemError } from "../support/substitute.ts";

test("a directory's persist() aborted while the tree is synchronized, or just before its rename, rejects and undoes what it did", async () => {
  // On Windows directories are not synchronized.
  const steps = isWindows ? ["synchronize"] as const : ["synchronize", "synchronizeDirectory"] as const;
  for (const overwrite of [true, false]) {
    for (const step of steps) {
      using place = scratch();
      const directory = await filled(place), { path } = directory;
      const controller = new AbortController(), reason = new Error("enough");
      {
        using calls = substitute({
          primitives: {
            [step]: (real: (...args: unknown[]) => unknown, ...args: unknown[]) => {
              // The directory itself comes last.
              if (step === "synchronize" || args[0] === path) controller.abort(reason);
              return real(...args);
            },
          },
        });
        const options = { overwrite, signal: controller.signal };
        await assert.rejects(directory.persist(join(place.path, "result"), options), reason);
        if (step === "synchronize") assert.equal(calls.of(step).length, 1, "the first file was the last");
      }
      assertFilled(path);
      assert.deepEqual(place.names(), [basename(path)]);
      await directory.remove();
    }
  }
});

test("a directory's persist() and remove() calls run in order; meanwhile synchronous calls and keep() fail with EBUSY", async () => {
  using place = scratch();
  const directory = await filled(place), { path } = directory;
  const [first, second] = ["first", "second"].map((name) => join(place.path, name));
  using _ = substitute({ primitives: { rename: crossDevice(path) } });
  const moved = [directory.persist(first), directory.persist(second)];
  for (const call of ["removeSync", "keep"] as const) {
    assert.throws(() => directory[call](), { name: "TempfileError", code: "EBUSY", path });
  }
  assert.throws(() => directory.persistSync(first), { name: "TempfileError", code: "EBUSY", path });
  const removed = directory.remove();
  assert.deepEqual(await Promise.all(moved), [first, second]);
  assert.deepEqual(await removed, []);
  assertFilled(second);
  assert.deepEqual(place.list(), ["second"]);
});

test("disposal during a directory's persist() leaves the result in place, or removes everything if persist() fails", async () => {
  for (const fails of [false, true]) {
    using place = scratch();
    const directory = await filled(place);
    const makeDirectory = (real: (...args: never[]) => unknown, ...args: never[]): unknown => {
      if (fails && String(args[0]).endsWith("empty")) throw systemError("EIO");
      return real(...args);
    };
    using _ = substitute({ primitives: { rename: crossDevice(directory.path), makeDirectory } });
    const moved = failureOf(() => directory.persist(join(place.path, "result")));
    directory[Symbol.dispose]();
    assert.equal(await moved, fails ? "EIO" : "nothing");
    for (let waits = 0; existsSync(directory.path) && fails && waits < 1000; waits++) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    assert.deepEqual(place.list(), fails ? [] : ["result"]);
    if (!fails) assertFilled(join(place.path, "result"));
  }
});

test("a directory's usage() waits for persist() to finish; meanwhile usageSync() fails with EBUSY", async () => {
  using place = scratch();
  const directory = await filled(place), { path } = directory;
  const before = directory.usageSync();
  // The directory has been moved, and nobody knows yet.
  const rename = async (real: (...args: unknown[]) => unknown, ...args: never[]): Promise<void> => {
    await real(...args);
    await new Promise((resolve) => setTimeout(resolve, 20));
  };
  using _ = substitute({ primitives: { rename } });
  const moved = directory.persist(join(place.path, "result"), { durable: false });
  const counted = directory.usage();
  assert.throws(() => directory.usageSync(), { name: "TempfileError", code: "EBUSY", path });
  assert.deepEqual([await counted, await moved], [before, join(place.path, "result")]);
});

test("creating in a directory waits for all calls of persist() to finish, also by a copy; meanwhile the synchronous functions fail with EBUSY", async () => {
  for (const copies of [false, true]) {
    using place = scratch();
    const directory = await filled(place), { path } = directory;
    const [first, second] = ["first", "second"].map((name) => join(place.path, name));
    using _ = substitute({ primitives: copies ? { rename: crossDevice(path) } : {} });
    const moved = [directory.persist(first), directory.persist(second)];
    const made = [directory.namedTemporaryFile(), directory.temporaryDirectory()];
    for (const create of ["namedTemporaryFileSync", "temporaryDirectorySync"] as const) {
      assert.throws(() => directory[create](), { name: "TempfileError", code: "EBUSY", path });
    }
    assert.deepEqual(await Promise.all(moved), [first, second]);
    for (const one of await Promise.all(made)) {
      assert.deepEqual([dirname(one.path), existsSync(one.path)], [second, true]);
      await one[Symbol.asyncDispose]();
    }
    assertFilled(second);
    assert.deepEqual(place.list(), ["second"]);
  }
});

test("a directory's persist() waits for usage() and for what is being created in the directory; meanwhile persistSync() fails with EBUSY", async () => {
  configure({ inline: false });
  try {
    using place = scratch();
    using _lease = heldLease();
    const directory = await filled(place), { path } = directory, target = join(place.path, "result");
    const later = (real: (...args: unknown[]) => unknown, ...args: unknown[]) =>
      new Promise((resolve) => setTimeout(resolve, 10)).then(() => real(...args));
    using _ = substitute({ primitives: { createFile: later, makeDirectory: later } });
    const { files } = await directory.usage();
    const made = [directory.namedTemporaryFile(), directory.temporaryDirectory()];
    const counted = directory.usage();
    assert.throws(() => directory.persistSync(target), { name: "TempfileError", code: "EBUSY", path });
    const moved = directory.persist(target, { durable: false });
    const names = (await Promise.all(made)).map((one) => [dirname(one.path), basename(one.path)]);
    assert.deepEqual(names.map(([parent]) => parent), [path, path]);
    assert.ok((await counted).files >= files);
    assert.equal(await moved, target);
    for (const [, name] of names) assert.ok(existsSync(join(target, name)), name);
    assert.deepEqual(place.names(), ["result"]);
    for (const one of await Promise.all(made)) await one[Symbol.asyncDispose]();
  } finally {
    configure({ inline: undefined });
  }
});

test("C160 a directory's persist() during remove() fails with ERR_CLOSED, and puts nothing in place", async () => {
  configure({ inline: false });
  try {
    for (const persist of Object.values(variants)) {
      using place = scratch();
      const directory = await filled(place);
      const removed = directory.remove();
      assert.ok(existsSync(join(directory.path, "file")));
      const code = await failureOf(() => persist(directory, join(place.path, "result"), { durable: false }));
      assert.equal(code, "ERR_CLOSED");
      await removed;
      assert.deepEqual(place.list(), []);
    }
  } finally {
    configure({ inline: undefined });
  }
});

test("process exit waits for a directory's rename in the thread pool; if that does not finish, the tree stays for the next process", async () => {
  configure({ inline: false });
  try {
    for (const finishes of [true, false]) {
      using place = scratch();
      const target = join(place.path, "result");
      const directory = await sourceDirectory({ dir: place.path });
      writeFileSync(join(directory.path, "file"), "");
      let finish: (() => void) | undefined;
      using _ = substitute({
        primitives: {
          rename(_real, ...[from, to]: [string, string]) {
            finish = () => renameSync(from, to);
            return new Promise(() => {});
          },
        },
        runtime: { sleep: () => finishes && existsSync(directory.path) ? finish!() : undefined },
      });
      void directory.persist(target);
      while (finish === undefined) await new Promise((resolve) => setTimeout(resolve, 1));
      const entry = held().entries.find(({ path }) => path === directory.path);
      assert.equal(entry!.discard(), finishes);
      assert.deepEqual(readdirSync(finishes ? target : directory.path), ["file"]);
    }
  } finally {
    configure({ inline: undefined });
  }
});
