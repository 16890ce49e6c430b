/**
 * Removal of trees: what they contain, and what is done by which call.
 *
 * @module
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { temporaryDirectory, temporaryDirectorySync } from "../../lib/directory.ts";
import type { Status } from "../../lib/runtime/mod.ts";
import { runChild } from "../support/child.ts";
import { packageTest as test } from "../support/once.ts";
import { isBun, isDeno, isLinux, isRoot, isWindows, noLinkCounts } from "../support/platform.ts";
import { deepChain, hasPython, python } from "../support/python.ts";
import { assertBothRemoved, BOTH_WAYS, bothWays, restricted } from "../support/removal.ts";
import { scratch } from "../support/scratch.ts";
import { changed, substitute, systemError } from "../support/substitute.ts";

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
  "a removal whose permission to use descriptor paths is revoked meanwhile reports that, and the next one finishes (Linux)",
  { skip: !isLinux },
  async () => {
    using place = scratch();
    let denied = 0;
    for (let permitted = 0; permitted < 8; permitted++) {
      for (const blocking of [true, false]) {
        const directory = temporaryDirectorySync({ dir: place.path, ignoreCleanupErrors: true });
        mkdirSync(join(directory.path, "a", "b"), { recursive: true });
        const remove = async () => blocking ? directory.removeSync() : await directory.remove();
        let asked = 0;
        const anchor = (descriptor: number) =>
          asked++ < permitted ? `/proc/self/fd/${descriptor}` : undefined;
        using _ = substitute({ runtime: { anchor, removeTree: undefined } });
        const leftovers = await remove();
        for (const { code } of leftovers) assert.equal(code, "ERR_ACCESS_DENIED");
        denied += leftovers.length;
        assert.deepEqual(await remove(), []);
      }
    }
    assert.ok(denied > 0);
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
