import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { pathToFileURL } from "node:url";
import {
  adoptDirectory,
  type PersistDirectoryOptions,
  type TemporaryDirectory,
  temporaryDirectory,
  temporaryDirectorySync,
} from "#mod";
import {
  temporaryDirectory as sourceDirectory,
  temporaryDirectorySync as sourceDirectorySync,
} from "../../lib/directory.ts";
import { held } from "../../lib/life/registry.ts";
import { configure } from "../../lib/settings.ts";
import { runChild } from "../support/child.ts";
import { failureOf, pattern, sameBytes } from "../support/kinds.ts";
import { readLeases, withoutLease } from "../support/leases.ts";
import { packageTest as test } from "../support/once.ts";
import {
  isDeno,
  isWindows,
  noDirectorySync,
  noFifos,
  noLinks,
  noLinux,
  noModes,
  shownMode,
} from "../support/platform.ts";
import { elsewhere, noElsewhere } from "../support/places.ts";
import { type Scratch, scratch } from "../support/scratch.ts";
import {
  asWindows,
  changed,
  type Changes,
  type Substitute,
  substitute,
  systemError,
} from "../support/substitute.ts";

type Persist = (
  directory: TemporaryDirectory,
  path: string | URL,
  options?: PersistDirectoryOptions,
) => Promise<string>;

/** The asynchronous and the synchronous `persist`. */
const variants: { readonly [name: string]: Persist } = {
  "async": (directory, path, options) => directory.persist(path, options),
  "sync": (directory, path, options) =>
    new Promise((resolve) => resolve(directory.persistSync(path, options))),
};

const modeOf = (path: string): number => lstatSync(path).mode & 0o777;

/** Modes without some of the owner's or others' permissions. Directories on Windows have none. */
const MODES: [name: string, mode: number][] = [
  ["sub/tool", 0o755],
  ["file", 0o440],
  ...isWindows ? [] : [["sub/empty", 0o500] as [string, number]],
];

const LINKS: [name: string, target: string][] = noLinks === false
  ? [["sub/link", "../file"], ["dangling", "nowhere"]]
  : [];

/** Fills a directory with subdirectories, small, empty and large files, links, and restrictive modes. */
function fill(path: string): void {
  mkdirSync(join(path, "sub", "empty"), { recursive: true });
  writeFileSync(join(path, "file"), "text");
  writeFileSync(join(path, "sub", "none"), "");
  writeFileSync(join(path, "sub", "large"), pattern(3 * 1024 ** 2 + 1));
  writeFileSync(join(path, "sub", "tool"), "#!/bin/sh\n");
  for (const [name, target] of LINKS) symlinkSync(target, join(path, name));
  for (const [name, mode] of MODES) chmodSync(join(path, name), mode);
}

/** Creates and fills a directory with the library's source, where primitives can be substituted. */
async function filled(place: Scratch): Promise<TemporaryDirectory> {
  const directory = await sourceDirectory({ dir: place.path });
  fill(directory.path);
  return directory as unknown as TemporaryDirectory;
}

/** Asserts that a directory contains what `fill` creates. */
function assertFilled(path: string): void {
  assert.equal(readFileSync(join(path, "file"), "utf8"), "text");
  assert.equal(statSync(join(path, "sub", "none")).size, 0);
  assert.ok(sameBytes(readFileSync(join(path, "sub", "large")), pattern(3 * 1024 ** 2 + 1)));
  for (const [name, mode] of MODES) assert.equal(modeOf(join(path, name)), shownMode(mode), name);
  for (const [name, target] of LINKS) assert.equal(readlinkSync(join(path, name)), target);
}

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

/** Returns a rename that fails with EXDEV for one source path, as if it were on another file system. */
function crossDevice(
  path: string,
): (real: (...args: unknown[]) => unknown, from: string, to: string) => unknown {
  return (real, from, to) => {
    if (from === path) throw systemError("EXDEV");
    return real(from, to);
  };
}

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

test("a directory's persist() aborted while the tree is synchronized, or just before its rename, rejects and undoes what it did", async () => {
  for (const overwrite of [true, false]) {
    for (const step of ["synchronize", "synchronizeDirectory"] as const) {
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
  assert.deepEqual(readdirSync(directory.path).sort(), ["b", "sub-b"]);
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

test("C168 a directory's persist() on Windows removes an empty target before the rename, and retries a blocked rename", async () => {
  for (const persist of Object.values(variants)) {
    for (const existing of [false, true]) {
      using place = scratch();
      const target = join(place.path, "result");
      if (existing) mkdirSync(target);
      const directory = await sourceDirectory({ dir: place.path });
      writeFileSync(join(directory.path, "file"), "text");
      let failures = 2;
      using watched = substitute(asWindows({
        primitives: {
          rename: (real, from: string, to: string) => {
            if (failures-- > 0 || existsSync(to.replaceAll("\\", "/"))) throw systemError("EPERM");
            return real(from, to);
          },
        },
      }));
      await persist(directory as never, target, { overwrite: existing });
      assert.equal(watched.of("rename").length, 3);
      assert.equal(watched.of("synchronizeDirectory").length, 0);
      assert.equal(readFileSync(join(target, "file"), "utf8"), "text");
      assert.deepEqual(place.list(), ["result"]);
    }
  }
});

test("C168 a directory's persist() on Windows to its own path does not remove it to make room for the rename", async () => {
  for (const persist of Object.values(variants)) {
    using place = scratch();
    const directory = await sourceDirectory({ dir: place.path });
    using watched = substitute(asWindows());
    const target = join(place.path, "result");
    for (let times = 0; times < 2; times++) await persist(directory as never, target);
    assert.equal(watched.of("removeDirectory").length, 0);
    assert.deepEqual(place.list(), ["result"]);
  }
});

test("C144 C168 a directory's persist() on Windows with overwrite: false fails with EEXIST if the target appears before the rename", async () => {
  for (const persist of Object.values(variants)) {
    using place = scratch();
    const target = join(place.path, "result");
    const directory = await sourceDirectory({ dir: place.path });
    const taken = (): never => {
      mkdirSync(target, { recursive: true });
      throw systemError("EPERM");
    };
    {
      using watched = substitute(asWindows({ primitives: { rename: taken } }));
      assert.equal(
        await failureOf(() => persist(directory as never, target, { overwrite: false })),
        "EEXIST",
      );
      // No retry: a directory at the target, unlike a virus scanner's open file, does not go away.
      assert.equal(watched.of("rename").length, 1);
    }
    assert.ok(existsSync(directory.path));
    await directory.remove();
    assert.deepEqual(place.list(), ["result"]);
  }
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

test("C148 C168 a directory's persist() that copies on Windows makes read-only files read-only, and changes no other mode", async () => {
  for (const persist of Object.values(variants)) {
    using place = scratch();
    const other = join(place.path, "other");
    mkdirSync(other);
    const directory = await sourceDirectory({ dir: place.path }), { path } = directory;
    for (const name of ["file", "read-only"]) writeFileSync(join(path, name), name);
    chmodSync(join(path, "read-only"), 0o444);
    using watched = substitute(asWindows({ primitives: { rename: crossDevice(path) } }));
    await persist(directory as never, join(other, "result"));
    assert.equal(watched.of("changeMode").length, 1);
    assert.equal(modeOf(join(other, "result", "read-only")), 0o444);
  }
});

test(
  "C148 C168 a directory's persist() that copies gives each link its target's type on Windows, and looks it up only there",
  {
    skip: noLinks,
  },
  async () => {
    for (const persist of Object.values(variants)) {
      using place = scratch();
      const links: [name: string, target: string, to: "file" | "dir"][] = [
        ["a link", "sub", "dir"],
        ["b link", "file", "file"],
        ["c link", "nowhere", "file"],
        ["sub/link", "../a link", "dir"],
      ];
      const copy = async (target: string, changes: (path: string) => Changes): Promise<Substitute> => {
        const directory = await sourceDirectory({ dir: place.path }), { path } = directory;
        mkdirSync(join(path, "sub"));
        writeFileSync(join(path, "file"), "text");
        for (const [name, leadsTo, to] of links) symlinkSync(leadsTo, join(path, name), to);
        const watched = substitute(changes(path));
        try {
          await persist(directory as never, join(place.path, "results", target));
        } finally {
          watched[Symbol.dispose]();
        }
        for (const [name, leadsTo] of links) {
          assert.equal(readlinkSync(join(place.path, "results", target, name)), leadsTo);
        }
        return watched;
      };
      mkdirSync(join(place.path, "results"));
      const windows = await copy(
        "windows",
        (path) => asWindows({ primitives: { rename: crossDevice(path) } }),
      );
      const made = windows.of("symbolicLink").map(([leadsTo, , to]) => `${leadsTo}: ${to}`);
      assert.deepEqual(made.sort(), links.map(([, leadsTo, to]) => `${leadsTo}: ${to}`).sort());
      if (isWindows) continue;
      const posix = await copy("posix", (path) => ({ primitives: { rename: crossDevice(path) } }));
      assert.deepEqual([posix.of("symbolicLink").length, posix.of("statusOfTarget")], [links.length, []]);
    }
  },
);

test("C168 a directory's persist() on Windows opens files for writing to sync them, and skips read-only ones", async () => {
  for (const persist of Object.values(variants)) {
    using place = scratch();
    const directory = await sourceDirectory({ dir: place.path });
    for (const name of ["file", "read-only"]) writeFileSync(join(directory.path, name), name);
    const forReading = new Set<unknown>();
    using watched = substitute(asWindows({
      primitives: {
        openFile: (real, path: string, access: string) => {
          if (access === "write" && path.endsWith("read-only")) throw systemError("EPERM");
          const note = (handle: unknown): unknown => (access === "read" && forReading.add(handle), handle);
          return changed(real(path, access), note);
        },
        synchronize: (real, handle: unknown) => {
          if (forReading.has(handle)) throw systemError("EPERM");
          return real(handle);
        },
      },
    }));
    await persist(directory as never, join(place.path, "result"));
    assert.equal(watched.of("synchronize").length, 1);
    const copied = ["file", "read-only"].map((name) =>
      readFileSync(join(place.path, "result", name), "utf8")
    );
    assert.deepEqual(copied, ["file", "read-only"]);
  }
});

test("C168 a directory's persist() on Windows that fails restores the empty directory at the target", async () => {
  using place = scratch();
  const target = join(place.path, "result");
  mkdirSync(target);
  const directory = await sourceDirectory({ dir: place.path });
  const refuse = (): never => {
    throw systemError("EPERM");
  };
  {
    using _ = substitute(asWindows({ primitives: { rename: refuse } }));
    assert.equal(await failureOf(() => directory.persistSync(target)), "EPERM");
  }
  assert.ok(statSync(target).isDirectory());
  await directory.remove();
  assert.deepEqual(place.list(), ["result"]);
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

/** Fills a directory with directories, files and links whose names or targets are not valid UTF-8. */
function fillNonUtf8(path: string): void {
  const script =
    `cd "$1" && odd=$(printf 'x\\377') && mkdir -p "$odd/$odd" && printf text > "$odd/$odd/file" &&
    printf more > "$odd/a$odd" && chmod 640 "$odd/a$odd" && chmod 500 "$odd/$odd" && chmod 750 "$odd" &&
    ln -s "$odd/a$odd" "$odd/link$odd" && ln -s "$(printf '\\357\\273\\277')" mark && ln -s "$odd" link`;
  assert.equal(spawnSync("sh", ["-c", script, "sh", path]).status, 0);
}

/** Returns everything in a directory byte for byte: names, types, modes, link targets and contents. */
function bytesOf(path: string): string {
  const script =
    `cd "$1" && find . -printf '%p %y %m %l\\n' | LC_ALL=C sort && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 cat`;
  const { status, stdout } = spawnSync("sh", ["-c", script, "sh", path], { encoding: "latin1" });
  assert.equal(status, 0);
  return stdout;
}

test(
  "C148 a directory's persist() keeps names and links that are not UTF-8, renamed or copied (Linux; not Deno, whose names are text)",
  {
    skip: noLinux || isDeno && "Deno has only text as names",
  },
  async () => {
    for (const persist of Object.values(variants)) {
      for (const across of [false, true]) {
        using place = scratch();
        const target = join(place.path, "result");
        const directory = await sourceDirectory({ dir: place.path });
        fillNonUtf8(directory.path);
        const before = bytesOf(directory.path);
        assert.match(before, /\/x\xff\/linkx\xff l 777 x\xff\/ax\xff\n/);
        using _ = substitute(across ? { primitives: { rename: crossDevice(directory.path) } } : {});
        assert.equal(await persist(directory as never, target), target);
        assert.equal(bytesOf(target), before);
        assert.deepEqual(place.list(), ["result"]);
      }
    }
  },
);

test(
  "C148 a directory's persist() that copies fails with EILSEQ on a name or link that is not UTF-8, and changes nothing (Deno on Linux)",
  {
    skip: noLinux || !isDeno && "other runtimes have names as bytes",
  },
  async () => {
    const fillWithLink = (path: string): void => {
      assert.equal(spawnSync("sh", ["-c", `ln -s "$(printf 'x\\377')" "$1/link"`, "sh", path]).status, 0);
    };
    for (const persist of Object.values(variants)) {
      for (const make of [fillNonUtf8, fillWithLink]) {
        using place = scratch();
        const directory = await sourceDirectory({ dir: place.path });
        make(directory.path);
        const before = bytesOf(directory.path);
        {
          using _ = substitute({ primitives: { rename: crossDevice(directory.path) } });
          const target = join(place.path, "result");
          assert.equal(await failureOf(() => persist(directory as never, target)), "EILSEQ");
        }
        assert.equal(bytesOf(directory.path), before);
        assert.equal(place.names().length, 1);
        // A user other than root cannot empty a locked directory, and Deno cannot address this one to unlock it.
        assert.equal(spawnSync("chmod", ["-R", "u+rwx", directory.path]).status, 0);
        await directory.remove();
      }
    }
  },
);

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

test("C148 a directory's persist() fails with EILSEQ if a listed name contains U+FFFD, as the runtime cannot address it", async () => {
  for (const persist of Object.values(variants)) {
    using place = scratch();
    const directory = await filled(place), { path } = directory;
    {
      const names = ["x\uFFFD"].map((name) => ({ name, directory: false }));
      using _ = substitute({ primitives: { list: () => ({ next: () => names.splice(0), close() {} }) } });
      assert.equal(await failureOf(() => persist(directory, join(place.path, "result"))), "EILSEQ");
    }
    assertFilled(path);
    await directory.remove();
    assert.deepEqual(place.names(), []);
  }
});
