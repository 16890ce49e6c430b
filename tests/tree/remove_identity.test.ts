/**
 * Which directory a removal is meant for: not the one that took its place, nor one of another working directory, process
 * or thread.
 *
 * @module
 */
import assert from "node:assert/strict";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import * as m from "#mod";
import { temporaryDirectorySync } from "../../lib/directory.ts";
import { moduleUrl, runChild } from "../support/child.ts";
import { naiveRemove } from "../support/naive.ts";
import { packageTest as test } from "../support/once.ts";
import { isLinux, isWindows } from "../support/platform.ts";
import { BOTH_WAYS } from "../support/removal.ts";
import { scratch } from "../support/scratch.ts";
import { substitute, systemError } from "../support/substitute.ts";

test("T23 C235 C244 remove() of a directory that was replaced leaves the replacement alone and reports ERR_REPLACED", async () => {
  const replacements: { [what: string]: (path: string, aside: string) => void } = {
    "a directory with files": (path) => (mkdirSync(path), writeFileSync(join(path, "theirs"), "x")),
    "an empty directory": (path) => mkdirSync(path),
    "a file": (path) => writeFileSync(path, "theirs"),
    ...isWindows ? {} : {
      "a link to the directory itself": (path, aside) => symlinkSync(aside, path),
      "a link to nowhere": (path) => symlinkSync("nowhere", path),
    },
  };
  using place = scratch();
  for (const [what, replacement] of Object.entries(replacements)) {
    for (const full of [true, false]) {
      await bothWaysIn(place.path, async (directory, remove) => {
        const { path } = directory, aside = `${path}.aside`;
        if (full) writeFileSync(join(path, "ours"), "x");
        renameSync(path, aside);
        replacement(path, aside);
        const before = lstatSync(path), inside = before.isDirectory() ? readdirSync(path) : [];
        const error = await Promise.resolve().then(remove).catch((error) => error);
        assert.deepEqual([error.name, error.code, error.path], ["TempfileError", "ERR_REPLACED", path], what);
        assert.deepEqual(error.leftovers, [{ path, code: "ERR_REPLACED" }]);
        const after = lstatSync(path);
        assert.deepEqual(
          [after.ino, after.mode, after.mtimeMs],
          [before.ino, before.mode, before.mtimeMs],
          what,
        );
        assert.deepEqual(before.isDirectory() ? readdirSync(path) : [], inside);
        assert.deepEqual(readdirSync(aside), full ? ["ours"] : []);
        rmSync(path, { recursive: true });
        renameSync(aside, path);
        assert.deepEqual(await remove(), []);
      });
    }
  }
  assert.deepEqual(place.list(), []);
});

test("T23 control: a naive removal removes the directory that took the original's place", () => {
  using place = scratch();
  const path = join(place.path, "top");
  for (const name of [path, `${path}.aside`]) mkdirSync(name);
  renameSync(path, `${path}.ours`);
  renameSync(`${path}.aside`, path);
  writeFileSync(join(path, "theirs"), "x");
  naiveRemove(path);
  assert.deepEqual(place.list(), ["top.ours"]);
});

async function bothWaysIn(
  dir: string,
  test: (directory: m.TemporaryDirectory, remove: () => Promise<m.Leftover[]>) => unknown,
) {
  const one = await m.temporaryDirectory({ dir });
  await test(one, () => one.remove());
  const two = m.temporaryDirectorySync({ dir });
  await test(two, async () => await two.removeSync());
}

test("T23 remove() does not change the mode of a locked directory that replaced the original (Linux)", {
  skip: !isLinux,
}, async () => {
  const code = `${BOTH_WAYS}
    await bothWays({ dir: args[0] }, (top) => {
      fs.writeFileSync(top + "/ours", "x");
      fs.renameSync(top, top + ".aside");
      fs.mkdirSync(top); fs.chmodSync(top, 0);
    }, (top) => {
      const mode = fs.statSync(top).mode & 0o777;
      fs.rmdirSync(top); fs.renameSync(top + ".aside", top);
      return mode;
    });`;
  using place = scratch();
  chmodSync(place.path, 0o777);
  const { said, status, stderr } = await runChild(code, { args: [place.path], unprivileged: true });
  assert.deepEqual([status, stderr], [0, ""]);
  assert.deepEqual(said.map(({ left, seen }) => [left.code, seen]), [["ERR_REPLACED", 0], [
    "ERR_REPLACED",
    0,
  ]]);
  assert.deepEqual(place.list(), []);
});

test("T23 C235 a directory that replaces the original after remove() has checked it is left alone (Linux)", {
  skip: !isLinux,
}, async () => {
  for (const way of ["remove", "removeSync"] as const) {
    using place = scratch();
    const directory = temporaryDirectorySync({ dir: place.path });
    const { path } = directory, aside = `${path}.aside`;
    writeFileSync(join(path, "ours"), "x");
    {
      using _ = substitute({
        primitives: {
          removeDirectory(real, at: string) {
            if (at === path && !existsSync(aside)) {
              renameSync(path, aside);
              mkdirSync(path);
              writeFileSync(join(path, "theirs"), "x");
            }
            return real(at);
          },
        },
      });
      await assert.rejects(async () => await directory[way](), { code: "ERR_REPLACED", path });
    }
    assert.deepEqual([readdirSync(path), readdirSync(aside)], [["theirs"], ["ours"]]);
    rmSync(path, { recursive: true });
    renameSync(aside, path);
    directory.removeSync();
  }
});

test(
  "T23 C235 an empty directory that takes the place of the original while that is emptied is left alone (Linux)",
  {
    skip: !isLinux,
  },
  async () => {
    for (const way of ["remove", "removeSync"] as const) {
      using place = scratch();
      const directory = temporaryDirectorySync({ dir: place.path });
      const { path } = directory, aside = `${path}.aside`;
      writeFileSync(join(path, "ours"), "x");
      {
        using _ = substitute({
          primitives: {
            unlink(real, at) {
              if (!existsSync(aside)) {
                renameSync(path, aside);
                mkdirSync(path);
              }
              return real(at);
            },
          },
        });
        await assert.rejects(async () => await directory[way](), { code: "ERR_REPLACED", path });
      }
      assert.deepEqual([existsSync(path), readdirSync(aside)], [true, []]);
      rmSync(path, { recursive: true });
      renameSync(aside, path);
      directory.removeSync();
    }
  },
);

test(
  "T23 C235 a directory that replaces one that somebody else removes during remove() is left and reported (Linux)",
  {
    skip: !isLinux,
  },
  async () => {
    for (const way of ["remove", "removeSync"] as const) {
      using place = scratch();
      const directory = temporaryDirectorySync({ dir: place.path });
      const { path } = directory;
      writeFileSync(join(path, "ours"), "x");
      using watched = substitute({
        primitives: {
          list(real, at) {
            if (watched.of("list").length === 1) {
              // Made first, so that it does not get the same inode.
              mkdirSync(`${path}.new`);
              rmSync(path, { recursive: true });
              renameSync(`${path}.new`, path);
            }
            return real(at);
          },
        },
      });
      await assert.rejects(async () => await directory[way](), { code: "ERR_REPLACED", path });
      assert.ok(existsSync(path));
    }
  },
);

test("a removal that fails records the directory as kept only if something else has taken its place", () => {
  using place = scratch();
  const directory = temporaryDirectorySync({ dir: place.path });
  const { path } = directory;
  writeFileSync(join(path, "ours"), "x");
  using watched = substitute({
    primitives: {
      removeDirectory() {
        throw systemError("EIO");
      },
    },
    // The runtime's own removal makes no such call.
    runtime: { removeTree: undefined },
  });
  const kept = (): number => {
    const written = watched.of("write").flat().filter((arg) => arg instanceof Uint8Array);
    return written.filter((bytes) => new TextDecoder().decode(bytes).includes("kept ")).length;
  };
  assert.throws(() => directory.removeSync(), { code: "EIO", path });
  assert.equal(kept(), 0);
  renameSync(path, `${path}.aside`);
  mkdirSync(path);
  assert.throws(() => directory.removeSync(), { code: "ERR_REPLACED", path });
  assert.equal(kept(), 1);
  for (const name of [path, `${path}.aside`]) rmSync(name, { recursive: true });
  assert.deepEqual(directory.removeSync(), []);
});

test(
  "T15 C233 without descriptor paths, a link in place of a listed subdirectory leads a removal nowhere (POSIX)",
  {
    skip: isWindows,
  },
  async () => {
    for (const way of ["remove", "removeSync"] as const) {
      using place = scratch();
      const outside = join(place.path, "outside");
      mkdirSync(outside);
      writeFileSync(join(outside, "theirs"), "x");
      const directory = temporaryDirectorySync({ dir: place.path });
      const inside = join(directory.path, "inside"), aside = join(place.path, "aside");
      mkdirSync(inside);
      {
        using _ = substitute({
          primitives: {
            status(real, at) {
              if (at === inside && !existsSync(aside)) {
                renameSync(inside, aside);
                symlinkSync(outside, inside);
              }
              return real(at);
            },
          },
          runtime: { anchor: () => undefined, removeTree: undefined },
        });
        assert.deepEqual(await directory[way](), []);
      }
      assert.ok(existsSync(aside));
      assert.deepEqual(readdirSync(outside), ["theirs"]);
      rmSync(aside, { recursive: true });
    }
  },
);

test("T24 a directory created in a relative dir is the one removed after a change of the working directory", async () => {
  using place = scratch();
  const code = `
    const [here, there] = args;
    process.chdir(here);
    for (const dir of [".", "sub"]) {
      const d = await m.temporaryDirectory({ dir }), e = m.temporaryDirectorySync({ dir });
      for (const { path: made } of [d, e]) {
        say(path.isAbsolute(made));
        fs.writeFileSync(made + "/ours", "x");
        const same = path.join(there, path.relative(here, made));
        fs.mkdirSync(same, { recursive: true }); fs.writeFileSync(same + "/theirs", "x");
      }
      process.chdir(there);
      await d.remove(); e.removeSync();
      process.chdir(here);
    }
    // The control: a relative path leads to the wrong directory.
    const naive = fs.mkdtempSync("naive-");
    fs.mkdirSync(path.join(there, naive));
    process.chdir(there);
    fs.rmdirSync(naive);
    say([here, there].map((at) => fs.existsSync(path.join(at, naive))));
    fs.rmdirSync(path.join(here, naive));`;
  for (const path of ["here", "here/sub", "there"]) mkdirSync(join(place.path, path));
  const [here, there] = [join(place.path, "here"), join(place.path, "there")];
  const { said, status, stderr } = await runChild(code, { args: [here, there] });
  assert.deepEqual([said, status, stderr], [[true, true, true, true, [true, false]], 0, ""]);
  assert.deepEqual(readdirSync(here), ["sub"]);
  assert.deepEqual(readdirSync(join(here, "sub")), []);
  const theirs = [there, join(there, "sub")].flatMap((path) =>
    readdirSync(path).map((name) => join(path, name, "theirs"))
  );
  assert.equal(theirs.filter((path) => existsSync(path)).length, 4);
});

test("T25 a child process that gets the path and properties of its parent's directory does not remove it", async () => {
  using directory = m.temporaryDirectorySync();
  writeFileSync(join(directory.path, "file"), "x");
  const known = JSON.stringify({ text: String(directory), ...directory, json: directory });
  const code = `
    globalThis.known = JSON.parse(args[0]);
    globalThis.mine = m.temporaryDirectorySync({ dir: known.text });
    say(mine.path);`;
  const { said, status } = await runChild(code, { args: [known] });
  assert.equal(status, 0);
  assert.ok(!existsSync(said[0]));
  assert.deepEqual(readdirSync(directory.path), ["file"]);
});

test("T25 a registry copied into another process, as by fork(), removes nothing at exit", async () => {
  for (const [which, left] of [["copy", 1], ["original", 0]] as const) {
    using place = scratch();
    const code = `
      m.configure({ reclaim: false });
      globalThis.held = m.temporaryDirectorySync({ dir: args[0] });
      if (args[1] === "copy") globalThis[Symbol.for("mayfly.registry")].pid = process.pid + 1;
      process.exit(0);`;
    const { status } = await runChild(code, { args: [place.path, which], env: { TMPDIR: place.path } });
    assert.equal(status, 0);
    assert.equal(place.list().filter((name) => !name.startsWith(".mayfly-")).length, left, which);
  }
});

test("T25 a worker thread that was given a directory does not remove it when it exits or is terminated", async () => {
  using place = scratch();
  const code = `
    const { Worker } = await import("node:worker_threads");
    const d = m.temporaryDirectorySync();
    fs.writeFileSync(d.join("file"), "x");
    let clone; try { clone = structuredClone(d); } catch {}
    const script = args[0] + "/worker.mjs";
    fs.writeFileSync(script, \`
      import * as m from \${JSON.stringify(args[1])}; import { parentPort, workerData } from "node:worker_threads"; import process from "node:process";
      globalThis.held = [workerData, m.temporaryDirectorySync({ dir: workerData.path })];
      parentPort.postMessage("ready");
      if (workerData.how === "end") setTimeout(() => process.exit(0), 20); else setInterval(() => {}, 1000);\`);
    for (const how of ["end", "terminate"]) {
      const worker = new Worker(script, { workerData: { how, path: d.path, clone, ...d } });
      const ended = new Promise((resolve) => worker.on("exit", resolve));
      await new Promise((resolve) => worker.on("message", resolve));
      if (how === "terminate") await worker.terminate();
      await ended;
      say(fs.existsSync(d.join("file")));
    }
    d.removeSync();
    say(fs.existsSync(d.path));`;
  const { said, status, stderr } = await runChild(code, { args: [place.path, moduleUrl] });
  assert.deepEqual([said, status, stderr], [[true, true, false], 0, ""]);
});
