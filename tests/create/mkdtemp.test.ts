import assert from "node:assert/strict";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmdirSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { spawnSync } from "node:child_process";
import { basename, dirname, isAbsolute, join } from "node:path";
import { test } from "node:test";
import * as m from "#mod";
import * as source from "../../mod.ts";
import { runtime } from "../../lib/runtime/mod.ts";
import { runChild } from "../support/child.ts";
import { creatorsOf } from "../support/creators.ts";
import { runWithGc } from "../support/gc.ts";
import { packageTest } from "../support/once.ts";
import { noLinux, noModes, underWine } from "../support/platform.ts";
import { scratch } from "../support/scratch.ts";
import { changed, heldLease, substitute } from "../support/substitute.ts";

const notWindows = process.platform !== "win32" && "access lists are Windows'";

const twins = [m.mkdtemp, (options?: m.MakeOptions) => Promise.resolve(m.mkdtempSync(options))];

test("C74 C76 mkdtemp() returns the absolute path of a new empty directory in the given one, with prefix and suffix", async () => {
  using place = scratch();
  for (const mkdtemp of twins) {
    const path = await mkdtemp({ dir: place.path, prefix: "pre", suffix: ".post" });
    assert.ok(isAbsolute(path));
    assert.equal(dirname(path), place.path);
    assert.match(basename(path), /^pre[a-z2-9]{13}\.post$/);
    assert.ok(statSync(path).isDirectory());
    assert.deepEqual(readdirSync(path), []);
    rmdirSync(path);
  }
  const inDefault = await m.mkdtemp();
  assert.equal(dirname(inDefault), m.tmpdir());
  rmdirSync(inDefault);
});

test("C75 200 directories of mkdtemp(), created concurrently and in sequence, have different paths", async () => {
  using place = scratch();
  const made = [
    ...await Promise.all(Array.from({ length: 100 }, () => m.mkdtemp({ dir: place.path }))),
    ...Array.from({ length: 100 }, () => m.mkdtempSync({ dir: place.path })),
  ];
  assert.equal(new Set(made).size, 200);
  assert.equal(place.list().length, 200);
});

const MODES = `
const { creatorsOf } = await import(args[1]);
for (const [of, { make, kind }] of creatorsOf(m)) {
  if (kind !== "directory") continue;
  const made = await make(m, { dir: args[0] });
  const { mode, gid } = fs.lstatSync(made.path);
  say([of, mode & 0o7777, gid]);
  await made.remove();
}`;

const CREATORS = import.meta.resolve("../support/creators.ts");
const directoryCreators = creatorsOf(m).filter(([, { kind }]) => kind === "directory");

packageTest("C77 directories are created with mode 0700 under any umask", { skip: noModes }, async () => {
  using place = scratch();
  for (const umask of ["000", "022", "077"]) {
    const { said, stderr } = await runChild(MODES, { umask, args: [place.path, CREATORS] });
    assert.deepEqual(
      said.map(([of, mode]) => [of, mode]),
      directoryCreators.map(([of]) => [of, 0o700]),
      stderr,
    );
  }
});

packageTest(
  "C78 a directory created in one with the setgid bit has permission bits 0700 and inherits the group",
  { skip: noModes },
  async () => {
    using place = scratch();
    chmodSync(place.path, 0o2755);
    const { said, stderr } = await runChild(MODES, { umask: "000", args: [place.path, CREATORS] });
    assert.equal(said.length, directoryCreators.length, stderr);
    for (const [of, mode, gid] of said) {
      assert.equal(mode & 0o777, 0o700, of);
      assert.equal(mode & ~0o2777, 0, of);
      assert.equal(gid, statSync(place.path).gid, of);
    }
    // An explicit mode does not change the bit either.
    const { said: [wanted] } = await runChild(
      `const made = m.mkdtempSync({ dir: args[0], mode: 0o770 }); say(fs.lstatSync(made).mode & 0o7777);`,
      { umask: "077", args: [place.path] },
    );
    assert.equal(wanted, process.platform === "linux" ? 0o2770 : 0o770);
  },
);

test(
  "T23 creating a directory does not change the mode of one that has just taken its place, which a naive creation does (POSIX)",
  {
    skip: noModes,
  },
  async () => {
    using _lease = heldLease();
    const naive = ({ dir, mode }: m.MakeOptions): never => {
      const path = join(`${dir}`, "tmp");
      runtime.sync.makeDirectory(path, 0o700);
      runtime.sync.status(path);
      chmodSync(path, mode!);
      throw Object.assign(new Error("not checked"), { code: "ERR_REPLACED" });
    };
    const { mkdtemp, mkdtempSync, temporaryDirectory, temporaryDirectorySync } = source;
    for (const make of [mkdtemp, mkdtempSync, temporaryDirectory, temporaryDirectorySync, naive]) {
      using place = scratch();
      let path = "";
      using _ = substitute({
        primitives: {
          status: (real, at: string) =>
            changed(real(at), (status) => {
              if (path !== "" || dirname(at) !== place.path) return status;
              path = at;
              renameSync(path, join(place.path, "aside"));
              mkdirSync(path, { mode: 0o700 });
              writeFileSync(join(path, "theirs"), "");
              return status;
            }),
        },
      });
      await assert.rejects(async () => await make({ dir: place.path, mode: 0o777 }), {
        code: "ERR_REPLACED",
      });
      assert.equal(statSync(path).mode & 0o777, make === naive ? 0o777 : 0o700, make.name);
    }
  },
);

test(
  "T23 creating a directory gives the mode to the one created, even if another takes its place after the check (POSIX)",
  { skip: noModes },
  async () => {
    using _lease = heldLease();
    for (const make of [source.mkdtemp, source.mkdtempSync]) {
      using place = scratch();
      const aside = join(place.path, "aside");
      using _ = substitute({
        primitives: {
          statusOf: (real, descriptor: number) =>
            changed(real(descriptor), (status) => {
              if (existsSync(aside)) return status;
              const path = join(place.path, place.names()[0]);
              renameSync(path, aside);
              mkdirSync(path, { mode: 0o700 });
              return status;
            }),
        },
      });
      const path = await make({ dir: place.path, mode: 0o777 });
      assert.deepEqual([path, aside].map((each) => statSync(each).mode & 0o777), [0o700, 0o777], make.name);
    }
  },
);

packageTest(
  "a directory whose mode denies its owner reading is created with that mode under any umask (Linux)",
  {
    skip: noLinux,
  },
  async () => {
    using place = scratch();
    chmodSync(place.path, 0o777);
    const code = `const modes = [m.mkdtempSync, m.mkdtemp].map(async (mkdtemp) => {
      const made = await mkdtemp({ dir: args[0], mode: 0o333 });
      const { mode } = fs.lstatSync(made);
      fs.rmdirSync(made);
      return mode & 0o777;
    });
    say(await Promise.all(modes));`;
    const { said, stderr } = await runChild(code, { umask: "022", args: [place.path], unprivileged: true });
    assert.deepEqual(said, [[0o333, 0o333]], stderr);
  },
);

test("C80 T8 the access list of a new directory on Windows contains no other user", {
  skip: notWindows || underWine("icacls prints nothing"),
}, async () => {
  for (const mkdtemp of twins) {
    const path = await mkdtemp();
    const { stdout } = spawnSync("icacls", [path], { encoding: "utf8" });
    assert.match(stdout, /SYSTEM/);
    assert.doesNotMatch(stdout, /BUILTIN\\Users|Everyone|Authenticated Users/);
    rmdirSync(path);
  }
});

packageTest("C84 a failed creation reports its error once, and nothing later", async () => {
  using place = scratch();
  const missing = join(place.path, "missing");
  const { said, status, stderr } = await runWithGc(`
    const dir = ${JSON.stringify(missing)};
    for (const make of [m.temporaryDirectory, m.temporaryDirectorySync, m.namedTemporaryFile, m.namedTemporaryFileSync]) {
      try { await make({ dir }); } catch (error) { say([error.code, error.path]); }
    }
    await collect();
    say(warnings);`);
  assert.deepEqual(said, [...Array(4).fill(["ENOENT", missing]), []]);
  assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
});

test("C85 creation fails with ENOENT at once if the parent directory is removed between two attempts", async () => {
  using _lease = heldLease();
  for (const [of, { make, unnamed }] of creatorsOf(source)) {
    if (unnamed) continue;
    using place = scratch();
    const parent = join(place.path, "parent");
    mkdirSync(parent);
    let tries = 0;
    const vanish = (real: (...args: unknown[]) => unknown, ...args: unknown[]): unknown => {
      if (++tries > 1) return real(...args);
      rmdirSync(parent);
      throw Object.assign(new Error("EEXIST: planted"), { code: "EEXIST" });
    };
    using _racing = substitute({
      primitives: { createFile: vanish, createDescriptor: vanish, makeDirectory: vanish },
    });
    await assert.rejects(async () => await make(source, { dir: parent }), {
      code: "ENOENT",
      path: parent,
      name: "TempfileError",
    }, of);
    assert.equal(tries, 2, of);
    assert.deepEqual(place.list(), [], of);
  }
});
