/**
 * `persist()` of a file: the mode, the owner and the attributes of the result.
 *
 * @module
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, chownSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { namedTemporaryFile, writeFileAtomic, writeFileAtomicSync } from "#mod";
import { namedTemporaryFile as sourceNamed } from "../../lib/file/named.ts";
import { writeFileAtomicSync as sourceWriteSync } from "../../lib/persist/write_file_atomic.ts";
import { type ChildResult, othersMayEnter, runChild } from "../support/child.ts";
import { readLeases } from "../support/leases.ts";
import { failureOf, kinds } from "../support/kinds.ts";
import { packageTest as test } from "../support/once.ts";
import { modeOf, noLinux, noModes, notRoot } from "../support/platform.ts";
import { variants, workspace } from "../support/places.ts";
import { python, python3 } from "../support/python.ts";
import { scratch } from "../support/scratch.ts";
import { beforeEachCall, substitute, systemError } from "../support/substitute.ts";

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

/** Persists a file of each kind with each mode, under each umask, and reports the resulting modes. */
const PERSIST_WITH_MODES = `
const [dir, results, cases] = args;
for (const [umask, modes] of Object.entries(JSON.parse(cases))) for (const given of modes) {
  process.umask(parseInt(umask, 8));
  const mode = given === "default" ? undefined : /^[0-7]+$/.test(given) ? parseInt(given, 8) : given;
  for (const kind of ["namedTemporaryFile", "temporaryFile", "spooledTemporaryFile"]) {
    for (const persist of ["persist", "persistSync"]) {
      const file = await m[kind]({ dir });
      await file.write("written");
      const target = path.join(results, umask + kind + given + persist);
      await file[persist](target, { mode });
      const { mode: found, size } = fs.statSync(target);
      say([umask, given, (found & 0o777).toString(8), size]);
    }
  }
}`;

/** The modes to persist with under each umask. */
const MODES = {
  "0377": ["default", "private"],
  "0000": ["654"],
  "0022": ["654"],
  "0077": ["654", "644", "632"],
  "0777": ["654"],
  "0012": ["777", "umask"],
};

let persisted: Promise<ChildResult["said"]> | undefined;

/** Persists with all of them, in one child. */
async function persistUnderAll(): Promise<ChildResult["said"]> {
  using place = workspace();
  const { said, stderr } = await runChild(PERSIST_WITH_MODES, {
    args: [place.temporary.path, place.results.path, JSON.stringify(MODES)],
    unprivileged: true,
  });
  assert.equal(said.length, Object.values(MODES).flat().length * 6, stderr);
  return said;
}

/** Returns the resulting mode for each mode given under a umask. */
async function modesUnder(umask: keyof typeof MODES): Promise<{ [given: string]: string }> {
  const said = (await (persisted ??= persistUnderAll())).filter(([under]) => under === umask);
  assert.ok(said.every(([, , , size]) => size === 7));
  const found = new Set(said.map(([, given, mode]) => `${given}=${mode}`));
  assert.equal(found.size, MODES[umask].length, "the same for each kind and variant");
  return Object.fromEntries(said.map(([, given, mode]) => [given, mode]));
}

test("C154 persist() under umask 0377 still gives the file mode 0600", { skip: noModes }, async () => {
  assert.deepEqual(await modesUnder("0377"), { default: "600", private: "600" });
});

test(
  "C155 persist() with a numeric mode gives exactly that mode, whatever the umask",
  { skip: noModes },
  async () => {
    for (const umask of ["0000", "0022", "0077", "0777"] as const) {
      assert.equal((await modesUnder(umask))[654], "654", umask);
    }
  },
);

test(
  'C156 differs: persist() ignores the umask with a numeric mode; mode: "umask" gives 0666 minus the umask',
  {
    skip: noModes,
  },
  async () => {
    assert.deepEqual(await modesUnder("0012"), { 777: "777", umask: "664" });
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
    assert.deepEqual(await modesUnder("0077"), { 654: "654", 644: "644", 632: "632" });
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
  { onOneNode: true, skip: notRoot },
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
  const { status } = spawnSync(python3, ["-c", SET_ATTRIBUTES, path]);
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
  "C162 at no moment does a group other than the old file's get more than others (skipped: needs root)",
  { skip: notRoot },
  () => {
    using place = scratch();
    const target = join(place.path, "old");
    writeFileSync(target, "old");
    chownSync(target, 1234, 1234);
    chmodSync(target, 0o640);
    const seen = new Set<string>();
    {
      using _ = substitute({
        primitives: beforeEachCall(() => {
          for (const name of place.names()) {
            const { gid, mode } = statSync(join(place.path, name));
            seen.add(`${gid === 1234 ? "its" : "another"} group ${(mode & 0o777).toString(8)}`);
          }
        }),
      });
      sourceWriteSync(target, "new");
    }
    assert.deepEqual([...seen], ["its group 640", "another group 600", "its group 600"]);
  },
);
