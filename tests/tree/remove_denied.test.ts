/**
 * Removal of trees in which something must not or cannot be removed.
 *
 * @module
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import type * as m from "#mod";
import { temporaryDirectorySync } from "../../lib/directory.ts";
import { runChild } from "../support/child.ts";
import { naiveRemove } from "../support/naive.ts";
import { packageTest as test } from "../support/once.ts";
import { isLinux, isRoot, isWindows } from "../support/platform.ts";
import { assertBothRemoved, BOTH_WAYS, bothWays } from "../support/removal.ts";
import { scratch } from "../support/scratch.ts";
import { substitute, systemError } from "../support/substitute.ts";

/** Whether a command exists and succeeds. */
const works = (command: string, ...args: string[]): boolean => spawnSync(command, args).status === 0;

test(
  "C229 remove() without root privileges removes directories and files of every mode, and leaks no descriptor (Linux)",
  { skip: !isLinux },
  async () => {
    const code = `${BOTH_WAYS}
    const modes = [0, 0o100, 0o200, 0o300, 0o400, 0o500, 0o600, 0o700];
    const make = (top, depth) => {
      for (const mode of modes) {
        const dir = top + "/d" + mode.toString(8), file = top + "/f" + mode.toString(8);
        fs.writeFileSync(file, "x"); fs.chmodSync(file, mode);
        fs.mkdirSync(dir);
        if (depth > 0) make(dir, depth - 1);
        fs.chmodSync(dir, mode);
      }
    };
    for (const mode of modes) await bothWays({}, (top) => { make(top, mode === 0 ? 1 : 0); fs.chmodSync(top, mode); });
    const target = (fd) => { try { return fs.readlinkSync("/proc/self/fd/" + fd); } catch { return ""; } };
    const open = fs.readdirSync("/proc/self/fd").map(target);
    say(open.filter((path) => path.startsWith(m.tmpdir()) && !path.includes("/.mayfly-")));`;
    const { said, status, stderr } = await runChild(code, { unprivileged: true });
    const open = said.pop();
    assert.deepEqual([status, stderr, open], [0, "", []]);
    assert.equal(said.length, 16);
    for (const { left, gone, path } of said) assert.deepEqual([left, gone], [[], true], path);
  },
);

test(
  "C229 remove() without root privileges removes locked directories so deep that it has to move them up (Linux)",
  {
    skip: !isLinux,
  },
  async () => {
    const code = `${BOTH_WAYS}
    await bothWays({}, (top) => {
      const dirs = [top];
      for (let level = 0; level < 40; level++) dirs.push(dirs.at(-1) + "/d");
      for (const dir of dirs.slice(1)) { fs.mkdirSync(dir); fs.writeFileSync(dir + "/f", ""); }
      for (const [level, dir] of dirs.reverse().entries()) fs.chmodSync(dir, [0, 0o500, 0o300, 0o400][level % 4]);
    });`;
    const { said, status, stderr } = await runChild(code, { unprivileged: true });
    assert.deepEqual([status, stderr], [0, ""]);
    assertBothRemoved(said);
  },
);

const canSetImmutable = isLinux && isRoot && (() => {
  using place = scratch();
  const frozen = works("chattr", "+i", place.path);
  return frozen && works("chattr", "-i", place.path);
})();

test(
  "C231 remove() reports an immutable file with EPERM and its path, and removes the rest (root, Linux, needs chattr +i)",
  { skip: !canSetImmutable },
  async () => {
    await bothWays(async ({ path }, remove) => {
      for (const name of ["a", "b", "c"]) mkdirSync(join(path, name));
      const frozen = join(path, "b", "frozen");
      for (const file of [frozen, join(path, "a", "f"), join(path, "b", "f")]) writeFileSync(file, "");
      assert.ok(works("chattr", "+i", frozen));
      try {
        const error = await Promise.resolve().then(remove).catch((error) => error);
        assert.deepEqual([error.name, error.code, error.path], ["TempfileError", "EPERM", path]);
        assert.deepEqual(error.leftovers, [{ path: frozen, code: "EPERM" }]);
        assert.deepEqual(readdirSync(path, { recursive: true }).sort(), ["b", "b/frozen"]);
      } finally {
        works("chattr", "-i", frozen);
      }
      assert.deepEqual(await remove(), []);
    });
  },
);

test(
  "C231 control: a naive removal stops at an immutable file and leaves removable ones (root, Linux, needs chattr +i)",
  { skip: !canSetImmutable },
  () => {
    using place = scratch();
    const names = ["a", "b"], frozen = names.map((name) => join(place.path, name, "frozen"));
    for (const name of names) mkdirSync(join(place.path, name));
    for (const file of [...frozen, ...names.map((name) => join(place.path, name, "f"))]) {
      writeFileSync(file, "");
    }
    for (const file of frozen) assert.ok(works("chattr", "+i", file));
    try {
      assert.throws(() => naiveRemove(place.path), { code: "EPERM" });
      assert.ok(names.some((name) => existsSync(join(place.path, name, "f"))));
    } finally {
      for (const file of frozen) works("chattr", "-i", file);
    }
  },
);

test(
  "C232 remove() in a read-only parent empties the directory, reports EACCES and keeps the mode of the parent (POSIX)",
  { skip: isWindows },
  async () => {
    using place = scratch();
    const code = `${BOTH_WAYS}
    const parent = args[0];
    await bothWays({ dir: parent }, (top) => {
      fs.mkdirSync(top + "/sub"); fs.writeFileSync(top + "/sub/file", "x");
      fs.chmodSync(parent, 0o500);
    }, (top) => {
      const seen = { mode: fs.statSync(parent).mode & 0o777, inside: fs.readdirSync(top) };
      fs.chmodSync(parent, 0o700);
      return seen;
    });`;
    const { said, status, stderr } = await runChild(code, { unprivileged: true, args: [place.path] });
    assert.deepEqual([status, stderr], [0, ""]);
    assert.equal(said.length, 2);
    for (const { left, gone, path, seen } of said) {
      assert.equal(gone, false);
      assert.deepEqual(left, { code: "EACCES", leftovers: [{ path, code: "EACCES" }] });
      assert.deepEqual(seen, { mode: 0o500, inside: [] });
    }
    // The clean-up at process exit removed both.
    assert.deepEqual(place.list(), []);
  },
);

test("a listing that fails is closed, and its directory is reported with the code", () => {
  using place = scratch();
  const directory = temporaryDirectorySync({ dir: place.path }), { path } = directory;
  writeFileSync(join(path, "file"), "");
  let open = 0;
  {
    using _ = substitute({
      primitives: {
        list() {
          open++;
          const next = (): never => {
            throw systemError("EIO");
          };
          return { next, close: () => void open-- };
        },
      },
      runtime: { removeTree: undefined },
    });
    assert.throws(() => directory.removeSync(), { code: "EIO", leftovers: [{ path, code: "EIO" }] });
  }
  assert.equal(open, 0);
  assert.deepEqual(directory.removeSync(), []);
});

test(
  "remove() reports EACCES for names that stay inaccessible after access to their directory was granted (POSIX)",
  {
    skip: isWindows,
  },
  async () => {
    for (const remove of ["remove", "removeSync"] as const) {
      const directory = temporaryDirectorySync();
      mkdirSync(directory.join("locked"));
      for (const name of ["file", "locked/file"]) writeFileSync(directory.join(name), "");
      {
        let calls = 0;
        const refused = (real: (...args: unknown[]) => unknown, at: string): unknown => {
          if (basename(at) !== "file" && basename(at) !== "locked") return real(at);
          throw systemError(++calls < 50 ? "EACCES" : "EIO");
        };
        using _ = substitute({
          primitives: { unlink: refused, locateDirectory: refused, openDirectory: refused },
          runtime: { removeTree: undefined },
        });
        await assert.rejects(async () => await directory[remove](), ({ leftovers }: m.TempfileError) => {
          assert.deepEqual(leftovers!.map(({ code }) => code), ["EACCES", "EACCES"]);
          return true;
        });
      }
      directory.removeSync();
    }
  },
);

test("remove() reports the code of a name that the system calls too long, not that of its directory", async () => {
  for (const remove of ["remove", "removeSync"] as const) {
    const directory = temporaryDirectorySync();
    writeFileSync(directory.join("file"), "");
    {
      using _ = substitute({
        primitives: {
          unlink() {
            throw systemError("ENAMETOOLONG");
          },
        },
        // The runtime's own removal makes no such call.
        runtime: { removeTree: undefined },
      });
      const leftovers = [{ path: directory.join("file"), code: "ENAMETOOLONG" }];
      await assert.rejects(async () => await directory[remove](), { code: "ENAMETOOLONG", leftovers });
    }
    directory.removeSync();
  }
});
