/**
 * `persist()` of a file, by its target: what exists there already, the mode and owner of the result, and paths.
 *
 * @module
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { createServer } from "node:net";
import { join, relative } from "node:path";
import { pathToFileURL } from "node:url";
import {
  namedTemporaryFile,
  spooledTemporaryFile,
  TempfileError,
  temporaryFile,
  writeFileAtomic,
  writeFileAtomicSync,
} from "#mod";
import { namedTemporaryFile as sourceNamed } from "../../lib/file/named.ts";
import { temporaryFile as sourceUnnamed } from "../../lib/file/unnamed.ts";
import { writeFileAtomicSync as sourceWriteSync } from "../../lib/persist/write_file_atomic.ts";
import { firstOutput, othersMayEnter, runChild, startChild } from "../support/child.ts";
import { readLeases } from "../support/leases.ts";
import { failureOf, kinds } from "../support/kinds.ts";
import { packageTest as test } from "../support/once.ts";
import {
  isWindows,
  modeOf,
  namesLinger,
  noFifos,
  noLinks,
  noLinux,
  noModes,
  noReplacing,
  notRoot,
  shownMode,
} from "../support/platform.ts";
import { variants, workspace } from "../support/places.ts";
import { python } from "../support/python.ts";
import { type Scratch, scratch } from "../support/scratch.ts";
import { asWindows, substitute, systemError } from "../support/substitute.ts";

test("C155 persist() keeps the mode that the temporary file was created with, also when it copies", {
  skip: noModes,
}, async () => {
  for (const [kind, open] of Object.entries(kinds)) {
    using place = workspace();
    const file = await open({ dir: place.temporary.path, mode: 0o640 });
    await file.write("x");
    assert.equal(modeOf(await file.persist(join(place.results.path, "new"))), 0o640, kind);
  }
});

test("C106 C144 persist() with overwrite: false onto a file fails with EEXIST, leaves both intact, and succeeds at another path", async () => {
  for (const [kind, open] of Object.entries(kinds)) {
    for (const [variant, persist] of Object.entries(variants)) {
      using place = workspace();
      const label = `${kind}, ${variant}`;
      const taken = join(place.results.path, "taken"), free = join(place.results.path, "free");
      writeFileSync(taken, "foobar");
      const file = await open({ dir: place.temporary.path });
      await file.write("mine");
      assert.equal(await failureOf(() => persist(file, taken, { overwrite: false })), "EEXIST", label);
      assert.equal(readFileSync(taken, "utf8"), "foobar", label);
      assert.equal(await file.text(), "mine", label);
      await file.write(" and more");
      assert.equal(await persist(file, free, { overwrite: false }), free, label);
      assert.equal(readFileSync(free, "utf8"), "mine and more", label);
      assert.deepEqual(place.results.list(), ["free", "taken"], label);
      assert.deepEqual(place.temporary.list(), [], label);
    }
  }
});

test("C144 persist() with overwrite: false does not replace a file that appears at the target after its check", async () => {
  for (const open of [sourceNamed, sourceUnnamed]) {
    for (const [variant, persist] of Object.entries(variants)) {
      using place = workspace();
      const target = join(place.results.path, "target");
      const file = await open({ dir: place.temporary.path });
      await file.write("mine");
      using _ = substitute({
        primitives: {
          link: (real, from: string, to: string) => (writeFileSync(to, "theirs"), real(from, to)),
        },
      });
      assert.equal(
        await failureOf(() => persist(file as never, target, { overwrite: false })),
        "EEXIST",
        variant,
      );
      assert.equal(readFileSync(target, "utf8"), "theirs");
      assert.equal(await file.text(), "mine");
      await file.close();
      assert.deepEqual([place.temporary.list(), place.results.list()], [[], ["target"]]);
    }
  }
});

test("C145 persist() onto a directory fails with EISDIR, or EEXIST with overwrite: false, and changes neither", async () => {
  for (const [kind, open] of Object.entries(kinds)) {
    for (const persist of Object.values(variants)) {
      using place = workspace();
      const full = join(place.results.path, "full"), empty = join(place.results.path, "empty");
      mkdirSync(full);
      mkdirSync(empty);
      writeFileSync(join(full, "file"), "x");
      const file = await open({ dir: place.temporary.path });
      await file.write("mine");
      for (const path of [full, empty, `${full}/`, `${full}/.`, `${full}/..`]) {
        assert.equal(await failureOf(() => persist(file, path)), "EISDIR", `${kind} ${path}`);
        const careful = () => persist(file, path, { overwrite: false });
        assert.equal(await failureOf(careful), "EEXIST", `${kind} ${path}`);
      }
      assert.equal(await file.text(), "mine");
      await file.close();
      assert.deepEqual([place.results.list(), existsSync(join(full, "file"))], [["empty", "full"], true]);
    }
  }
});

test("C146 persist() into a missing directory fails with ENOENT, and can be called again", async () => {
  for (const [kind, open] of Object.entries(kinds)) {
    for (const persist of Object.values(variants)) {
      using place = workspace();
      const file = await open({ dir: place.temporary.path });
      await file.write("mine");
      const missing = join(place.results.path, "missing");
      const error = await persist(file, join(missing, "new")).then(() => undefined, (error) => error);
      assert.ok(error instanceof TempfileError, kind);
      assert.equal(error.code, "ENOENT");
      assert.match(error.message, /Cannot put a file at .*missing/);
      assert.ok(!file.closed);
      mkdirSync(missing);
      await persist(file, join(missing, "new"));
      assert.equal(readFileSync(join(missing, "new"), "utf8"), "mine");
    }
  }
});

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

test(
  "C153 differs: persist() gives a new file the temporary file's 0600, and a replacement the mode of the replaced file",
  { skip: noModes },
  async () => {
    for (const [kind, open] of Object.entries(kinds)) {
      for (const persist of Object.values(variants)) {
        using place = workspace();
        const fresh = join(place.results.path, "fresh"), existing = join(place.results.path, "existing");
        writeFileSync(existing, "old");
        chmodSync(existing, 0o644);
        for (const [path, mode] of [[fresh, 0o600], [existing, 0o644]] as const) {
          const file = await open({ dir: place.temporary.path });
          await file.write("new");
          await persist(file, path);
          assert.equal(modeOf(path), mode, kind);
        }
      }
    }
  },
);

/** Reads a file in a loop, and reports how often it differed from a whole replacement. */
const READER = `
const [target] = args;
let reads = 0, partial = 0;
const seen = new Set();
say("ready");
for (;;) {
  const text = fs.readFileSync(target, "latin1");
  reads++;
  const line = text.slice(0, text.indexOf("\\n") + 1);
  if (line === "end\\n") break;
  // A whole file is one line of ten characters, 2,000 times.
  if (line.length === 10 && text.length === 20000 && text === line.repeat(2000)) seen.add(line);
  else partial++;
}
say({ reads, partial, seen: seen.size });`;

const generation = (number: number): string => `${String(number).padStart(9, "0")}\n`.repeat(2000);

/** Returns what a concurrent reader sees during 2,000 replacements. */
async function readDuring(
  place: Scratch,
  replace: (path: string, text: string) => void | Promise<void>,
): Promise<{ reads: number; partial: number; seen: number }> {
  const target = join(place.path, "target");
  writeFileSync(target, generation(0));
  const { child, result } = startChild(READER, { args: [target], bare: true });
  await firstOutput(child);
  for (let number = 1; number <= 2000; number++) await replace(target, generation(number));
  writeFileAtomicSync(target, "end\n");
  const { said, stderr } = await result;
  assert.equal(said.length, 2, stderr);
  return said[1];
}

/** Writes a file the naive way: truncates it, and writes it in pieces. */
function writeInPlace(path: string, text: string): void {
  const fd = openSync(path, "w");
  for (let at = 0; at < text.length; at += 4000) writeSync(fd, text.slice(at, at + 4000));
  closeSync(fd);
}

test(
  "C143 a concurrent reader sees only whole files during 2,000 calls of persist() and writeFileAtomic(), and partial ones during plain writes",
  { skip: noReplacing },
  async () => {
    using place = scratch();
    const dir = place.path;
    type Options = { durable: boolean };
    const ways: ((path: string, text: string, options: Options) => void | Promise<void>)[] = [
      writeFileAtomic,
      writeFileAtomicSync,
      ...[namedTemporaryFile, temporaryFile, spooledTemporaryFile].flatMap((open) =>
        Object.values(variants).map((persist) => async (path: string, text: string, options: Options) => {
          const file = await open({ dir });
          await file.write(text);
          await persist(file, path, options);
        })
      ),
    ];
    let turn = 0;
    const found = await readDuring(place, (path, text) => {
      const durable = turn % 100 < 3;
      return ways[turn++ % ways.length](path, text, { durable });
    });
    assert.equal(found.partial, 0);
    assert.ok(found.seen > 5 && found.reads > 20, JSON.stringify(found));
    assert.deepEqual(place.list(), ["target"]);
    // The control: the same reader detects plain writes, though on a busy machine not always at the first attempt.
    let partial = 0;
    for (let tries = 0; partial === 0 && tries < 10; tries++) {
      ({ partial } = await readDuring(place, writeInPlace));
    }
    assert.ok(partial > 0);
  },
);

/** Persists a file of each kind with each mode, under the umask of the child, and reports the resulting modes. */
const PERSIST_WITH_MODES = `
const [dir, results, ...modes] = args;
for (const given of modes) {
  const mode = given === "default" ? undefined : /^[0-7]+$/.test(given) ? parseInt(given, 8) : given;
  for (const kind of ["namedTemporaryFile", "temporaryFile", "spooledTemporaryFile"]) {
    for (const persist of ["persist", "persistSync"]) {
      const file = await m[kind]({ dir });
      await file.write("written");
      const target = path.join(results, kind + given + persist);
      await file[persist](target, { mode });
      const { mode: found, size } = fs.statSync(target);
      say([given, (found & 0o777).toString(8), size]);
    }
  }
}`;

async function modesUnder(umask: string, modes: string[]): Promise<{ [given: string]: string }> {
  using place = workspace();
  const { said, stderr } = await runChild(PERSIST_WITH_MODES, {
    args: [place.temporary.path, place.results.path, ...modes],
    umask,
    unprivileged: true,
  });
  assert.equal(said.length, modes.length * 6, stderr);
  assert.ok(said.every(([, , size]) => size === 7));
  const found = new Set(said.map(([given, mode]) => `${given}=${mode}`));
  assert.equal(found.size, modes.length, "the same for each kind and variant");
  return Object.fromEntries(said.map(([given, mode]) => [given, mode]));
}

test("C154 persist() under umask 0377 still gives the file mode 0600", { skip: noModes }, async () => {
  assert.deepEqual(await modesUnder("0377", ["default", "private"]), { default: "600", private: "600" });
});

test(
  "C155 persist() with a numeric mode gives exactly that mode, whatever the umask",
  { skip: noModes },
  async () => {
    for (const umask of ["0000", "0022", "0077", "0777"]) {
      assert.deepEqual(await modesUnder(umask, ["654"]), { 654: "654" }, umask);
    }
  },
);

test(
  'C156 differs: persist() ignores the umask with a numeric mode; mode: "umask" gives 0666 minus the umask',
  {
    skip: noModes,
  },
  async () => {
    assert.deepEqual(await modesUnder("0012", ["777", "umask"]), { 777: "777", umask: "664" });
  },
);

test(
  'C157 differs: persist() with mode: "existing" takes the mode of the replaced file, or of the temporary file if there is none',
  { skip: noModes },
  async () => {
    for (const open of Object.values(kinds)) {
      for (const persist of Object.values(variants)) {
        using place = workspace();
        const existing = join(place.results.path, "existing"), absent = join(place.results.path, "absent");
        const locked = join(place.results.path, "locked"), fixed = join(place.results.path, "static");
        writeFileSync(existing, "old");
        chmodSync(existing, 0o754);
        writeFileSync(locked, "old", { mode: 0o400 });
        for (
          const [path, mode, expected] of [
            [existing, "existing", 0o754],
            // Fewer bits than a temporary file has.
            [locked, "existing", 0o400],
            [absent, "existing", 0o600],
            [fixed, 0o612, 0o612],
            [fixed, 0o400, 0o400],
          ] as const
        ) {
          const file = await open({ dir: place.temporary.path });
          await persist(file, path, { mode });
          assert.equal(modeOf(path), expected);
        }
      }
    }
  },
);

test(
  "C158 differs: instead of ignoreUmask, a numeric mode of persist() is exact, and overrides that of the replaced file",
  { skip: noModes },
  async () => {
    assert.deepEqual(await modesUnder("0077", ["644", "632"]), { 644: "644", 632: "632" });
    using place = workspace();
    const existing = join(place.results.path, "existing");
    for (const persist of Object.values(variants)) {
      writeFileSync(existing, "old");
      chmodSync(existing, 0o765);
      await persist(await namedTemporaryFile({ dir: place.temporary.path }), existing, { mode: 0o632 });
      assert.equal(modeOf(existing), 0o632);
    }
  },
);

test("C162 persist() by root keeps the owner and group of the replaced file", { skip: notRoot }, async () => {
  for (const open of Object.values(kinds)) {
    for (const persist of Object.values(variants)) {
      using place = workspace();
      const target = join(place.results.path, "target");
      writeFileSync(target, "old");
      chmodSync(target, 0o660);
      chownSync(target, 1234, 4321);
      const file = await open({ dir: place.temporary.path });
      await file.write("new");
      await persist(file, target);
      const { uid, gid } = statSync(target);
      assert.deepEqual([uid, gid, modeOf(target)], [1234, 4321, 0o660]);
      // Neither is taken for that of the temporary file because the other is the same.
      for (const owner of [[0, 4321], [1234, 0]]) {
        chownSync(target, owner[0], owner[1]);
        await persist(await open({ dir: place.temporary.path }), target);
        const { uid, gid } = statSync(target);
        assert.deepEqual([uid, gid], owner);
      }
    }
  }
});

/** Calls that replace a file, for processes that are killed before the rename. */
const REPLACEMENTS = [
  "m.writeFileAtomicSync(args[0], 'new');",
  "m.namedTemporaryFileSync({ dir: path.dirname(args[0]) }).persistSync(args[0]);",
];

test(
  "C162 C265 sweep() removes the staged file that a root process, killed before the rename, had given to the target's owner",
  { skip: notRoot },
  async () => {
    for (const code of REPLACEMENTS) {
      using place = scratch();
      const target = join(place.path, "target"), env = { TMPDIR: place.path };
      writeFileSync(target, "old");
      chownSync(target, 1234, 4321);
      const dies = `(globalThis.Deno ?? fs).renameSync = () => process.kill(process.pid, "SIGKILL"); ${code}`;
      assert.equal((await runChild(dies, { args: [target], env })).signal, "SIGKILL");
      const left = place.list().filter((name) => name !== "target" && !name.startsWith(".mayfly-0"));
      assert.deepEqual(left.map((name) => statSync(join(place.path, name)).uid), [1234]);
      await runChild("await m.sweep();", { env });
      assert.deepEqual(place.list(), [".mayfly-0", "target"]);
      assert.deepEqual(readLeases(place.path), {});
      assert.equal(readFileSync(target, "utf8"), "old");
    }
  },
);

/** Replaces files that belong to another user, and reports owner, group and mode of the results. */
const REPLACE_AS_USER = `
const [dir, ...targets] = args;
for (const target of targets) {
  const file = await m.namedTemporaryFile({ dir });
  await file.write("new");
  await file.persist(target);
  await m.writeFileAtomic(target, "newer");
  const { uid, gid, mode } = fs.statSync(target);
  say([uid, gid, (mode & 0o777).toString(8)]);
}`;

test(
  "C162 persist() and writeFileAtomic() by a user outside the old group give the new group only what others had [needs root, and a checkout that others may enter]",
  {
    skip: notRoot || !othersMayEnter(),
  },
  async () => {
    using place = workspace();
    chmodSync(place.temporary.path, 0o777);
    chmodSync(place.results.path, 0o777);
    const targets = [0o660, 0o664, 0o640, 0o604].map((mode) => {
      const path = join(place.results.path, mode.toString(8));
      writeFileSync(path, "old");
      chmodSync(path, mode);
      chownSync(path, 1234, 4321);
      return path;
    });
    const { said, stderr } = await runChild(REPLACE_AS_USER, {
      args: [place.temporary.path, ...targets],
      under: ["setpriv", "--reuid=1500", "--regid=1500", "--clear-groups"],
    });
    assert.deepEqual(said, [[1500, 1500, "600"], [1500, 1500, "644"], [1500, 1500, "600"], [
      1500,
      1500,
      "644",
    ]], stderr);
  },
);

test(
  "C162 persist() by a member of the group keeps group and mode if it cannot keep the owner [needs root, and a checkout that others may enter]",
  {
    skip: notRoot || !othersMayEnter(),
  },
  async () => {
    using place = workspace();
    chmodSync(place.temporary.path, 0o777);
    chmodSync(place.results.path, 0o777);
    const target = join(place.results.path, "shared");
    writeFileSync(target, "old");
    chownSync(target, 1234, 4321);
    chmodSync(target, 0o660);
    const { said, stderr } = await runChild(REPLACE_AS_USER, {
      args: [place.temporary.path, target],
      under: ["setpriv", "--reuid=1500", "--regid=1500", "--groups=4321"],
    });
    assert.deepEqual(said, [[1500, 4321, "660"]], stderr);
  },
);

/** Gives files an extended attribute, and an access control list that lets another user read and write. */
const SET_ATTRIBUTES = `
import os, struct, sys
entries = (1, 6, -1), (2, 6, 1234), (4, 0, -1), (16, 6, -1), (32, 0, -1)
acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
for path in sys.argv[1:]:
    os.setxattr(path, "user.mayfly", b"x")
    os.setxattr(path, "system.posix_acl_access", acl)
    print(*sorted(os.listxattr(path)))`;

const LIST_ATTRIBUTES = "import os, sys; print(*(len(os.listxattr(path)) for path in sys.argv[1:]))";

function noAttributes(): string | false {
  using place = scratch();
  const path = join(place.path, "file");
  writeFileSync(path, "");
  const { status } = spawnSync("python3", ["-c", SET_ATTRIBUTES, path]);
  return status === 0 ? false : "needs extended attributes, and Python to set them";
}

test(
  "C162 persist() and writeFileAtomic() keep neither extended attributes nor the access control list, whose mask becomes the group bits",
  { skip: noLinux || noAttributes() },
  async () => {
    using place = workspace();
    const dir = place.temporary.path;
    const replacing: ((path: string) => unknown)[] = [
      (path) => writeFileAtomic(path, "new"),
      (path) => writeFileAtomicSync(path, "new"),
      ...Object.values(kinds).flatMap((open) =>
        Object.values(variants).map((persist) => async (path: string) => {
          const file = await open({ dir });
          await file.write("new");
          await persist(file, path);
        })
      ),
    ];
    const targets = replacing.map((_, index) => join(place.results.path, String(index)));
    for (const path of targets) writeFileSync(path, "old", { mode: 0o600 });
    const set = python(SET_ATTRIBUTES, ...targets);
    assert.equal(set, "system.posix_acl_access user.mayfly\n".repeat(targets.length));
    assert.ok(targets.every((path) => modeOf(path) === 0o660));
    for (const [index, replace] of replacing.entries()) await replace(targets[index]);
    assert.equal(python(LIST_ATTRIBUTES, ...targets).trim(), targets.map(() => "0").join(" "));
    for (const path of targets) assert.deepEqual([readFileSync(path, "utf8"), modeOf(path)], ["new", 0o660]);
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

/** Persists to `given`, and checks that the file is at the canonical path. */
async function persistAndCheck(place: Scratch, given: string | URL, canonical: string): Promise<void> {
  const file = await namedTemporaryFile({ dir: place.path });
  assert.equal(await file.persist(given), canonical);
  assert.ok(existsSync(canonical));
}

test("persist() accepts relative paths and file: URLs, and returns the canonical path", async () => {
  using place = workspace();
  const { path } = place.results;
  await persistAndCheck(place.temporary, relative(process.cwd(), join(path, "a")), join(path, "a"));
  await persistAndCheck(place.temporary, pathToFileURL(join(path, "b c%")), join(path, "b c%"));
});

test(
  "persist() accepts paths through symbolic links, and returns the canonical path",
  { skip: noLinks },
  async () => {
    using place = workspace();
    const { path } = place.results;
    mkdirSync(join(path, "real"));
    symlinkSync("real", join(path, "link"));
    await persistAndCheck(place.temporary, join(path, "link", "a"), join(path, "real", "a"));
    await persistAndCheck(place.temporary, `${path}/link/../real//./b`, join(path, "real", "b"));
  },
);

test("persist() refuses a path with a trailing separator, one through a file, a directory, a root, and a name that is too long", async () => {
  using place = workspace();
  const { path } = place.results;
  writeFileSync(join(path, "file"), "old");
  const file = await namedTemporaryFile({ dir: place.temporary.path });
  const refusals: [string, string][] = [
    [`${path}/new/`, "ENOTDIR"],
    [`${path}/new//`, "ENOTDIR"],
    [`${path}/file/`, "ENOTDIR"],
    [`${path}/file/.`, "ENOTDIR"],
    // On Windows a path below a file merely does not exist.
    [`${path}/file/x`, isWindows ? "ENOENT" : "ENOTDIR"],
    [".", "EISDIR"],
    ["..", "EISDIR"],
    ["/", "EISDIR"],
    // On Windows an invalid name merely does not exist.
    [join(path, "x".repeat(300)), isWindows ? "ENOENT" : "ENAMETOOLONG"],
  ];
  for (const [given, code] of refusals) {
    for (const persist of Object.values(variants)) {
      assert.equal(await failureOf(() => persist(file, given)), code, given);
    }
  }
  assert.deepEqual([place.results.list(), readFileSync(join(path, "file"), "utf8")], [["file"], "old"]);
  await file.close();
});

test("persist() on Windows refuses a path whose last component is only dots and spaces, which the system would drop", async () => {
  using place = workspace();
  const old = join(place.results.path, "file");
  writeFileSync(old, "old");
  const drop = (path: string): string => path.replace(/[\\/][. ]+$/, "");
  using watched = substitute(asWindows({
    primitives: {
      status: (real, path: string) => real(drop(path)),
      realPath: (real, path: string) => real(drop(path)),
    },
  }));
  const file = await sourceNamed({ dir: place.temporary.path });
  for (const end of ["/.", "\\.", "\\...", "\\ ."]) {
    for (const [variant, persist] of Object.entries(variants)) {
      assert.equal(await failureOf(() => persist(file as never, old + end)), "ENOTDIR", `${end} ${variant}`);
    }
  }
  assert.equal(watched.of("rename").length, 0);
  assert.equal(readFileSync(old, "utf8"), "old");
  file.closeSync();
});

test("persist() on Windows accepts a path relative to the current directory of a drive", async () => {
  using place = workspace();
  // The drive by itself resolves to its current directory.
  const realPath = (real: (path: string) => unknown, path: string): unknown =>
    real(path === "C:" ? place.results.path : path);
  using _ = substitute(asWindows({ primitives: { realPath } }));
  for (const [variant, persist] of Object.entries(variants)) {
    const file = await sourceNamed({ dir: place.temporary.path });
    await persist(file as never, `C:${variant}`);
  }
  assert.deepEqual(place.results.list(), Object.keys(variants));
});

/** Listens on a socket at a path until the end of the scope. */
async function socketAt(path: string): Promise<AsyncDisposable> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return { [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())) };
}

test(
  "persist() onto a pipe, a socket or a symbolic link to a pipe fails with EINVAL",
  { skip: noFifos },
  async () => {
    using place = workspace();
    const { path } = place.results;
    spawnSync("mkfifo", [join(path, "pipe")]);
    symlinkSync("pipe", join(path, "link"));
    await using _socket = await socketAt(join(path, "socket"));
    for (const [kind, open] of Object.entries(kinds)) {
      const file = await open({ dir: place.temporary.path });
      await file.write("x");
      for (const name of ["pipe", "socket", "link"]) {
        for (const persist of Object.values(variants)) {
          for (const links of ["replace", "follow"] as const) {
            const error = await persist(file, join(path, name), { links }).then(
              () => undefined,
              (error) => error,
            );
            assert.equal(error?.code, "EINVAL", `${kind} ${name} ${links}`);
            assert.match(error.message, /device, pipe or socket/);
          }
        }
      }
      assert.equal(await file.text(), "x");
      await file.close();
    }
    assert.ok(lstatSync(join(path, "pipe")).isFIFO());
    assert.ok(lstatSync(join(path, "link")).isSymbolicLink());
    assert.ok(lstatSync(join(path, "socket")).isSocket());
  },
);

test(
  "persist() and writeFileAtomic() refuse to replace a device, even as root",
  { skip: notRoot },
  async () => {
    using place = workspace();
    const device = join(place.results.path, "null"), link = join(place.results.path, "link");
    // A new device node, with the device numbers of /dev/null.
    const made = spawnSync("mknod", [device, "c", "1", "3"]);
    assert.equal(made.status, 0, String(made.stderr));
    symlinkSync("null", link);
    const { said, stderr } = await runChild(
      `for (const target of args.slice(1)) {
       const file = await m.namedTemporaryFile({ dir: args[0] });
       for (const call of [() => file.persist(target), () => file.persistSync(target),
         () => m.writeFileAtomic(target, "x"), async () => m.writeFileAtomicSync(target, "x")]) {
         try { await call(); say("replaced"); } catch (error) { say(error.code); }
       }
       await file.close();
     }`,
      { args: [place.temporary.path, device, link] },
    );
    assert.deepEqual(said, Array(8).fill("EINVAL"), stderr);
    assert.ok(lstatSync(device).isCharacterDevice());
    assert.deepEqual(place.results.list(), ["link", "null"]);
  },
);

test("persist() and writeFileAtomic() refuse the names of Windows devices on Windows, with any extension, and only there", async () => {
  using place = scratch();
  {
    await using file = await sourceNamed();
    using _ = substitute(asWindows());
    for (const name of ["NUL", "con", "aux.txt", "COM1.tar.gz", "prn .x", "lpt9 "]) {
      const error = {
        code: "EINVAL",
        message: /: it is a device, pipe or socket, or a link to one \(EINVAL\)$/,
      };
      assert.throws(() => sourceWriteSync(join(place.path, name), "x"), error, name);
      assert.throws(() => file.persistSync(join(place.path, name)), error, name);
    }
    for (const name of ["nul-", "console", "com.1", "xaux"]) sourceWriteSync(join(place.path, name), "x");
  }
  if (!isWindows) sourceWriteSync(join(place.path, "nul"), "x");
  assert.deepEqual(
    place.list(),
    ["com.1", "console", "nul", "nul-", "xaux"].filter((name) => name !== "nul" || !isWindows),
  );
});

test(
  "persist() into a directory without write permission fails with EACCES and leaves the file unchanged",
  {
    skip: noModes,
  },
  async () => {
    using place = workspace();
    const target = join(place.results.path, "target");
    writeFileSync(target, "old");
    chmodSync(target, 0o644);
    const { said, stderr } = await runChild(
      `const [dir, target] = args;
     fs.chmodSync(path.dirname(target), 0o555);
     for (const make of [m.namedTemporaryFile, m.temporaryFile, m.spooledTemporaryFile]) {
       const file = await make({ dir });
       await file.write("new");
       for (const call of [() => file.persist(target), async () => file.persistSync(target)]) {
         try { await call(); say("put"); } catch (error) { say([error.code, await file.text()]); }
       }
       if (file.path) say((fs.statSync(file.path).mode & 0o777).toString(8));
       await file.close();
     }
     fs.chmodSync(path.dirname(target), 0o755);`,
      { args: [place.temporary.path, target], unprivileged: true },
    );
    const failed = ["EACCES", "new"];
    assert.deepEqual(said, [failed, failed, "600", failed, failed, failed, failed], stderr);
    assert.equal(readFileSync(target, "utf8"), "old");
    assert.deepEqual([place.temporary.list(), place.results.list()], [[], ["target"]]);
  },
);

test(
  "C162 persist() fails and changes nothing if changing the owner fails for another reason than permissions (skipped: needs root)",
  {
    skip: notRoot,
  },
  async () => {
    using place = workspace();
    const target = join(place.results.path, "old");
    writeFileSync(target, "old");
    chownSync(target, 1234, 1234);
    const file = await sourceNamed({ dir: place.temporary.path });
    await file.write("new");
    {
      using _ = substitute({
        primitives: {
          changeOwner() {
            throw systemError("EIO");
          },
        },
      });
      assert.equal(await failureOf(() => file.persist(target)), "EIO");
    }
    const { uid } = statSync(target);
    assert.deepEqual([readFileSync(target, "utf8"), uid, await file.text()], ["old", 1234, "new"]);
    await file.close();
  },
);

test(
  "C162 writeFileAtomic() accepts every error code of a refused chown, and gives the group only what others had (skipped: needs root)",
  {
    skip: notRoot,
  },
  () => {
    const ways = ["EPERM", "EACCES", "EINVAL", "ENOSYS", "ENOTSUP", "EOPNOTSUPP", "ERR_ACCESS_DENIED"];
    for (const code of ways) {
      using place = scratch();
      const target = join(place.path, "old");
      writeFileSync(target, "old");
      chmodSync(target, 0o664);
      chownSync(target, 1234, 1234);
      using _ = substitute({
        primitives: {
          changeOwner() {
            throw systemError(code);
          },
        },
      });
      sourceWriteSync(target, "new");
      const { uid, mode } = statSync(target);
      assert.deepEqual([readFileSync(target, "utf8"), uid, mode & 0o777], ["new", 0, 0o644], code);
    }
  },
);

test(
  "C160 persist() of a file that is disposed of before the rename fails with ERR_CLOSED and its own path",
  {
    skip: namesLinger,
  },
  async () => {
    using place = workspace();
    const file = await sourceNamed({ dir: place.temporary.path });
    const { path } = file;
    using watched = substitute({
      primitives: {
        rename: async (real, ...args: never[]) => {
          await undefined;
          file[Symbol.dispose]();
          return real(...args);
        },
      },
    });
    await assert.rejects(file.persist(join(place.results.path, "new")), { code: "ERR_CLOSED", path });
    assert.equal(watched.of("rename").length, 1);
    assert.deepEqual([place.temporary.list(), place.results.list()], [[], []]);
  },
);
