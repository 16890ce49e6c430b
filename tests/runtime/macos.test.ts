/**
 * How the library handles the file systems of macOS, which a substitute of the runtime imitates.
 *
 * @module
 */
import assert from "node:assert/strict";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  renameSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { test } from "node:test";
import { namedTemporaryFile, temporaryDirectory, temporaryDirectorySync } from "../../mod.ts";
import type { Status } from "../../lib/runtime/mod.ts";
import { noPosixPaths } from "../support/platform.ts";
import { scratch } from "../support/scratch.ts";
import {
  changed,
  type Changes,
  heldLease,
  type Stub,
  substitute,
  systemError,
} from "../support/substitute.ts";

/** What makes another POSIX system look like macOS. */
function asMacOs({ primitives = {}, runtime = {} }: Changes = {}): Changes {
  return {
    primitives,
    runtime: { platform: "darwin", linkDescriptor: undefined, anchor: () => undefined, ...runtime },
  };
}

/** APFS and HFS+: a modification time before the birth time becomes the birth time as well. */
const bornNoLater = (status: Status): Status => ({
  ...status,
  birth: Math.min(status.birth, status.modified),
});

const OLD = new Date("2001-01-01");

test(
  "on macOS a file or directory is recognized after utimes() moved its birth time back, and is removed or persisted",
  {
    skip: noPosixPaths,
  },
  async () => {
    using place = scratch();
    using _lease = heldLease();
    using _mac = substitute(asMacOs({
      primitives: {
        status: (real, ...args) => changed(real(...args), bornNoLater),
        statusOf: (real, ...args) => changed(real(...args), bornNoLater),
      },
    }));
    const one = await temporaryDirectory({ dir: place.path });
    const two = temporaryDirectorySync({ dir: place.path });
    for (const { path } of [one, two]) {
      writeFileSync(join(path, "unpacked"), "");
      utimesSync(path, OLD, OLD);
    }
    using inside = one.namedTemporaryFileSync();
    utimesSync(one.path, OLD, OLD);
    await one.remove();
    two.removeSync();
    assert.deepEqual([one.path, two.path, inside.path].filter(existsSync), []);
    const file = await namedTemporaryFile({ dir: place.path });
    utimesSync(file.path, OLD, OLD);
    assert.equal(await file.persist(join(place.path, "kept")), join(place.path, "kept"));
    assert.deepEqual(place.list(), ["kept"]);
  },
);

/** Refuses changes in a read-only directory, to root as well. */
const ifWritable: Stub = (real, ...[path]: [string]) => {
  if ((statSync(dirname(path)).mode & 0o200) === 0) throw systemError("EACCES");
  return real(path);
};

/** Creates a tree of read-only directories, such as Go's module cache. */
function readOnlyTree(path: string): void {
  mkdirSync(join(path, "module", "inner"), { recursive: true });
  const directories = ["", "module", join("module", "inner")].map((name) => join(path, name));
  for (const directory of directories) writeFileSync(join(directory, "file"), "");
  for (const directory of directories) chmodSync(directory, 0o555);
}

test("C229 on macOS read-only directories are removed with their contents", {
  skip: noPosixPaths,
}, async () => {
  using place = scratch();
  const primitives = { unlink: ifWritable, removeDirectory: ifWritable };
  using _mac = substitute(asMacOs({ primitives, runtime: { removeTree: undefined } }));
  for (const remove of ["remove", "removeSync"] as const) {
    const directory = temporaryDirectorySync({ dir: place.path });
    readOnlyTree(directory.path);
    assert.deepEqual(await directory[remove](), []);
    assert.equal(existsSync(directory.path), false);
  }
});

test(
  "T17 C227 on macOS a directory, or link target, that replaces a directory about to be repaired keeps its mode",
  {
    skip: noPosixPaths,
  },
  () => {
    for (const isLink of [false, true]) {
      using place = scratch();
      using outside = scratch();
      const other = join(outside.path, "other"), repaired: string[] = [];
      mkdirSync(other, { mode: 0o500 });
      const openDirectory: Stub = (real, ...[path]: [string]) => {
        if (basename(path) === "module" && repaired.push(path) === 1) {
          // Only a writable directory can be moved to another parent, except by root.
          for (const one of [directory.path, path, other]) chmodSync(one, 0o700);
          renameSync(path, join(outside.path, "module"));
          if (isLink) symlinkSync(other, path);
          else renameSync(other, path);
          chmodSync(path, 0o500);
        }
        return real(path);
      };
      const primitives = { unlink: ifWritable, removeDirectory: ifWritable, openDirectory };
      using _mac = substitute(asMacOs({ primitives, runtime: { removeTree: undefined } }));
      const directory = temporaryDirectorySync({ dir: place.path, ignoreCleanupErrors: true });
      readOnlyTree(directory.path);
      directory.removeSync();
      assert.ok(repaired.length > 0);
      assert.equal(statSync(isLink ? other : join(directory.path, "module")).mode & 0o777, 0o500);
    }
  },
);
