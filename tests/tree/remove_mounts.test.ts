/**
 * Removal of trees in which something is mounted.
 *
 * @module
 */
import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type * as m from "#mod";
import { temporaryDirectorySync } from "../../lib/directory.ts";
import type { Status } from "../../lib/runtime/mod.ts";
import { runChild } from "../support/child.ts";
import { openIn } from "../support/descriptors.ts";
import { packageTest as test } from "../support/once.ts";
import { noMounts } from "../support/places.ts";
import { isBun, isDeno, isLinux, noPosixPaths } from "../support/platform.ts";
import { scratch } from "../support/scratch.ts";
import { substitute, systemError } from "../support/substitute.ts";
import { BOTH_WAYS, restricted } from "../support/removal.ts";

/** Runs a program in a mount namespace of its own, so that its mounts are not visible outside. */
const IN_MOUNT_NAMESPACE = ["unshare", "-m", "--propagation", "private"];

const MOUNTS = `
const mounted = [];
const mount = (...args) => {
  if (spawnSync("mount", args).status !== 0) throw new Error("mount " + args.join(" "));
  mounted.push(args.at(-1));
};
const unmountAll = () => mounted.splice(0).forEach((at) => spawnSync("umount", [at]));
const unmountBelow = (top) => {
  const lines = fs.readFileSync("/proc/self/mountinfo", "utf8").split("\\n").map((line) => line.split(" ")[4] ?? "");
  for (const at of lines.filter((at) => at === top || at.startsWith(top + "/"))) spawnSync("umount", [at]);
};
`;

test(
  "T22 C239 remove() does not enter mount points, even of the same file system, and reports them (root, Linux)",
  { skip: noMounts },
  async () => {
    using outside = scratch();
    mkdirSync(join(outside.path, "sub"));
    for (const name of ["keep", "sub/keep"]) writeFileSync(join(outside.path, name), "x");
    const code = `${BOTH_WAYS} ${MOUNTS}
    const outside = args[0];
    await bothWays({}, (top) => {
      fs.writeFileSync(top + "/other", "");
      for (const name of ["/bound", "/tmpfs", "/a/b/odd \\n\\\\ name ä"]) fs.mkdirSync(top + name, { recursive: true });
      fs.writeFileSync(top + "/file", "");
      mount("--bind", outside, top + "/bound");
      mount("--bind", outside, top + "/a/b/odd \\n\\\\ name ä");
      mount("--bind", outside + "/keep", top + "/file");
      mount("-t", "tmpfs", "none", top + "/tmpfs");
      fs.writeFileSync(top + "/tmpfs/keep", "x");
    }, (top) => {
      const seen = { top: fs.readdirSync(top), tmpfs: fs.readdirSync(top + "/tmpfs"), bound: fs.readdirSync(top + "/bound") };
      unmountAll();
      return seen;
    });`;
    const { said, status, stderr } = await runChild(code, {
      args: [outside.path],
      under: IN_MOUNT_NAMESPACE,
    });
    assert.deepEqual([status, stderr], [0, ""]);
    assert.equal(said.length, 2);
    for (const { left, path, seen } of said) {
      assert.equal(left.code, "ERR_LEFTOVER");
      const found = Object.fromEntries(left.leftovers.map(({ path, code }: m.Leftover) => [path, code]));
      assert.deepEqual(found, {
        [join(path, "bound")]: "EXDEV",
        [join(path, "tmpfs")]: "EXDEV",
        [join(path, "a", "b", "odd \n\\ name ä")]: "EXDEV",
        [join(path, "file")]: "EBUSY",
      });
      assert.deepEqual(seen.top.sort(), ["a", "bound", "file", "tmpfs"]);
      assert.deepEqual([seen.tmpfs, seen.bound.sort()], [["keep"], ["keep", "sub"]]);
      // After unmounting, the clean-up at process exit removed it.
      assert.ok(!existsSync(path), path);
    }
    assert.deepEqual(outside.list(), ["keep", "sub"]);
    assert.ok(existsSync(join(outside.path, "sub", "keep")));
  },
);

test("T22 C239 control: a naive removal empties a directory mounted inside (root, Linux)", {
  skip: noMounts,
}, async () => {
  using outside = scratch();
  using place = scratch();
  const top = join(place.path, "top");
  mkdirSync(join(top, "bound"), { recursive: true });
  writeFileSync(join(outside.path, "keep"), "x");
  const code = `const { spawnSync } = await import("node:child_process"); ${MOUNTS}
    const { naiveRemove } = await import(args[0]);
    mount("--bind", args[1], args[2] + "/bound");
    try { naiveRemove(args[2]); } catch (error) { say(error.code); }
    unmountAll();`;
  const args = [import.meta.resolve("../support/naive.ts"), outside.path, top];
  const { said, status, stderr } = await runChild(code, { args, under: IN_MOUNT_NAMESPACE });
  assert.deepEqual({ said, status, stderr }, { said: ["EBUSY"], status: 0, stderr: "" });
  assert.deepEqual(outside.list(), []);
});

test(
  "T22 C239 remove() leaves alone what is mounted 25 levels deep, or over the directory itself (root, Linux)",
  {
    skip: noMounts,
  },
  async () => {
    using outside = scratch();
    writeFileSync(join(outside.path, "keep"), "x");
    const code = `${BOTH_WAYS} ${MOUNTS}
    await bothWays({}, (top) => {
      const deep = top + "/d".repeat(25);
      fs.mkdirSync(deep, { recursive: true });
      mount("--bind", args[0], deep);
    }, unmountBelow);
    await bothWays({}, (top) => {
      fs.writeFileSync(top + "/under", "");
      mount("--bind", args[0], top);
    }, unmountBelow);`;
    const { said, status, stderr } = await runChild(code, {
      args: [outside.path],
      under: IN_MOUNT_NAMESPACE,
    });
    assert.deepEqual([status, stderr], [0, ""]);
    const codes = said.map(({ left }) => left.leftovers.map(({ code }: m.Leftover) => code));
    assert.deepEqual(codes, [["EXDEV"], ["EXDEV"], ["ERR_REPLACED"], ["ERR_REPLACED"]]);
    for (const { path } of said) assert.ok(!existsSync(path), path);
    assert.deepEqual(outside.list(), ["keep"]);
  },
);

test(
  "T22 C239 remove() does not change the mode of a locked directory mounted inside (root, Linux)",
  { skip: noMounts },
  async () => {
    using outside = scratch();
    using place = scratch();
    const [locked, top] = [join(outside.path, "locked"), join(place.path, "top")];
    for (const path of [locked, top, join(top, "at")]) mkdirSync(path);
    chmodSync(locked, 0);
    const mounting =
      `mount --bind "$1" "$2" && shift 2 && exec setpriv --bounding-set=-all --inh-caps=-all "$@"`;
    const { said, status, stderr } = await runChild(
      `try { await m.adoptDirectorySync(args[0]).remove(); } catch (error) { say(error.leftovers); } process.kill(process.pid, "SIGKILL");`,
      { args: [top], under: [...IN_MOUNT_NAMESPACE, "sh", "-c", mounting, "sh", locked, join(top, "at")] },
    );
    assert.deepEqual([status, stderr], [null, ""]);
    assert.deepEqual(said, [[{ path: join(top, "at"), code: "EXDEV" }]]);
    assert.equal(statSync(locked).mode & 0o777, 0);
  },
);

test(
  "T22 C239 without permission for /proc, remove() still leaves a file system mounted inside alone (root, Linux, not on Bun)",
  { skip: noMounts || isBun && "Bun has no permissions" },
  async () => {
    using place = scratch();
    for (const way of ["async", "sync"]) mkdirSync(join(place.path, way, "a", "tmpfs"), { recursive: true });
    const mounting =
      `for way in async sync; do mount -t tmpfs none "$0/$way/a/tmpfs" && : > "$0/$way/a/tmpfs/keep" || exit 9; done; "$@"; ls "$0"/*/a/tmpfs`;
    const code = `
    for (const way of ["async", "sync"]) {
      const d = m.adoptDirectorySync(args[0] + "/" + way);
      try { say(way === "async" ? await d.remove() : d.removeSync()); } catch (error) { say(error.leftovers); }
      d.keep();
    }`;
    const flags = restricted(place.path)!;
    const { said, stdout, stderr } = await runChild(code, {
      args: [place.path],
      env: { TMPDIR: place.path },
      flags: isDeno ? flags : [...flags, `--allow-fs-read=${process.env.TMPDIR ?? "/tmp"}/*`],
      under: [...IN_MOUNT_NAMESPACE, "sh", "-c", mounting, place.path],
    });
    assert.equal(stderr, "");
    assert.deepEqual(
      said,
      ["async", "sync"].map((way) => [{ path: join(place.path, way, "a", "tmpfs"), code: "EXDEV" }]),
    );
    assert.equal(stdout.match(/^keep$/gm)?.length, 2);
  },
);

test(
  "a mount inside is reported with EXDEV, and not emptied by the runtime's recursive removal (root, Linux)",
  {
    skip: noMounts,
  },
  async () => {
    const code = `
    const d = m.temporaryDirectorySync();
    for (const name of ["one", "two"]) { fs.mkdirSync(path.join(d.path, name)); fs.writeFileSync(path.join(d.path, name, "file"), ""); }
    const { spawnSync } = await import("node:child_process");
    spawnSync("mount", ["-t", "tmpfs", "none", path.join(d.path, "two")]);
    fs.writeFileSync(path.join(d.path, "two", "precious"), "");
    let code; try { await d.remove(); } catch (error) { code = error.code; }
    say([code, fs.readdirSync(d.path), fs.readdirSync(path.join(d.path, "two"))]);
    spawnSync("umount", [path.join(d.path, "two")]);
    d.removeSync();`;
    const { said, stderr } = await runChild(code, { under: ["unshare", "-m"] });
    assert.deepEqual(said, [["EXDEV", ["two"], ["precious"]]], stderr);
  },
);

test(
  "remove() and removeSync() that cannot read the mount table report that, leave all in place and leak no descriptor (Linux)",
  {
    skip: !isLinux,
  },
  async () => {
    for (const way of ["async", "sync"]) {
      using place = scratch();
      const directory = temporaryDirectorySync({ dir: place.path }), { path } = directory;
      writeFileSync(join(path, "file"), "");
      {
        using _ = substitute({
          primitives: {
            readSystemFile() {
              throw systemError("EIO");
            },
          },
        });
        await assert.rejects(
          async () => way === "async" ? await directory.remove() : directory.removeSync(),
          {
            code: "EIO",
            leftovers: [{ path, code: "EIO" }],
          },
        );
      }
      assert.deepEqual([readdirSync(path), openIn(place.path)], [["file"], []]);
      assert.deepEqual(directory.removeSync(), []);
    }
  },
);

test("without descriptor paths, a mount inside is recognized by its device number alone (POSIX)", {
  skip: noPosixPaths,
}, () => {
  using place = scratch();
  const directory = temporaryDirectorySync({ dir: place.path });
  const { path } = directory;
  for (const name of ["bound", "plain"]) mkdirSync(join(path, name));
  for (const name of ["bound", "plain"]) writeFileSync(join(path, name, "file"), "");
  const elsewhere = join(path, "bound");
  {
    using _ = substitute({
      primitives: {
        readSystemFile: () => `36 35 0:40 / ${elsewhere} rw - tmpfs none rw\n`,
        status(real, ...[path]: [string]) {
          const found = real(...[path] as never[]) as Status;
          return path === elsewhere ? { ...found, device: -1 } : found;
        },
      },
      runtime: { platform: "linux", anchor: () => undefined, removeTree: undefined },
    });
    assert.throws(() => directory.removeSync(), {
      code: "EXDEV",
      leftovers: [{ path: elsewhere, code: "EXDEV" }],
    });
  }
  assert.deepEqual([readdirSync(path), readdirSync(elsewhere)], [["bound"], ["file"]]);
  assert.deepEqual(directory.removeSync(), []);
});
