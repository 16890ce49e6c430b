import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { test } from "node:test";
import { inspect } from "node:util";
import * as m from "#mod";
import { TempfileError } from "#mod";
import { temporaryDirectory, temporaryDirectorySync } from "../lib/directory.ts";
import { namedTemporaryFileSync } from "../lib/file/named.ts";
import { held } from "../lib/life/registry.ts";
import { renewSession } from "../lib/name.ts";
import { runtime } from "../lib/runtime/mod.ts";
import { runChild } from "./support/child.ts";
import { gcFlags } from "./support/gc.ts";
import { withoutLease } from "./support/leases.ts";
import { packageTest } from "./support/once.ts";
import { isWindows, noModes, underWine } from "./support/platform.ts";
import { scratch } from "./support/scratch.ts";
import { substitute, systemError } from "./support/substitute.ts";
import { warningsOf } from "./support/warnings.ts";

/** Creates files and directories down to a depth, two of each per directory. */
function fill(path: string, depth: number): void {
  for (const name of ["a", "b"]) {
    writeFileSync(join(path, `${name}.txt`), name);
    if (depth === 0) continue;
    mkdirSync(join(path, name));
    fill(join(path, name), depth - 1);
  }
}

/** Makes `remove()` fail by putting another directory at the path. Returns a function that undoes this. */
function replaceDirectory(path: string): () => void {
  renameSync(path, `${path}.aside`);
  mkdirSync(path);
  return () => {
    rmdirSync(path);
    renameSync(`${path}.aside`, path);
  };
}

test("C209 C224 a directory has a path, exists within its scope, and is removed at the end of it", async () => {
  const seen: string[] = [];
  {
    await using one = await m.temporaryDirectory();
    using two = m.temporaryDirectorySync();
    for (const directory of [one, two]) {
      seen.push(directory.path);
      assert.ok(existsSync(directory.path));
      assert.equal(String(directory), directory.path);
    }
  }
  assert.equal(seen.length, 2);
  for (const path of seen) assert.ok(!existsSync(path), path);
});

test("C224 inspect() of a directory shows its path and whether it was removed", () => {
  using directory = m.temporaryDirectorySync();
  for (const removed of [false, true]) {
    const shown = `TemporaryDirectory { path: ${JSON.stringify(directory.path)}, removed: ${removed} }`;
    assert.deepEqual([inspect(directory), directory.removed], [shown, removed]);
    assert.equal(String(directory), directory.path);
    directory.removeSync();
  }
});

test("C210 C302 remove() called three times removes once and then does nothing", async () => {
  const one = await m.temporaryDirectory(), two = m.temporaryDirectorySync();
  for (const directory of [one, two]) fill(directory.path, 1);
  assert.deepEqual(await one.remove(), []);
  assert.deepEqual(two.removeSync(), []);
  for (const { path } of [one, two]) {
    assert.ok(!existsSync(path));
    // What appears at the path later belongs to somebody else.
    mkdirSync(path);
  }
  for (let times = 0; times < 2; times++) {
    assert.deepEqual(await one.remove(), []);
    assert.deepEqual(two.removeSync(), []);
  }
  await one[Symbol.asyncDispose]();
  two[Symbol.dispose]();
  for (const { path } of [one, two]) rmdirSync(path);
});

test("C211 disposing of a directory that the user has removed emits no warning", async () => {
  const warnings = await warningsOf(async () => {
    await using one = await m.temporaryDirectory();
    using two = m.temporaryDirectorySync();
    fill(one.path, 1);
    rmSync(one.path, { recursive: true });
    rmdirSync(two.path);
    assert.deepEqual(await one.remove(), []);
  });
  assert.deepEqual(warnings, []);
});

test("C212 an error thrown in the scope is rethrown unchanged, and the directory is removed", async () => {
  const error = new Error("of the body");
  const paths: string[] = [];
  const body = async (): Promise<void> => {
    await using directory = await m.temporaryDirectory();
    paths.push(directory.path);
    fill(directory.path, 1);
    throw error;
  };
  const bodySync = (): void => {
    using directory = m.temporaryDirectorySync();
    paths.push(directory.path);
    fill(directory.path, 1);
    throw error;
  };
  assert.equal(await body().catch((thrown) => thrown), error);
  assert.throws(bodySync, (thrown) => thrown === error);
  assert.deepEqual(paths.map((path) => existsSync(path)), [false, false]);
});

test("C212 C219 a disposal that fails after an error in the scope warns with code and path, and the scope's error is thrown", async () => {
  const error = new Error("of the body");
  using place = scratch();
  for (const kind of ["async", "sync"]) {
    let directory!: m.TemporaryDirectory, undo!: () => void;
    const body = async (): Promise<void> => {
      await using owner = await m.temporaryDirectory({ dir: place.path });
      directory = owner;
      undo = replaceDirectory(owner.path);
      throw error;
    };
    const bodySync = (): void => {
      using owner = m.temporaryDirectorySync({ dir: place.path });
      directory = owner;
      undo = replaceDirectory(owner.path);
      throw error;
    };
    const warnings = await warningsOf(async () => {
      const thrown = kind === "async"
        ? await body().catch((thrown) => thrown)
        : await Promise.resolve().then(bodySync).catch((thrown) => thrown);
      assert.equal(thrown, error);
    });
    assert.equal(warnings.length, 1, kind);
    assert.equal(warnings[0].code, "ERR_REPLACED");
    assert.ok(warnings[0].message.includes(directory.path));
    // It stayed in the registry: without the cause of the failure, it can be removed.
    undo();
    assert.deepEqual(await directory.remove(), []);
  }
  assert.deepEqual(place.list(), []);
});

packageTest(
  "C213 C216 C218 process exit removes directories that nobody disposed of or a generator holds, not those of delete: false or keep()",
  async () => {
    using place = scratch();
    const code = `
    const create = () => [m.temporaryDirectorySync({ dir: args[0] }), m.temporaryDirectory({ dir: args[0] })];
    globalThis.held = await Promise.all(create());
    for (const d of held) { fs.mkdirSync(d.join("sub")); fs.writeFileSync(d.join("sub", "file"), "x"); }
    function* scope() { const d = m.temporaryDirectorySync({ dir: args[0] }); try { yield d.path; } finally { d.removeSync(); } }
    globalThis.running = scope();
    say(fs.existsSync(running.next().value));
    const d = m.temporaryDirectorySync({ dir: args[0], delete: false });
    const e = await m.temporaryDirectory({ dir: args[0], delete: false });
    say(await d.remove()); await e[Symbol.asyncDispose](); e[Symbol.dispose]();
    const f = m.temporaryDirectorySync({ dir: args[0] }), kept = f.keep();
    await f.remove(); f[Symbol.dispose]();
    say(fs.readdirSync(args[0]).length);
    say([d.path, e.path, kept].map((path) => path.slice(args[0].length + 1)).sort());`;
    const { said, status, stderr } = await runChild(code, { args: [place.path] });
    assert.deepEqual([status, stderr, said.slice(0, 3)], [0, "", [true, [], 6]]);
    assert.deepEqual(place.list(), said[3]);
  },
);

test("C214 a tree of three levels with two directories and two files each is removed", {
  skip: "Bun" in globalThis && underWine("Bun's recursive readdirSync() stops at the second level"),
}, async () => {
  const one = await m.temporaryDirectory(), two = m.temporaryDirectorySync();
  for (const { path } of [one, two]) {
    fill(path, 3);
    assert.equal(readdirSync(path, { recursive: true }).length, 2 * (1 + 2 + 4 + 8) + 2 * (1 + 2 + 4));
  }
  await one.remove();
  two.removeSync();
  for (const { path } of [one, two]) assert.ok(!existsSync(path));
});

test("C215 a directory returned to another scope lives until the end of that scope", async () => {
  const make = async (): Promise<m.TemporaryDirectory[]> => {
    const made = [await m.temporaryDirectory(), m.temporaryDirectorySync()];
    for (const { path } of made) fill(path, 0);
    return made;
  };
  let paths: string[];
  const there = (): boolean[] => paths.map((path) => existsSync(join(path, "a.txt")));
  {
    const [one, two] = await make();
    paths = [one.path, two.path];
    await using _owner = one;
    {
      using _inner = two;
      await new Promise((resolve) => setTimeout(resolve, 5));
      assert.deepEqual(there(), [true, true]);
    }
    assert.deepEqual(there(), [true, false]);
  }
  assert.deepEqual(paths.map((path) => existsSync(path)), [false, false]);
});

/** Defines a function that forces garbage collection. */
const DEFINE_COLLECT = `const collect = async () => {
  for (let i = 0; i < 20; i++) { (globalThis.gc ?? (() => Bun.gc(true)))(); await new Promise((r) => setTimeout(r, 10)); }
};`;

packageTest(
  "C216 C219 garbage collection of a directory that was not disposed of warns with its path and where it was created",
  async () => {
    using place = scratch();
    const code = `${DEFINE_COLLECT}
    const heard = [];
    process.on("warning", (w) => heard.push({ name: w.name, code: w.code, message: w.message, detail: w.detail ?? "" }));
    function forgetful() { return m.temporaryDirectorySync({ dir: args[0] }).path; }
    const forgotten = forgetful();
    await collect();
    say({ path: forgotten, heard, stays: fs.existsSync(forgotten) });`;
    const { said: [{ path, heard, stays }], status } = await runChild(code, {
      args: [place.path],
      flags: gcFlags,
    });
    assert.equal(status, 0);
    assert.equal(heard.length, 1);
    assert.equal(heard[0].name, "TempfileWarning");
    assert.ok(heard[0].message.includes(path));
    assert.match(heard[0].detail, /forgetful/);
    // The path was read, so that the directory stays until process exit.
    assert.equal(stays, true);
    assert.deepEqual(place.list(), []);
  },
);

packageTest(
  "T23 C217 a removal that fails at process exit changes neither exit status nor output",
  async () => {
    using place = scratch();
    const code = `
    for (const ignoreCleanupErrors of [true, false]) {
      const d = m.temporaryDirectorySync({ dir: args[0], ignoreCleanupErrors });
      fs.renameSync(d.path, args[0] + "/aside-" + ignoreCleanupErrors); fs.mkdirSync(d.path); fs.writeFileSync(d.path + "/theirs", "x");
      (globalThis.held ??= []).push(d);
    }
    process.exitCode = 7;`;
    const { status, stdout, stderr } = await runChild(code, { args: [place.path] });
    assert.deepEqual([status, stdout.trim(), stderr], [7, "", ""]);
    assert.equal(readdirSync(place.path, { recursive: true }).length, 6);
    // Nor does the next process reclaim what is now at the paths of the first one.
    const next =
      `m.temporaryDirectorySync({ dir: args[0] }).removeSync(); await new Promise((done) => setTimeout(done, 100));`;
    assert.equal((await runChild(next, { args: [place.path] })).status, 0);
    assert.equal(readdirSync(place.path, { recursive: true }).length, 6);
  },
);

test("C220 remove() with ignoreCleanupErrors returns what could not be removed instead of throwing, and a second call removes it", async () => {
  for (const kind of ["async", "sync"] as const) {
    let stuck = true;
    using failing = substitute({
      // The runtime's own recursive removal would bypass the failing primitive.
      runtime: { removeTree: undefined },
      primitives: {
        unlink(real, path: string) {
          if (stuck && basename(String(path)) === "stuck") throw systemError("EPERM");
          return real(path);
        },
      },
    });
    const directory = temporaryDirectorySync({ ignoreCleanupErrors: true });
    fill(directory.path, 1);
    writeFileSync(join(directory.path, "a", "stuck"), "");
    const remove = async () => kind === "async" ? await directory.remove() : directory.removeSync();
    assert.deepEqual(await remove(), [{ path: join(directory.path, "a", "stuck"), code: "EPERM" }]);
    assert.deepEqual(readdirSync(directory.path, { recursive: true }).sort(), ["a", join("a", "stuck")]);
    assert.ok(failing.of("unlink").length > 0);
    stuck = false;
    assert.deepEqual(await remove(), []);
    assert.ok(!existsSync(directory.path));
  }
});

test("C220 remove() without ignoreCleanupErrors fails with an error that lists what is left and why", async () => {
  using _failing = substitute({
    // The runtime's own recursive removal would bypass the failing primitives.
    runtime: { removeTree: undefined },
    primitives: {
      unlink(real, path: string) {
        if (/^stuck\d$/.test(basename(String(path)))) throw systemError("EPERM");
        return real(path);
      },
    },
  });
  const directory = await temporaryDirectory();
  const stuck = Array.from({ length: 7 }, (_, n) => join(directory.path, `stuck${n}`));
  for (const path of stuck.slice(0, 1)) writeFileSync(path, "");
  const one = await directory.remove().catch((error) => error);
  // By name: the error is of the source's class, not of this copy.
  assert.equal(one.name, TempfileError.name);
  assert.deepEqual([one.code, one.path], ["EPERM", directory.path]);
  assert.ok(one.message.includes(stuck[0]));
  for (const path of stuck) writeFileSync(path, "");
  const all = await directory.remove().catch((error) => error);
  assert.equal(all.code, "ERR_LEFTOVER");
  assert.deepEqual(all.leftovers.map(({ path }: { path: string }) => path).sort(), stuck);
  for (const path of stuck) rmSync(path);
  await directory.remove();
});

test("C221 ignoreCleanupErrors also covers a failure to repair permissions (Linux)", {
  skip: process.platform !== "linux",
}, async () => {
  let stuck = true;
  using failing = substitute({
    // The runtime's own recursive removal would bypass the failing primitives.
    runtime: { removeTree: undefined },
    primitives: {
      openDirectory(real, path: string) {
        if (stuck && String(path).endsWith("/locked")) throw systemError("EACCES");
        return real(path);
      },
      changeModeAt(real, path: string, mode: number) {
        if (stuck) throw systemError("EPERM");
        return real(path, mode);
      },
    },
  });
  for (const remove of ["remove", "removeSync"] as const) {
    stuck = true;
    const directory = await temporaryDirectory({ ignoreCleanupErrors: true });
    mkdirSync(join(directory.path, "locked"));
    writeFileSync(join(directory.path, "other"), "");
    const repairs = failing.of("changeModeAt").length;
    assert.deepEqual(await directory[remove](), [{ path: join(directory.path, "locked"), code: "EPERM" }]);
    assert.ok(failing.of("changeModeAt").length > repairs);
    assert.deepEqual(readdirSync(directory.path), ["locked"]);
    stuck = false;
    assert.deepEqual(await directory[remove](), []);
    assert.ok(!existsSync(directory.path));
  }
});

test("T4 C225 join() resolves paths inside, and refuses those that lead out, also to a sibling with the same name prefix", () => {
  using place = scratch();
  using directory = m.temporaryDirectorySync({ dir: place.path });
  const { path } = directory, name = basename(path);
  assert.equal(directory.join(), path);
  assert.equal(directory.join("a", "b/c", "..", ".", "d"), join(path, "a", "b", "d"));
  assert.equal(directory.join("..a", "b.."), join(path, "..a", "b.."));
  const outside = [
    ["..", `${name}-evil`, "f"],
    [`../${name}-evil/f`],
    ["..", name],
    [".."],
    ["a", "../.."],
    ["a/../../b"],
    ["/etc/passwd"],
    [path],
    [`${path}-evil/f`],
    ["a", "/etc"],
    ["a\0b"],
  ];
  for (const segments of outside) {
    assert.throws(
      () => directory.join(...segments),
      { name: "TypeError", code: "ERR_INVALID_OPTION" },
      segments.join(","),
    );
  }
  // deno-lint-ignore no-explicit-any -- as callers without types may pass them
  for (const segment of [["../x"], { toString: () => "../x" }, new String("../x"), 1, null] as any[]) {
    assert.throws(() => directory.join(segment), { name: "TypeError", code: "ERR_INVALID_OPTION" });
  }
  assert.deepEqual(place.list(), [name]);
});

test(
  "T1 C225 the creating methods of a directory refuse every dir option, and a prefix that leads outside (POSIX)",
  {
    skip: isWindows,
  },
  async () => {
    using place = scratch();
    using outside = scratch();
    using directory = m.temporaryDirectorySync({ dir: place.path });
    symlinkSync(outside.path, join(directory.path, "evil"));
    mkdirSync(`${directory.path}-evil`);
    const dirs = [
      "evil",
      "evil/",
      "./evil/../evil",
      join(directory.path, "evil"),
      join(directory.path, "evil") + "/",
      `${directory.path}-evil`,
      dirname(directory.path),
      "..",
      directory.path,
    ];
    for (const dir of dirs) {
      const options = { dir } as object, refusal = { name: "TypeError", code: "ERR_INVALID_OPTION" };
      await assert.rejects(directory.namedTemporaryFile(options), refusal, dir);
      await assert.rejects(directory.temporaryDirectory(options), refusal, dir);
      assert.throws(() => directory.namedTemporaryFileSync(options), refusal, dir);
      assert.throws(() => directory.temporaryDirectorySync(options), refusal, dir);
    }
    for (const prefix of ["../x", "evil/x", "/x", ".."]) {
      const refusal = { name: "TypeError", code: "ERR_INVALID_OPTION" };
      await assert.rejects(directory.namedTemporaryFile({ prefix }), refusal, prefix);
      await assert.rejects(directory.temporaryDirectory({ prefix }), refusal, prefix);
      assert.throws(() => directory.namedTemporaryFileSync({ prefix }), refusal, prefix);
      assert.throws(() => directory.temporaryDirectorySync({ prefix }), refusal, prefix);
    }
    assert.deepEqual(outside.list(), []);
    assert.deepEqual(readdirSync(`${directory.path}-evil`), []);
    assert.deepEqual(readdirSync(directory.path), ["evil"]);
  },
);

test(
  "T1 a dir that is a symbolic link is resolved before anything is created in it",
  { skip: isWindows },
  async () => {
    using place = scratch();
    mkdirSync(join(place.path, "real"));
    symlinkSync("real", join(place.path, "link"));
    await using directory = await m.temporaryDirectory({ dir: join(place.path, "link") });
    assert.equal(dirname(directory.path), join(place.path, "real"));
    // A later change of the link does not redirect the library.
    using outside = scratch();
    mkdirSync(join(outside.path, basename(directory.path)));
    rmSync(join(place.path, "link"));
    symlinkSync(outside.path, join(place.path, "link"));
    fill(directory.path, 0);
    await directory.remove();
    assert.deepEqual(outside.list(), [basename(directory.path)]);
    assert.deepEqual(readdirSync(join(place.path, "real")), []);
  },
);

test("C225 files and directories created by a directory's methods are in it and are removed with it", async () => {
  await using directory = await m.temporaryDirectory();
  await using file = await directory.namedTemporaryFile({ suffix: ".txt" });
  await using below = await directory.temporaryDirectory();
  for (const { path } of [file, below]) assert.equal(dirname(path), directory.path);
  assert.deepEqual(await directory.usage(), { files: 1, directories: 1, bytes: 0 });
  file.closeSync();
  await directory.remove();
  assert.ok(!existsSync(below.path));
  await assert.rejects(directory.namedTemporaryFile(), { code: "ERR_CLOSED" });
  assert.throws(() => directory.temporaryDirectorySync(), { code: "ERR_CLOSED" });
});

test("keep() fails with ERR_CLOSED during and after remove(), but works after a remove() that failed", async () => {
  using place = scratch();
  const notKept = (path: string) => ({ name: "TempfileError", code: "ERR_CLOSED", path });
  for (const isAsync of [true, false]) {
    const directory = await temporaryDirectory({ dir: place.path });
    const removing = isAsync ? directory.remove() : directory.removeSync();
    assert.throws(() => directory.keep(), notKept(directory.path));
    await removing;
    assert.throws(() => directory.keep(), notKept(directory.path));
  }
  const directory = await temporaryDirectory({ dir: place.path });
  {
    using _denied = substitute({
      primitives: {
        removeDirectory: () => {
          throw systemError("EIO");
        },
      },
      runtime: { removeTree: undefined },
    });
    await assert.rejects(directory.remove(), { code: "EIO" });
  }
  assert.equal(directory.keep(), directory.path);
  await directory.remove();
  assert.deepEqual(place.names(), [basename(directory.path)]);
});

packageTest(
  "C245 adoptDirectory() and its synchronous variant refuse an empty path, the root, the home, current and temporary directories, and the parent of the current one",
  async () => {
    using place = scratch();
    const code = `
    const tried = { empty: "", root: "/", home: process.env.HOME, cwd: process.cwd(), above: path.dirname(process.cwd()), temporary: m.tmpdir() };
    for (const [name, path] of Object.entries(tried)) {
      for (const adopt of [m.adoptDirectory, m.adoptDirectorySync]) {
        try { (await adopt(path)).keep(); say([name, "adopted"]); } catch (error) { say([name, error.code]); }
      }
    }`;
    for (const name of ["home", "tmp", "work"]) mkdirSync(join(place.path, name));
    mkdirSync(join(place.path, "work", "here"));
    const home = join(place.path, "home");
    const { said, status } = await runChild(code, {
      cwd: join(place.path, "work", "here"),
      env: { HOME: home, USERPROFILE: home, TMPDIR: join(place.path, "tmp") },
    });
    assert.equal(status, 0);
    const names = ["empty", "root", "home", "cwd", "above", "temporary"];
    // A directory of another user is refused for that reason.
    const others = ![undefined, statSync("/").uid].includes(process.getuid?.());
    const codeOf = (name: string): string => name === "root" && others ? "EPERM" : "ERR_INVALID_OPTION";
    assert.deepEqual(said, names.flatMap((name) => Array(2).fill([name, codeOf(name)])));
    // The control: an ordinary directory is adopted.
    mkdirSync(join(place.path, "other"));
    await (await m.adoptDirectory(join(place.path, "other"))).remove();
    assert.deepEqual(place.list(), ["home", "tmp", "work"]);
  },
);

test("temporaryDirectory() that is aborted leaves nothing behind, even if its first removal of the directory fails", async () => {
  for (const create of [temporaryDirectory, temporaryDirectorySync]) {
    using place = scratch();
    const controller = new AbortController();
    let fails = true;
    using _ = substitute({
      primitives: {
        makeDirectory(real, ...args) {
          if (String(args[0]).startsWith(join(place.path, "tmp"))) controller.abort();
          return real(...args);
        },
        removeDirectory(real, ...args) {
          if (!fails) return real(...args);
          fails = false;
          throw systemError("EIO");
        },
      },
    });
    const { signal } = controller;
    await assert.rejects(async () => await create({ dir: place.path, signal }), { name: "AbortError" });
    assert.deepEqual([place.list(), fails], [[], false]);
  }
});

test("remove() of a replaced directory fails with ERR_REPLACED also if a full disk prevents recording it", async () => {
  using place = scratch();
  const directory = temporaryDirectorySync({ dir: place.path });
  const { path } = directory;
  renameSync(path, join(place.path, "moved"));
  mkdirSync(path);
  {
    using _ = substitute({
      primitives: {
        write() {
          throw systemError("ENOSPC");
        },
      },
    });
    assert.throws(() => directory.removeSync(), { code: "ERR_REPLACED", path });
    await assert.rejects(directory.remove(), { code: "ERR_REPLACED", path });
  }
  rmdirSync(path);
  renameSync(join(place.path, "moved"), path);
  assert.deepEqual(await directory.remove(), []);
});

test(
  "a directory's mode that the umask reduced is set through the descriptor where that has no path, as on macOS",
  {
    skip: noModes,
  },
  async () => {
    using place = scratch();
    const { openDirectory } = runtime.sync;
    using _ = substitute({
      primitives: {
        makeDirectory(real, ...[path]: [string]) {
          return real(...[path, 0o500] as never[]);
        },
        locateDirectory: (_real, path: string) => openDirectory(path),
      },
      runtime: { anchor: () => undefined },
    });
    for (const mode of [undefined, 0o750]) {
      const blocking = temporaryDirectorySync({ dir: place.path, mode });
      const waiting = await temporaryDirectory({ dir: place.path, mode });
      const wanted = mode ?? 0o700;
      assert.deepEqual([blocking, waiting].map(({ path }) => statSync(path).mode & 0o777), [wanted, wanted]);
      blocking.removeSync();
      await waiting.remove();
    }
    assert.deepEqual(place.names(), []);
  },
);

packageTest(
  "a garbage-collected directory stays until process exit if something was created in it, which may still be in use",
  async () => {
    using place = scratch();
    const code = `${DEFINE_COLLECT}
    const inNew = async (create) => (await create(await m.temporaryDirectory({ dir: args[0] }))).path;
    const made = [
      await inNew((directory) => directory.namedTemporaryFile()),
      await inNew((directory) => directory.temporaryDirectorySync()),
    ];
    await collect();
    say(made.map((path) => fs.existsSync(path)));`;
    const { said, status, stderr } = await runChild(code, { args: [place.path], flags: gcFlags });
    assert.deepEqual([said, status], [[[true, true]], 0], stderr);
    assert.equal(stderr.match(/"[^"]*" was never closed/g)?.length, 4);
    assert.deepEqual(place.list(), []);
  },
);

test("creation fails and leaves nothing on disk or in the registry if the source of random bytes fails", async () => {
  using place = scratch();
  // Without an open lease, the next creation begins a new session, which needs random bytes.
  await withoutLease();
  renewSession();
  const random = (): never => {
    throw new Error("no entropy");
  };
  using _ = substitute({ runtime: { random } });
  for (const create of [namedTemporaryFileSync, temporaryDirectorySync]) {
    assert.throws(() => create({ dir: place.path }), { message: "no entropy" });
  }
  assert.deepEqual(held().entries, []);
  assert.deepEqual(place.list(), []);
});
