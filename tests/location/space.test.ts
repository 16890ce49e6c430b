import assert from "node:assert/strict";
import { statfsSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type DiskSpace, diskSpace, diskSpaceSync, tmpdir, watchSpace, type WatchSpaceOptions } from "#mod";
import { diskSpaceSync as sourceSpaceSync, watchSpace as sourceWatch } from "../../lib/location/space.ts";
import type { FileSystemStatus } from "../../lib/runtime/mod.ts";
import { runChild } from "../support/child.ts";
import { failureOf } from "../support/kinds.ts";
import { packageTest as test } from "../support/once.ts";
import { noMounts, withTmpfs } from "../support/places.ts";
import { isDeno } from "../support/platform.ts";
import { scratch } from "../support/scratch.ts";
import { substitute, systemError } from "../support/substitute.ts";

test("diskSpace() and diskSpaceSync() return the bytes and inodes of the file system, as statfs() does", async () => {
  using place = scratch();
  for (const dir of [place.path, pathToFileURL(place.path)]) {
    for (const found of [await diskSpace(dir), diskSpaceSync(dir)]) {
      const { bsize, blocks, files } = statfsSync(place.path);
      assert.equal(found.total, blocks * bsize);
      assert.equal(found.inodes?.total, files > 0 ? files : undefined);
      assert.ok(found.available > 0 && found.available <= found.free && found.free <= found.total);
    }
  }
});

test("diskSpace() without a directory uses the temporary directory", async () => {
  assert.equal((await diskSpace()).total, (await diskSpace(tmpdir())).total);
  assert.equal(diskSpaceSync().total, diskSpaceSync(tmpdir()).total);
});

test("diskSpace() reflects a file written to a tmpfs of 64 KiB and ten inodes", {
  skip: noMounts,
}, async () => {
  using place = scratch();
  const { said, stderr } = await runChild(
    `const [dir] = args;
     say(m.diskSpaceSync(dir));
     fs.writeFileSync(path.join(dir, "file"), new Uint8Array(16384));
     say(await m.diskSpace(dir));`,
    { args: [place.path], under: withTmpfs(place.path, "size=64k,nr_inodes=10") },
  );
  const [before, after] = said as DiskSpace[];
  assert.deepEqual(
    before,
    { total: 65536, free: 65536, available: 65536, inodes: { total: 10, free: 9 } },
    stderr,
  );
  assert.deepEqual(after, { total: 65536, free: 49152, available: 49152, inodes: { total: 10, free: 8 } });
});

test("diskSpace() omits the inodes where the file system has no limit on them", () => {
  using _ = substitute({ primitives: { fileSystem: () => ({ ...status(5), inodes: 0, freeInodes: 0 }) } });
  assert.equal(sourceSpaceSync("/").inodes, undefined);
});

test("diskSpace() rejects, and does not throw, for a missing directory (ENOENT) or an invalid path (ERR_INVALID_OPTION)", async () => {
  using place = scratch();
  const missing = join(place.path, "missing");
  assert.equal(await failureOf(() => diskSpace(missing)), "ENOENT");
  assert.equal(await failureOf(() => diskSpaceSync(missing)), "ENOENT");
  await assert.rejects(diskSpace(missing), { path: missing, message: /^Cannot get the free space of "/ });
  for (const wrong of ["", 5, null, "a\0b", new URL("http://example.com")]) {
    const promise = diskSpace(wrong as string);
    await assert.rejects(promise, { code: "ERR_INVALID_OPTION", message: /^Option "dir" must be / });
    assert.equal(await failureOf(() => diskSpaceSync(wrong as string)), "TypeError ERR_INVALID_OPTION");
  }
});

test("diskSpace() and minFree fail on Deno without --allow-sys, and name the flag", {
  skip: !isDeno && "Deno's permissions",
}, async () => {
  using place = scratch();
  const { said, stderr } = await runChild(
    `for (const call of [() => m.diskSpace(args[0]), async () => m.diskSpaceSync(args[0]),
       () => m.namedTemporaryFile({ dir: args[0], minFree: 1 }), () => m.findTmpdir({ minFree: 1 }), () => m.findTmpdir({ disk: true })]) {
       try { await call(); say("told"); } catch (error) { say([error.code, error.message.includes("--allow-sys")]); }
     }`,
    {
      args: [place.path],
      flags: ["--no-prompt", "--allow-env", `--allow-read=${place.path}`, `--allow-write=${place.path}`],
      env: { TMPDIR: place.path },
    },
  );
  assert.deepEqual(said, Array(5).fill(["ERR_ACCESS_DENIED", true]), stderr);
});

/** The status of a file system with this many blocks of one byte available, and as many inodes. */
function status(available: number): FileSystemStatus {
  return {
    type: 0,
    blockSize: 1,
    blocks: 1000,
    freeBlocks: available,
    availableBlocks: available,
    inodes: 1000,
    freeInodes: available,
  };
}

/** Watches a file system through these states, and returns those that were passed to the callback. */
async function watched(
  options: WatchSpaceOptions,
  states: number[],
  changes: Partial<FileSystemStatus> = {},
): Promise<number[]> {
  const calls: number[] = [], warnings: string[] = [];
  let next: (() => void) | undefined;
  let state = states[0];
  using _ = substitute({
    primitives: { fileSystem: () => ({ ...status(state), ...changes }) },
    runtime: {
      later: (_milliseconds, call) => {
        next = call;
        return () => void (next = undefined);
      },
      warn: (message) => void warnings.push(message),
    },
  });
  using _watch = sourceWatch(
    { dir: "/", interval: 10, ...options },
    ({ available }) => calls.push(available),
  );
  for (state of states) {
    const check = next!;
    next = undefined;
    check();
    // The check is asynchronous, and schedules the next one at its end.
    while (next === undefined) await new Promise((resolve) => setTimeout(resolve));
  }
  assert.deepEqual(warnings, []);
  return calls;
}

test("watchSpace() calls back when the space falls below a limit, and again only after it was above", async () => {
  assert.deepEqual(await watched({ minFree: 100 }, [500, 100, 99, 50, 99]), [99]);
  assert.deepEqual(await watched({ minFree: 100 }, [50, 500, 60, 70, 200, 80]), [50, 60, 80]);
  assert.deepEqual(await watched({ minInodes: 10 }, [50, 9, 8, 10, 7]), [9, 7]);
  assert.deepEqual(await watched({ minFree: 20, minInodes: 10 }, [50, 15, 9, 50]), [15]);
  assert.deepEqual(await watched({ minFree: 0 }, [1, 0]), []);
});

test("watchSpace() without a directory watches the temporary directory", async () => {
  const asked: string[] = [];
  using _ = substitute({
    primitives: { fileSystem: (_real, path: string) => (asked.push(path), status(5)) },
    runtime: { later: (_milliseconds, call) => (setTimeout(call), () => {}) },
  });
  let watch: Disposable | undefined;
  await new Promise((resolve) => watch = sourceWatch({ minFree: 100 }, resolve));
  watch![Symbol.dispose]();
  assert.equal(asked[0], tmpdir());
});

test("watchSpace() ignores minInodes where the file system has no limit on inodes", async () => {
  const none = { inodes: 0, freeInodes: 0 };
  assert.deepEqual(await watched({ minInodes: 10 }, [50, 5], none), []);
  assert.deepEqual(await watched({ minInodes: 10, minFree: 6 }, [50, 5], none), [5]);
});

test("watchSpace() checks at once and then at its interval, until it is disposed", async () => {
  const looks: number[] = [];
  let available = 5;
  using _ = substitute({ primitives: { fileSystem: () => (looks.push(available), status(available)) } });
  const found: number[] = [];
  let resolve!: () => void;
  const promise = new Promise<void>((call) => resolve = call);
  const watch = sourceWatch({ dir: "/", minFree: 10, interval: 10 }, (space) => {
    found.push(space.available);
    if (found.length === 2) resolve();
    else available = 50;
  });
  const recover = setInterval(() => looks.includes(50) && (available = 3), 1);
  await promise;
  clearInterval(recover);
  watch[Symbol.dispose]();
  watch[Symbol.dispose]();
  assert.deepEqual(found, [5, 3]);
  const count = looks.length;
  await new Promise((resolve) => setTimeout(resolve, 60));
  assert.equal(looks.length, count, "no check after disposal");
});

/** A disk with little space, which is checked when the test says so. */
function littleRoom() {
  const warnings: string[] = [], looks: (() => void)[] = [];
  const undo = substitute({
    primitives: { fileSystem: () => status(5) },
    runtime: {
      later: (_milliseconds, call) => (looks.push(call), () => {}),
      warn: (message) => void warnings.push(message),
    },
  });
  return { warnings, looks, [Symbol.dispose]: () => undo[Symbol.dispose]() };
}

const ofCallback = (message: string): string => `The callback of watchSpace() for "/some" failed: ${message}`;

test("watchSpace() awaits an async callback before its next check, and warns about its rejection", async () => {
  using disk = littleRoom();
  const { warnings, looks } = disk;
  let fail!: (reason: Error) => void, called!: () => void;
  const isCalled = new Promise<void>((resolve) => called = resolve);
  using _watch = sourceWatch({ dir: "/some", minFree: 10 }, () => {
    called();
    return new Promise((_, reject) => fail = reject);
  });
  looks[0]();
  await isCalled;
  await new Promise((resolve) => setTimeout(resolve));
  assert.deepEqual([looks.length, warnings], [1, []]);
  fail(new Error("the callback's own"));
  while (looks.length === 1) await new Promise((resolve) => setTimeout(resolve));
  assert.deepEqual([looks.length, warnings], [2, [ofCallback("the callback's own")]]);
});

test("watchSpace() warns once about a failure that lasts, and about an error thrown by its callback", async () => {
  const warnings: string[] = [];
  let next: (() => void) | undefined;
  let fail = true;
  using _ = substitute({
    primitives: {
      fileSystem: () => {
        if (fail) throw systemError("ENOENT");
        return status(5);
      },
    },
    runtime: {
      later: (_milliseconds, call) => (next = call, () => {}),
      warn: (_message, code) => void warnings.push(code),
    },
  });
  using _watch = sourceWatch({ dir: "/missing", minFree: 10 }, () => {
    throw new Error("the callback's own");
  });
  const look = async (): Promise<void> => {
    const due = next!;
    next = undefined;
    due();
    while (next === undefined) await new Promise((resolve) => setTimeout(resolve));
  };
  for (let i = 0; i < 4; i++) await look();
  assert.deepEqual(warnings, ["ENOENT"]);
  fail = false;
  await look();
  assert.deepEqual(warnings, ["ENOENT", "MAYFLY_CALLBACK"]);
  fail = true;
  await look();
  assert.deepEqual(warnings, ["ENOENT", "MAYFLY_CALLBACK", "ENOENT"]);
});

test("watchSpace() warns again about a failure that comes back after a check that succeeded", async () => {
  const warnings: string[] = [], looks: (() => void)[] = [];
  let fail = true;
  using _ = substitute({
    primitives: {
      fileSystem() {
        if (fail) throw systemError("ENOENT");
        return status(50);
      },
    },
    runtime: {
      later: (_milliseconds, call) => (looks.push(call), () => {}),
      warn: (_message, code) => void warnings.push(code),
    },
  });
  using _watch = sourceWatch({ dir: "/missing", minFree: 10 }, () => {});
  for (fail of [true, false, true]) {
    const count = looks.length;
    looks[count - 1]();
    while (looks.length === count) await new Promise((resolve) => setTimeout(resolve));
  }
  assert.deepEqual(warnings, ["ENOENT", "ENOENT"]);
});

test("watchSpace() warns about any value that its callback rejects with, and checks again", async () => {
  const texts = new Map<unknown, string>([[undefined, "undefined"], [null, "null"], ["text", '"text"'], [
    {},
    "an object",
  ], [{ message: 5 }, "5"]]);
  for (const [reason, expected] of texts) {
    using disk = littleRoom();
    const { warnings, looks } = disk;
    using _watch = sourceWatch({ dir: "/some", minFree: 10 }, () => Promise.reject(reason));
    looks[0]();
    while (looks.length === 1) await new Promise((resolve) => setTimeout(resolve));
    assert.deepEqual(warnings, [ofCallback(expected)]);
  }
});

test("watchSpace() that is disposed during a check neither calls back nor warns, and schedules no further check", async () => {
  for (const fails of [false, true]) {
    const seen: string[] = [], looks: (() => void)[] = [];
    using _ = substitute({
      primitives: {
        fileSystem() {
          watch[Symbol.dispose]();
          seen.push("checked");
          if (fails) throw systemError("EIO");
          return status(5);
        },
      },
      runtime: {
        later: (_milliseconds, call) => (looks.push(call), () => {}),
        warn: (message) => void seen.push(message),
      },
    });
    const watch = sourceWatch({ dir: "/", minFree: 10 }, () => seen.push("called"));
    looks[0]();
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.deepEqual([seen, looks.length], [["checked"], 1]);
  }
});

test("watchSpace() does not keep the process alive", async () => {
  using place = scratch();
  const { status, said, stderr } = await runChild(
    `const alive = setInterval(() => {}, 1000);
     globalThis.watch = m.watchSpace({ dir: args[0], minFree: Number.MAX_SAFE_INTEGER, interval: 10 }, () => {
       say("low");
       clearInterval(alive);
     });`,
    { args: [place.path], timeout: 20_000 },
  );
  assert.equal(status, 0, stderr);
  assert.deepEqual(said, ["low"]);
});

test("watchSpace() cancels its timer at the end of its scope", () => {
  const cancelled: number[] = [];
  let number = 0;
  using _ = substitute({
    runtime: {
      later: () => {
        const mine = number++;
        return () => void cancelled.push(mine);
      },
    },
  });
  {
    using _watch = sourceWatch({ dir: "/", minFree: 1 }, () => {});
  }
  assert.deepEqual(cancelled, [0]);
});

test("watchSpace() refuses invalid options, and names them", () => {
  const call = (): void => {};
  const wrong: [string, string, unknown, unknown?][] = [
    ["TypeError", "options", undefined],
    ["TypeError", "options", null],
    ["TypeError", "options", {}],
    ["TypeError", "options", { dir: "/" }],
    ["TypeError", "minFree", { minFree: "1" }],
    ["RangeError", "minFree", { minFree: -1 }],
    ["RangeError", "minInodes", { minInodes: 1.5 }],
    ["TypeError", "interval", { minFree: 1, interval: "1" }],
    ["RangeError", "interval", { minFree: 1, interval: 0 }],
    ["RangeError", "interval", { minFree: 1, interval: NaN }],
    ["RangeError", "interval", { minFree: 1, interval: Infinity }],
    ["TypeError", "dir", { minFree: 1, dir: 5 }],
    ["TypeError", "onLow", { minFree: 1 }, "call"],
  ];
  for (const [name, option, options, onLow = call] of wrong) {
    assert.throws(
      () => watchSpace(options as WatchSpaceOptions, onLow as () => void),
      { name, code: "ERR_INVALID_OPTION", message: new RegExp(`^Option "${option}" must be `) },
      JSON.stringify(options),
    );
  }
  for (const interval of [10, 2 ** 31 - 1]) watchSpace({ minFree: 1, interval }, call)[Symbol.dispose]();
});
