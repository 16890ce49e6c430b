/**
 * `persist()` of a directory on Windows, imitated elsewhere.
 *
 * @module
 */
import assert from "node:assert/strict";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { temporaryDirectory as sourceDirectory } from "../../lib/directory.ts";
import { crossDevice, modeOf, variants } from "../support/filled_directory.ts";
import { failureOf } from "../support/kinds.ts";
import { packageTest as test } from "../support/once.ts";
import { isWindows, noLinks } from "../support/platform.ts";
import { scratch } from "../support/scratch.ts";
import {
  asWindows,
  changed,
  type Changes,
  type Substitute,
  substitute,
  systemError,
} from "../support/substitute.ts";

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
