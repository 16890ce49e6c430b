/**
 * `persist()` of a file that cannot be renamed: by a link or a copy.
 *
 * @module
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { held } from "../../lib/life/registry.ts";
import { runtime } from "../../lib/runtime/mod.ts";
import { namedTemporaryFile as sourceNamed } from "../../lib/file/named.ts";
import { temporaryFile as sourceUnnamed } from "../../lib/file/unnamed.ts";
import { failureOf, pattern, sameBytes } from "../support/kinds.ts";
import { packageTest as test } from "../support/once.ts";
import { BIG, createdIn, inMemory } from "../support/persisting.ts";
import { modeOf, noPosixPaths } from "../support/platform.ts";
import { elsewhere, noElsewhere, variants, workspace } from "../support/places.ts";
import { scratch } from "../support/scratch.ts";
import { substitute, systemError } from "../support/substitute.ts";

test(
  "C105 persist() of a large unnamed file links its descriptor to the target, whole and with one link, without a copy",
  {
    skip: runtime.linkDescriptor === undefined && "needs a platform that gives descriptors names",
  },
  async () => {
    for (const [variant, persist] of Object.entries(variants)) {
      using place = workspace();
      const linked: number[] = [];
      const { sync, pooled } = runtime.linkDescriptor!;
      using watched = substitute({
        runtime: {
          linkDescriptor: {
            sync: (descriptor, path) => (linked.push(descriptor), sync(descriptor, path)),
            pooled: (descriptor, path) => (linked.push(descriptor), pooled(descriptor, path)),
          },
        },
      });
      const file = await sourceUnnamed({ dir: place.temporary.path });
      const data = pattern(BIG);
      await file.write(data);
      const { fd } = file;
      const target = join(place.results.path, "new");
      await persist(file as never, target);
      assert.deepEqual(linked, [fd], variant);
      assert.deepEqual(createdIn(place.results, watched), [], "nothing was copied");
      assert.ok(sameBytes(readFileSync(target), data), variant);
      assert.equal(statSync(target).nlink, 1);
      assert.equal(modeOf(target), 0o600);
      assert.deepEqual(place.results.list(), ["new"]);
    }
  },
);

test("C105 persist() copies a large unnamed file if its descriptor cannot be linked", {
  skip: runtime.linkDescriptor === undefined && "needs a platform that gives descriptors names",
}, async () => {
  using place = workspace();
  let tried = 0;
  const refuse = (): never => {
    tried++;
    throw systemError("EIO");
  };
  using _ = substitute({
    runtime: { linkDescriptor: { sync: refuse, pooled: () => Promise.resolve().then(refuse) } },
  });
  for (const persist of Object.values(variants)) {
    const file = await sourceUnnamed({ dir: place.temporary.path });
    const data = pattern(BIG);
    await file.write(data);
    const target = join(place.results.path, "new");
    await persist(file as never, target);
    assert.ok(sameBytes(readFileSync(target), data));
    assert.deepEqual(place.results.list(), ["new"]);
  }
  assert.equal(tried, 2, "both variants try to link before they copy");
  const names = held().entries.map(({ path }) => path);
  assert.equal(
    names.some((path) => path?.startsWith(place.results.path)),
    false,
    "no path stays in the registry",
  );
});

test(
  "C148 persist() to another file system copies beside the target, syncs, renames, and removes the temporary file",
  {
    skip: noElsewhere,
  },
  async () => {
    for (const open of [sourceNamed, sourceUnnamed, inMemory]) {
      for (const [variant, persist] of Object.entries(variants)) {
        using temporary = scratch(elsewhere);
        using results = scratch();
        const target = join(results.path, "new");
        const file = await open({ dir: temporary.path, mode: 0o644 });
        const data = pattern(3 * 1024 ** 2 + 17);
        await file.write(data);
        using watched = substitute();
        assert.equal(await persist(file as never, target), target);
        const [staged] = createdIn(results, watched);
        assert.deepEqual(
          watched.calls.map(({ name }) => name).filter((name) => /^(synchronize|rename)/.test(name)),
          ["synchronize", "rename", "synchronizeDirectory"],
          variant,
        );
        assert.deepEqual(watched.of("rename").map((args) => args.slice(0, 2)), [[staged, target]]);
        assert.ok(sameBytes(readFileSync(target), data));
        assert.equal(modeOf(target), 0o644);
        assert.deepEqual([temporary.list(), results.list()], [[], ["new"]]);
      }
    }
  },
);

test("C148 persist() copies if the rename fails with EXDEV, as between two mounts of one device", async () => {
  for (const persist of Object.values(variants)) {
    using place = workspace();
    const file = await sourceNamed({ dir: place.temporary.path });
    await file.write("across");
    using _ = substitute({
      primitives: {
        rename: (real, from: string, to: string) => {
          if (from.startsWith(place.temporary.path)) throw systemError("EXDEV");
          return real(from, to);
        },
      },
    });
    const target = join(place.results.path, "new");
    await persist(file as never, target);
    assert.equal(readFileSync(target, "utf8"), "across");
    assert.deepEqual([place.temporary.list(), place.results.list()], [[], ["new"]]);
  }
});

test("C149 C286 persist() whose copy fails with ENOSPC or EDQUOT leaves target and temporary file whole, and no partial copy", async () => {
  for (const code of ["ENOSPC", "EDQUOT"]) {
    for (const persist of Object.values(variants)) {
      using place = workspace();
      const target = join(place.results.path, "target");
      writeFileSync(target, "old");
      const file = await sourceUnnamed({ dir: place.temporary.path });
      const data = pattern(3 * 1024 ** 2);
      await file.write(data);
      await file.flush();
      {
        let writes = 0;
        using _ = substitute({
          primitives: {
            write: (real, ...args) => {
              if (++writes === 2) throw systemError(code);
              return real(...args as unknown[]);
            },
          },
        });
        assert.equal(await failureOf(() => persist(file as never, target)), code);
        assert.equal(writes, 2);
      }
      assert.equal(readFileSync(target, "utf8"), "old");
      assert.deepEqual(place.results.list(), ["target"]);
      assert.ok(sameBytes(await file.bytes(), data));
      await persist(file as never, target);
      assert.ok(sameBytes(readFileSync(target), data));
    }
  }
});

test("C149 persist() fails with EIO instead of storing a truncated file if the source ends early while it is copied", async () => {
  using place = workspace();
  const target = join(place.results.path, "target");
  const file = await sourceUnnamed({ dir: place.temporary.path });
  await file.write(pattern(3 * 1024 ** 2));
  await file.flush();
  let reads = 0;
  using _ = substitute({
    primitives: { read: (real, ...args) => ++reads === 2 ? 0 : real(...args as unknown[]) },
  });
  assert.equal(await failureOf(() => file.persistSync(target)), "EIO");
  assert.deepEqual(place.results.list(), []);
  file.closeSync();
});

test(
  "persist() of an unnamed file copies, syncs, renames and syncs again where descriptors cannot be linked, as on macOS",
  {
    skip: noPosixPaths,
  },
  async () => {
    using place = workspace();
    using watched = substitute({
      runtime: { platform: "darwin", linkDescriptor: undefined, anchor: () => undefined },
    });
    const file = await sourceUnnamed({ dir: place.temporary.path });
    const data = pattern(BIG);
    await file.write(data);
    const target = join(place.results.path, "new");
    await file.persist(target);
    assert.ok(sameBytes(readFileSync(target), data));
    const steps = watched.calls.map(({ name }) => name).filter((name) => /^(synchronize|rename)/.test(name));
    assert.deepEqual(steps, ["synchronize", "rename", "synchronizeDirectory"]);
    assert.deepEqual([place.temporary.list(), place.results.list()], [[], ["new"]]);
  },
);

test(
  "C105 persist() of a large unnamed file removes a link that was created although the call failed, and copies",
  {
    skip: runtime.linkDescriptor === undefined && "needs a platform that gives descriptors names",
  },
  async () => {
    for (const persist of Object.values(variants)) {
      using place = workspace();
      const { sync, pooled } = runtime.linkDescriptor!;
      const made: string[] = [];
      using _ = substitute({
        runtime: {
          linkDescriptor: {
            sync(descriptor, path) {
              sync(descriptor, path);
              made.push(path);
              throw systemError("EIO");
            },
            async pooled(descriptor, path) {
              await pooled(descriptor, path);
              made.push(path);
              throw systemError("EIO");
            },
          },
        },
      });
      const file = await sourceUnnamed({ dir: place.temporary.path });
      const data = pattern(BIG);
      await file.write(data);
      const target = join(place.results.path, "new");
      await persist(file as never, target);
      assert.deepEqual([made.length, existsSync(made[0])], [1, false]);
      assert.ok(sameBytes(readFileSync(target), data));
      assert.deepEqual([statSync(target).nlink, place.results.list()], [1, ["new"]]);
    }
  },
);
