/**
 * `persist()` of a directory: what arrives at the target, which targets it takes, and what is synchronized.
 *
 * @module
 */
import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, join, relative } from "node:path";
import { pathToFileURL } from "node:url";
import { adoptDirectory, temporaryDirectory, temporaryDirectorySync } from "#mod";
import {
  temporaryDirectory as sourceDirectory,
  temporaryDirectorySync as sourceDirectorySync,
} from "../../lib/directory.ts";
import { configure } from "../../lib/settings.ts";
import { runChild } from "../support/child.ts";
import { assertFilled, crossDevice, fill, filled, modeOf, variants } from "../support/filled_directory.ts";
import { failureOf } from "../support/kinds.ts";
import { readLeases, withoutLease } from "../support/leases.ts";
import { packageTest as test } from "../support/once.ts";
import { isWindows, noDirectorySync, noLinks, shownMode } from "../support/platform.ts";
import { scratch } from "../support/scratch.ts";
import { substitute, systemError } from "../support/substitute.ts";

test("C142 C147 a directory's persist() moves the tree and returns its canonical path; remove() and disposal then leave it", async () => {
  for (const persist of Object.values(variants)) {
    using place = scratch();
    const target = join(place.path, "result");
    const directory = await temporaryDirectory({ dir: place.path, mode: 0o750 });
    const { path } = directory, { ino } = statSync(path);
    fill(path);
    assert.equal(await persist(directory, relative(process.cwd(), target)), target);
    assertFilled(target);
    assert.deepEqual([statSync(target).ino, modeOf(target)], [ino, shownMode(0o750)]);
    assert.equal(directory.path, target);
    assert.equal(directory.join("file"), join(target, "file"));
    assert.deepEqual(await directory.remove(), []);
    directory[Symbol.dispose]();
    await directory[Symbol.asyncDispose]();
    assert.deepEqual(place.list(), ["result"]);
    assertFilled(target);
  }
});

test("C147 process exit does not remove a persisted directory", async () => {
  using place = scratch();
  const { status, stderr } = await runChild(
    `const directory = m.temporaryDirectorySync({ dir: args[0] });
     fs.writeFileSync(directory.join("file"), "x");
     await directory.persist(path.join(args[0], "result"));`,
    { args: [place.path] },
  );
  assert.equal(status, 0, stderr);
  assert.deepEqual(place.list(), ["result"]);
  assert.ok(existsSync(join(place.path, "result", "file")));
});

test("C145 a directory's persist() replaces an empty directory, and refuses any other existing target", async () => {
  for (const persist of Object.values(variants)) {
    using place = scratch();
    const at = (name: string): string => join(place.path, name);
    mkdirSync(at("empty"));
    mkdirSync(at("full"));
    writeFileSync(at("full/file"), "x");
    writeFileSync(at("file"), "old");
    if (!noLinks) symlinkSync("empty", at("link"));
    const before = place.list();
    const directory = await temporaryDirectory({ dir: place.path });
    const { path } = directory;
    fill(path);
    for (const name of before.filter((name) => name !== "empty")) {
      const code = name === "full" ? /^(ENOTEMPTY|EEXIST)$/ : /^ENOTDIR$/;
      assert.match(await failureOf(() => persist(directory, at(name))), code, name);
    }
    assertFilled(path);
    assert.equal(readFileSync(at("file"), "utf8"), "old");
    await persist(directory, at("empty"));
    assertFilled(at("empty"));
    assert.deepEqual(place.list(), before);
  }
});

test("C144 a directory's persist() with overwrite: false fails with EEXIST if the target exists or appears during the call", async () => {
  for (const persist of Object.values(variants)) {
    using place = scratch();
    const target = join(place.path, "target"), free = join(place.path, "free");
    mkdirSync(target);
    const directory = await filled(place), { path } = directory;
    assert.equal(await failureOf(() => persist(directory, target, { overwrite: false })), "EEXIST");
    {
      // makeDirectory reserves the target; on Windows, which cannot do so, only rename takes it.
      using _ = substitute({
        primitives: {
          makeDirectory: (real, made: string, mode: number) => {
            if (made === free) mkdirSync(free);
            return real(made, mode);
          },
          rename: (real, from: string, to: string) => {
            if (to === free) mkdirSync(free, { recursive: true });
            return real(from, to);
          },
        },
      });
      assert.equal(await failureOf(() => persist(directory, free, { overwrite: false })), "EEXIST");
    }
    assert.deepEqual([readdirSync(free), readdirSync(target)], [[], []], "existing directories stay");
    assertFilled(path);
    await persist(directory, join(place.path, "result"), { overwrite: false });
    assertFilled(join(place.path, "result"));
  }
});

test("C146 a directory's persist() into a missing directory fails with ENOENT, and can be called again", async () => {
  for (const persist of Object.values(variants)) {
    using place = scratch();
    const directory = await temporaryDirectory({ dir: place.path });
    const { path } = directory;
    fill(path);
    const missing = join(place.path, "missing");
    const target = join(missing, "result");
    await assert.rejects(async () => await persist(directory, target), {
      code: "ENOENT",
      path: target,
      message: `Cannot put a directory at "${target}": no such file or directory (ENOENT)`,
    });
    assertFilled(path);
    mkdirSync(missing);
    await persist(directory, target);
    assertFilled(target);
    assert.deepEqual(place.list(), ["missing"]);
  }
});

test(
  "a directory's persist() syncs files and directories before the rename and the parent after it, or nothing with durable: false",
  { skip: noDirectorySync },
  async () => {
    using place = scratch();
    const directory = await filled(place), { path } = directory;
    const order = (calls: { name: string; args: unknown[] }[]): string[] =>
      calls.filter(({ name }) => /^(synchronize|rename)/.test(name)).map(({ name, args }) =>
        name === "synchronizeDirectory" ? `directory ${basename(args[0] as string)}` : name
      );
    {
      using watched = substitute();
      await directory.persist(join(place.path, "result"));
      const found = order(watched.calls);
      const top = `directory ${basename(path)}`;
      assert.deepEqual(found.slice(-3), [top, "rename", `directory ${basename(place.path)}`]);
      assert.deepEqual(found.slice(0, -3).sort(), [
        "directory empty",
        "directory sub",
        ...Array(4).fill("synchronize"),
      ]);
    }
    const quick = await sourceDirectory({ dir: place.path });
    using watched = substitute();
    await quick.persist(join(place.path, "quick"), { durable: false });
    assert.deepEqual(order(watched.calls), ["rename"]);
  },
);

test(
  "C152 a directory's persist() whose fsync fails leaves the tree, or says that it is in place if only the parent's failed",
  { skip: noDirectorySync },
  async () => {
    for (const persist of Object.values(variants)) {
      using place = scratch();
      const target = join(place.path, "result");
      const directory = await filled(place), { path } = directory;
      const failing = (when: (path: unknown) => boolean) => ({
        primitives: {
          synchronizeDirectory: (real: (...args: unknown[]) => unknown, synced: unknown) => {
            if (when(synced)) throw systemError("EIO");
            return real(synced);
          },
        },
      });
      {
        using _ = substitute(failing((synced) => synced === path));
        assert.equal(await failureOf(() => persist(directory, target)), "EIO");
        assertFilled(path);
        assert.ok(!existsSync(target));
      }
      using _ = substitute(failing((synced) => synced === place.path));
      await assert.rejects(persist(directory, target), { code: "EIO", message: /is in place, but/ });
      assertFilled(target);
      assert.equal(directory.path, target);
      await directory.remove();
      assert.deepEqual(place.list(), ["result"]);
    }
  },
);

test("a directory's persist() refuses a root, . or .., a path inside itself, what is no path, and a tree that was replaced", async () => {
  using place = scratch();
  const directory = await temporaryDirectory({ dir: place.path });
  const { path } = directory;
  fill(path);
  for (const persist of Object.values(variants)) {
    for (
      const target of ["/", ".", "..", `${place.path}/.`, `${place.path}/..`, join(path, "sub", "inside")]
    ) {
      assert.equal(await failureOf(() => persist(directory, target)), "EINVAL", target);
    }
    for (const wrong of ["", "a\0b", 5, new URL("http://example.com")]) {
      assert.equal(
        await failureOf(() => persist(directory, wrong as string)),
        "TypeError ERR_INVALID_OPTION",
      );
    }
  }
  assertFilled(path);
  renameSync(path, join(place.path, "moved"));
  mkdirSync(path);
  writeFileSync(join(path, "theirs"), "x");
  for (const persist of Object.values(variants)) {
    assert.equal(await failureOf(() => persist(directory, join(place.path, "result"))), "ERR_REPLACED");
  }
  assert.deepEqual(readdirSync(path), ["theirs"]);
  directory.keep();
});

test("a directory's persist() accepts a trailing separator, and file: URLs", async () => {
  using place = scratch();
  const one = temporaryDirectorySync({ dir: place.path }), two = temporaryDirectorySync({ dir: place.path });
  assert.equal(await one.persist(join(place.path, "one", "/")), join(place.path, "one"));
  assert.equal(two.persistSync(pathToFileURL(join(place.path, "two"))), join(place.path, "two"));
  assert.deepEqual(place.list(), ["one", "two"]);
});

test(
  "C265 a directory persisted under its own base name stays reclaimable until it is synced and renamed",
  {
    skip: noDirectorySync,
  },
  async () => {
    await withoutLease();
    using place = scratch();
    mkdirSync(join(place.path, "there"));
    configure({ tmpdir: place.path });
    const said = (): string => Object.values(readLeases(place.path))[0];
    const kept: boolean[] = [];
    using _ = substitute({
      primitives: {
        synchronizeDirectory(real, path) {
          kept.push(said().includes("kept "));
          real(path);
        },
      },
    });
    try {
      using directory = sourceDirectorySync();
      const { path } = directory;
      directory.persistSync(join(place.path, "there", basename(path)));
      // First its own directory is synced, then the parent.
      assert.deepEqual([kept, said().includes(`kept ${basename(path)}\n`)], [[false, true], true]);
    } finally {
      configure({ tmpdir: undefined });
    }
  },
);

test("C160 a directory's persist() fails with ERR_CLOSED after remove(), and works again after keep() or persist()", async () => {
  using place = scratch();
  const removed = await temporaryDirectory({ dir: place.path });
  await removed.remove();
  for (const persist of Object.values(variants)) {
    assert.equal(await failureOf(() => persist(removed, join(place.path, "x"))), "ERR_CLOSED");
  }
  const kept = await temporaryDirectory({ dir: place.path });
  kept.keep();
  await kept.persist(join(place.path, "first"));
  await kept.persist(join(place.path, "second"));
  await kept.remove();
  assert.deepEqual(place.list(), ["second"]);
});

test("a directory's persist() succeeds if something in the tree is removed while it is synchronized", async () => {
  using place = scratch();
  const directory = await sourceDirectory({ dir: place.path });
  for (const name of ["a", "b"]) {
    writeFileSync(directory.join(name), name);
    mkdirSync(directory.join(`sub-${name}`));
  }
  {
    using _ = substitute({
      primitives: {
        openFile(real, path: string, ...rest) {
          if (path === directory.join("a")) unlinkSync(path);
          return real(path, ...rest);
        },
        synchronizeDirectory(real, path: string) {
          if (path === directory.join("sub-a")) rmdirSync(path);
          return real(path);
        },
      },
    });
    await directory.persist(join(place.path, "result"));
  }
  // On Windows directories are not synchronized.
  assert.deepEqual(readdirSync(directory.path).sort(), ["b", ...isWindows ? ["sub-a"] : [], "sub-b"]);
});

test("a directory's persist() moves an adopted directory, and copies one with delete: false to another file system, leaving it", async () => {
  using place = scratch();
  const path = join(place.path, "theirs");
  mkdirSync(path, { mode: 0o755 });
  fill(path);
  const adopted = await adoptDirectory(path);
  await adopted.persist(join(place.path, "result"));
  assertFilled(join(place.path, "result"));
  const other = join(place.path, "other");
  mkdirSync(other);
  const owned = await sourceDirectory({ dir: place.path, delete: false });
  const old = owned.path;
  fill(old);
  using _ = substitute({ primitives: { rename: crossDevice(old) } });
  await owned.persist(join(other, "copy"));
  assertFilled(join(other, "copy"));
  assertFilled(old);
});

test("a directory's persist() on Deno needs only read and write permission", {
  skip: !("Deno" in globalThis) && "Deno's permissions",
}, async () => {
  using place = scratch();
  const { said, stderr } = await runChild(
    `const directory = await m.temporaryDirectory({ dir: args[0] });
     Deno.writeTextFileSync(directory.join("file"), "x");
     say(await directory.persist(args[0] + "/result"));`,
    {
      args: [place.path],
      flags: ["--no-prompt", `--allow-read=${place.path}`, `--allow-write=${place.path}`],
    },
  );
  assert.deepEqual(said, [join(place.path, "result")], stderr);
  assert.ok(existsSync(join(place.path, "result", "file")));
});
