/**
 * What the library makes of the answers of macOS, on a runtime that gives them.
 *
 * @module
 */
import assert from "node:assert/strict";
import { existsSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { namedTemporaryFile, temporaryDirectory, temporaryDirectorySync } from "../mod.ts";
import type { Status } from "../lib/runtime/mod.ts";
import { noPosixPaths } from "./support/platform.ts";
import { scratch } from "./support/scratch.ts";
import { changed, type Changes, heldLease, substitute } from "./support/substitute.ts";

/** What makes another POSIX system look like macOS. */
function asMacOs({ primitives = {}, runtime = {} }: Changes = {}): Changes {
  return {
    primitives,
    runtime: { platform: "darwin", linkDescriptor: undefined, anchor: () => undefined, ...runtime },
  };
}

/** APFS and HFS+ take a time of change before the birth for the birth as well. */
const bornNoLater = (status: Status): Status => ({
  ...status,
  birth: Math.min(status.birth, status.modified),
});

const OLD = new Date("2001-01-01");

test(
  "on macOS a directory or file that was given a time before its birth, which is its birth then, is still the one that was made",
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
