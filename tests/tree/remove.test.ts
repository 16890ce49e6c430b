/**
 * Removal of trees: what they contain, who else works on them, and what is done by which call.
 *
 * @module
 */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import * as m from "#mod";
import { temporaryDirectory, temporaryDirectorySync } from "../../lib/directory.ts";
import { namedTemporaryFileSync } from "../../lib/file/named.ts";
import { asyncIo, syncIo } from "../../lib/operation/io.ts";
import { type Op, runAsync, runSync } from "../../lib/operation/op.ts";
import { runtime, type Status } from "../../lib/runtime/mod.ts";
import { configure } from "../../lib/settings.ts";
import { withLimit } from "../../lib/tree/limit.ts";
import { removeDirectory } from "../../lib/tree/remove.ts";
import { closeAbandoned } from "../support/abandoned.ts";
import { firstOutput, runChild } from "../support/child.ts";
import { noFuse, withFuse } from "../support/fuse.ts";
import { naiveRemove } from "../support/naive.ts";
import { packageTest as test } from "../support/once.ts";
import { isBun, isDeno, isLinux, isRoot, isWindows, namesLinger, noLinkCounts } from "../support/platform.ts";
import { deepChain, hasPython, python } from "../support/python.ts";
import { assertBothRemoved, BOTH_WAYS, bothWays, restricted } from "../support/removal.ts";
import { memory, scratch } from "../support/scratch.ts";
import { beforeEachCall, changed, substitute, systemError } from "../support/substitute.ts";

/** Whether a command exists and succeeds. */
const works = (command: string, ...args: string[]): boolean => spawnSync(command, args).status === 0;

test(
  "C226 remove() removes a symbolic link to a directory, but not the target or its contents (POSIX)",
  { skip: isWindows },
  async () => {
    using outside = scratch();
    writeFileSync(join(outside.path, "keep"), "x");
    mkdirSync(join(outside.path, "sub"));
    await bothWays(async ({ path }, remove) => {
      mkdirSync(join(path, "sub"));
      symlinkSync(outside.path, join(path, "link"));
      symlinkSync(outside.path, join(path, "sub", "link"));
      symlinkSync("nowhere", join(path, "dangling"));
      symlinkSync("loop", join(path, "loop"));
      assert.deepEqual(await remove(), []);
      assert.deepEqual(outside.list(), ["keep", "sub"]);
      assert.equal(readFileSync(join(outside.path, "keep"), "utf8"), "x");
    });
  },
);

const NAIVE = import.meta.resolve("../support/naive.ts");

/** Creates files and directories of every mode outside, and symbolic links to them in a read-only directory. */
const LINKS_TO_MODES = `
const outside = args[0], modes = [0, 0o100, 0o200, 0o300, 0o400, 0o500, 0o600, 0o700];
const kinds = (mode) => [outside + "/file" + mode, outside + "/dir" + mode];
for (const mode of modes) {
  const [file, dir] = kinds(mode);
  fs.writeFileSync(file, "x"); fs.mkdirSync(dir);
  for (const made of [file, dir]) fs.chmodSync(made, mode);
}
const look = () => modes.flatMap((mode) => kinds(mode).map((made) => fs.statSync(made).mode & 0o7777));
const before = look();
await bothWays({}, (top) => {
  fs.mkdirSync(top + "/locked");
  for (const mode of modes) {
    for (const [n, made] of kinds(mode).entries()) fs.symlinkSync(made, top + "/locked/link" + mode + n);
    fs.symlinkSync(outside + "/missing" + mode, top + "/locked/dangling" + mode);
  }
  for (const made of [top + "/locked", top]) fs.chmodSync(made, 0o500);
});
const after = look(), names = fs.readdirSync(outside).length;
// The control: a naive removal repairs the permissions of what the links lead to.
const { naiveRemove } = await import(args[1]);
const naive = m.temporaryDirectorySync();
fs.symlinkSync(outside + "/file0", naive.join("link"));
fs.chmodSync(naive.path, 0o500);
say({ before, after, names, control: [await attempt(() => naiveRemove(naive.path)), look()[0]] });
fs.chmodSync(naive.path, 0o700);
`;

test(
  "T17 C227 removing symbolic links from a read-only directory does not change the modes of their targets (POSIX)",
  {
    skip: isWindows,
  },
  async () => {
    using outside = scratch();
    const { said: [one, two, modes], status, stderr } = await runChild(BOTH_WAYS + LINKS_TO_MODES, {
      unprivileged: true,
      args: [outside.path, NAIVE],
    });
    assert.deepEqual([status, stderr], [0, ""]);
    if (isLinux) assertBothRemoved([one, two]);
    else {for (const { path } of [one, two]) {
        spawnSync("chmod", ["-R", "u+rwx", path]), spawnSync("rm", ["-rf", path]);
      }}
    assert.deepEqual(modes.after, modes.before);
    assert.deepEqual(new Set(modes.after), new Set([0, 0o100, 0o200, 0o300, 0o400, 0o500, 0o600, 0o700]));
    assert.equal(modes.names, 16);
    assert.deepEqual(modes.control, [{ code: "EACCES" }, 0o700]);
  },
);

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

test(
  "T20 C236 remove() unlinks a hard link to an outside file, which keeps its mode, owner, times and size (POSIX)",
  {
    skip: isWindows,
  },
  async () => {
    using outside = scratch();
    const file = join(outside.path, "file");
    writeFileSync(file, "x");
    chmodSync(file, 0);
    const before = statSync(file);
    const code = `${BOTH_WAYS}
    await bothWays({ dir: args[0] }, (top) => {
      fs.mkdirSync(top + "/sub");
      for (const name of ["/hard", "/sub/hard"]) fs.linkSync(args[1], top + name);
      if (process.platform === "linux") for (const dir of [top + "/sub", top]) fs.chmodSync(dir, 0o500);
    });
    // The control: a naive removal repairs the permissions of the file.
    const { naiveRemove } = await import(args[2]);
    const naive = m.temporaryDirectorySync({ dir: args[0] }), other = args[0] + "/other";
    fs.closeSync(fs.openSync(other, "w", 0));
    fs.linkSync(other, naive.join("hard"));
    fs.chmodSync(naive.path, 0o500);
    say([await attempt(() => naiveRemove(naive.path)), fs.statSync(other).mode & 0o777]);
    fs.chmodSync(naive.path, 0o700);`;
    using place = scratch();
    const { said, status, stderr } = await runChild(code, {
      unprivileged: true,
      args: [place.path, file, NAIVE],
    });
    assert.deepEqual([status, stderr], [0, ""]);
    assert.deepEqual(said.pop(), [{ code: "EACCES" }, 0o700]);
    assertBothRemoved(said);
    assert.deepEqual(place.list(), ["other"]);
    const after = statSync(file);
    for (const what of ["mode", "uid", "gid", "mtimeMs", "atimeMs", "nlink", "size"] as const) {
      assert.equal(after[what], before[what], what);
    }
  },
);

test("C237 a FIFO, a socket and device nodes are unlinked, never opened (POSIX)", {
  skip: isWindows || !hasPython,
}, async () => {
  for (const remove of ["remove", "removeSync"] as const) {
    const directory = await temporaryDirectory();
    python(
      `
import os, socket, stat, sys
os.chdir(sys.argv[1])
os.mkfifo("fifo")
socket.socket(socket.AF_UNIX).bind("socket")
try:
    os.mknod("null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    os.mknod("disk", stat.S_IFBLK | 0o600, os.makedev(7, 250))
except PermissionError: pass
`,
      directory.path,
    );
    assert.equal(readdirSync(directory.path).length, isRoot ? 4 : 2);
    using watched = substitute();
    // Opening the FIFO would block for ever, since it has no writer.
    assert.deepEqual(await directory[remove](), []);
    const opened = ["openFile", "openDescriptor", "openDirectory", "locateDirectory"] as const;
    for (const [path] of opened.flatMap((name) => watched.of(name))) {
      assert.doesNotMatch(String(path), /fifo|socket|null|disk/);
    }
    assert.ok(!existsSync(directory.path));
  }
});

test(
  "C238 remove() removes names with a newline, invalid UTF-8, a leading dash, or 255 bytes (POSIX)",
  { skip: isWindows || !hasPython },
  async () => {
    await bothWays(async ({ path }, remove) => {
      const made = python(
        String.raw`
import os, sys
os.chdir(sys.argv[1])
odd = [b"new\nline", b"\xff", b"a\xfe\xffb", b"\xed\xa0\x80", b"-rf", b"--", b" ", b"~", b"*", b"...", b"\\", b"\"'$(x)", "\ufffd".encode(), "ä".encode(), b"x" * 255, b"\xff" * 255]
def make(depth):
    for name in odd:
        os.close(os.open(b"file-" + name if len(name) < 250 else name, os.O_CREAT, 0o600))
        os.mkdir(b"" + name if len(name) < 250 else name[1:])
        if depth > 0:
            os.chdir(name if len(name) < 250 else name[1:])
            make(depth - 1)
            os.chdir(b"..")
make(1)
print(len(os.listdir(b".")))
`,
        path,
      );
      assert.equal(Number(made), 32);
      assert.deepEqual(await remove(), []);
    });
  },
);

test("C246 remove() succeeds if the working directory is inside (POSIX)", {
  skip: isWindows,
}, async () => {
  const code = `${BOTH_WAYS}
    await bothWays({}, (top) => { fs.mkdirSync(top + "/sub"); process.chdir(top + "/sub"); }, () => process.chdir("/"));`;
  const { said, status, stderr } = await runChild(code);
  assert.deepEqual([status, stderr], [0, ""]);
  assertBothRemoved(said);
});

test("C246 remove() fails with EBUSY, EPERM or EACCES if the working directory is inside (Windows)", {
  skip: !isWindows,
}, async () => {
  const code = `${BOTH_WAYS}
    await bothWays({}, (top) => { fs.mkdirSync(top + "/sub"); process.chdir(top + "/sub"); }, () => process.chdir("/"));`;
  const { said } = await runChild(code);
  for (const { left } of said) assert.match(left.code, /^(EBUSY|EPERM|EACCES)$/);
});

test("directories that are too deep and cannot be moved up, as on Windows while a file in them is open, are removed where they are", async () => {
  for (const kind of ["async", "sync"]) {
    const directory = temporaryDirectorySync();
    let deep = directory.path;
    for (let depth = 0; depth < 14; depth++) {
      deep = join(deep, "deep");
      mkdirSync(deep);
      writeFileSync(join(deep, "file"), "");
    }
    using watched = substitute({
      primitives: {
        rename() {
          throw systemError("EPERM");
        },
      },
      // The runtime's recursive removal moves nothing.
      runtime: { removeTree: undefined },
    });
    assert.deepEqual(kind === "async" ? await directory.remove() : directory.removeSync(), []);
    assert.ok(watched.of("rename").length > 0);
    assert.ok(!existsSync(directory.path));
  }
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

test("a removal that a signal interrupts, as on FUSE, is tried again, of files as of trees", async () => {
  for (const sync of [true, false]) {
    using place = scratch();
    const file = namedTemporaryFileSync({ dir: place.path });
    const directory = temporaryDirectorySync({ dir: place.path });
    for (const name of ["one", "other"]) writeFileSync(join(directory.path, name), "");
    const interrupted = new Set<string>();
    using _ = substitute({
      primitives: {
        unlink(real, path: string) {
          if (interrupted.has(basename(path))) return real(path);
          interrupted.add(basename(path));
          throw systemError("EINTR");
        },
      },
      runtime: { removeTree: undefined },
    });
    if (sync) file.closeSync(), directory.removeSync();
    else await file.close(), await directory.remove();
    assert.deepEqual([place.names(), interrupted.size], [[], 3]);
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

test(
  "C214 C226 without permission for /proc, remove() removes a tree and does not follow links (not on Bun: no permissions)",
  { skip: isBun },
  async () => {
    using outside = scratch();
    writeFileSync(join(outside.path, "keep"), "x");
    using place = scratch();
    for (const way of ["async", "sync"]) {
      const top = join(place.path, way);
      for (const name of ["a/b", "c", "l".repeat(250)]) mkdirSync(join(top, name), { recursive: true });
      for (const name of ["f", "a/f", "a/b/f", "c/f"]) writeFileSync(join(top, name), "");
      if (isWindows) continue;
      for (const name of ["link", "a/b/link"]) symlinkSync(outside.path, join(top, name));
      if (hasPython) deepChain(top, 30);
    }
    const code = `
    for (const way of ["async", "sync"]) {
      const d = m.adoptDirectorySync(args[0] + "/" + way);
      try { say(way === "async" ? await d.remove() : d.removeSync()); } catch (error) { say([error.message, error.leftovers]); }
    }
    try { fs.statSync("/proc/self/fd"); fs.readlinkSync("/proc/self/fd/0"); say("proc"); } catch (error) { say("no proc"); }`;
    const flags = restricted(place.path)!;
    const { said, status, stderr } = await runChild(code, {
      args: [place.path],
      env: { TMPDIR: place.path },
      flags: isDeno ? flags : [...flags, `--allow-fs-read=${join(realpathSync(tmpdir()), "*")}`],
    });
    assert.deepEqual([said, status, stderr], [[[], [], "no proc"], 0, ""]);
    assert.deepEqual(place.list(), []);
    assert.deepEqual(outside.list(), ["keep"]);
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

test(
  "directories without subdirectories go to the runtime's recursive removal, and by single calls if that fails (Linux)",
  {
    skip: !isLinux || noLinkCounts,
  },
  async () => {
    const asked: string[] = [];
    /** Removes directories with "easy" in their path; fails halfway on others, as if an entry could not be removed. */
    const own = (path: string): void => {
      asked.push(path);
      if (path.includes("easy")) return rmSync(path, { recursive: true });
      rmSync(join(path, "1"));
      throw systemError("EACCES");
    };
    const fill = (path: string): void => {
      for (const name of ["easy", "hard", join("above", "easy"), join("above", "hard")]) {
        mkdirSync(join(path, name), { recursive: true });
        for (const file of ["1", "2", "3"]) writeFileSync(join(path, name, file), "");
      }
    };
    using _ = substitute({
      runtime: { removeTree: { sync: own, pooled: (path) => new Promise((resolve) => resolve(own(path))) } },
    });
    for (const remove of ["remove", "removeSync"] as const) {
      const directory = temporaryDirectorySync();
      fill(directory.path);
      assert.deepEqual(await directory[remove](), []);
      assert.ok(!existsSync(directory.path));
      const names = asked.splice(0);
      assert.equal(names.length, 4, names.join());
      // By a descriptor and one name below it, never by the whole path, which others could redirect.
      for (const name of names) assert.match(name, /^\/proc\/self\/fd\/\d+\/(easy|hard)$/);
    }
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

test(
  "C238 without descriptor paths, a directory named in invalid UTF-8 is removed with its contents (POSIX, not on Deno)",
  {
    skip: isWindows || (isDeno && "Deno has names as text only"),
  },
  async () => {
    using place = scratch();
    using _ = substitute({ runtime: { anchor: () => undefined, removeTree: undefined } });
    for (const blocking of [true, false]) {
      const directory = temporaryDirectorySync({ dir: place.path });
      const odd = Buffer.concat([Buffer.from(join(directory.path, "x")), Uint8Array.of(0xff)]);
      mkdirSync(odd);
      writeFileSync(Buffer.concat([odd, Buffer.from("/file")]), "");
      assert.deepEqual(blocking ? directory.removeSync() : await directory.remove(), []);
    }
    assert.deepEqual(place.names(), []);
  },
);

test(
  "removeSync() leaves a large directory to the runtime's recursive removal, remove() does not (Linux)",
  {
    skip: !isLinux,
  },
  async () => {
    using place = scratch();
    const handed: string[] = [];
    using _ = substitute({
      runtime: {
        removeTree: {
          sync(path) {
            handed.push(basename(path));
            rmSync(path, { recursive: true });
          },
          pooled: undefined,
        },
      },
    });
    for (const blocking of [true, false]) {
      handed.length = 0;
      const directory = temporaryDirectorySync({ dir: place.path });
      for (const [leaf, count] of [["small", 1], ["large", 400]] as const) {
        mkdirSync(join(directory.path, leaf));
        for (let n = 0; n < count; n++) writeFileSync(join(directory.path, leaf, `a-file-named-${n}`), "");
      }
      const { size, nlink } = statSync(join(directory.path, "large"));
      assert.deepEqual(blocking ? directory.removeSync() : await directory.remove(), []);
      // Not every file system counts subdirectories as links, or stores 400 names in more than 4,096 bytes.
      if (blocking) assert.deepEqual(handed.sort(), nlink === 2 ? ["large", "small"] : []);
      else if (size > 4096) assert.ok(!handed.includes("large"));
    }
    assert.deepEqual(place.names(), []);
  },
);

test("without descriptor paths, the runtime's recursive removal is used only for trees on one device", async () => {
  using place = scratch();
  const handed: string[] = [];
  let foreign: string | undefined;
  const rm = (path: string): void => {
    handed.push(path);
    rmSync(path, { recursive: true });
  };
  using _ = substitute({
    primitives: {
      status(real, ...[path]: [string]) {
        const mark = (found: Status): Status => path === foreign ? { ...found, device: -1 } : found;
        return changed(real(...[path] as never[]), mark);
      },
    },
    runtime: { anchor: () => undefined, removeTree: { sync: rm, pooled: async (path) => await rm(path) } },
  });
  for (const blocking of [true, false]) {
    const whole = temporaryDirectorySync({ dir: place.path });
    const mounted = temporaryDirectorySync({ dir: place.path });
    for (const { path } of [whole, mounted]) {
      mkdirSync(join(path, "sub"));
      writeFileSync(join(path, "sub", "file"), "");
      // A name in bytes, which is listed without its kind.
      if (!isDeno && !isWindows) {
        writeFileSync(Buffer.concat([Buffer.from(join(path, "x")), Uint8Array.of(0xff)]), "");
      }
    }
    foreign = join(mounted.path, "sub");
    assert.deepEqual(blocking ? whole.removeSync() : await whole.remove(), []);
    const failure = { code: "EXDEV", leftovers: [{ path: foreign, code: "EXDEV" }] };
    if (blocking) assert.throws(() => mounted.removeSync(), failure);
    else await assert.rejects(mounted.remove(), failure);
    assert.deepEqual([handed.splice(0), existsSync(join(foreign, "file"))], [[whole.path], true]);
    foreign = undefined;
    mounted.removeSync();
    handed.length = 0;
  }
  assert.deepEqual(place.names(), []);
});
