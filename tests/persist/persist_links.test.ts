/**
 * `persist()` of a file onto symbolic and hard links.
 *
 * @module
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { namedTemporaryFile } from "#mod";
import { namedTemporaryFile as sourceNamed } from "../../lib/file/named.ts";
import { failureOf, kinds } from "../support/kinds.ts";
import { packageTest as test } from "../support/once.ts";
import { modeOf, noLinks, noLinux, noReplacing, shownMode } from "../support/platform.ts";
import { variants, workspace } from "../support/places.ts";
import { substitute } from "../support/substitute.ts";

test(
  "C150 persist() onto a symbolic link replaces the link, and takes no permissions from the file that it points to",
  { skip: noLinks },
  async () => {
    for (const [kind, open] of Object.entries(kinds)) {
      for (const persist of Object.values(variants)) {
        using place = workspace();
        const pointee = join(place.results.path, "pointee"), link = join(place.results.path, "link");
        writeFileSync(pointee, "old", { mode: 0o666 });
        symlinkSync("pointee", link);
        const file = await open({ dir: place.temporary.path });
        await file.write("new");
        assert.equal(await persist(file, link), link);
        assert.ok(lstatSync(link).isFile(), kind);
        assert.equal(modeOf(link), shownMode(0o600), kind);
        assert.equal(readFileSync(pointee, "utf8"), "old");
      }
    }
  },
);

test(
  "C150 persist() with links: follow replaces the file at the end of a chain of symbolic links, and keeps the links",
  {
    skip: noLinks,
  },
  async () => {
    for (const persist of Object.values(variants)) {
      using place = workspace();
      const { path } = place.results;
      mkdirSync(join(path, "sub"));
      writeFileSync(join(path, "sub", "file"), "old");
      chmodSync(join(path, "sub", "file"), 0o640);
      symlinkSync("sub/second", join(path, "first"));
      symlinkSync(join(path, "sub", "file"), join(path, "sub", "second"));
      const file = await namedTemporaryFile({ dir: place.temporary.path });
      await file.write("new");
      assert.equal(await persist(file, join(path, "first"), { links: "follow" }), join(path, "sub", "file"));
      assert.equal(readFileSync(join(path, "first"), "utf8"), "new");
      assert.equal(modeOf(join(path, "first")), shownMode(0o640));
      assert.equal(readlinkSync(join(path, "first")), "sub/second");
      assert.ok(lstatSync(join(path, "sub", "second")).isSymbolicLink());
    }
  },
);

test(
  "C150 persist() with links: follow fails with EILSEQ if a link's target is not valid UTF-8, and creates nothing (Linux)",
  {
    skip: noLinux,
  },
  async () => {
    using place = workspace();
    const { path } = place.results, link = join(path, "link");
    assert.equal(spawnSync("sh", ["-c", `ln -s "$(printf 'x\\377')" "$1"`, "sh", link]).status, 0);
    // The link's target as it is decoded: this file must not be touched.
    writeFileSync(join(path, "x\uFFFD"), "another");
    for (const [variant, persist] of Object.entries(variants)) {
      const file = await namedTemporaryFile({ dir: place.temporary.path });
      assert.equal(await failureOf(() => persist(file, link, { links: "follow" })), "EILSEQ", variant);
      await file.close();
    }
    assert.deepEqual(place.results.list(), ["link", "x\uFFFD"]);
    assert.equal(readFileSync(join(path, "x\uFFFD"), "utf8"), "another");
  },
);

test(
  "C150 persist() never creates the target of a dangling link, and with links: follow fails with ELOOP on a link to itself",
  { skip: noLinks },
  async () => {
    for (const persist of Object.values(variants)) {
      using place = workspace();
      const dangling = join(place.results.path, "dangling"), loop = join(place.results.path, "loop");
      symlinkSync("planted", dangling);
      symlinkSync("loop", loop);
      const file = await namedTemporaryFile({ dir: place.temporary.path });
      assert.equal(await failureOf(() => persist(file, dangling, { links: "follow" })), "ENOENT");
      assert.equal(await failureOf(() => persist(file, loop, { links: "follow" })), "ELOOP");
      assert.equal(await failureOf(() => persist(file, dangling, { overwrite: false })), "EEXIST");
      assert.deepEqual(place.results.list(), ["dangling", "loop"]);
      assert.ok(lstatSync(dangling).isSymbolicLink());
      await persist(file, dangling);
      assert.ok(lstatSync(dangling).isFile());
      assert.deepEqual(place.results.list(), ["dangling", "loop"]);
    }
  },
);

test("C162 persist() keeps neither hard links to the replaced file nor its inode, and gets a new one", async () => {
  using place = workspace();
  const target = join(place.results.path, "target"), other = join(place.results.path, "other");
  writeFileSync(target, "old");
  linkSync(target, other);
  const file = await namedTemporaryFile({ dir: place.temporary.path });
  await file.write("new");
  await file.persist(target);
  assert.equal(readFileSync(other, "utf8"), "old");
  assert.notEqual(statSync(target).ino, statSync(other).ino);
});

test("C166 differs: Mayfly creates no symbolic links, but persist() replaces one by a single rename, so that the path always exists", async () => {
  for (const [variant, persist] of Object.entries(variants)) {
    using place = workspace();
    const link = join(place.results.path, "link");
    for (const target of ["nowhere", "old"]) {
      writeFileSync(join(place.results.path, "old"), "old");
      symlinkSync(target, link);
      const file = await sourceNamed({ dir: place.temporary.path });
      await file.write("new");
      using watched = substitute();
      await persist(file, link);
      const changing = watched.calls.filter(({ name }) =>
        /^(unlink|link|rename|symbolicLink|createFile)$/.test(name)
      );
      assert.deepEqual(changing.map(({ name, args }) => [name, args[1]]), [["rename", link]], variant);
      assert.ok(lstatSync(link).isFile());
      const textOf = (name: string): string => readFileSync(join(place.results.path, name), "utf8");
      assert.deepEqual([textOf("link"), textOf("old"), place.results.list()], ["new", "old", [
        "link",
        "old",
      ]]);
      unlinkSync(link);
    }
  }
});

test(
  "persist() onto a hard link to the same file makes the target a file of its own, and removes the temporary name",
  { skip: noReplacing },
  async () => {
    for (const persist of Object.values(variants)) {
      using place = workspace();
      const file = await namedTemporaryFile({ dir: place.temporary.path });
      await file.write("x");
      const target = join(place.results.path, "name");
      linkSync(file.path, target);
      await persist(file, target);
      assert.equal(readFileSync(target, "utf8"), "x");
      assert.equal(statSync(target).nlink, 1);
      assert.deepEqual([place.temporary.list(), place.results.list()], [[], ["name"]]);
    }
  },
);

test("C142 persist() moves a file that has another hard link to a new path or over another file, and leaves that link", async () => {
  for (const persist of Object.values(variants)) {
    using place = workspace();
    const target = join(place.results.path, "target"), other = join(place.results.path, "other");
    for (const old of [undefined, "old"]) {
      if (old !== undefined) writeFileSync(target, old);
      const file = await namedTemporaryFile({ dir: place.temporary.path });
      await file.write("new");
      linkSync(file.path, other);
      await persist(file, target);
      assert.deepEqual([readFileSync(target, "utf8"), readFileSync(other, "utf8")], ["new", "new"]);
      assert.deepEqual(place.temporary.list(), []);
      for (const path of [target, other]) unlinkSync(path);
    }
  }
});
