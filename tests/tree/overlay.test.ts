import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { Status } from "../../lib/runtime/mod.ts";
import * as source from "../../mod.ts";
import { type ChildResult, runChild } from "../support/child.ts";
import { plant } from "../support/leases.ts";
import { noMounts } from "../support/places.ts";
import { noLinux } from "../support/platform.ts";
import { scratch } from "../support/scratch.ts";
import { type Changes, type Substitute, substitute, systemError } from "../support/substitute.ts";

/**
 * Mounts an overlay on `$0/merged`: its upper layer is in memory, its lower one on the file system of `$0`. Its files are
 * then on another device than its directories.
 */
const MOUNT =
  `cd "$0" && mkdir memory merged && mount -t tmpfs none memory && mkdir memory/upper memory/work &&
  mount -t overlay none -o lowerdir="$0/lower",upperdir="$0/memory/upper",workdir="$0/memory/work" merged && exec "$@"`;

/** Runs a child whose `dir` is an overlay over `lower` in a directory, as in a container. */
const runOnOverlay = (path: string, code: string): Promise<ChildResult> =>
  runChild(`const dir = args[0] + "/merged";\n${code}`, {
    args: [path],
    under: ["unshare", "-m", "sh", "-c", MOUNT, path],
  });

test(
  "C131 entries in the lower layer of an overlay are adopted, used, removed and persisted (needs overlay mounts)",
  { skip: noMounts },
  async () => {
    using place = scratch();
    const lower = join(place.path, "lower");
    for (const name of ["made", "moved", "changed", "blocking"]) {
      mkdirSync(join(lower, name, "sub"), { recursive: true });
      writeFileSync(join(lower, name, "sub", "file"), "old");
    }
    for (const name of ["file", "other"]) writeFileSync(join(lower, name), "old");
    // So deep that a walk would move directories up, which fails for those of a lower layer.
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
  "C265 sweep() removes leftovers of dead processes, and old entries, from an overlay's lower layer (needs overlay mounts)",
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

/** Makes the root file system an overlay, and replaces other primitives. */
const onOverlay = (primitives: Changes["primitives"]): Substitute =>
  substitute({
    primitives: { readSystemFile: () => "24 1 0:99 / / rw - overlay overlay rw\n", ...primitives },
    runtime: { platform: "linux" },
  });

test(
  "adoptDirectorySync() adopts a directory of an overlay whose mode cannot be changed, and leaks no descriptor (Linux)",
  {
    skip: noLinux,
  },
  () => {
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
  },
);

test("adoptFileSync() accepts a changed birth time only if the path has it too and nothing else changed", () => {
  using place = scratch();
  const path = join(place.path, "file");
  writeFileSync(path, "");
  const opens = (differs: Partial<Status>, found: Partial<Status>): boolean => {
    let looks = 0;
    using _ = substitute({
      primitives: {
        statusOf: (real, handle) => ({ ...real(handle) as Status, birth: 1, ...differs }),
        // The first call is made before the file is opened.
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
  "C142 persist() renames named and links large unnamed files on an overlay; to another device it copies (needs overlay mounts)",
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
        // Where files without a name are not supported, nothing can be linked.
        say([isSame, text, nlink > 0 || (ino === inode(to)) === isSame, fs.statSync(to).size]);
      }
      say(fs.readdirSync(dir).filter((name) => name !== "there"));`,
    );
    const size = 5 * 1024 ** 2;
    assert.deepEqual(said, [[true, "all", true, size], [false, "all", true, size], []], stderr);
  },
);
