/**
 * Removal of trees while others work on them, or other removals run; what is tried again.
 *
 * @module
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import * as m from "#mod";
import { temporaryDirectorySync } from "../../lib/directory.ts";
import { namedTemporaryFileSync } from "../../lib/file/named.ts";
import { asyncIo, syncIo } from "../../lib/operation/io.ts";
import { type Op, runAsync, runSync } from "../../lib/operation/op.ts";
import { runtime } from "../../lib/runtime/mod.ts";
import { configure } from "../../lib/settings.ts";
import { withLimit } from "../../lib/tree/limit.ts";
import { removeDirectory } from "../../lib/tree/remove.ts";
import { closeAbandoned } from "../support/abandoned.ts";
import { firstOutput, runChild } from "../support/child.ts";
import { noFuse, withFuse } from "../support/fuse.ts";
import { packageTest as test } from "../support/once.ts";
import { isWindows, namesLinger } from "../support/platform.ts";
import { memory, scratch } from "../support/scratch.ts";
import { beforeEachCall, substitute, systemError } from "../support/substitute.ts";

test("removeSync() succeeds if another process removes a subdirectory before it is listed (POSIX)", {
  skip: isWindows,
}, () => {
  using place = scratch();
  const directory = temporaryDirectorySync({ dir: place.path });
  const sub = directory.join("sub");
  mkdirSync(join(sub, "inner"), { recursive: true });
  let lists = 0;
  using _ = substitute({
    primitives: {
      list(real, path) {
        if (++lists !== 2) return real(path);
        rmSync(sub, { recursive: true });
        // As on Bun; on other runtimes a directory that was removed lists as empty.
        throw systemError("ENOENT");
      },
    },
  });
  directory.removeSync();
  assert.deepEqual([place.list(), lists], [[], 2]);
});

test("C222 files that appear during a removal are removed by its retries", async () => {
  for (const kind of ["async", "sync"]) {
    const directory = temporaryDirectorySync();
    const { path } = directory;
    writeFileSync(join(path, "first"), "");
    let late = 0;
    using watched = substitute({
      primitives: {
        removeDirectory(real, at) {
          // Another process adds a file just before the directory is removed, three times.
          if (late < 3) writeFileSync(join(path, `late${late++}`), "");
          return real(at);
        },
      },
      // The runtime's recursive removal would not call this stub.
      runtime: { removeTree: undefined },
    });
    assert.deepEqual(kind === "async" ? await directory.remove() : directory.removeSync(), []);
    assert.equal(watched.of("removeDirectory").length, 4);
    assert.ok(!existsSync(path));
  }
});

test("C222 a file that takes the place of a listed subdirectory is removed by a retry (POSIX)", {
  skip: isWindows,
}, async () => {
  for (const kind of ["async", "sync"]) {
    const directory = temporaryDirectorySync();
    const { path } = directory, inside = join(path, "inside");
    mkdirSync(inside);
    using _ = substitute({
      primitives: {
        removeDirectory(real, at: string) {
          if (basename(at) === "inside" && statSync(inside).isDirectory()) {
            rmdirSync(inside);
            writeFileSync(inside, "");
          }
          return real(at);
        },
      },
      runtime: { removeTree: undefined },
    });
    assert.deepEqual(kind === "async" ? await directory.remove() : directory.removeSync(), []);
    assert.ok(!existsSync(path));
  }
});

test("C222 a removal fails with ENOTEMPTY after a limited number of attempts if files keep appearing", async () => {
  for (const kind of ["async", "sync"]) {
    const directory = temporaryDirectorySync();
    const { path } = directory;
    let late = 0, hurry = true;
    using watched = substitute({
      primitives: {
        removeDirectory(real, at) {
          if (hurry) writeFileSync(join(path, `late${late++}`), "");
          return real(at);
        },
      },
      runtime: { removeTree: undefined },
    });
    const remove = async () => kind === "async" ? await directory.remove() : directory.removeSync();
    const error = await remove().catch((error) => error);
    assert.deepEqual([error.name, error.code, error.path], ["TempfileError", "ENOTEMPTY", path]);
    assert.deepEqual(error.leftovers, [{ path, code: "ENOTEMPTY" }]);
    assert.equal(watched.of("removeDirectory").length, isWindows ? 12 : 5);
    hurry = false;
    assert.deepEqual(await remove(), []);
  }
});

test(
  "C222 while a process writes into the directory, remove() fails only with ENOTEMPTY, and succeeds if repeated (POSIX)",
  { skip: isWindows },
  async () => {
    const directory = await m.temporaryDirectory();
    const writer = spawn("sh", [
      "-c",
      `cd "$1" && echo ready && i=0 && while [ $i -lt 5000 ] && : > f$i; do i=$((i+1)); done`,
      "sh",
      directory.path,
    ], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    const ended = new Promise((resolve) => writer.on("close", resolve));
    await firstOutput(writer);
    let tries = 0;
    for (; existsSync(directory.path); tries++) {
      const error = await directory.remove().catch((error) => error);
      if (!Array.isArray(error)) {
        assert.ok(
          error.leftovers.every(({ code }: m.Leftover) => code === "ENOTEMPTY"),
          error,
        );
      }
      assert.ok(tries < 1000);
    }
    writer.kill();
    await ended;
  },
);

test("C223 concurrent calls of remove() share one removal", async () => {
  configure({ inline: false });
  try {
    const directory = temporaryDirectorySync();
    using watched = substitute();
    assert.deepEqual(await Promise.all([directory.remove(), directory.remove()]), [[], []]);
    assert.equal(watched.of("removeDirectory").length, 1);
  } finally {
    configure({ inline: undefined });
  }
});

test("C223 concurrent removals and disposals of one directory all succeed", async () => {
  const directory = await m.temporaryDirectory();
  for (const name of ["a", "b", "c"]) {
    mkdirSync(join(directory.path, name));
    for (let n = 0; n < 200; n++) writeFileSync(join(directory.path, name, `f${n}`), "");
  }
  const all = [directory.remove(), directory.remove(), directory[Symbol.asyncDispose](), directory.remove()];
  assert.deepEqual(directory.removeSync(), []);
  assert.ok(!existsSync(directory.path));
  assert.deepEqual(await Promise.all(all), [[], [], undefined, []]);
  assert.deepEqual(await directory.remove(), []);
});

test("eight trees are removed at a time, then the others in the order of the calls; removeSync() does not wait", async () => {
  const started: string[] = [], ends: (() => void)[] = [];
  function* removal(name: string): Op<void> {
    started.push(name);
    yield new Promise<void>((resolve) => ends.push(resolve));
    if (name === "1") throw new Error("failed");
  }
  function* immediate(): Op<string> {
    return yield "done";
  }
  const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve));
  // The second round shows that each place was given back, also by the removal that failed.
  for (const _round of [1, 2]) {
    const all = Array.from("0123456789", (name) => runAsync(withLimit(asyncIo(), removal(name))));
    const settled = Promise.allSettled(all);
    await turn();
    assert.equal(started.join(""), "01234567");
    assert.equal(runSync(withLimit(syncIo(), immediate())), "done");
    for (const waiting of ["8", "9"]) {
      ends.shift()!();
      await turn();
      assert.equal(started.pop(), waiting);
    }
    for (const end of ends.splice(0)) end();
    assert.equal((await settled).filter(({ status }) => status === "rejected").length, 1);
    started.length = 0;
  }
});

test("C223 removeSync() succeeds if another process removes the tree, or part of it, before any of its calls", () => {
  using place = scratch(memory);
  // The other process removes everything, or a subdirectory, before the first call, then before the second, and so on.
  for (const target of ["", "a", "a/b"]) {
    for (let call = 1, done = false; !done; call++) {
      const directory = temporaryDirectorySync({ dir: place.path }), { path } = directory;
      for (const name of ["a/b/c", "d"]) mkdirSync(join(path, name), { recursive: true });
      for (const name of ["f", "a/f", "a/b/f", "a/b/c/f", "d/f"]) writeFileSync(join(path, name), "");
      let calls = 0;
      const interfere = (): void => {
        if (++calls === call) rmSync(join(path, target), { recursive: true, force: true });
      };
      using _other = substitute({ primitives: beforeEachCall(interfere) });
      assert.deepEqual(directory.removeSync(), [], `${target} ${call}`);
      assert.ok(!existsSync(path), `${target} ${call}`);
      done = calls < call;
      assert.ok(done || call < 500);
    }
  }
});

test("C247 a removal interrupted after any call leaves a valid smaller tree, which can be adopted and removed", () => {
  using place = scratch(memory);
  for (let stop = 1, done = false; !done; stop++) {
    const top = join(place.path, "top");
    for (const name of ["a/b/c", "d"]) mkdirSync(join(top, name), { recursive: true });
    for (const name of ["f", "a/f", "a/b/f", "a/b/c/f", "d/f"]) writeFileSync(join(top, name), name);
    const before = new Set(readdirSync(top, { recursive: true }).map(String));
    const identity = runtime.sync.status(top);
    let calls = 0;
    {
      using _counting = substitute({ primitives: beforeEachCall(() => calls++) });
      // A crash: the remaining steps are never executed.
      const op = removeDirectory(syncIo(), top, identity);
      let step = op.next();
      while (!step.done && calls < stop) step = op.next(step.value);
      closeAbandoned(op, step.value);
    }
    done = calls < stop;
    if (done) assert.ok(!existsSync(top));
    // Removed already: only descriptors were left to close.
    if (!existsSync(top)) continue;
    const after = readdirSync(top, { recursive: true }).map(String);
    for (const name of after) assert.ok(before.has(name), name);
    for (const name of after.filter((name) => name.endsWith("f"))) {
      assert.equal(readFileSync(join(top, name), "utf8"), name.replaceAll("\\", "/"));
    }
    using again = m.adoptDirectorySync(top);
    assert.deepEqual(again.removeSync(), []);
  }
});

test("C248 a name that stays busy, such as the .nfsXXXX of a file removed on NFS, is retried a few times, then reported", async () => {
  for (const kind of ["async", "sync"]) {
    const directory = temporaryDirectorySync({ ignoreCleanupErrors: true });
    const name = ".nfs00000000012345670000002a";
    writeFileSync(join(directory.path, name), "");
    writeFileSync(join(directory.path, "other"), "");
    let busy = Infinity, waits = 0;
    const { after } = runtime;
    using watched = substitute({
      primitives: {
        unlink(real, path: string) {
          if (String(path).endsWith(name) && busy-- > 0) throw systemError("EBUSY");
          return real(path);
        },
      },
      runtime: {
        removeTree: undefined,
        after: (milliseconds, call) => (waits++, after(milliseconds, call)),
      },
    });
    const remove = async () => kind === "async" ? await directory.remove() : directory.removeSync();
    assert.deepEqual(await remove(), [{ path: join(directory.path, name), code: "EBUSY" }]);
    assert.equal(
      watched.of("unlink").filter(([path]) => String(path).endsWith(name)).length,
      isWindows ? 11 : 4,
    );
    assert.equal(waits, kind === "sync" ? 0 : isWindows ? 10 : 3);
    assert.deepEqual(readdirSync(directory.path), [name]);
    // Busy for a moment only: a retry succeeds.
    busy = 2;
    assert.deepEqual(await remove(), []);
  }
});

test("a removal is tried again if a signal interrupts it, as on FUSE, or descriptors run out, of files as of trees", async () => {
  for (const code of ["EINTR", "EMFILE", "ENFILE"]) {
    for (const sync of [true, false]) {
      using place = scratch();
      const file = namedTemporaryFileSync({ dir: place.path });
      const directory = temporaryDirectorySync({ dir: place.path });
      for (const name of ["one", "other"]) writeFileSync(join(directory.path, name), "");
      const failed = new Set<string>();
      using _ = substitute({
        primitives: {
          unlink(real, path: string) {
            if (failed.has(basename(path))) return real(path);
            failed.add(basename(path));
            throw systemError(code);
          },
        },
        runtime: { removeTree: undefined },
      });
      if (sync) file.closeSync(), directory.removeSync();
      else await file.close(), await directory.remove();
      assert.deepEqual([place.names(), failed.size], [[], 3], code);
    }
  }
});

test(
  "C248 where removed files that are open keep a hidden name, as on NFS, remove() reports that name, and succeeds after a close",
  { skip: noFuse },
  async () => {
    using place = scratch();
    const { said, stderr } = await runChild(
      `for (const way of ["remove", "removeSync"]) {
         const directory = await m.temporaryDirectory({ dir: args[0] });
         fs.mkdirSync(directory.join("sub"));
         fs.writeFileSync(directory.join("other"), "");
         const fd = fs.openSync(directory.join("sub", "open"), "wx+");
         try { await directory[way](); }
         catch ({ name, code, leftovers }) {
           const left = leftovers.map(({ path: at, code }) => [path.relative(directory.path, at).replace(/\\d+/, ""), code]);
           say([name, code, left, fs.readdirSync(directory.path)]);
         }
         fs.closeSync(fd);
         say([await directory[way](), fs.readdirSync(args[0])]);
       }`,
      { args: [place.path], under: withFuse(place.path, "hides") },
    );
    const failure = ["TempfileError", "EBUSY", [["sub/.fuse_hidden", "EBUSY"]], ["sub"]];
    assert.deepEqual(said, [failure, [[], []], failure, [[], []]], stderr);
  },
);

test("closing a file and removing a directory succeed if their parent was replaced by a file", {
  skip: namesLinger,
}, async () => {
  using place = scratch();
  for (const end of ["async", "sync"]) {
    const around = join(place.path, `around-${end}`);
    mkdirSync(around);
    const file = await m.namedTemporaryFile({ dir: around }),
      directory = await m.temporaryDirectory({ dir: around });
    rmSync(around, { recursive: true });
    writeFileSync(around, "");
    if (end === "async") await file.close();
    else file.closeSync();
    assert.deepEqual(end === "async" ? await directory.remove() : directory.removeSync(), []);
    assert.deepEqual(
      [m.usageSync().files, m.usageSync().directories],
      [[], []],
      "and is no longer registered",
    );
  }
});
