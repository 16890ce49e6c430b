/**
 * Behaviour specific to Windows: files in use, pending deletions, junctions. On other systems its errors are injected into
 * the source; tests of Windows itself run only there.
 *
 * @module
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { temporaryDirectorySync as realDirectorySync } from "#mod";
import {
  adoptFile,
  configure,
  namedTemporaryFile,
  sweep,
  type TemporaryDirectory,
  temporaryDirectorySync,
  temporaryFileSync,
  tmpdir,
} from "../../mod.ts";
import type { TempfileError } from "../../lib/errors.ts";
import type { Status } from "../../lib/runtime/mod.ts";
import { underWine } from "../support/platform.ts";
import { scratch } from "../support/scratch.ts";
import { asWindows, changed, heldLease, substitute, systemError } from "../support/substitute.ts";

const notWindows = process.platform !== "win32" && "needs Windows";

/** A call that Windows refuses for a while. */
interface Refusal {
  primitive: "unlink" | "removeDirectory";
  name: string;
  code: string;
  /** How many times it is refused. */
  times: number;
}

/** Imitates Windows, and refuses a call; records how long the library waited in total, and how often it tried. */
function refusing(refusal: Refusal) {
  const seen = { waited: 0, tries: 0 };
  const undo = substitute(asWindows({
    primitives: {
      [refusal.primitive](real: (path: unknown) => unknown, path: unknown) {
        if (!String(path).endsWith(refusal.name)) return real(path);
        seen.tries++;
        if (refusal.times-- > 0) throw systemError(refusal.code);
        return real(path);
      },
    },
    runtime: {
      // The runtime's recursive removal would not call the stub above.
      removeTree: undefined,
      sleep: (milliseconds) => void (seen.waited += milliseconds),
      after(milliseconds, call) {
        seen.waited += milliseconds;
        call();
        return () => {};
      },
    },
  }));
  return { refusal, seen, [Symbol.dispose]: () => undo[Symbol.dispose]() };
}

function directoryWithFiles(): TemporaryDirectory {
  const directory = temporaryDirectorySync();
  for (const name of ["open", "other"]) writeFileSync(join(directory.path, name), "contents");
  return directory;
}

async function failureOf(call: () => unknown): Promise<TempfileError> {
  try {
    await call();
  } catch (error) {
    return error as TempfileError;
  }
  throw new assert.AssertionError({ message: "it did not fail" });
}

test("C292 C293 a removal reports an open file with EBUSY or EPERM after 2 s of retries, and succeeds once it is closed", async () => {
  using _lease = heldLease();
  const ways = (["remove", "removeSync"] as const).flatMap((way) =>
    ["EBUSY", "EPERM"].map((code) => [way, code] as const)
  );
  for (const [way, code] of ways) {
    using directory = directoryWithFiles();
    using windows = refusing({ primitive: "unlink", name: "open", code, times: Infinity });
    const { code: found, leftovers } = await failureOf(() => directory[way]());
    const open = join(directory.path, "open").replaceAll("\\", "/");
    assert.deepEqual([found, leftovers.map((left) => [left.path.replaceAll("\\", "/"), left.code])], [code, [[
      open,
      code,
    ]]]);
    assert.deepEqual(readdirSync(directory.path), ["open"]);
    assert.deepEqual(windows.seen, { waited: 2000, tries: 11 }, way);
    windows.refusal.times = 0;
    assert.deepEqual(await directory[way](), []);
    assert.equal(existsSync(directory.path), false);
  }
});

test("C296 a directory that is not empty because a deletion is pending is retried for up to 2 s, then reported", async () => {
  using _lease = heldLease();
  for (const way of ["remove", "removeSync"] as const) {
    using directory = temporaryDirectorySync();
    using other = temporaryDirectorySync();
    const name = directory.path.slice(-13);
    using windows = refusing({ primitive: "removeDirectory", name, code: "ENOTEMPTY", times: 8 });
    assert.deepEqual(await directory[way](), []);
    assert.equal(existsSync(directory.path), false);
    assert.ok(windows.seen.waited > 0 && windows.seen.waited <= 2000, `waited ${windows.seen.waited} ms`);
    using still = refusing({
      primitive: "removeDirectory",
      name: other.path.slice(-13),
      code: "ENOTEMPTY",
      times: Infinity,
    });
    assert.equal((await failureOf(() => other[way]())).code, "ENOTEMPTY");
    assert.equal(still.seen.waited, 2000, way);
  }
});

test("C297 a file that a terminated child still holds (EACCES) is retried for up to 2 s, then reported", async () => {
  using _lease = heldLease();
  for (const way of ["remove", "removeSync"] as const) {
    using directory = directoryWithFiles();
    using other = directoryWithFiles();
    using windows = refusing({ primitive: "unlink", name: "open", code: "EACCES", times: 3 });
    assert.deepEqual(await directory[way](), []);
    assert.equal(windows.seen.tries, 4, way);
    using still = refusing({ primitive: "unlink", name: "open", code: "EACCES", times: Infinity });
    const { code, message } = await failureOf(() => other[way]());
    assert.equal(code, "EACCES");
    assert.match(message, /open" \(EACCES\)/);
    assert.equal(still.seen.waited, 2000, way);
  }
});

test("tmpdir() accepts a directory if a virus scanner briefly holds the file that probes it (EBUSY)", () => {
  using place = scratch();
  let refusals = 3;
  using _windows = substitute(asWindows({
    primitives: {
      unlink(real, path: string) {
        if (refusals-- > 0) throw systemError("EBUSY");
        return real(path);
      },
    },
  }));
  configure({ tmpdir: place.path });
  try {
    assert.equal(tmpdir(), place.path);
    assert.deepEqual(place.names(), []);
  } finally {
    configure({ tmpdir: undefined });
  }
});

test("C297 sweep() retries a file that a virus scanner holds (EBUSY) for up to 2 s, then reports it", async () => {
  using place = scratch();
  let refusals = 3, waited = 0;
  using _windows = substitute(asWindows({
    primitives: {
      unlink(real, path: string) {
        if (path.endsWith("old") && refusals-- > 0) throw systemError("EBUSY");
        return real(path);
      },
    },
    runtime: {
      locks: undefined,
      after(milliseconds, call) {
        waited += milliseconds;
        call();
        return () => {};
      },
    },
  }));
  configure({ tmpdir: place.path });
  try {
    const swept = async () => {
      writeFileSync(join(place.path, "old"), "x");
      const { removed, left } = await sweep({ prefix: "old", olderThan: 0 });
      return [removed.length, left.map(({ code }) => code)];
    };
    assert.deepEqual([await swept(), place.names()], [[1, []], []]);
    [refusals, waited] = [Infinity, 0];
    assert.deepEqual([await swept(), waited], [[0, ["EBUSY"]], 2000]);
  } finally {
    configure({ tmpdir: undefined });
  }
});

test(
  "C294 a junction inside is removed, and its target is left intact (Windows)",
  { skip: notWindows || underWine("there are no junctions") },
  () => {
    using outside = scratch();
    writeFileSync(join(outside.path, "precious"), "x");
    const directory = realDirectorySync();
    symlinkSync(outside.path, join(directory.path, "junction"), "junction");
    mkdirSync(join(directory.path, "sub"));
    symlinkSync(outside.path, join(directory.path, "sub", "junction"), "junction");
    assert.deepEqual(directory.removeSync(), []);
    assert.equal(existsSync(directory.path), false);
    assert.deepEqual(outside.list(), ["precious"]);
  },
);

test("C295 files with the read-only attribute are removed (Windows)", { skip: notWindows }, () => {
  const directory = realDirectorySync();
  const file = join(directory.path, "file");
  writeFileSync(file, "x");
  chmodSync(file, 0o444);
  assert.equal(spawnSync("attrib", ["+R", file]).status, 0);
  assert.deepEqual(directory.removeSync(), []);
  assert.equal(existsSync(directory.path), false);
});

test("persist() and adoptFile() accept a file whose path reports device 0, as on Node 22.16 on Windows", async () => {
  using place = scratch();
  using _windows = substitute(asWindows({
    primitives: {
      status: (real, ...args) => changed(real(...args), (status: Status) => ({ ...status, device: 0 })),
    },
  }));
  await using file = await namedTemporaryFile({ dir: place.path });
  await file.write("contents");
  await file.persist(join(place.path, "kept"));
  await using adopted = await adoptFile(join(place.path, "kept"));
  assert.equal(await adopted.text(), "contents");
});

test("blob() of an unnamed file on Windows reads the named file that is created in its place", async () => {
  using place = scratch();
  const asked: string[] = [];
  using _windows = substitute(asWindows({
    runtime: {
      fileBlobs: {
        named: (path) => (asked.push(path), Promise.resolve(new Blob(["contents"]))),
        unnamed: () => assert.fail("read by its descriptor"),
      },
    },
  }));
  using file = temporaryFileSync({ dir: place.path });
  file.writeSync("contents");
  await file.blob();
  assert.deepEqual(asked.map((path) => path.split(/[\\/]/).at(-1)), readdirSync(place.path));
});
