import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { Status } from "../lib/runtime/mod.ts";
import * as source from "../mod.ts";
import { type ChildResult, runChild } from "./support/child.ts";
import { plant } from "./support/leases.ts";
import { noMounts } from "./support/places.ts";
import { noLinux } from "./support/platform.ts";
import { scratch } from "./support/scratch.ts";
import { type Changes, type Substitute, substitute, systemError } from "./support/substitute.ts";

/** Mounts an overlay on `$0/merged`: its upper layer on a file system of its own, in memory, its lower one where `$0` is. */
const MOUNT =
  `cd "$0" && mkdir memory merged && mount -t tmpfs none memory && mkdir memory/upper memory/work &&
  mount -t overlay none -o lowerdir="$0/lower",upperdir="$0/memory/upper",workdir="$0/memory/work" merged && exec "$@"`;

/** Runs a child that sees `lower` of a directory, through an overlay, as `dir`. */
const runOnOverlay = (path: string, code: string): Promise<ChildResult> =>
  runChild(`const dir = args[0] + "/merged";\n${code}`, {
    args: [path],
    under: ["unshare", "-m", "sh", "-c", MOUNT, path],
  });

test(
  "C131 what lies in a lower layer of an overlay, as in a container's image, is adopted, used, removed and persisted (skipped where nobody may mount one)",
  { skip: noMounts },
  async () => {
    using place = scratch();
    const lower = join(place.path, "lower");
    for (const name of ["made", "moved", "changed", "blocking"]) {
      mkdirSync(join(lower, name, "sub"), { recursive: true });
      writeFileSync(join(lower, name, "sub", "file"), "old");
    }
    for (const name of ["file", "other"]) writeFileSync(join(lower, name), "old");
    // Deeper than a walk goes without moving directories, which those of a lower layer do not let happen.
    mkdirSync(join(lower, "deep", ..."abcdefghijklmnopqrstuvwxyz"), { recursive: true });
    const { said, stderr } = await runOnOverlay(
      place.path,
      `const file = await m.adoptFile(dir + "/file");
      await file.write("new");
      const lock = await file.lock(), again = await file.reopen();
      say([await again.text(), await again.tryLock()]);
      lock.release();
      again.closeSync();
      await file.close();
      const other = m.adoptFileSync(dir + "/other");
      other.persistSync(dir + "/put");
      const made = await m.adoptDirectory(dir + "/made");
      await (await made.namedTemporaryFile()).close();
      await (await made.namedTemporaryFile()).close();
      await made.remove();
      const moved = await m.adoptDirectory(dir + "/moved");
      await moved.persist(dir + "/there");
      const changed = await m.adoptDirectory(dir + "/changed");
      fs.writeFileSync(changed.join("sub", "another"), "");
      fs.chmodSync(changed.path, 0o755);
      await changed.remove();
      m.adoptDirectorySync(dir + "/blocking").removeSync();
      await (await m.adoptDirectory(dir + "/deep")).remove();
      say([fs.readdirSync(dir).sort(), fs.readFileSync(dir + "/put", "utf8"), fs.readdirSync(dir + "/there")]);`,
    );
    assert.deepEqual(said, [["new", null], [["put", "there"], "old", ["sub"]]], stderr);
  },
);

test(
  "C265 what dead processes left on an overlay is swept, though its files are on another device than its directories, and so is what is old in a lower layer (skipped where nobody may mount one)",
  { skip: noMounts },
  async () => {
    using place = scratch();
    const dir = join(place.path, "merged"), lower = join(place.path, "lower");
    mkdirSync(lower);
    const lease = plant(lower, { lines: [`made ${dir}/tmp*`] });
    for (const name of [`old-dir`, lease.name()]) {
      mkdirSync(join(lower, name, "sub"), { recursive: true });
      writeFileSync(join(lower, name, "sub", "file"), "old");
    }
    for (const name of ["old-file", lease.name()]) writeFileSync(join(lower, name), "old");
    const { said, stderr } = await runOnOverlay(
      place.path,
      `m.configure({ tmpdir: dir });
      const { removed, left, bytes } = await m.sweep({ olderThan: 0, prefix: "old-" });
      say([removed.length, left, bytes, fs.readdirSync(dir).filter((name) => !name.startsWith(".mayfly-"))]);`,
    );
    assert.deepEqual(said, [[4, [], 12, []]], stderr);
  },
);

/** As on an overlay, with what else differs. */
const onOverlay = (primitives: Changes["primitives"]): Substitute =>
  substitute({
    primitives: { readSystemFile: () => "24 1 0:99 / / rw - overlay overlay rw\n", ...primitives },
    runtime: { platform: "linux" },
  });

test("a directory of an overlay that may not be changed is adopted as it is, and does not stay open", {
  skip: noLinux,
}, () => {
  using place = scratch();
  const path = join(place.path, "made");
  mkdirSync(path);
  const refuse = (): never => {
    throw systemError("EPERM");
  };
  using watched = onOverlay({ changeModeAt: refuse, changeMode: refuse });
  const directory = source.adoptDirectorySync(path);
  assert.equal(watched.of("changeModeAt").length + watched.of("changeMode").length, 1);
  const opened = watched.calls.filter(({ name }) => /^(open|locate|create)/.test(name));
  assert.equal(watched.of("close").length, opened.length);
  directory.removeSync();
  assert.deepEqual(place.list(), []);
});

test("of a file with another time of birth since it was looked at, all else and its name must be the same", () => {
  using place = scratch();
  const path = join(place.path, "file");
  writeFileSync(path, "");
  const opens = (differs: Partial<Status>, found: Partial<Status>): boolean => {
    let looks = 0;
    using _ = substitute({
      primitives: {
        statusOf: (real, handle) => ({ ...real(handle) as Status, birth: 1, ...differs }),
        // The first look is before it is opened.
        status: (real, of: string) => ({ ...real(of) as Status, ...of === path && ++looks > 1 ? found : {} }),
      },
    });
    try {
      const file = source.adoptFileSync(path);
      file.keep();
      file.closeSync();
      return true;
    } catch (error) {
      assert.equal((error as { code?: string }).code, "ERR_REPLACED");
      return false;
    }
  };
  assert.equal(opens({}, { birth: 1 }), true);
  for (const [differs, found] of [[{}, {}], [{ links: 2 }, { birth: 1 }], [{ uid: 7 }, { birth: 1 }]]) {
    assert.equal(opens(differs, found), false);
  }
});

test(
  "C142 a file is renamed, and a large one without a name linked, on an overlay whose files are on another device than its directories; between devices it is copied (skipped where nobody may mount one)",
  { skip: noMounts },
  async () => {
    using place = scratch();
    mkdirSync(join(place.path, "lower"));
    const { said, stderr } = await runOnOverlay(
      place.path,
      `const inode = (path) => fs.statSync(path).ino;
      for (const to of [dir + "/there", args[0] + "/there"]) {
        const named = await m.namedTemporaryFile({ dir });
        const first = inode(named.path);
        await named.write("all");
        await named.persist(to);
        const isSame = first === inode(to), text = fs.readFileSync(to, "utf8");
        const unnamed = await m.temporaryFile({ dir });
        const { nlink, ino } = fs.fstatSync(unnamed.fd);
        await unnamed.truncate(5 * 1024 ** 2);
        await unnamed.persist(to);
        // Where there can be no file without a name, none is linked.
        say([isSame, text, nlink > 0 || (ino === inode(to)) === isSame, fs.statSync(to).size]);
      }
      say(fs.readdirSync(dir).filter((name) => name !== "there"));`,
    );
    const size = 5 * 1024 ** 2;
    assert.deepEqual(said, [[true, "all", true, size], [false, "all", true, size], []], stderr);
  },
);
