/**
 * The adapter for Deno with a fake namespace passed to it, so that every runtime executes its branches.
 *
 * @module
 */
import assert from "node:assert/strict";
import fs, {
  existsSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { denoRuntime } from "../../lib/runtime/deno.ts";
import { fail, fakeDeno, fsWith, type Permits } from "../support/fake_runtimes.ts";
import { isLinux, noDirectorySync, shownMode, underWine } from "../support/platform.ts";
import { scratch } from "../support/scratch.ts";

const error = (code: string) => ({ code });

/** The permissions with these names, for a fake of Deno. */
const permitting = (...names: string[]): Permits => (name) => names.includes(name);

test("Deno: calls that need a permission are made only if it is granted, so that Deno does not prompt", () => {
  const all = fakeDeno();
  const runtime = denoRuntime(all.deno, all.scope);
  assert.equal(runtime.pid(), 4711);
  assert.equal(runtime.cwd(), "/here");
  assert.equal(runtime.uid(), 1234);
  assert.equal(runtime.env("TMPDIR"), "value of TMPDIR");
  assert.equal(runtime.hostName(), "ephemeral");
  assert.equal(runtime.mayRead("/x"), true);
  assert.notEqual(runtime.linkDescriptor, undefined);
  if (isLinux) {
    assert.equal(runtime.anchor(3), "/proc/self/fd/3");
    assert.equal(runtime.processNamespace(), readlinkSync("/proc/self/ns/pid"));
  }
  const none = fakeDeno("linux", () => false);
  const withoutPermissions = denoRuntime(none.deno, none.scope);
  const answers = [
    withoutPermissions.uid(),
    withoutPermissions.env("TMPDIR"),
    withoutPermissions.hostName(),
    withoutPermissions.processNamespace(),
    withoutPermissions.anchor(3),
  ];
  assert.deepEqual(answers, [undefined, undefined, undefined, undefined, undefined]);
  assert.equal(withoutPermissions.mayRead("/x"), false);
  assert.throws(() => withoutPermissions.linkDescriptor!.sync(3, "/x"), { message: "it needs --allow-run" });
  const reasons: string[] = [];
  withoutPermissions.startWatcher("true", [], ({ message }) => reasons.push(message))();
  assert.deepEqual(reasons, ["it needs --allow-run"]);
  assert.deepEqual(none.done, []);
});

test("C299 Deno: programs are started only if reading the environment is permitted too", () => {
  for (const [name, missing] of [["run", "env"], ["env", "run"]]) {
    const { deno, scope, done } = fakeDeno("linux", permitting(name));
    const reasons: string[] = [];
    denoRuntime(deno, scope).startWatcher("true", [], ({ message }) => reasons.push(message))();
    assert.deepEqual([reasons, done], [[`it needs --allow-${missing}`], []]);
  }
});

test("C299 Deno: symbolicLink() is refused unless reading and writing are permitted everywhere, for which Deno would prompt", async () => {
  using place = scratch();
  const path = join(place.path, "link");
  for (const [name, detail] of [["read", "write"], ["write", "read"]]) {
    const { deno, scope } = fakeDeno("linux", (one, { path }) => one === name || path !== undefined);
    const { sync, pooled } = denoRuntime(deno, scope);
    const refusal = { code: "ERR_ACCESS_DENIED", message: `it needs --allow-${detail}` };
    assert.throws(() => sync.symbolicLink("x", path, "file"), refusal);
    await assert.rejects(pooled.symbolicLink("x", path, "file"), refusal);
  }
  assert.deepEqual(place.names(), []);
});

test("Deno: env() reads only the variables that are permitted", () => {
  const { deno, scope, done } = fakeDeno(
    "linux",
    (name, { variable }) => name === "env" && variable === "USERPROFILE",
  );
  const runtime = denoRuntime(deno, scope);
  assert.deepEqual(["HOME", "USERPROFILE"].map(runtime.env), [undefined, "value of USERPROFILE"]);
  assert.deepEqual(done, [["env", "USERPROFILE"]]);
});

test("Deno: anchor() returns a path only if Deno can stat /proc/self/fd, and does not try without read permission", () => {
  /** The path for descriptor 3, and what was asked of Deno. */
  const anchorOf = (permits: Permits, answer = (): object => ({}), platform = "linux"): unknown[] => {
    const { deno, scope } = fakeDeno(platform, permits);
    const asked: string[] = [];
    const statSync = (path: string): object => (asked.push(path), answer());
    return [denoRuntime({ ...deno, statSync } as typeof deno, scope).anchor(3), ...asked];
  };
  const refused = (): never => {
    throw new Error('Requires all access to "/proc/self/fd", run again with the --allow-all flag');
  };
  const all = (): boolean => true;
  assert.deepEqual(anchorOf(all), ["/proc/self/fd/3", "/proc/self/fd"]);
  assert.deepEqual(anchorOf(all, refused), [undefined, "/proc/self/fd"]);
  assert.deepEqual(anchorOf(() => false), [undefined]);
  assert.deepEqual(anchorOf((_, { path }) => path !== "/proc/self"), [undefined]);
  assert.deepEqual(anchorOf(all, undefined, "darwin"), [undefined]);
});

test("Deno: anchor() returns a path only as long as Deno permits /proc/self/fd, since a program may revoke a permission", () => {
  const { deno, scope } = fakeDeno("linux", () => true);
  let permitted = true;
  const statSync = (path: string): object => {
    if (!permitted) throw new Error(`Requires all access to "${path}", run again with the --allow-all flag`);
    return {};
  };
  const { anchor } = denoRuntime({ ...deno, statSync } as typeof deno, scope);
  assert.equal(anchor(3), "/proc/self/fd/3");
  permitted = false;
  assert.equal(anchor(3), undefined);
});

test("Deno: temporaryDirectory() probes with makeTempDirSync() if writing is permitted, but not the environment", () => {
  const { deno, scope } = fakeDeno("linux", permitting("write"));
  const runtime = denoRuntime(deno, scope);
  const found = runtime.temporaryDirectory()!;
  assert.ok(statSync(found).isDirectory());
  assert.deepEqual(fs.readdirSync(found).filter((name) => name.startsWith("fake-")), []);
  for (const permits of [permitting("write", "env"), permitting("env"), permitting()]) {
    const other = fakeDeno("linux", permits);
    assert.equal(denoRuntime(other.deno, other.scope).temporaryDirectory(), undefined);
  }
  const windows = fakeDeno("windows", permitting("write"));
  Object.assign(windows.deno, { makeTempDirSync: () => "C:\\Temp\\fake", removeSync() {} });
  assert.equal(denoRuntime(windows.deno, windows.scope).temporaryDirectory(), "C:\\Temp");
  const failing = fakeDeno("linux", permitting("write"));
  Object.assign(failing.deno, { makeTempDirSync: fail("ENOENT") });
  assert.equal(denoRuntime(failing.deno, failing.scope).temporaryDirectory(), undefined);
});

test("Deno: signals.listen() adds a listener and removes it; raise() blocks the thread until the signal has ended the process, and exits with a status if kill() is not permitted", () => {
  const { deno, scope, done } = fakeDeno();
  const signals = denoRuntime(deno, scope).signals!;
  assert.deepEqual([...signals.names()].sort(), ["SIGHUP", "SIGINT", "SIGTERM"]);
  assert.deepEqual([signals.countable, signals.others("SIGINT")], [false, 0]);
  const listener = (): void => {};
  signals.listen("SIGINT", listener)();
  assert.deepEqual(done, [["addSignalListener", "SIGINT", listener], [
    "removeSignalListener",
    "SIGINT",
    listener,
  ]]);
  const start = performance.now();
  signals.raise("SIGINT");
  // Long enough for another thread to end the process.
  assert.ok(performance.now() - start > 50);
  assert.deepEqual(done.at(-1), ["kill", 4711, "SIGINT"]);
  Object.assign(deno, { kill: fail("NotCapable") });
  for (const [name, status] of [["SIGHUP", 129], ["SIGINT", 130], ["SIGTERM", 143]] as const) {
    signals.raise(name);
    assert.deepEqual(done.at(-1), ["exit", status]);
  }
});

test("Deno: onEnd() ignores errors that a web listener, a Node listener or a capture callback handles", () => {
  const { deno, scope, dispatch, listening } = fakeDeno();
  let ends = 0;
  const stop = denoRuntime(deno, scope).onEnd(() => ends++);
  assert.deepEqual(listening(), ["error", "unhandledrejection", "unload"]);
  for (const type of ["unload", "error", "unhandledrejection"]) {
    ends = 0;
    dispatch(type);
    assert.equal(ends, 1, type);
  }
  ends = 0;
  dispatch("error", true);
  dispatch("unhandledrejection", true);
  const handler = (): void => {};
  scope.process.on("uncaughtException", handler);
  dispatch("error");
  dispatch("unhandledrejection");
  scope.process.off("uncaughtException", handler);
  scope.process.on("unhandledRejection", handler);
  dispatch("unhandledrejection");
  scope.process.off("unhandledRejection", handler);
  scope.process.on("captured", handler);
  dispatch("error");
  dispatch("unhandledrejection");
  assert.equal(ends, 0);
  dispatch("unload");
  scope.process.off("captured", handler);
  assert.equal(ends, 1);
  ends = 0;
  // Older versions of Deno do not have this function.
  scope.process.hasUncaughtExceptionCaptureCallback = undefined;
  dispatch("error");
  dispatch("unload");
  assert.equal(ends, 2);
  stop();
  assert.deepEqual(listening(), []);
});

test("Deno: in a worker of node:worker_threads onEnd() uses the exit event, and isMainThread() is false", () => {
  const { deno, scope, done } = fakeDeno();
  assert.equal(denoRuntime(deno, scope).isMainThread(), true);
  denoRuntime(deno, scope).onEnd(() => {})();
  assert.deepEqual(done, []);
  const { self: _, ...bare } = scope as typeof scope & { self: unknown };
  const worker = { ...bare, DedicatedWorkerGlobalScope: class {} };
  const runtime = denoRuntime(deno, worker);
  assert.equal(runtime.isMainThread(), false);
  runtime.onEnd(() => {})();
  assert.deepEqual(done, [["on", "exit"], ["off", "exit"]]);
});

test("Deno: later() calls back once, also after 0 ms, and not if cancelled", async () => {
  const { deno, scope } = fakeDeno();
  const { later } = denoRuntime(deno, scope);
  const calls: string[] = [];
  // With timers, which keep the process alive; later() does not.
  const pass = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));
  later(0, () => calls.push("at once"));
  const off = later(1, () => calls.push("called off"));
  off();
  later(20, () => calls.push("later"));
  for (let waits = 0; calls.length < 2 && waits < 100; waits++) await pass(20);
  off();
  await pass(20);
  assert.deepEqual(calls, ["at once", "later"]);
});

test("Deno: after() uses the setTimeout() that existed when it was created, also one that a getter loads", async () => {
  const { deno, scope } = fakeDeno();
  const own = Object.getOwnPropertyDescriptor(globalThis, "setTimeout")!;
  const calls: string[] = [];
  Object.defineProperty(globalThis, "setTimeout", {
    configurable: true,
    get: () => own.value ?? own.get!.call(globalThis),
  });
  const { after } = denoRuntime(deno, scope);
  Object.defineProperty(globalThis, "setTimeout", own);
  after(1, () => calls.push("called off"))();
  await new Promise<void>((resolve) => void after(2, () => resolve(void calls.push("later"))));
  assert.deepEqual(calls, ["later"]);
});

test("Deno: read() and write() seek only if the cursor of the file is not at the offset", async () => {
  using place = scratch();
  const { deno, scope, done } = fakeDeno();
  const { sync, pooled, descriptor } = denoRuntime(deno, scope);
  const path = join(place.path, "file");
  const handle = sync.createFile(path, 0o640);
  assert.deepEqual(done, [["open", path, { read: true, write: true, createNew: true, mode: 0o640 }]]);
  assert.equal(descriptor(handle), undefined);
  assert.equal(descriptor(5), 5);
  const text = (value: string) => new TextEncoder().encode(value);
  assert.equal(sync.write(handle, text("hello"), 0), 5);
  assert.equal(await pooled.write(handle, text(" you"), 5), 4);
  assert.deepEqual(done.filter(([name]) => name === "seek"), []);
  const into = new Uint8Array(5);
  assert.equal(await pooled.read(handle, into, 0), 5);
  assert.equal(new TextDecoder().decode(into), "hello");
  assert.equal(sync.read(handle, into, 5), 4);
  assert.equal(sync.read(handle, into, 9), 0);
  assert.deepEqual(done.filter(([name]) => name === "seek"), [["seek", 0]]);
  await pooled.truncate(handle, 2);
  sync.synchronize(handle);
  await pooled.synchronize(handle);
  assert.deepEqual([sync.statusOf(handle).size, (await pooled.statusOf(handle)).size], [2, 2]);
  sync.truncate(handle, 1);
  sync.close(handle);
  assert.equal(readFileSync(path, "utf8"), "h");
  assert.throws(() => sync.createFile(path, 0o600), error("EEXIST"));
  await assert.rejects(() => pooled.createFile(path, 0o600), error("EEXIST"));
  await pooled.close(await pooled.openFile(path, "read"));
});

test("Deno: the Node layer is loaded once, by the first call that needs it", async () => {
  using place = scratch();
  const { deno, scope, done } = fakeDeno();
  const { sync, pooled } = denoRuntime(deno, scope);
  const loads = (): number => done.filter(([name]) => name === "getBuiltinModule").length;
  const path = join(place.path, "file");
  sync.close(sync.createFile(path, 0o600));
  sync.status(path);
  sync.makeDirectory(join(place.path, "dir"), 0o700);
  assert.equal(loads(), 0);
  const number = sync.openDescriptor(path, "write");
  assert.equal(typeof number, "number");
  assert.equal(loads(), 1);
  sync.truncate(number, 3);
  await pooled.synchronize(number);
  const { kind, size } = sync.statusOf(number);
  assert.deepEqual([kind, size], ["file", 3]);
  await pooled.close(number);
  sync.close(sync.openDirectory(place.path));
  sync.fileSystem(place.path);
  assert.equal(loads(), 1);
});

test("Deno: changeMode() changes the open file, and fails with ERR_REPLACED if another file has its path", async () => {
  using place = scratch();
  const { deno, scope } = fakeDeno();
  const { sync, pooled } = denoRuntime(deno, scope);
  const path = join(place.path, "file");
  const handle = sync.createFile(path, 0o600);
  sync.changeMode(handle, 0o640);
  assert.equal(statSync(path).mode & 0o777, shownMode(0o640));
  await pooled.changeMode(handle, 0o600);
  assert.equal(statSync(path).mode & 0o777, shownMode(0o600));
  renameSync(path, join(place.path, "moved"));
  writeFileSync(path, "another", { mode: 0o600 });
  assert.throws(() => sync.changeMode(handle, 0o666), error("ERR_REPLACED"));
  await assert.rejects(async () => await pooled.changeMode(handle, 0o666), error("ERR_REPLACED"));
  assert.equal(statSync(path).mode & 0o777, shownMode(0o600));
  sync.close(handle);
});

test("Deno: a directory is listed in batches, and a listing can be ended early", async () => {
  using place = scratch();
  const { deno, scope } = fakeDeno();
  const { sync, pooled, removeTree } = denoRuntime(deno, scope);
  const names = Array.from({ length: 600 }, (_, index) => `file-${index}`);
  for (const name of names) writeFileSync(join(place.path, name), "");
  mkdirSync(join(place.path, "dir"));
  for (const open of [() => Promise.resolve(sync.list(place.path)), () => pooled.list(place.path)]) {
    const listing = await open();
    const found: string[] = [];
    let directories = 0;
    for (let batch = await listing.next(); batch.length > 0; batch = await listing.next()) {
      assert.ok(batch.length <= 256);
      found.push(...batch.map(({ name }) => name as string));
      directories += batch.filter(({ directory }) => directory).length;
    }
    listing.close();
    assert.deepEqual(found.sort(), [...names, "dir"].sort());
    assert.equal(directories, 1);
    const early = await open();
    await early.next();
    early.close();
  }
  if (!noDirectorySync) {
    sync.synchronizeDirectory(place.path);
    await pooled.synchronizeDirectory(place.path);
  }
  await removeTree!.pooled!(join(place.path, "dir"));
  mkdirSync(join(place.path, "dir"));
  removeTree!.sync(join(place.path, "dir"));
  assert.equal(existsSync(join(place.path, "dir")), false);
});

test("Deno: warn() emits a process warning; random(), now(), nextTurn() and sleep() work", async () => {
  const { deno, scope, done } = fakeDeno();
  const runtime = denoRuntime(deno, scope);
  runtime.warn("a message", "A_CODE");
  assert.deepEqual(done, [["emitWarning", "a message", {
    type: "TempfileWarning",
    code: "A_CODE",
    detail: undefined,
  }]]);
  const bytes = new Uint8Array(64);
  runtime.random(bytes);
  assert.ok(bytes.some((byte) => byte !== 0));
  const before = runtime.now();
  await runtime.nextTurn();
  runtime.sleep(5);
  assert.ok(runtime.now() - before >= 4);
});

/** A fake of Deno over Node's file functions with some of them replaced. */
// deno-lint-ignore no-explicit-any -- any of them
function denoOver(own: { [name: string]: (...args: any[]) => unknown }) {
  const fake = fakeDeno();
  Object.assign(fake.scope.process, { getBuiltinModule: () => fsWith(own) });
  return { ...fake, runtime: denoRuntime(fake.deno, fake.scope) };
}

test("Deno: status() has a default for each field that is null, and reports a device as neither file nor directory", () => {
  const { deno, scope } = fakeDeno();
  const { sync } = denoRuntime(deno, scope);
  if (isLinux) assert.equal(sync.status("/dev/null").kind, "other");
  const nothing = { mode: null, ino: null, nlink: null, uid: null, gid: null, birthtime: null, mtime: null };
  const info = { isFile: true, isDirectory: false, isSymlink: false, size: 7, dev: 3, ...nothing };
  Object.assign(deno, { lstatSync: () => info, uid: () => null });
  assert.deepEqual(sync.status("C:\\file"), {
    kind: "file",
    size: 7,
    mode: 0o666,
    device: 3,
    inode: 0,
    links: 1,
    uid: 0,
    gid: 0,
    birth: 0,
    modified: 0,
  });
  assert.equal(denoRuntime(deno, scope).uid(), undefined);
});

test("Deno: status() returns what Deno reports of a file", {
  skip: underWine("the tested copy of the library ignores birth times"),
}, () => {
  const { deno, scope } = fakeDeno();
  const info = { isFile: true, isDirectory: false, isSymlink: false, size: 7, dev: 3, ino: 4, nlink: 2 };
  const more = { mode: 0o100640, uid: 1000, gid: 100, birthtime: new Date(5), mtime: new Date(6) };
  Object.assign(deno, { lstatSync: () => ({ ...info, ...more }) });
  assert.deepEqual(denoRuntime(deno, scope).sync.status("/file"), {
    kind: "file",
    size: 7,
    mode: 0o640,
    device: 3,
    inode: 4,
    links: 2,
    uid: 1000,
    gid: 100,
    birth: 5,
    modified: 6,
  });
});

test("Deno: removeDirectory() appends a slash, so that only a directory can be removed, except on Windows", async () => {
  for (const [platform, ending] of [["linux", "/"], ["windows", ""]] as const) {
    using place = scratch();
    const { deno, scope, done } = fakeDeno(platform);
    const { sync, pooled } = denoRuntime(deno, scope);
    const path = join(place.path, "d");
    mkdirSync(path);
    sync.removeDirectory(path);
    mkdirSync(path);
    await pooled.removeDirectory(path);
    assert.deepEqual(done.filter(([name]) => name === "remove"), [["remove", path + ending], [
      "remove",
      path + ending,
    ]]);
  }
});

test("Deno: tryAcquire() opens the file anew, and closes it if it is locked by others or if locking fails", async () => {
  using place = scratch();
  const path = join(place.path, "file");
  writeFileSync(path, "");
  const { deno, scope } = fakeDeno();
  const { open } = deno;
  let opened = 0, answer = (): Promise<boolean> => Promise.resolve(true);
  const asked: unknown[] = [];
  Object.assign(deno, {
    async open(...args: Parameters<typeof open>) {
      const file = await open(...args);
      opened++;
      const tryLock = (exclusive: boolean): Promise<boolean> => (asked.push(exclusive), answer());
      return { ...file, tryLock, close: () => (opened--, file.close()) };
    },
  });
  const { sync, locks } = denoRuntime(deno, scope);
  const { tryAcquire } = await locks!();
  for (const shared of [false, true]) sync.close((await tryAcquire(path, shared))!);
  assert.deepEqual([asked, opened], [[true, false], 0]);
  answer = () => Promise.resolve(false);
  assert.equal(await tryAcquire(path, false), undefined);
  answer = () => Promise.reject(Object.assign(new Error(), { code: "ENOLCK" }));
  await assert.rejects(async () => await tryAcquire(path, false), error("ENOLCK"));
  assert.equal(opened, 0);
});

test("Deno: tryAcquire() opens a file for reading if writing to it is denied", async () => {
  using place = scratch();
  const path = join(place.path, "file");
  writeFileSync(path, "");
  const { deno, scope } = fakeDeno();
  const { open } = deno;
  Object.assign(deno, {
    open: (...[path, options]: Parameters<typeof open>) =>
      options.write
        ? Promise.reject(Object.assign(new Error(), { name: "PermissionDenied" }))
        : open(path, options),
  });
  const { sync, locks } = denoRuntime(deno, scope);
  const { tryAcquire } = await locks!();
  const handle = await tryAcquire(path, false);
  assert.equal(sync.statusOf(handle!).kind, "file");
  sync.close(handle!);
});

test(
  "Deno: fromDescriptor() reopens a descriptor that Deno's Node layer does not know, if it is a file's (Linux)",
  {
    skip: !isLinux,
  },
  () => {
    using place = scratch();
    const path = join(place.path, "file");
    writeFileSync(path, "");
    const known = denoOver({});
    const { deno, runtime } = denoOver({ fstatSync: fail("EBADF") });
    const fd = fs.openSync(path, "r+"), directory = fs.openSync(place.path, "r");
    try {
      assert.equal(known.runtime.fromDescriptor(fd), fd);
      const second = runtime.fromDescriptor(fd) as number;
      assert.notEqual(second, fd);
      assert.equal(fs.fstatSync(second).ino, statSync(path).ino);
      fs.closeSync(second);
      assert.throws(() => runtime.fromDescriptor(directory), error("EINVAL"));
      // The descriptor is known, but its status cannot be read: it must not be opened a second time.
      assert.throws(() => denoOver({ fstatSync: fail("EIO") }).runtime.fromDescriptor(fd), error("EIO"));
    } finally {
      fs.closeSync(fd);
      fs.closeSync(directory);
    }
    const failWith = (name: string): void =>
      void Object.assign(deno, {
        statSync() {
          throw Object.assign(new Error(), { name });
        },
      });
    failWith("NotFound");
    assert.throws(() => runtime.fromDescriptor(fd), error("EBADF"));
    failWith("NotCapable");
    assert.throws(() => runtime.fromDescriptor(fd), { name: "NotCapable" });
  },
);

test("Deno: changeMode() uses the open descriptor of a file whose mode denies even its owner (Linux)", {
  skip: !isLinux,
}, () => {
  using place = scratch();
  const path = join(place.path, "file");
  const { deno, runtime: { sync } } = denoOver({ openSync: fail("EACCES") });
  const handle = sync.createFile(path, 0o600);
  sync.changeMode(handle, 0o640);
  assert.equal(statSync(path).mode & 0o777, 0o640);
  // Another file that is open, on the same device.
  const other = fs.openSync(join(place.path, "other"), "w", 0o600);
  const { readDirSync } = deno;
  Object.assign(deno, { readDirSync: () => [{ name: String(other) }, ...readDirSync("/proc/self/fd")] });
  sync.changeMode(handle, 0o644);
  assert.deepEqual([statSync(path).mode & 0o777, fs.fstatSync(other).mode & 0o777], [0o644, 0o600]);
  fs.closeSync(other);
  Object.assign(deno, { readDirSync: fail("ENOENT") });
  assert.throws(() => sync.changeMode(handle, 0o600), error("EACCES"));
  assert.equal(statSync(path).mode & 0o777, 0o644);
  sync.close(handle);
});

test("Deno: changeOwner() uses a descriptor of the same file, and fails with ERR_REPLACED if another has its path", async () => {
  using place = scratch();
  const path = join(place.path, "file");
  const given: unknown[] = [];
  const { runtime: { sync, pooled } } = denoOver({ fchownSync: (_fd, ...owner) => given.push(owner) });
  const handle = sync.createFile(path, 0o600);
  sync.changeOwner(handle, 1, 2);
  await pooled.changeOwner(handle, 3, 4);
  const number = sync.openDescriptor(path, "write");
  sync.changeOwner(number, 5, 6);
  sync.close(number);
  renameSync(path, join(place.path, "moved"));
  writeFileSync(path, "another");
  assert.throws(() => sync.changeOwner(handle, 7, 8), error("ERR_REPLACED"));
  sync.close(handle);
  assert.deepEqual(given, [[1, 2], [3, 4], [5, 6]]);
});

test("Deno: primitives without permission fail with ERR_ACCESS_DENIED and the flag that grants it, sync and pooled", async () => {
  const { deno, scope, done } = fakeDeno("linux", () => false);
  const { sync, pooled, mayWrite, processExists } = denoRuntime(deno, scope);
  const refused = (flag: string) => ({ code: "ERR_ACCESS_DENIED", message: `it needs ${flag}` });
  assert.throws(() => sync.readSystemFile("/etc/x"), refused("--allow-read=/etc/x"));
  await assert.rejects(async () => await pooled.readSystemFile("/etc/x"), refused("--allow-read=/etc/x"));
  assert.throws(() => sync.fileSystem("/"), refused("--allow-sys=statfs"));
  await assert.rejects(async () => await pooled.fileSystem("/"), refused("--allow-sys=statfs"));
  assert.deepEqual([mayWrite("/x"), processExists(1)], [false, undefined]);
  assert.deepEqual(done, []);
});

test("Deno: locks are undefined on Windows, where they would block the owner's reads and writes too", () => {
  const locksOn = (platform: string) => {
    const { deno, scope } = fakeDeno(platform);
    return denoRuntime(deno, scope).locks;
  };
  assert.equal(locksOn("windows"), undefined);
  assert.notEqual(locksOn("darwin"), undefined);
});

test("Deno: processExists() sends signal 0 if running programs is permitted", () => {
  const { deno, scope, done } = fakeDeno("windows", permitting("run"));
  const { processExists } = denoRuntime(deno, scope);
  assert.equal(processExists(4712), true);
  assert.deepEqual(done.at(-1), ["process.kill", 4712, 0]);
  scope.process.kill = fail("ESRCH");
  assert.equal(processExists(4712), false);
});

test("Deno: readLink() fails with EILSEQ if the target is invalid UTF-8; other errors keep their code, sync and pooled", async () => {
  for (const [name, code] of [["InvalidData", "EILSEQ"], ["NotFound", "ENOENT"]]) {
    const refused = (): never => {
      throw Object.assign(new Error("no text"), { name }, name === "NotFound" ? { code } : {});
    };
    const { deno, scope } = fakeDeno();
    const own = { ...deno, readLinkSync: refused, readLink: () => new Promise<string>(refused) };
    const { sync, pooled } = denoRuntime(own, scope);
    assert.throws(() => sync.readLink("/x"), { name, code });
    await assert.rejects(pooled.readLink("/x"), { name, code });
  }
});
