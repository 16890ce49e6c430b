import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import {
  FileLock,
  type NamedTemporaryFile,
  namedTemporaryFile,
  spooledTemporaryFile,
  temporaryDirectory,
  type TemporaryFile,
  temporaryFile,
} from "#mod";
import { namedTemporaryFile as fromSource } from "../../lib/file/named.ts";
import type { NodeChildProcess } from "../../lib/runtime/helper.ts";
import { type BunFfi, helperLocks, libraryLocks } from "../../lib/runtime/locks.ts";
import { adapterFor, type Handle, type Locks, runtime } from "../../lib/runtime/mod.ts";
import { firstOutput, runChild, startChild } from "../support/child.ts";
import { runWithGc } from "../support/gc.ts";
import { packageTest as test } from "../support/once.ts";
import { noReplacing } from "../support/platform.ts";
import { scratch } from "../support/scratch.ts";
import { substitute, systemError } from "../support/substitute.ts";

const linux = process.platform !== "linux" && "needs flock(1) and /proc";

/** Whether another process can acquire the lock now. */
function isFree(path: string, kind: "-x" | "-s" = "-x"): boolean {
  const { status } = spawnSync("flock", ["-n", kind, path, "true"]);
  assert.ok(status === 0 || status === 1, `flock ended with ${status}`);
  return status === 0;
}

/** The same for a file without a name. */
const isFreeByDescriptor = (file: TemporaryFile): boolean => isFree(`/proc/${process.pid}/fd/${file.fd}`);

const code = (error: { code?: string }): string | undefined => error.code;

const pause = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds));

/**
 * Starts a process that holds the lock until it is killed. Not in bash by its name: its input is a socket here, as for
 * remote shells, so that it would first run the user's `.bashrc`.
 */
async function holder(path: string): Promise<ChildProcess> {
  const child = spawn("sh", ["-c", 'exec 9<>"$1"; flock -x 9; echo held; read -r _', "sh", path], {
    stdio: ["pipe", "pipe", "ignore"],
  });
  await firstOutput(child);
  return child;
}

async function kill(child: ChildProcess): Promise<void> {
  const gone = once(child, "exit");
  child.kill("SIGKILL");
  await gone;
}

/** The other processes that have a file open. */
function openedBy(path: string): number[] {
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid).map(Number)
    .filter((pid) => descriptorsOf(pid).includes(path));
}

function descriptorsOf(pid: number | "self"): string[] {
  try {
    const folder = `/proc/${pid}/fd`;
    return readdirSync(folder).map((name) => {
      try {
        return readlinkSync(`${folder}/${name}`);
      } catch {
        return "";
      }
    });
  } catch {
    // The process has ended.
    return [];
  }
}

/** The number of descriptors of this and other processes that refer to the file. */
const opened = (path: string): number =>
  descriptorsOf("self").filter((target) => target === path).length + openedBy(path).length;

test("release() releases a lock once, and sets released", { skip: linux }, async () => {
  await using file = await namedTemporaryFile();
  const lock = await file.lock();
  assert.ok(lock instanceof FileLock);
  assert.deepEqual([lock.shared, lock.released, isFree(file.path)], [false, false, false]);
  lock.release();
  assert.deepEqual([lock.released, isFree(file.path)], [true, true]);
  const next = await file.lock();
  lock.release();
  assert.equal(isFree(file.path), false);
  next.release();
});

test("a lock is released at the end of its using or await using scope", { skip: linux }, async () => {
  await using file = await namedTemporaryFile();
  {
    using _lock = await file.lock();
    assert.equal(isFree(file.path), false);
  }
  assert.equal(isFree(file.path), true);
  {
    await using _lock = await file.lock();
    assert.equal(isFree(file.path), false);
  }
  assert.equal(isFree(file.path), true);
});

test("a lock is released when the file is closed or disposed of", { skip: linux }, async () => {
  for (const close of ["close", "closeSync", "dispose", "asyncDispose"]) {
    const file = await namedTemporaryFile({ deleteOnClose: false });
    const lock = await file.lock();
    const { path } = file;
    using place = scratch();
    // A second name, to test the lock when the first is removed.
    spawnSync("ln", [path, join(place.path, "same")]);
    assert.equal(isFree(join(place.path, "same")), false);
    if (close === "close") await file.close();
    else if (close === "closeSync") file.closeSync();
    else if (close === "dispose") file[Symbol.dispose]();
    else await file[Symbol.asyncDispose]();
    assert.deepEqual([lock.released, isFree(join(place.path, "same"))], [true, true], close);
    await file[Symbol.asyncDispose]();
  }
});

test("locks of one handle exclude each other, and other processes, unless they are shared", {
  skip: linux,
}, async () => {
  await using file = await namedTemporaryFile();
  const first = await file.lock({ shared: true });
  const second = await file.tryLock({ shared: true });
  assert.ok(second !== null);
  assert.equal(first.shared && second.shared, true);
  assert.equal(await file.tryLock(), null);
  assert.deepEqual([isFree(file.path, "-s"), isFree(file.path, "-x")], [true, false]);
  first.release();
  assert.equal(await file.tryLock(), null);
  second.release();
  using _alone = await file.lock();
  assert.equal(await file.tryLock({ shared: true }), null);
});

test("locks of two handles of one file exclude each other", { skip: linux }, async () => {
  await using file = await namedTemporaryFile();
  await using again = await file.reopen();
  using lock = await again.lock();
  assert.equal(await file.tryLock(), null);
  lock.release();
  using _lock = await file.lock();
  assert.equal(await again.tryLock(), null);
});

test("a waiting lock() does not block the event loop, and gets the lock when its holder has ended", {
  skip: linux,
}, async () => {
  await using file = await namedTemporaryFile();
  const other = await holder(file.path);
  let turns = 0;
  const timer = setInterval(() => turns++, 5);
  const waiting = file.lock();
  while (turns < 10) await pause(5);
  assert.equal(await Promise.race([waiting, pause(50)]), undefined);
  await kill(other);
  const lock = await waiting;
  clearInterval(timer);
  assert.equal(isFree(file.path), false);
  lock.release();
});

test(
  "lock() gets the lock when a process of this runtime that holds it is killed",
  { skip: linux },
  async () => {
    await using file = await namedTemporaryFile();
    const { child, result } = startChild(
      `const f = m.adoptFileSync(args[0]); f.keep(); globalThis.lock = await f.lock(); say("held"); setInterval(() => {}, 1000);`,
      { args: [file.path] },
    );
    await firstOutput(child);
    assert.equal(isFree(file.path), false);
    const waiting = file.lock({ timeout: 60_000 });
    assert.equal(await Promise.race([waiting, pause(50)]), undefined);
    child.kill("SIGKILL");
    using _lock = await waiting;
    assert.equal((await result).signal, "SIGKILL");
    assert.equal(isFree(file.path), false);
  },
);

test(
  "lock() fails with ETIMEDOUT after its timeout, and leaves no helper process and no descriptor",
  { skip: linux },
  async () => {
    await using file = await namedTemporaryFile();
    const before = opened(file.path);
    using lock = await file.lock();
    const during = opened(file.path);
    assert.equal(during, before + 1);
    for (const shared of [false, true]) {
      await assert.rejects(file.lock({ timeout: 30, shared }), {
        name: "TempfileError",
        code: "ETIMEDOUT",
        path: file.path,
      });
      assert.equal(opened(file.path), during);
    }
    assert.equal(await file.tryLock(), null);
    assert.equal(opened(file.path), during);
    lock.release();
    assert.equal(opened(file.path), before);
    assert.equal(isFree(file.path), true);
  },
);

test(
  "lock() rejects with the reason of its signal, and leaves no helper process and no descriptor",
  { onOneNode: true, skip: linux },
  async () => {
    await using file = await namedTemporaryFile();
    using _lock = await file.lock();
    const before = opened(file.path);
    for (
      const reason of [
        undefined,
        new Error("enough"),
        "a word",
        Object.assign(new Error(), { code: "ENOENT" }),
      ]
    ) {
      const controller = new AbortController();
      const waiting = file.lock({ signal: controller.signal });
      const failed = waiting.then(() => "no failure", (error) => error);
      await pause(20);
      controller.abort(reason);
      assert.equal(await failed, controller.signal.reason);
      assert.equal(opened(file.path), before);
    }
  },
);

test(
  "lock() with an already aborted signal takes no lock, even if it is free",
  { skip: linux },
  async () => {
    await using file = await namedTemporaryFile();
    await assert.rejects(file.lock({ signal: AbortSignal.abort() }), { name: "AbortError" });
    assert.equal(isFree(file.path), true);
  },
);

test("lock() takes a free lock, however short the timeout", { skip: linux }, async () => {
  await using file = await namedTemporaryFile();
  for (const timeout of [0, 1]) {
    using _lock = await file.lock({ timeout });
    await assert.rejects(file.lock({ timeout }), { code: "ETIMEDOUT" });
  }
  assert.equal(isFree(file.path), true);
});

test("lock() and tryLock() refuse invalid options, and take no lock", { skip: linux }, async () => {
  await using file = await namedTemporaryFile();
  const wrong: [object, string][] = [
    [{ timeout: "1" }, "TypeError"],
    [{ timeout: NaN }, "RangeError"],
    [{ timeout: -1 }, "RangeError"],
    [{ shared: 1 }, "TypeError"],
    [{ signal: {} }, "TypeError"],
  ];
  for (const [options, name] of wrong) {
    await assert.rejects(file.lock(options), { name, code: "ERR_INVALID_OPTION" });
  }
  // @ts-expect-error: what callers without types may give
  await assert.rejects(file.tryLock(5), { name: "TypeError", code: "ERR_INVALID_OPTION" });
  assert.equal(isFree(file.path), true);
});

test("lock() and tryLock() on a closed file fail with ERR_CLOSED", { skip: linux }, async () => {
  const file = await namedTemporaryFile();
  await file.close();
  await assert.rejects(file.lock(), { code: "ERR_CLOSED", path: file.path });
  await assert.rejects(file.tryLock(), { code: "ERR_CLOSED" });
});

test(
  "closing a file rejects its waiting lock() with ERR_CLOSED",
  { onOneNode: true, skip: linux },
  async () => {
    for (const how of ["close", "dispose"]) {
      const file = await namedTemporaryFile({ deleteOnClose: false });
      const other = await holder(file.path);
      const waiting = file.lock({ timeout: 60_000 }).catch(code);
      await pause(20);
      if (how === "close") file.closeSync();
      else file[Symbol.dispose]();
      assert.equal(await waiting, "ERR_CLOSED", how);
      assert.equal(descriptorsOf("self").filter((target) => target.startsWith(file.path)).length, 0);
      await kill(other);
      await file[Symbol.asyncDispose]();
    }
  },
);

test(
  "a lock requested just before the file is closed is either refused or released",
  { onOneNode: true, skip: linux },
  async () => {
    for (let turns = 0; turns < 20; turns++) {
      const file = await namedTemporaryFile({ deleteOnClose: false });
      const asked = file.tryLock().catch(code);
      for (let i = 0; i < turns; i++) await null;
      await file.close();
      const answer = await asked;
      assert.ok(
        answer === "ERR_CLOSED" || answer instanceof FileLock && answer.released,
        `${turns}: ${answer}`,
      );
      assert.equal(isFree(file.path), true);
      await file[Symbol.asyncDispose]();
    }
  },
);

test("a process that exits while it waits for a lock leaves no helper process", {
  onOneNode: true,
  skip: linux,
}, async () => {
  await using file = await namedTemporaryFile();
  using _lock = await file.lock();
  const before = opened(file.path);
  const { status, said } = await runChild(
    `const f = m.adoptFileSync(args[0]); f.keep(); f.lock().then(() => say("locked"), () => say("failed"));
     setTimeout(() => process.exit(7), 200);`,
    { args: [file.path] },
  );
  assert.deepEqual([status, said], [7, []]);
  for (let tries = 0; opened(file.path) !== before && tries < 1000; tries++) await pause(20);
  assert.equal(opened(file.path), before);
});

test("without flock(1) on the PATH, locks work on Deno and Bun, and the error on Node names the program", {
  onOneNode: true,
  skip: linux,
}, async () => {
  using place = scratch();
  const { said, stderr } = await runChild(
    `const f = m.namedTemporaryFileSync();
     const target = (name) => { try { return fs.readlinkSync("/proc/self/fd/" + name); } catch { return ""; } };
     const open = () => fs.readdirSync("/proc/self/fd").filter((name) => target(name) === f.path).length;
     const before = open();
     for (const ask of [() => f.tryLock(), () => f.lock(), () => f.lock({ timeout: 1000 })]) {
       try { const lock = await ask(); say("locked"); lock.release(); } catch (e) { say(e.code + " " + e.message); }
     }
     say(open() - before);
     f.closeSync();`,
    { env: { PATH: place.path } },
  );
  const answer = "Deno" in globalThis || "Bun" in globalThis
    ? "locked"
    : "ERR_UNSUPPORTED Cannot lock the file: it needs the program flock(1)";
  assert.equal(stderr, "");
  assert.deepEqual(said, [answer, answer, answer, 0]);
});

test("lock() and tryLock() fail with ERR_UNSUPPORTED on a platform without locks", async () => {
  using _ = substitute({ runtime: { locks: undefined } });
  await using file = await fromSource();
  const message = "Cannot lock the file: this platform or runtime offers no locks for it";
  const refusal = { name: "TempfileError", code: "ERR_UNSUPPORTED", path: file.path, message };
  await assert.rejects(file.tryLock(), refusal);
  await assert.rejects(file.lock({ timeout: 1000 }), refusal);
  await file.write("still open");
});

test("lock() and tryLock() fail with EMFILE if no descriptor is free to load what takes locks", async () => {
  using _ = substitute({ runtime: { locks: () => Promise.reject(systemError("EMFILE")) } });
  await using file = await fromSource();
  const message = "Cannot load Mayfly's part for locks: too many open files in this process (EMFILE)";
  const failure = { name: "TempfileError", code: "EMFILE", message };
  await assert.rejects(file.tryLock(), failure);
  await assert.rejects(file.lock({ timeout: 1000 }), failure);
});

test(
  "a file without a name can be locked, also against a process that opens its descriptor",
  { skip: linux },
  async () => {
    await using file = await temporaryFile();
    const lock = await file.lock();
    assert.equal(isFreeByDescriptor(file), false);
    assert.equal(await file.tryLock(), null);
    await assert.rejects(file.lock({ timeout: 20 }), { code: "ETIMEDOUT" });
    lock.release();
    assert.equal(isFreeByDescriptor(file), true);
    const next = await file.tryLock({ shared: true });
    assert.equal(next?.shared, true);
    await file.close();
    assert.equal(next?.released, true);
  },
);

test("lock() moves a spooled file to disk", { skip: linux }, async () => {
  await using file = spooledTemporaryFile();
  file.writeSync("in memory");
  assert.equal(file.rolled, false);
  using _lock = await file.lock();
  assert.equal(file.rolled, true);
  assert.equal(isFreeByDescriptor(file), false);
  assert.equal(await file.tryLock(), null);
  assert.equal(await file.text(), "in memory");
});

/** What an attacker, or a program that replaces files, puts at the path. */
const REPLACEMENTS: { readonly [what: string]: (path: string, other: string) => void } = {
  "another file": (path, other) => renameSync(other, path),
  "a link to another file": (path, other) => symlinkSync(other, path),
  "a directory": (path) => mkdirSync(path),
  "a named pipe": (path) => void spawnSync("mkfifo", [path]),
};

test(
  "lock() and tryLock() of a replaced file fail with ERR_REPLACED, even if the replacement is locked",
  { skip: linux },
  async () => {
    for (const [what, replace] of Object.entries(REPLACEMENTS)) {
      await using directory = await temporaryDirectory();
      const file = await directory.namedTemporaryFile({ delete: false });
      const other = directory.join("other");
      writeFileSync(other, "");
      rmSync(file.path);
      replace(file.path, other);
      const taken = what.includes("file") ? await holder(file.path) : undefined;
      const ours = (): number =>
        descriptorsOf("self").filter((target) => target.startsWith(directory.path)).length;
      const before = ours();
      await assert.rejects(file.tryLock(), { code: "ERR_REPLACED", path: file.path }, what);
      await assert.rejects(file.lock({ timeout: 60_000 }), { code: "ERR_REPLACED", path: file.path }, what);
      assert.equal(ours(), before, what);
      if (taken !== undefined) await kill(taken);
      await file.close();
    }
  },
);

test("lock() of a file whose path was removed fails with ENOENT", { skip: linux }, async () => {
  await using file = await namedTemporaryFile();
  rmSync(file.path);
  await assert.rejects(file.lock(), { code: "ENOENT", path: file.path });
});

/** Increments the number in a file once per locker, by reading and writing it. */
async function countUp(file: NamedTemporaryFile, lockers: number, locked: boolean): Promise<number> {
  await file.write("0", { at: 0 });
  await Promise.all(Array.from({ length: lockers }, async () => {
    await using _lock = locked ? await file.lock() : undefined;
    const count = Number(readFileSync(file.path, "utf8"));
    await pause(1);
    writeFileSync(file.path, String(count + 1));
  }));
  return Number(readFileSync(file.path, "utf8"));
}

test(
  "twenty concurrent increments are all counted with locks, and not without",
  { onOneNode: true, skip: linux },
  async () => {
    await using file = await namedTemporaryFile();
    assert.ok(await countUp(file, 20, false) < 20);
    assert.equal(await countUp(file, 20, true), 20);
  },
);

test("a file with mode 0400 can be locked", { onOneNode: true, skip: linux }, async () => {
  const { said, stderr } = await runChild(
    `const f = m.namedTemporaryFileSync({ mode: 0o400 });
     try { fs.openSync(f.path, "r+"); } catch (e) { say(e.code); }
     for (const shared of [false, true]) { const lock = await f.lock({ shared }); say(lock.shared); lock.release(); }
     f.closeSync();`,
    { unprivileged: true },
  );
  assert.equal(stderr, "");
  assert.deepEqual(said, ["EACCES", false, true]);
});

test("a child process does not inherit a lock", { skip: linux }, async () => {
  await using file = await namedTemporaryFile();
  const lock = await file.lock();
  const child = spawn("sleep", ["60"], { stdio: "ignore" });
  try {
    lock.release();
    // Between its fork and its exec the child has every descriptor.
    for (let waits = 0; !isFree(file.path) && waits < 200; waits++) await pause(20);
    assert.equal(isFree(file.path), true);
  } finally {
    await kill(child);
  }
});

test("closing a file flushes its buffer before it releases its locks", { skip: linux }, async () => {
  const file = await fromSource({ bufferSize: 1000 });
  await file.lock();
  file.writeSync("the last bytes");
  using seen = substitute();
  file.closeSync();
  const names = seen.calls.map(({ name }) => name).filter((name) => name === "write" || name === "close");
  assert.deepEqual(names.slice(0, 2), ["write", "close"]);
  assert.ok(names.length >= 3, "the descriptors of the lock and of the file are closed");
});

/** A fake process of flock(1), which ends when and how the test says. */
function fakeHelper() {
  const listeners: { [event: string]: (value: never) => void } = {};
  const killed: string[] = [];
  const end = (event: "error" | "exit", value: unknown): void => listeners[event](value as never);
  const spawn = (): ReturnType<NodeChildProcess["spawn"]> => ({
    on: (event, listener) => void (listeners[event] = listener),
    kill: (signal) => void killed.push(signal),
  });
  return { killed, end, childProcess: () => ({ spawn }) as unknown as NodeChildProcess };
}

const never = (): () => void => () => {};

test(
  "an aborted wait for a lock kills its helper process, and settles only when that has ended",
  { skip: linux },
  async () => {
    await using file = await namedTemporaryFile();
    const { sync } = adapterFor(globalThis);
    const before = opened(file.path);
    for (const status of [null, 0]) {
      const { killed, end, childProcess } = fakeHelper();
      const controller = new AbortController();
      let settled = false;
      const waiting = helperLocks(sync, childProcess, never).acquire!(file.path, false, controller.signal)
        .catch((error) => error).finally(() => settled = true);
      controller.abort("enough");
      await pause(10);
      assert.deepEqual([killed, settled], [["SIGKILL"], false]);
      end("exit", status);
      assert.equal(await waiting, "enough");
      assert.equal(opened(file.path), before);
    }
  },
);

test(
  "one listener to process exit kills all waiting helper processes, and is removed with the last of them",
  { skip: linux },
  async () => {
    await using file = await namedTemporaryFile();
    const { sync } = adapterFor(globalThis);
    const fakes = Array.from({ length: 3 }, fakeHelper), ends: (() => void)[] = [];
    let helpers = 0, stopped = 0;
    const locks = helperLocks(sync, () => fakes[helpers++].childProcess(), (listener) => {
      ends.push(listener);
      return () => stopped++;
    });
    const asked = fakes.map(() => locks.tryAcquire(file.path, false));
    assert.equal(ends.length, 1);
    ends[0]();
    assert.deepEqual(fakes.map(({ killed }) => killed), [["SIGKILL"], ["SIGKILL"], ["SIGKILL"]]);
    for (const [index, { end }] of fakes.entries()) {
      assert.equal(stopped, 0);
      end("exit", 1);
      assert.equal(await asked[index], undefined);
    }
    assert.equal(stopped, 1);
  },
);

test(
  "a helper process that is missing, cannot be started or fails rejects with ERR_UNSUPPORTED, its code or ENOLCK",
  { skip: linux },
  async () => {
    await using file = await namedTemporaryFile();
    const { sync } = adapterFor(globalThis);
    const before = opened(file.path);
    const ends: ["error" | "exit", unknown, string, RegExp][] = [
      ["error", systemError("ENOENT"), "ERR_UNSUPPORTED", /needs the program flock\(1\)/],
      ["error", systemError("EACCES"), "ERR_UNSUPPORTED", /needs the program flock\(1\)/],
      ["error", systemError("EAGAIN"), "EAGAIN", /EAGAIN/],
      ["exit", 65, "ENOLCK", /flock failed: 65$/],
      ["exit", null, "ENOLCK", /flock failed: killed$/],
    ];
    for (const [event, value, wanted, message] of ends) {
      const { end, childProcess } = fakeHelper();
      const asked = helperLocks(sync, childProcess, never).tryAcquire(file.path, false);
      end(event, value);
      await assert.rejects(asked, { code: wanted, message });
      const refuses = () =>
        ({
          spawn() {
            throw value;
          },
        }) as unknown as NodeChildProcess;
      if (event === "error") {
        await assert.rejects(helperLocks(sync, refuses, never).tryAcquire(file.path, false), {
          code: wanted,
        });
      }
    }
    assert.equal(opened(file.path), before);
  },
);

/** Locks that only record the calls. */
const recording = (asked: string[]): Locks => ({
  tryAcquire: () => (asked.push("try"), Promise.resolve(undefined)),
  acquire: () => (asked.push("wait"), Promise.resolve(0)),
});

/** A fake C library whose flock() returns `answer`, with `errno` set. */
function library(answer: number, errno: number): BunFfi {
  return {
    dlopen: (_library, signatures) => ({
      symbols: Object.fromEntries(
        Object.keys(signatures).map((name) => [name, () => name === "flock" ? answer : 1]),
      ),
    }),
    read: { i32: () => errno },
  };
}

test(
  "locks by the C library fall back to the helper process where the library cannot be called",
  async () => {
    const { sync } = adapterFor(globalThis);
    const unusable: [Parameters<typeof libraryLocks>[1], () => BunFfi][] = [
      ["linux", () => {
        throw new Error("no such module");
      }],
      ["linux", () => undefined as unknown as BunFfi],
      ["windows", () => library(0, 0)],
    ];
    for (const [platform, ffi] of unusable) {
      const asked: string[] = [];
      const locks = libraryLocks(sync, platform, ffi, recording(asked));
      await locks.tryAcquire("/nowhere", false);
      await locks.acquire?.("/nowhere", false, AbortSignal.timeout(1000));
      assert.deepEqual(asked, ["try", "wait"]);
    }
  },
);

test("the C library of macOS is loaded by its path, since a bare name would find one in the current directory first", async () => {
  using place = scratch();
  const path = join(place.path, "file"), { sync } = adapterFor(globalThis);
  writeFileSync(path, "");
  const called: string[] = [];
  const ffi: BunFfi = {
    ...library(0, 0),
    dlopen: (name, signatures) => (called.push(name), library(0, 0).dlopen(name, signatures)),
  };
  const locks = libraryLocks(sync, "darwin", () => ffi, recording([]));
  // It is loaded once.
  for (let lock = 0; lock < 2; lock++) sync.close((await locks.tryAcquire(path, false))!);
  assert.deepEqual(called, ["/usr/lib/libSystem.B.dylib"]);
  // Its number for a lock that is held.
  const held = libraryLocks(sync, "darwin", () => library(-1, 35), recording([]));
  assert.equal(await held.tryAcquire(path, false), undefined);
});

test(
  "locks by the C library distinguish a lock that is held from a failure",
  { skip: linux },
  async () => {
    await using file = await namedTemporaryFile();
    const { sync } = adapterFor(globalThis);
    const ask = (answer: number, errno: number) =>
      libraryLocks(sync, "linux", () => library(answer, errno), recording([])).tryAcquire(file.path, false);
    const before = opened(file.path);
    const got = await ask(0, 0);
    assert.equal(opened(file.path), before + 1);
    sync.close(got!);
    assert.equal(await ask(-1, 11), undefined);
    await assert.rejects(ask(-1, 37), { code: "ENOLCK", message: "flock failed: 37", syscall: "flock" });
    assert.equal(opened(file.path), before);
    assert.equal(libraryLocks(sync, "linux", () => library(0, 0), recording([])).acquire, undefined);
  },
);

test(
  "a reachable lock keeps its file from being garbage-collected",
  { onOneNode: true, skip: linux },
  async () => {
    // The other files, which are unreachable, show that garbage was collected.
    const { said, stderr, status } = await runWithGc(
      `let locked;
       const lock = await (async () => {
         const file = m.namedTemporaryFileSync();
         locked = file.path;
         return await file.lock();
       })();
       for (let i = 0; i < 50; i++) m.namedTemporaryFileSync();
       await collect(() => warnings.length > 0);
       await collect();
       say([lock.released, warnings[0]?.code, warnings.some(({ message }) => message.includes(locked))]);
       lock.release();`,
    );
    assert.deepEqual([said, status], [[[false, "MAYFLY_NOT_CLOSED", false]], 0], stderr);
  },
);

test(
  "tryLock() releases what it has locked if the file is closed, or something else takes its place, until it has the lock (POSIX)",
  {
    skip: noReplacing,
  },
  async () => {
    using place = scratch();
    const ways: { [code: string]: (file: NamedTemporaryFile) => unknown } = {
      ERR_CLOSED: (file) => file.close(),
      ERR_REPLACED: ({ path }) => {
        renameSync(path, `${path}.aside`);
        writeFileSync(path, "");
      },
    };
    for (const [code, happens] of Object.entries(ways)) {
      const file = await fromSource({ dir: place.path, deleteOnClose: false });
      let locked: Handle | undefined, closed = 0;
      const locks: Locks = {
        async tryAcquire(path) {
          await happens(file);
          closed = seen.of("close").length;
          return locked = runtime.sync.openFile(path, "read");
        },
        acquire: undefined,
      };
      using seen = substitute({ runtime: { locks: () => Promise.resolve(locks) } });
      await assert.rejects(file.tryLock(), { code, path: file.path });
      assert.deepEqual(seen.of("close").slice(closed), [[locked]], code);
      await file.close();
    }
  },
);

test("tryLock() fails with ERR_CLOSED if the file is closed and removed before the runtime has opened it", async () => {
  using place = scratch();
  const locks: Locks = {
    async tryAcquire() {
      await file.close();
      throw systemError("ENOENT");
    },
    acquire: undefined,
  };
  using _ = substitute({ runtime: { locks: () => Promise.resolve(locks) } });
  const file = await fromSource({ dir: place.path });
  await assert.rejects(file.tryLock(), { code: "ERR_CLOSED", path: file.path });
});
