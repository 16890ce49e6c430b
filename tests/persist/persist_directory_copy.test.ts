/**
 * `persist()` of a directory to another file system, by a copy.
 *
 * @module
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { temporaryDirectory as sourceDirectory } from "../../lib/directory.ts";
import { held } from "../../lib/life/registry.ts";
import {
  assertFilled,
  crossDevice,
  fill,
  filled,
  LINKS,
  modeOf,
  variants,
} from "../support/filled_directory.ts";
import { failureOf } from "../support/kinds.ts";
import { packageTest as test } from "../support/once.ts";
import { noDirectorySync, noFifos, noModes, shownMode } from "../support/platform.ts";
import { elsewhere, noElsewhere } from "../support/places.ts";
import { scratch } from "../support/scratch.ts";
import { substitute, systemError } from "../support/substitute.ts";

test(
  "C148 a directory's persist() to another file system copies contents, links and modes beside the target, renames, and removes the old tree",
  {
    skip: noElsewhere,
  },
  async () => {
    for (const persist of Object.values(variants)) {
      using there = scratch(elsewhere);
      using place = scratch();
      const target = join(place.path, "result");
      const directory = await sourceDirectory({ dir: there.path, mode: 0o750 });
      fill(directory.path);
      using watched = substitute();
      assert.equal(await persist(directory as never, target), target);
      assertFilled(target);
      assert.equal(modeOf(target), shownMode(0o750));
      const renames = watched.of("rename").map((args) => args.slice(0, 2) as string[]);
      // Only the copy is renamed: a pending rename of the tree itself would keep process exit from removing it.
      assert.deepEqual(renames.map(([from, to]) => [dirname(from), to]), [[place.path, target]]);
      assert.equal(directory.path, target);
      // The handle remains usable at the new path, and no longer removes the tree.
      const file = await directory.namedTemporaryFile();
      assert.equal(dirname(file.path), target);
      await file.close();
      await directory.remove();
      assert.deepEqual([there.list(), place.list()], [[], ["result"]]);
    }
  },
);

test(
  "C148 a directory's persist() that copies syncs the copy before the rename and the parent after, and closes all it opened",
  { skip: noDirectorySync },
  async () => {
    using place = scratch();
    const other = join(place.path, "other");
    mkdirSync(other);
    const directory = await filled(place);
    for (const durable of [true, false]) {
      const source = durable ? directory : await sourceDirectory({ dir: place.path });
      const target = join(other, `durable ${durable}`);
      using watched = substitute({ primitives: { rename: crossDevice(source.path) } });
      await source.persist(target, { durable });
      const steps = watched.calls.filter(({ name }) => /^(synchronize|rename)/.test(name));
      const last = steps.findLastIndex(({ name }) => name === "rename");
      const copies = steps.slice(0, last).filter(({ name, args }) =>
        name === "synchronize" || (name === "synchronizeDirectory" && String(args[0]).includes("/.mayfly-"))
      );
      // Four files twice, since the old tree is synced for the rename that failed, and three directories of the copy.
      assert.equal(copies.length, durable ? 4 + 4 + 3 : 0);
      assert.deepEqual(
        steps.slice(last + 1).map(({ name, args }) => [name, args[0]]),
        durable ? [["synchronizeDirectory", other]] : [],
      );
      const opened = watched.calls.filter(({ name }) => /^(open|locate|create)/.test(name));
      assert.equal(watched.of("close").length, opened.length);
    }
  },
);

test("C149 a directory's persist() whose copy fails half-way leaves the tree whole, and nothing at or beside the target", async () => {
  const steps: [string, string][] = [["write", "ENOSPC"], ["makeDirectory", "EDQUOT"]];
  if (LINKS.length > 0) steps.push(["symbolicLink", "EIO"]);
  for (const [step, code] of steps) {
    for (const persist of Object.values(variants)) {
      using place = scratch();
      const other = join(place.path, "other");
      mkdirSync(other);
      const directory = await filled(place), { path } = directory;
      {
        let count = 0;
        using _ = substitute({
          primitives: {
            rename: crossDevice(path),
            [step]: (real: (...args: unknown[]) => unknown, ...args: unknown[]) => {
              if (++count === 2) throw systemError(code);
              return real(...args);
            },
          },
        });
        assert.equal(await failureOf(() => persist(directory, join(other, "result"))), code);
      }
      assertFilled(path);
      assert.equal(directory.path, path);
      assert.deepEqual(readdirSync(other), []);
      // The call can be repeated.
      await persist(directory, join(other, "result"));
      assertFilled(join(other, "result"));
      assert.deepEqual(place.list(), ["other"]);
    }
  }
});

test(
  "a directory's persist() that would have to copy a pipe fails with EINVAL and leaves the tree unchanged",
  { skip: noFifos },
  async () => {
    using place = scratch();
    const other = join(place.path, "other");
    mkdirSync(other);
    const directory = await filled(place), { path } = directory;
    spawnSync("mkfifo", [join(path, "sub", "pipe")]);
    using _ = substitute({ primitives: { rename: crossDevice(path) } });
    assert.equal(await failureOf(() => directory.persist(join(other, "result"))), "EINVAL");
    assertFilled(path);
    assert.deepEqual(readdirSync(other), []);
    await directory.remove();
  },
);

test("a directory's persist() that cannot remove the old tree after a copy fails with an error saying the new one is in place", async () => {
  using place = scratch();
  const other = join(place.path, "other"), target = join(other, "result");
  mkdirSync(other);
  const directory = await filled(place), { path } = directory;
  {
    const refuse = (real: (...args: unknown[]) => unknown, ...args: unknown[]): unknown => {
      if (basename(String(args[0])) === "large") throw systemError("EACCES");
      return real(...args);
    };
    using _ = substitute({
      primitives: { rename: crossDevice(path), unlink: refuse },
      runtime: { removeTree: undefined },
    });
    await assert.rejects(directory.persist(target), {
      code: "EACCES",
      message: /is in place, but ".*large" cannot be removed/,
    });
  }
  assertFilled(target);
  assert.equal(directory.path, target);
  assert.ok(existsSync(join(path, "sub", "large")));
  // The rest is removed when the process ends. Here that must not be later, as its lease would stay for other tests.
  assert.equal(held().entries.find((entry) => entry.path === path)?.discard(), true);
  assert.equal(existsSync(path), false);
});

test("C149 a directory's persist() that copies fails with EIO if a file ends early, and leaves the tree whole", async () => {
  using place = scratch();
  const other = join(place.path, "other");
  mkdirSync(other);
  const directory = await filled(place), { path } = directory;
  for (const persist of Object.values(variants)) {
    let reads = 0;
    using _ = substitute({
      primitives: {
        rename: crossDevice(path),
        read: (real, ...args: unknown[]) =>
          (args[1] as Uint8Array).length === 1024 ** 2 && ++reads === 2 ? 0 : real(...args),
      },
    });
    await assert.rejects(persist(directory, join(other, "result")), {
      code: "EIO",
      message: /^Cannot copy ".*large": 1048576 of 3145729 bytes arrived \(EIO\)$/,
    });
    assert.deepEqual(readdirSync(other), []);
    assertFilled(path);
  }
  await directory.remove();
});

test("a directory's persist() aborted before or during a copy rejects, and leaves the tree unchanged", async () => {
  using place = scratch();
  const other = join(place.path, "other");
  mkdirSync(other);
  const directory = await filled(place), { path } = directory;
  const reason = new Error("enough");
  await assert.rejects(
    directory.persist(join(other, "result"), { signal: AbortSignal.abort(reason) }),
    reason,
  );
  const controller = new AbortController();
  {
    using _ = substitute({
      primitives: {
        rename: crossDevice(path),
        createFile: (real, created: string, ...args) => {
          if (created.startsWith(other)) controller.abort(reason);
          return real(created, ...args);
        },
      },
    });
    await assert.rejects(directory.persist(join(other, "result"), { signal: controller.signal }), reason);
  }
  assertFilled(path);
  assert.deepEqual(readdirSync(other), []);
  await directory.remove();
});

test(
  "C148 a directory's persist() copies to a file system without permission bits, where every chmod fails",
  { skip: noModes },
  async () => {
    for (const persist of Object.values(variants)) {
      for (const code of ["EPERM", "ENOSYS"]) {
        using place = scratch();
        const target = join(place.path, "other", "result");
        mkdirSync(dirname(target));
        const directory = await filled(place);
        const refuse = (): never => {
          throw systemError(code);
        };
        using watched = substitute({
          primitives: { rename: crossDevice(directory.path), changeMode: refuse },
        });
        await persist(directory as never, target);
        assert.ok(watched.of("changeMode").length > 4);
        assert.equal(readFileSync(join(target, "file"), "utf8"), "text");
        assert.deepEqual(place.list(), ["other"]);
      }
    }
  },
);

test("C148 a directory's persist() to a mount point, where every rename fails with EXDEV, fails and leaves the tree whole", async () => {
  for (const persist of Object.values(variants)) {
    using place = scratch();
    const other = join(place.path, "other");
    mkdirSync(other);
    const directory = await filled(place);
    {
      using _ = substitute({
        primitives: {
          rename() {
            throw systemError("EXDEV");
          },
        },
      });
      assert.equal(await failureOf(() => persist(directory, join(other, "result"))), "EXDEV");
    }
    assertFilled(directory.path);
    assert.deepEqual(readdirSync(other), []);
    await directory.remove();
  }
});
