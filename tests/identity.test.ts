import assert from "node:assert/strict";
import { existsSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { runtime, type Status } from "../lib/runtime/mod.ts";
import { namedTemporaryFile, temporaryDirectory, temporaryDirectorySync } from "../mod.ts";
import { noLinux } from "./support/platform.ts";
import { scratch } from "./support/scratch.ts";
import { changed, type Changes, heldLease, substitute } from "./support/substitute.ts";

/** The birth time that Node and Bun report where there is no statx(2). */
const bornAtChange = (status: Status): Status => ({ ...status, birth: status.modified });

const withoutStatx: Changes = {
  primitives: {
    status: (real, ...args) => changed(real(...args), bornAtChange),
    statusOf: (real, ...args) => changed(real(...args), bornAtChange),
    statusOfTarget: (real, ...args) => changed(real(...args), bornAtChange),
  },
};

test(
  "without statx(2), where the last change is reported as birth time, a changed file or directory is still recognized",
  {
    skip: noLinux,
  },
  async () => {
    using place = scratch();
    using _lease = heldLease();
    using _sandbox = substitute(withoutStatx);
    const one = await temporaryDirectory({ dir: place.path });
    const two = temporaryDirectorySync({ dir: place.path });
    await using file = await namedTemporaryFile({ dir: place.path });
    // Timestamps of file systems are coarse.
    await new Promise((resolve) => setTimeout(resolve, 20));
    writeFileSync(join(one.path, "new"), "");
    writeFileSync(join(two.path, "new"), "");
    await file.write("new");
    using inside = one.namedTemporaryFileSync();
    using again = await file.reopen();
    assert.equal(again.textSync(), "new");
    await one.remove();
    two.removeSync();
    assert.deepEqual([one.path, two.path, inside.path].filter(existsSync), []);
  },
);

test("without statx(2) a replaced directory is recognized by its inode number, and fails with ERR_REPLACED", {
  skip: noLinux,
}, () => {
  using place = scratch();
  using _lease = heldLease();
  using _sandbox = substitute(withoutStatx);
  const directory = temporaryDirectorySync({ dir: place.path });
  const other = temporaryDirectorySync({ dir: place.path, delete: false });
  renameSync(directory.path, join(place.path, "moved"));
  renameSync(other.path, directory.path);
  assert.throws(() => directory.removeSync(), { code: "ERR_REPLACED" });
});

test("files in /proc have no birth time, which shows that the runtime reports real birth times", {
  skip: noLinux,
}, () => {
  assert.equal(runtime.sync.status("/proc/self").birth, 0);
});
