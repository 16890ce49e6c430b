import assert from "node:assert/strict";
import { mkdirSync, openSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import {
  adoptDirectorySync,
  configure,
  namedTemporaryFileSync,
  TempfileError,
  type TemporaryDirectory,
  temporaryDirectory,
  temporaryDirectorySync,
} from "#mod";
import * as source from "../../mod.ts";
import { isLocked, noFlock, noTmpfiles, removeOld, runTmpfiles } from "../support/ager.ts";
import { firstOutput, runChild, startChild } from "../support/child.ts";
import { leasesIn } from "../support/leases.ts";
import { packageTest as test } from "../support/once.ts";
import { namesLinger, wholeTrees } from "../support/platform.ts";
import { type Scratch, scratch } from "../support/scratch.ts";
import { substitute } from "../support/substitute.ts";
import { warningsOf } from "../support/warnings.ts";

/** Waits until a condition holds, for half a minute at most: the machine may be busy. */
async function until(holds: () => unknown): Promise<void> {
  for (let waits = 0; !(await holds()); waits++) {
    assert.ok(waits < 1500, "the condition never held");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Waits until directories are locked. Each check takes the lock for a moment, which keeps others from it, so checks are rare. */
async function untilLocked(...paths: string[]): Promise<void> {
  await until(async () => paths.every(isLocked) || await new Promise((resolve) => setTimeout(resolve, 300)));
}

/** The source of `until` for a child, which returns whether the condition held. */
const UNTIL = `const until = async (holds) => {
  for (let waits = 0; !holds() && waits < 1500; waits++) await new Promise((resolve) => setTimeout(resolve, 20));
  return holds();
};`;

/** Sets `keepAlive` of the library's source, whose runtime can be substituted, until the end of the scope. */
function sourceKeeping(keepAlive: boolean | number): Disposable {
  source.configure({ keepAlive });
  return { [Symbol.dispose]: () => source.configure({ keepAlive: false }) };
}

/** Sets `keepAlive` of the library under test until the end of the scope. */
function keeping(keepAlive: boolean | number): Disposable {
  configure({ keepAlive });
  return { [Symbol.dispose]: () => configure({ keepAlive: false }) };
}

test(
  "C279 C280 configure({ keepAlive }) locks a directory until it is removed, disposed, kept or persisted",
  { skip: noFlock },
  async () => {
    using place = scratch();
    const ends: ((directory: TemporaryDirectory) => unknown)[] = [
      (directory) => directory.remove(),
      (directory) => directory[Symbol.dispose](),
      (directory) => directory.keep(),
      (directory) => directory.persist(join(place.path, "persisted")),
    ];
    using _ = keeping(true);
    for (const end of ends) {
      const directory = await temporaryDirectory({ dir: place.path });
      await untilLocked(directory.path);
      const other = join(place.path, "persisted");
      await end(directory);
      for (const path of [directory.path, other].filter((path) => place.list().includes(basename(path)))) {
        await until(() => !isLocked(path));
      }
    }
  },
);

test("C279 control: a directory is not locked without keepAlive", { skip: noFlock }, async () => {
  await using directory = await temporaryDirectory();
  // Longer than locking would take.
  for (let i = 0; i < 10; i++) {
    assert.equal(isLocked(directory.path), false);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
});

test("C279 configure({ keepAlive }) locks an adopted directory", { skip: noFlock }, async () => {
  using place = scratch();
  const path = join(place.path, "adopted");
  mkdirSync(path, { mode: 0o700 });
  using _ = keeping(true);
  using directory = adoptDirectorySync(path);
  await untilLocked(path);
  assert.equal(directory.path, path);
});

test(
  "C280 the lock on a directory is released when its process is killed with SIGKILL",
  { skip: noFlock },
  async () => {
    using place = scratch();
    const code = `m.configure({ keepAlive: true });
    globalThis.held = m.temporaryDirectorySync(); say(held.path); setInterval(() => {}, 1000);`;
    const { child, result } = startChild(code, { env: { TMPDIR: place.path } });
    await firstOutput(child);
    const path = join(place.path, place.names()[0]);
    await untilLocked(path);
    process.kill(child.pid!, "SIGKILL");
    const { said, stderr } = await result;
    assert.deepEqual({ said, stderr }, { said: [path], stderr: "" });
    assert.equal(isLocked(path), false);
  },
);

test("C281 C282 keepAlive without locks on the system touches directories and warns once, with the reason", async () => {
  using place = scratch();
  using changed = substitute({ runtime: { locks: undefined } });
  using _ = sourceKeeping(20);
  const warnings = await warningsOf(async () => {
    const made = [1, 2].map(() => source.temporaryDirectorySync({ dir: place.path }));
    await until(() => changed.of("touch").length >= 4);
    for (const directory of made) directory.removeSync();
  });
  assert.deepEqual(warnings.map(({ name, code }) => [name, code]), [["TempfileWarning", "MAYFLY_NO_LOCK"]]);
  assert.match(warnings[0].message, /only touched: this system has no locks that they respect$/);
});

test(
  "C281 without flock(1), keepAlive on Node only touches directories and warns why; Bun and Deno lock them",
  {
    skip: noFlock,
  },
  async () => {
    using place = scratch();
    const code = `${UNTIL}
    const warnings = [];
    process.on("warning", ({ code, message }) => warnings.push([code, message]));
    m.configure({ keepAlive: 20 });
    globalThis.held = [m.temporaryDirectorySync(), m.temporaryDirectorySync()];
    for (const { path } of held) fs.utimesSync(path, 1, 1);
    const touched = await until(() => held.every(({ path }) => fs.statSync(path).mtimeMs > 1000));
    process.stdin.once("data", () => { say({ touched, warnings }); process.exit(); });
    say("ready");`;
    const { child, result } = startChild(code, { env: { TMPDIR: place.path, PATH: "/nonexistent" } });
    await firstOutput(child);
    const paths = place.names().map((name) => join(place.path, name));
    const isNode = process.versions.bun === undefined && process.versions.deno === undefined;
    if (!isNode) await untilLocked(...paths);
    assert.deepEqual(paths.map(isLocked), [!isNode, !isNode]);
    child.stdin!.end("go");
    const { said: [, { touched, warnings }], stderr } = await result;
    assert.equal(touched, true, stderr);
    const message =
      "Directories are not locked against daemons that remove old files, only touched: it needs the program flock(1)";
    assert.deepEqual(warnings, isNode ? [["MAYFLY_NO_LOCK", message]] : []);
  },
);

/** A runtime whose timers run only when the test calls them, with a stopped clock and without locks. */
function manualTimers() {
  const waiting = new Map<number, () => void>();
  const changed = substitute({
    runtime: {
      locks: undefined,
      now: () => 0,
      later(milliseconds, call) {
        waiting.set(milliseconds, call);
        return () => void (waiting.get(milliseconds) === call && waiting.delete(milliseconds));
      },
    },
  });
  return {
    waiting,
    /** The touched paths, without leases: other tests in this process may hold some. */
    touched: () =>
      changed.of("touch").map(([path]) => String(path)).filter((path) => !path.endsWith(".lease")),
    [Symbol.dispose]: () => changed[Symbol.dispose](),
  };
}

test("C282 keepAlive touches files and directories at each interval, half an hour by default, until they are removed", () => {
  for (const [keepAlive, interval] of [[true, 1_800_000], [12_345, 12_345]] as const) {
    using place = scratch();
    using timers = manualTimers();
    using _ = sourceKeeping(keepAlive);
    const file = source.namedTemporaryFileSync({ dir: place.path });
    const directory = source.temporaryDirectorySync({ dir: place.path });
    assert.deepEqual(timers.touched(), []);
    timers.waiting.get(interval)!();
    assert.deepEqual(timers.touched(), [file.path, directory.path]);
    file.closeSync();
    timers.waiting.get(interval)!();
    assert.deepEqual(timers.touched(), [file.path, directory.path, directory.path]);
    directory.removeSync();
    assert.equal(timers.waiting.has(interval), false);
  }
});

test("C282 keepAlive touches many files in small batches, with pauses between them", () => {
  using place = scratch();
  using timers = manualTimers();
  using _ = sourceKeeping(12_345);
  const files = Array.from({ length: 100 }, () => source.namedTemporaryFileSync({ dir: place.path }));
  let now = 0;
  // Each reading of the clock takes half a millisecond.
  using _clock = substitute({ runtime: { now: () => now += 0.5 } });
  const counts: number[] = [];
  for (let next = timers.waiting.get(12_345); next !== undefined; next = timers.waiting.get(10)) {
    timers.waiting.clear();
    next();
    counts.push(timers.touched().length);
  }
  assert.deepEqual(counts.slice(0, 3), [2, 4, 6]);
  assert.deepEqual(timers.touched(), files.map(({ path }) => path));
  assert.deepEqual([...timers.waiting.keys()], [12_345]);
  for (const file of files) file.closeSync();
});

test("C282 keepAlive keeps updating the times of directories, open files and the lease, and its timer does not delay exit", async () => {
  using place = scratch();
  const code = `${UNTIL}
    const old = (path) => fs.utimesSync(path, 1, 1);
    const isNew = (path) => { const { atimeMs, mtimeMs } = fs.statSync(path); return Math.min(atimeMs, mtimeMs) > 1e12; };
    const control = m.namedTemporaryFileSync();
    m.configure({ keepAlive: 40 });
    globalThis.held = [control, m.namedTemporaryFileSync(), await m.temporaryDirectory(), await m.namedTemporaryFile()];
    const leases = fs.readdirSync(args[0]);
    const paths = [...held.slice(1).map(({ path }) => path), ...leases.map((name) => args[0] + "/" + name)];
    say(leases.length);
    old(control.path);
    for (let round = 0; round < 3; round++) {
      paths.forEach(old);
      say(await until(() => paths.every(isNew)));
    }
    say(isNew(control.path));`;
  const options = { env: { TMPDIR: place.path }, args: [leasesIn(place.path)] };
  const { said, status, stderr } = await runChild(code, options);
  assert.deepEqual({ said, status }, { said: [1, true, true, true, false], status: 0 }, stderr);
});

test("configure({ keepAlive }) rejects everything but booleans and intervals that a timer supports", () => {
  for (const keepAlive of ["1", null, {}]) {
    assert.throws(() => configure({ keepAlive } as never), { name: "TypeError", code: "ERR_INVALID_OPTION" });
  }
  for (const keepAlive of [0, -1, NaN, Infinity, 2 ** 31]) {
    assert.throws(() => configure({ keepAlive }), {
      name: "RangeError",
      code: "ERR_INVALID_OPTION",
      message: `Option "keepAlive" must be 1 to 2147483647 milliseconds: got ${keepAlive}`,
    });
  }
});

/** Creates two very old directories with an old file in each: "free-…" without `keepAlive`, "kept-…" with it. */
async function oldDirectories(place: Scratch): Promise<Disposable> {
  const made: { path: string; [Symbol.dispose](): void }[] = [];
  for (const [keepAlive, prefix] of [[false, "free-"], [20, "kept-"]] as const) {
    configure({ keepAlive });
    const directory = await temporaryDirectory({ dir: place.path, prefix });
    writeFileSync(directory.join("inside"), "contents");
    made.push(directory);
  }
  for (const { path } of made) {
    utimesSync(join(path, "inside"), 1, 1);
    utimesSync(path, 1, 1);
  }
  await untilLocked(made[1].path);
  return {
    [Symbol.dispose]: () => {
      configure({ keepAlive: false });
      for (const one of made) one[Symbol.dispose]();
    },
  };
}

test(
  "C283 a directory with keepAlive survives a daemon that removes old, unlocked directories; one without it does not",
  {
    skip: noFlock,
  },
  async () => {
    using place = scratch();
    using _ = await oldDirectories(place);
    removeOld(place.path);
    // The protected one was touched as well; its lock alone would suffice.
    const [name, ...others] = place.names();
    assert.deepEqual([name.slice(0, 5), others], ["kept-", []]);
    assert.deepEqual(readdirSync(join(place.path, name)), ["inside"]);
  },
);

test(
  "C283 a directory with keepAlive survives systemd-tmpfiles with an age of 0; one without it does not",
  {
    skip: noTmpfiles,
  },
  async () => {
    using place = scratch();
    using _ = await oldDirectories(place);
    runTmpfiles(place.path);
    const [name, ...others] = place.names();
    assert.deepEqual([name.slice(0, 5), others], ["kept-", []]);
    assert.deepEqual(readdirSync(join(place.path, name)), ["inside"]);
  },
);

test("C283 a named file with keepAlive survives a daemon that removes old files; one without it does not", {
  skip: noFlock,
}, async () => {
  using place = scratch();
  using free = namedTemporaryFileSync({ dir: place.path });
  using _ = keeping(20);
  using kept = namedTemporaryFileSync({ dir: place.path });
  for (const { path } of [free, kept]) utimesSync(path, 1, 1);
  await until(() => statSync(kept.path).mtimeMs > 1000);
  removeOld(place.path);
  assert.deepEqual(place.names(), [basename(kept.path)]);
});

/** The operations that need the directory to exist. */
const USES: { readonly [name: string]: (directory: TemporaryDirectory, place: Scratch) => unknown } = {
  "namedTemporaryFile": (directory) => directory.namedTemporaryFile(),
  "namedTemporaryFileSync": (directory) => directory.namedTemporaryFileSync(),
  "temporaryDirectory": (directory) => directory.temporaryDirectory(),
  "temporaryDirectorySync": (directory) => directory.temporaryDirectorySync(),
  "usage": (directory) => directory.usage(),
  "usageSync": (directory) => directory.usageSync(),
  "persist": (directory, place) => directory.persist(join(place.path, "persisted")),
  "persistSync": (directory, place) => directory.persistSync(join(place.path, "persisted")),
};

/** Returns the error that a use throws. */
async function thrownBy(use: () => unknown): Promise<TempfileError> {
  try {
    await use();
  } catch (error) {
    assert.ok(error instanceof TempfileError, String(error));
    return error;
  }
  throw new assert.AssertionError({ message: "it threw nothing" });
}

test("C284 using a directory that somebody else has removed fails with ENOENT and its path", async () => {
  for (const [name, use] of Object.entries(USES)) {
    using place = scratch();
    using directory = temporaryDirectorySync({ dir: place.path });
    rmSync(directory.path, { recursive: true });
    const { code, path, message } = await thrownBy(() => use(directory, place));
    assert.deepEqual({ name, code, path }, { name, code: "ENOENT", path: directory.path });
    assert.match(message, /the temporary directory ".*": it was removed by somebody else \(ENOENT\)$/, name);
    assert.deepEqual(place.names(), []);
  }
});

test("C284 using a directory that somebody else has replaced fails with ERR_REPLACED and creates nothing in it", async () => {
  for (const [name, use] of Object.entries(USES)) {
    using place = scratch();
    using directory = temporaryDirectorySync({ dir: place.path });
    rmSync(directory.path, { recursive: true });
    // Keeps the new directory from getting the inode of the old one.
    mkdirSync(join(place.path, "between"));
    mkdirSync(directory.path);
    const { code, path, message } = await thrownBy(() => use(directory, place));
    assert.deepEqual({ name, code, path }, { name, code: "ERR_REPLACED", path: directory.path });
    assert.match(message, /: something else has taken its place \(ERR_REPLACED\)$/, name);
    assert.deepEqual(readdirSync(directory.path), []);
    rmSync(directory.path, { recursive: true });
  }
});

test("C284 keepAlive warns once for each directory or named file that somebody else has removed", {
  skip: namesLinger,
}, async () => {
  using place = scratch();
  using _ = keeping(20);
  using directory = temporaryDirectorySync({ dir: place.path });
  using file = namedTemporaryFileSync({ dir: place.path });
  let received = 0;
  const count = (): void => void received++;
  process.on("warning", count);
  const warnings = await warningsOf(async () => {
    for (const { path } of [directory, file]) rmSync(path, { recursive: true });
    await until(() => received >= 2);
    // Time enough to be warned again.
    await new Promise((resolve) => setTimeout(resolve, 100));
  });
  process.off("warning", count);
  const vanished = warnings.filter(({ code }) => code === "MAYFLY_VANISHED").map(({ message }) => message);
  const expected = [directory, file].map(({ path }) => `"${path}" was removed by somebody else`);
  assert.deepEqual(vanished.sort(), expected.sort());
});

test(
  "C284 keepAlive never warns of files and directories that the library itself is removing or moving, or has",
  {
    skip: namesLinger,
  },
  async () => {
    using place = scratch();
    using timers = manualTimers();
    const touch = (): void => timers.waiting.get(12_345)?.();
    const touched: string[] = [], warned: string[] = [];
    /** Touches between the end of the system call and the answer to its caller. */
    const thenTouch = (name: string) => async (real: (...args: unknown[]) => unknown, ...args: unknown[]) => {
      await real(...args);
      await new Promise((resolve) => setTimeout(resolve, 1));
      touched.push(name);
      touch();
    };
    using _ = sourceKeeping(12_345);
    using _changed = substitute({
      primitives: {
        unlink: thenTouch("unlink"),
        removeDirectory: thenTouch("removeDirectory"),
        rename: thenTouch("rename"),
      },
      runtime: { warn: (message, code) => void (code === "MAYFLY_VANISHED" && warned.push(message)) },
    });
    source.configure({ inline: false });
    try {
      const dir = place.path;
      await (await source.namedTemporaryFile({ dir })).close();
      await (await source.namedTemporaryFile({ dir })).persist(join(dir, "file"));
      for (const end of ["remove", "persist"] as const) {
        const outer = await source.temporaryDirectory({ dir });
        const inner = await outer.temporaryDirectory();
        const file = await inner.namedTemporaryFile();
        await (end === "remove" ? outer.remove() : outer.persist(join(dir, "directory")));
        touch();
        await file.close();
        await inner.remove();
      }
    } finally {
      source.configure({ inline: undefined });
    }
    const all = [...wholeTrees ? [] : ["removeDirectory"], "rename", "unlink"];
    assert.deepEqual([...new Set(touched)].sort(), all);
    assert.deepEqual(warned, []);
  },
);

test("C279 keepAlive tries again after a second to lock a directory that another process has locked, unless it is removed", async () => {
  using place = scratch();
  using timers = manualTimers();
  const lock = openSync(place.path, "r");
  const answers = [undefined, lock];
  const asked: unknown[][] = [];
  using locking = substitute({
    runtime: {
      locks: () =>
        Promise.resolve({
          tryAcquire: (...args) => (asked.push(args), Promise.resolve(answers.shift())),
          acquire: undefined,
        }),
    },
  });
  using _ = sourceKeeping(12_345);
  const directory = source.temporaryDirectorySync({ dir: place.path });
  await until(() => timers.waiting.has(1000));
  assert.equal(locking.of("close").some(([handle]) => handle === lock), false);
  timers.waiting.get(1000)!();
  await until(() => asked.length === 2);
  assert.deepEqual(asked, [[directory.path, true], [directory.path, true]]);
  directory.removeSync();
  assert.ok(
    locking.of("close").some(([handle]) => handle === lock),
    "the lock is released with the directory",
  );
  timers.waiting.delete(1000);
  const gone = source.temporaryDirectorySync({ dir: place.path });
  await until(() => timers.waiting.has(1000));
  gone.removeSync();
  timers.waiting.get(1000)!();
  assert.equal(asked.length, 3);
});

test("C281 the warning that directories cannot be locked comes again only after keepAlive is set again", async () => {
  using place = scratch();
  using _locks = substitute({ runtime: { locks: undefined } });
  using _ = sourceKeeping(true);
  const warningsAfter = (settings: Parameters<typeof configure>[0]) =>
    warningsOf(async () => {
      source.configure(settings);
      source.temporaryDirectorySync({ dir: place.path }).removeSync();
      await new Promise((resolve) => setTimeout(resolve, 20));
    });
  const counts = [];
  for (const settings of [{}, { reaper: false }, { keepAlive: true }]) {
    counts.push((await warningsAfter(settings)).length);
  }
  assert.deepEqual(counts, [1, 0, 1]);
});

test("keepAlive does not protect, and so not report, a file that vanished while it was being created", {
  skip: namesLinger,
}, async () => {
  using place = scratch();
  using seen = substitute({
    primitives: {
      createFile(real, path: string, mode: number) {
        const handle = real(path, mode);
        if (path.startsWith(place.path)) rmSync(path);
        return handle;
      },
    },
  });
  using _ = sourceKeeping(1);
  const warnings = await warningsOf(async () => {
    const file = source.namedTemporaryFileSync({ dir: place.path });
    await new Promise((resolve) => setTimeout(resolve, 100));
    file.closeSync();
  });
  assert.deepEqual([warnings, seen.of("touch")], [[], []]);
});
