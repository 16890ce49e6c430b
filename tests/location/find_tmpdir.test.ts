import assert from "node:assert/strict";
import { chmodSync, mkdirSync, readdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { findTmpdir, findTmpdirSync, tmpdir, type TmpdirRequirements } from "#mod";
import { findTmpdirSync as sourceFindSync } from "../../lib/location/find_tmpdir.ts";
import { type ChildOptions, runChild } from "../support/child.ts";
import { failureOf } from "../support/kinds.ts";
import { packageTest as test } from "../support/once.ts";
import { elsewhere, noElsewhere, noMounts, withTmpfs } from "../support/places.ts";
import { noLinux, noModes } from "../support/platform.ts";
import { scratch } from "../support/scratch.ts";
import { substitute, systemError } from "../support/substitute.ts";

/** Reports the results of the asynchronous and the synchronous function for each set of requirements, with a `tmpdir` set. */
const FIND = `
for (const text of args) {
  const { tmpdir, ...requirements } = JSON.parse(text);
  m.configure({ tmpdir });
  for (const find of [m.findTmpdir, async (wanted) => m.findTmpdirSync(wanted)]) {
    try { say(await find(requirements)); } catch (error) { say([error.code, error.message]); }
  }
}`;

type Found = string | [string, string];

/** Returns the results of both functions, which must agree, for each set of requirements. */
async function found(
  requirements: (TmpdirRequirements & { tmpdir?: string })[],
  { tmp, temp, ...options }: { tmp?: string; temp?: string } & ChildOptions,
): Promise<Found[]> {
  const { said, stderr } = await runChild(FIND, {
    args: requirements.map((each) => JSON.stringify(each)),
    ...options,
    env: { TMPDIR: tmp, TEMP: temp, TMP: undefined },
  });
  assert.equal(said.length, 2 * requirements.length, stderr);
  // Other processes may write to the disk between the two calls, which changes the available space.
  const results = said.map((result) => JSON.stringify(result).replace(/\d{8,} bytes available/g, "room"));
  const bySync = (_: unknown, index: number): boolean => index % 2 === 1;
  const byAsync = (_: unknown, index: number): boolean => index % 2 === 0;
  assert.deepEqual(results.filter(bySync), results.filter(byAsync));
  return said.filter(byAsync);
}

test("findTmpdir() without requirements returns the same directory as tmpdir(), and leaves nothing there", async () => {
  const before = readdirSync(tmpdir()).sort();
  assert.equal(await findTmpdir(), tmpdir());
  assert.equal(findTmpdirSync(), tmpdir());
  assert.equal(await findTmpdir({ exec: false, disk: false, minFree: 0 }), tmpdir());
  assert.deepEqual(readdirSync(tmpdir()).sort(), before);
});

test(
  "findTmpdir() uses a world-writable directory only if no other fits, and warns as tmpdir() does",
  {
    skip: noModes,
  },
  async () => {
    using place = scratch();
    using other = scratch();
    const open = join(place.path, "open");
    mkdirSync(open);
    chmodSync(open, 0o777);
    assert.deepEqual(await found([{}], { tmp: open, temp: other.path }), [other.path]);
    const { said, stderr } = await runChild(
      `process.on("warning", ({ name, code, message }) => say([name, code, message.includes(args[0])]));
     m.configure({ tmpdir: args[0] });
     say(await m.findTmpdir());
     say(m.findTmpdirSync({ minFree: 1 }));
     try { m.findTmpdirSync({ minFree: 2 ** 52 }); } catch (error) { say([error.code, / bytes available, /.test(error.message)]); }`,
      { args: [open] },
    );
    const warning = ["TempfileWarning", "MAYFLY_UNSAFE_TMPDIR", true];
    assert.deepEqual(said.filter((value) => value === open).length, 2, stderr);
    assert.deepEqual(said.filter(Array.isArray).sort(), [["ERR_NO_TMPDIR", true], warning, warning], stderr);
  },
);

test(
  "C55 C290 findTmpdir() with exec skips a directory mounted noexec, and reports it as the reason if it is the only one",
  {
    skip: noMounts,
  },
  async () => {
    using place = scratch();
    using other = scratch();
    // A name that is escaped in the table of mounts.
    const mounted = join(place.path, "no exéc");
    mkdirSync(mounted);
    const under = withTmpfs(mounted, "noexec,size=64k");
    const options = { tmp: mounted, temp: other.path, under };
    const requirements = [{ exec: true }, {}, { exec: true, tmpdir: mounted }];
    const [executable, any, [code, message]] = await found(requirements, options);
    assert.deepEqual([executable, any, code], [other.path, mounted, "ERR_NO_TMPDIR"]);
    assert.match(message, /no exéc" \(mounted noexec\)$/);
  },
);

test("C55 findTmpdir() with exec accepts a file system that is mounted inside a noexec one", {
  skip: noMounts,
  onOneNode: true,
}, async () => {
  using place = scratch();
  const outer = join(place.path, "outer"), inner = join(outer, "inner");
  mkdirSync(outer);
  const script =
    `mount -t tmpfs -o noexec tmpfs "$1" && mkdir "$1/inner" && mount -t tmpfs tmpfs "$1/inner" && shift && exec "$@"`;
  const under = ["unshare", "-m", "sh", "-c", script, "sh", outer];
  assert.deepEqual(await found([{ exec: true }], { tmp: outer, temp: inner, under }), [inner]);
});

test(
  "C56 findTmpdir() with minFree skips a directory with less available space, and reports how much there is",
  {
    skip: noMounts,
  },
  async () => {
    using place = scratch();
    using other = scratch();
    const under = withTmpfs(place.path, "size=64k");
    const options = { tmp: place.path, temp: other.path, under };
    const requirements = [65536, 65537, 2 ** 52].map((minFree) => ({ minFree }));
    const [enough, tooLittle, [code, message]] = await found(requirements, options);
    assert.deepEqual([enough, tooLittle], [place.path, other.path]);
    assert.equal(code, "ERR_NO_TMPDIR");
    assert.ok(message.includes(`"${place.path}" (65536 bytes available, ${2 ** 52} required)`), message);
    assert.ok(message.includes(`"${other.path}" (`), "every directory is listed with its reason");
  },
);

test("C57 findTmpdir() with disk skips a file system in memory", { skip: noMounts }, async () => {
  using place = scratch();
  using other = scratch();
  const under = withTmpfs(place.path, "size=64k");
  const requirements = [{ disk: true }, { disk: true, tmpdir: place.path }];
  const [onDisk, [code, message]] = await found(requirements, { tmp: place.path, temp: other.path, under });
  assert.notEqual(onDisk, place.path);
  assert.equal(code, "ERR_NO_TMPDIR");
  assert.match(message, /\(in memory, not on disk\)$/);
});

test("C57 findTmpdir() with disk rejects tmpfs and ramfs, and treats everything else as a disk", () => {
  for (
    const [type, inMemory] of [[0x01021994, true], [0x858458f6, true], [0xef53, false], [0, false]] as const
  ) {
    const blank = { blockSize: 1, blocks: 1, freeBlocks: 1, availableBlocks: 1, inodes: 0, freeInodes: 0 };
    using _ = substitute({ primitives: { fileSystem: () => ({ ...blank, type }) } });
    if (inMemory) assert.throws(() => sourceFindSync({ disk: true }), { code: "ERR_NO_TMPDIR" });
    else assert.equal(sourceFindSync({ disk: true }), tmpdir());
  }
});

test(
  "C288 tmpdir() and findTmpdir() skip a read-only file system, and report EROFS if there is no other directory",
  {
    skip: noMounts,
    onOneNode: true,
  },
  async () => {
    using place = scratch();
    using other = scratch();
    const under = withTmpfs(place.path, "ro");
    const { said, stderr } = await runChild(
      `say(m.tmpdir());
     say(await m.findTmpdir());
     m.configure({ tmpdir: args[0] });
     for (const call of [() => m.tmpdir(), () => m.findTmpdirSync(), () => m.findTmpdir(), () => m.namedTemporaryFile()]) {
       try { await call(); } catch (error) { say([error.code, error.message.includes('"' + args[0] + '" (EROFS)')]); }
     }`,
      { args: [place.path], env: { TMPDIR: place.path, TEMP: other.path, TMP: undefined }, under },
    );
    const failed = ["ERR_NO_TMPDIR", true];
    assert.deepEqual(said, [other.path, other.path, failed, failed, failed, failed], stderr);
  },
);

test(
  "findTmpdir() with sameDeviceAs returns a directory on the same device as the path, through a link or as a URL too",
  {
    skip: noElsewhere,
  },
  async () => {
    using here = scratch();
    using there = scratch(elsewhere);
    const options = { tmp: here.path, temp: there.path };
    const link = join(here.path, "link");
    symlinkSync(elsewhere, link);
    const requirements = [elsewhere, link, here.path].map((sameDeviceAs) => ({ sameDeviceAs }));
    assert.deepEqual(await found(requirements, options), [there.path, there.path, here.path]);
    assert.equal(
      statSync(await findTmpdir({ sameDeviceAs: pathToFileURL(here.path) })).dev,
      statSync(here.path).dev,
    );
  },
);

test("findTmpdir() with a missing sameDeviceAs fails with ENOENT and that path, not with ERR_NO_TMPDIR", async () => {
  using place = scratch();
  const missing = join(place.path, "missing");
  for (
    const find of [
      findTmpdir,
      (wanted: TmpdirRequirements) => Promise.resolve().then(() => findTmpdirSync(wanted)),
    ]
  ) {
    await assert.rejects(find({ sameDeviceAs: missing }), { code: "ENOENT", path: missing });
  }
});

test("C51 findTmpdir() lists each directory with its reason, and never falls back to the current directory", async () => {
  using place = scratch();
  const file = join(place.path, "file"), locked = join(place.path, "locked");
  writeFileSync(file, "x");
  mkdirSync(locked);
  chmodSync(locked, 0o500);
  const reasons: [string, RegExp][] = [
    [file, /not a directory/],
    [join(place.path, "missing"), /ENOENT/],
    ...noModes ? [] : [[locked, /EACCES/] as [string, RegExp]],
  ];
  const results = await found(reasons.map(([tmpdir]) => ({ tmpdir })), {
    cwd: place.path,
    unprivileged: true,
  });
  for (const [at, [path, reason]] of reasons.entries()) {
    const [code, message] = results[at];
    assert.equal(code, "ERR_NO_TMPDIR");
    assert.match(message, reason);
    assert.ok(message.includes(`"${path}"`));
  }
  chmodSync(locked, 0o700);
});

test("findTmpdir() rejects on invalid requirements, and findTmpdirSync() throws", async () => {
  const wrong: [string, unknown][] = [
    ["TypeError", null],
    ["TypeError", "exec"],
    ["TypeError", { exec: 1 }],
    ["TypeError", { disk: "yes" }],
    ["TypeError", { minFree: "1" }],
    ["RangeError", { minFree: -1 }],
    ["TypeError", { sameDeviceAs: 3 }],
    ["TypeError", { sameDeviceAs: "" }],
  ];
  for (const [kind, requirements] of wrong) {
    await assert.rejects(findTmpdir(requirements as TmpdirRequirements), {
      name: kind,
      code: "ERR_INVALID_OPTION",
    });
    assert.equal(
      await failureOf(() => findTmpdirSync(requirements as TmpdirRequirements)),
      `${kind} ERR_INVALID_OPTION`,
    );
  }
});

test("findTmpdir() with exec accepts any directory on systems other than Linux, where it cannot query mount options", () => {
  for (const platform of ["darwin", "other"] as const) {
    using watched = substitute({ runtime: { platform } });
    assert.equal(sourceFindSync({ exec: true }), tmpdir());
    assert.deepEqual(watched.of("readSystemFile"), []);
  }
});

test(
  "findTmpdir() with exec accepts any directory if /proc is not mounted or is forbidden by a sandbox",
  { skip: noLinux },
  () => {
    for (const code of ["ENOENT", "EACCES", "EPERM"]) {
      using watched = substitute({
        primitives: {
          readSystemFile() {
            throw systemError(code);
          },
        },
      });
      assert.equal(sourceFindSync({ exec: true }), tmpdir());
      assert.equal(watched.of("readSystemFile").length, 1);
    }
  },
);

test("findTmpdirSync() without permission to query disk space fails with that error at the first directory", () => {
  using _ = substitute({
    primitives: {
      fileSystem() {
        throw systemError("ERR_ACCESS_DENIED");
      },
    },
  });
  assert.throws(() => sourceFindSync({ minFree: 1 }), (error: Error & { code?: string }) => {
    assert.equal(error.code, "ERR_ACCESS_DENIED");
    assert.match(error.message, /^Cannot check the directory "/);
    return true;
  });
});
