/**
 * The adapters for Node and Bun, and what all adapters have in common. Each has a fake namespace passed to it, so that every
 * runtime executes the branches of all of them. The adapter for Deno has a file of its own: runtime_adapter_deno.test.ts.
 *
 * @module
 */
import assert from "node:assert/strict";
import fs, { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { bunRuntime } from "../../lib/runtime/bun.ts";
import { denoRuntime } from "../../lib/runtime/deno.ts";
import { linkByHelper } from "../../lib/runtime/link_descriptor.ts";
import { adapterFor } from "../../lib/runtime/mod.ts";
import { nodeRuntime } from "../../lib/runtime/node.ts";
import { nodePrimitives } from "../../lib/runtime/node_fs.ts";
import type { NodeProcess } from "../../lib/runtime/node_like.ts";
import type { Listing, Runtime } from "../../lib/runtime/types.ts";
import { fail, fakeDeno, fakeProcess, fsWith } from "../support/fake_runtimes.ts";
import { isLinux, noLinks } from "../support/platform.ts";
import { scratch } from "../support/scratch.ts";

const error = (code: string) => ({ code });

const file = (): Blob => new Blob();

/** The adapter for Bun, on the main thread. */
const onBun = (process: NodeProcess): Runtime => bunRuntime(process, { file, isMainThread: true });

const NODE_LIKE = [nodeRuntime, onBun] as const;

test("adapterFor() chooses the adapter by the globals, and creating it loads at most node:fs and node:timers", () => {
  const { process: node, done } = fakeProcess();
  const { deno, scope, done: denoDone } = fakeDeno();
  assert.equal(adapterFor({ process: node }).name, "node");
  assert.equal(adapterFor({ process: node, Bun: { version: "1.4.0" } }).name, "bun");
  assert.equal(adapterFor({ ...scope, Deno: { ...deno, version: { deno: "2.9.0" } } }).name, "deno");
  const loaded = done.filter(([, name]) => name !== "node:fs" && name !== "node:timers");
  assert.deepEqual(loaded, []);
  assert.deepEqual(denoDone, []);
});

test("Node and Bun: pid(), cwd(), uid(), env() and warn() use the process object", () => {
  for (const make of NODE_LIKE) {
    const { process: own, done } = fakeProcess();
    const runtime = make(own);
    assert.equal(runtime.pid(), 4711);
    assert.equal(runtime.cwd(), "/here");
    assert.equal(runtime.uid(), 1234);
    assert.equal(runtime.env("TMPDIR"), "/somewhere");
    assert.equal(runtime.env("TMP"), undefined);
    assert.equal(runtime.temporaryDirectory(), undefined);
    assert.equal(runtime.mayRead("/etc/shadow"), true);
    assert.equal(runtime.isMainThread(), true);
    runtime.warn("a message", "A_CODE", "a detail");
    assert.deepEqual(done.at(-1), [
      "emitWarning",
      "a message",
      { type: "TempfileWarning", code: "A_CODE", detail: "a detail" },
    ]);
    assert.equal(make(fakeProcess({ geteuid: undefined }).process).uid(), undefined);
  }
  assert.equal(nodeRuntime(fakeProcess().process).now(), 3000.5);
});

test("Bun: isMainThread() comes from the Bun namespace, without loading node:worker_threads as on Node", () => {
  for (const isMainThread of [true, false]) {
    const { process: own, done } = fakeProcess();
    assert.equal(bunRuntime(own, { file, isMainThread }).isMainThread(), isMainThread);
    assert.ok(!done.some(([, name]) => name === "node:worker_threads"));
  }
  const { process: own, done } = fakeProcess();
  assert.equal(nodeRuntime(own).isMainThread(), true);
  assert.deepEqual(done.at(-1), ["getBuiltinModule", "node:worker_threads"]);
});

test("every adapter uses the same names for the platforms", () => {
  const names = {
    linux: "linux",
    android: "linux",
    darwin: "darwin",
    win32: "windows",
    aix: "other",
    freebsd: "other",
  };
  for (const [platform, expected] of Object.entries(names)) {
    assert.equal(nodeRuntime(fakeProcess({ platform }).process).platform, expected);
    assert.equal(onBun(fakeProcess({ platform }).process).platform, expected);
    const { deno, scope } = fakeDeno(platform === "win32" ? "windows" : platform);
    assert.equal(denoRuntime(deno, scope).platform, expected);
  }
});

test("Node and Bun: onEnd() calls its listener at exit until it is removed", () => {
  for (const make of NODE_LIKE) {
    const { process: own, emit } = fakeProcess();
    let calls = 0;
    const stop = make(own).onEnd(() => calls++);
    emit("exit");
    stop();
    emit("exit");
    assert.equal(calls, 1);
  }
});

test("Node and Bun: signals.listen() prepends its listener, others() counts the rest, raise() signals this process", () => {
  for (const make of NODE_LIKE) {
    const { process: own, done, emit } = fakeProcess({}, {
      "node:fs": fsWith({ readFileSync: fail("ENOENT") }),
    });
    const signals = make(own).signals!;
    assert.equal(signals.countable, true);
    assert.deepEqual([...signals.names()].sort(), ["SIGHUP", "SIGINT", "SIGTERM"]);
    const order: string[] = [];
    own.on("SIGTERM", () => order.push("theirs"));
    const stop = signals.listen("SIGTERM", () => order.push("ours"));
    emit("SIGTERM");
    assert.deepEqual(order, ["ours", "theirs"]);
    assert.equal(signals.others("SIGTERM"), 1);
    stop();
    assert.equal(signals.others("SIGTERM"), 1);
    signals.raise("SIGTERM");
    assert.deepEqual(done.at(-1), ["kill", 4711, "SIGTERM"]);
  }
});

test("Bun: under --watch, which restarts the program in the same process, raise() waits for the next event loop turn", async () => {
  const { process: own, done } = fakeProcess({ execArgv: ["--watch"] });
  const runtime = onBun(own);
  const kills = () => done.filter(([name]) => name === "kill");
  runtime.signals.raise("SIGTERM");
  assert.deepEqual(kills(), []);
  await runtime.nextTurn();
  assert.deepEqual(kills(), [["kill", 4711, "SIGTERM"]]);
});

test("C242 Bun: pooled list() reads in the thread pool and returns batches, names in UTF-8 before names in bytes", async () => {
  using place = scratch();
  const names = Array.from({ length: 300 }, (_, i) => `${i}`).sort();
  for (const name of [...names, "\uFFFD"]) mkdirSync(join(place.path, name));
  const calls = { opendirSync: fail("EDEADLK"), readdirSync: () => [Buffer.from("\uFFFD")] };
  const { process: own } = fakeProcess({}, { "node:fs": fsWith(calls) });
  const { list } = onBun(own).pooled;
  const listing = await list(place.path);
  const batches = [await listing.next(), await listing.next(), await listing.next(), await listing.next()];
  listing.close();
  assert.deepEqual(batches.map(({ length }) => length), [256, 44, 1, 0]);
  const found = batches.flat().map(({ name }) => typeof name === "string" ? name : `${Buffer.from(name)}`);
  assert.deepEqual(found.sort(), [...names, "\uFFFD"]);
  assert.ok(batches[0].every(({ directory }) => directory));
  await assert.rejects(list(join(place.path, "missing")), error("ENOENT"));
});

test("Node and Bun: raise() exits with 128 + the number of a signal that the system cannot send, as SIGHUP on Windows", () => {
  for (const make of NODE_LIKE) {
    const { process: own, done } = fakeProcess({ platform: "win32", kill: fail("ENOSYS") });
    make(own).signals!.raise("SIGHUP");
    assert.deepEqual(done.at(-1), ["exit", 129]);
  }
});

test("Node and Bun: signals.others() does not count listeners of signal-exit, which act only when they are alone", () => {
  const scope = globalThis as { [key: symbol]: unknown };
  const key = Symbol.for("signal-exit emitter");
  const before = scope[key];
  for (const make of NODE_LIKE) {
    const { process: own } = fakeProcess();
    const signals = make(own).signals!;
    signals.listen("SIGINT", () => {});
    for (let i = 0; i < 3; i++) own.on("SIGINT", () => {});
    assert.equal(signals.others("SIGINT"), 3);
    try {
      Object.assign(own, { __signal_exit_emitter__: { count: 1 } });
      assert.equal(signals.others("SIGINT"), 2);
      scope[key] = { count: 1 };
      assert.equal(signals.others("SIGINT"), 1);
    } finally {
      if (before === undefined) delete scope[key];
      else scope[key] = before;
    }
  }
});

test("Bun: signals.names() omits signals that the parent process ignored; Node resets them, and includes them", () => {
  const status = (mask: string) =>
    fsWith({ readFileSync: () => `Name:\tbun\nSigBlk:\t0\nSigIgn:\t${mask}\nSigCgt:\t0\n` });
  const names = (make: typeof onBun, mask: string) =>
    [...make(fakeProcess({}, { "node:fs": status(mask) }).process).signals!.names()].sort();
  assert.deepEqual(names(onBun, "0000000000001000"), ["SIGHUP", "SIGINT", "SIGTERM"]);
  assert.deepEqual(names(onBun, "0000000000001001"), ["SIGINT", "SIGTERM"]);
  assert.deepEqual(names(onBun, "0000000000000002"), ["SIGHUP", "SIGTERM"]);
  assert.deepEqual(names(onBun, "0000000000004003"), []);
  assert.deepEqual(names(onBun, "nonsense"), ["SIGHUP", "SIGINT", "SIGTERM"]);
  assert.deepEqual(names(nodeRuntime, "0000000000004003"), ["SIGHUP", "SIGINT", "SIGTERM"]);
});

test("every adapter: signals.names() is empty for process 1, which signals without a listener do not end", () => {
  const names = ({ signals }: Runtime) => [...signals!.names()].sort();
  for (const [pid, expected] of [[1, []], [2, ["SIGHUP", "SIGINT", "SIGTERM"]]] as const) {
    for (const make of NODE_LIKE) assert.deepEqual(names(make(fakeProcess({ pid }).process)), expected);
    const { deno, scope } = fakeDeno();
    assert.deepEqual(names(denoRuntime({ ...deno, pid }, scope)), expected);
  }
});

test("every adapter: on Windows, signals.names() includes SIGBREAK and SIGHUP", () => {
  const { deno, scope } = fakeDeno("windows");
  const own = fakeProcess({ platform: "win32" }, { "node:fs": fsWith({ readFileSync: fail("ENOENT") }) });
  const runtimes = [denoRuntime(deno, scope), ...NODE_LIKE.map((make) => make(own.process))];
  for (const { signals } of runtimes) {
    assert.deepEqual([...signals.names()].sort(), ["SIGBREAK", "SIGHUP", "SIGINT", "SIGTERM"]);
  }
});

test("Node and Bun: processExists() is true on EPERM, false on ESRCH and undefined on other errors of kill()", () => {
  for (const make of NODE_LIKE) {
    const answer = (kill?: () => never) => make(fakeProcess(kill && { kill }).process).processExists(1);
    assert.equal(answer(), true);
    assert.equal(answer(fail("ESRCH")), false);
    assert.equal(answer(fail("EPERM")), true);
    assert.equal(answer(fail("EINVAL")), undefined);
    const { process: asked, done } = fakeProcess();
    make(asked).processExists(4712);
    assert.deepEqual(done.filter(([name]) => name === "kill"), [["kill", 4712, 0]], "signal 0 does nothing");
  }
});

test("Node and Bun: hostName() and processNamespace() read their values once, and are undefined if that fails", () => {
  for (const make of NODE_LIKE) {
    let asked = 0;
    const own = {
      "node:fs": fsWith({ readlinkSync: () => (asked++, "pid:[1]") }),
      "node:os": { hostname: () => (asked++, "ephemeral") },
    };
    const runtime = make(fakeProcess({}, own).process);
    for (let i = 0; i < 2; i++) {
      assert.deepEqual([runtime.hostName(), runtime.processNamespace()], ["ephemeral", "pid:[1]"]);
    }
    assert.equal(asked, 2);
    const silent = {
      "node:fs": fsWith({ readlinkSync: fail("ENOENT") }),
      "node:os": { hostname: fail("EPERM") },
    };
    const nowhere = make(fakeProcess({}, silent).process);
    assert.deepEqual([nowhere.hostName(), nowhere.processNamespace()], [undefined, undefined]);
  }
});

test("Node: random() reads the kernel's device, and uses node:crypto if that fails or is another file", () => {
  const fill = (
    own: Parameters<typeof fsWith>[0],
    platform = "linux",
  ): { bytes: Uint8Array; loaded: boolean; open: number } => {
    let open = 0;
    const counted = fsWith({
      openSync(...args: Parameters<typeof fs.openSync>) {
        const fd = fs.openSync(...args);
        open++;
        return fd;
      },
      closeSync: (fd: number) => (open--, fs.closeSync(fd)),
      ...own,
    });
    const { process: fake, done } = fakeProcess({ platform }, { "node:fs": counted });
    const bytes = new Uint8Array(64);
    nodeRuntime(fake).random(bytes);
    return { bytes, open, loaded: done.some(([, name]) => name === "node:crypto") };
  };
  const filled = (bytes: Uint8Array): boolean => bytes.some((byte) => byte !== 0);
  const device = fill({});
  assert.deepEqual([filled(device.bytes), device.loaded, device.open], [true, !isLinux, 0]);
  const others: Parameters<typeof fsWith>[0][] = [
    { openSync: fail("EACCES") },
    { fstatSync: () => ({ mode: 0o100644, rdev: 0 }) },
    { fstatSync: () => ({ mode: 0o020666, rdev: (1 << 8) | 3 }) },
    // The numbers of the random device are also those of a RAM disk.
    { fstatSync: () => ({ mode: 0o060660, rdev: (1 << 8) | 9 }) },
    { fstatSync: fail("EIO") },
    { readSync: () => 10 },
  ];
  for (const own of others) {
    const { bytes, loaded } = fill(own);
    assert.deepEqual([filled(bytes.subarray(32)), loaded], [true, true], Object.keys(own)[0]);
  }
  for (const own of others.slice(1)) assert.equal(fill(own).open, 0, "the device is closed");
  assert.equal(fill({}, "darwin").loaded, true);
});

test("Bun: random() fills the array, and removeTree removes a tree, blocking and in the thread pool", async () => {
  using place = scratch();
  const runtime = onBun(fakeProcess().process);
  const bytes = new Uint8Array(64);
  runtime.random(bytes);
  assert.ok(bytes.some((byte) => byte !== 0));
  assert.ok(runtime.now() >= 0);
  for (const remove of [runtime.removeTree!.sync, runtime.removeTree!.pooled!]) {
    const tree = join(place.path, "tree");
    mkdirSync(join(tree, "deep"), { recursive: true });
    await remove(tree);
    assert.equal(existsSync(tree), false);
  }
});

test("Bun: fileBlobs opens a named file by its path, and an unnamed one by a path that says why it cannot be read", async () => {
  const asked: string[] = [];
  const { fileBlobs } = bunRuntime(fakeProcess().process, {
    file: (path) => (asked.push(path), file()),
    isMainThread: true,
  });
  await fileBlobs!.named("/tmp/a");
  await fileBlobs!.unnamed(3);
  const [named, unnamed] = asked;
  assert.equal(named, "/tmp/a");
  assert.match(unnamed, /^\/dev\/null\/Bun reads a blob by a path/);
});

test("Node: fileBlobs.unnamed() returns undefined on macOS", () => {
  const { fileBlobs } = nodeRuntime(fakeProcess({ platform: "darwin" }).process);
  assert.equal(fileBlobs!.unnamed(3), undefined);
});

test("Node: removeTree exists from version 24 on, only on Linux, and only as a blocking call", () => {
  using place = scratch();
  const removalOf = (node: string, platform = "linux") =>
    nodeRuntime(fakeProcess({ versions: { node }, platform }).process).removeTree;
  const tree = join(place.path, "tree");
  mkdirSync(join(tree, "deep"), { recursive: true });
  removalOf("24.0.0")!.sync(tree);
  assert.equal(existsSync(tree), false);
  assert.equal(removalOf("24.0.0")!.pooled, undefined);
  assert.equal(removalOf("22.3.0"), undefined);
  assert.equal(removalOf("24.0.0", "darwin"), undefined);
});

test("Node and Bun: anchor() returns a path only on Linux with /proc, and checks that once", () => {
  for (const make of NODE_LIKE) {
    let asked = 0;
    const there = { "node:fs": fsWith({ statSync: () => asked++ }) };
    const { anchor } = make(fakeProcess({}, there).process);
    assert.deepEqual([anchor(3), anchor(4), asked], ["/proc/self/fd/3", "/proc/self/fd/4", 1]);
    const missing = { "node:fs": fsWith({ statSync: fail("ENOENT") }) };
    assert.equal(make(fakeProcess({}, missing).process).anchor(3), undefined);
    assert.equal(make(fakeProcess({ platform: "darwin" }, there).process).anchor(3), undefined);
  }
});

test("C300 Node: anchor() returns a path only if the permission model allows writing below /proc/self/fd", () => {
  for (const may of [true, false]) {
    const asked: string[][] = [];
    const permission = { has: (...what: [string, string]) => (asked.push(what), may) };
    const { process } = fakeProcess({ permission }, { "node:fs": fsWith({ statSync: () => {} }) });
    assert.equal(nodeRuntime(process).anchor(3), may ? "/proc/self/fd/3" : undefined);
    assert.deepEqual(asked, [["fs.write", "/proc/self/fd"]]);
  }
});

test("Node and Bun: anchor() checks /proc again after a transient failure such as EIO", () => {
  for (const make of NODE_LIKE) {
    let asked = 0;
    const failing = { "node:fs": fsWith({ statSync: () => asked++ === 0 && fail("EIO")() }) };
    const { anchor } = make(fakeProcess({}, failing).process);
    assert.deepEqual([anchor(3), anchor(3), anchor(3), asked], [
      undefined,
      "/proc/self/fd/3",
      "/proc/self/fd/3",
      2,
    ]);
  }
});

test("Node: random() uses the bytes of the kernel's device even if closing it fails", {
  skip: !isLinux && "Linux has one",
}, () => {
  const closeSync = (descriptor: number): never => {
    fs.closeSync(descriptor);
    return fail("EIO")();
  };
  const { process: own, done } = fakeProcess({}, { "node:fs": fsWith({ closeSync }) });
  const bytes = new Uint8Array(64);
  nodeRuntime(own).random(bytes);
  assert.ok(bytes.some((byte) => byte !== 0));
  assert.deepEqual(done.filter(([, name]) => name === "node:crypto"), []);
});

test("Node and Bun: handles are descriptors; on Windows locks and linkDescriptor are undefined", () => {
  for (const make of NODE_LIKE) {
    const runtime = make(fakeProcess().process);
    assert.equal(runtime.descriptor(7), 7);
    assert.equal(runtime.fromDescriptor(7), 7);
    assert.notEqual(runtime.locks, undefined);
    assert.notEqual(runtime.linkDescriptor, undefined);
    const windows = make(fakeProcess({ platform: "win32" }).process);
    assert.deepEqual([windows.locks, windows.linkDescriptor], [undefined, undefined]);
  }
});

test("every adapter passes the kind of the target to symlink(), which Windows needs and runtimes guess or refuse", async () => {
  using place = scratch();
  const told: unknown[] = [];
  const node = fsWith({
    symlinkSync: (_target, _path, to) => told.push(to),
    symlink: (_target, _path, to, done: () => void) => (told.push(to), done()),
  });
  const { deno, scope, done } = fakeDeno("windows");
  Object.assign(deno, {
    symlinkSync: (_target: string, _path: string, { type }: { type: string }) => told.push(type),
    symlink: (_target: string, _path: string, { type }: { type: string }) => Promise.resolve(told.push(type)),
  });
  for (const { sync, pooled } of [nodePrimitives(node as never), denoRuntime(deno, scope)]) {
    sync.symbolicLink("x", join(place.path, "link"), "dir");
    await pooled.symbolicLink("x", join(place.path, "link"), "file");
  }
  assert.deepEqual([told, done], [["dir", "file", "dir", "file"], []]);
});

test("Bun: locks call flock() of the C library, which the first lock loads", async () => {
  using place = scratch();
  const path = join(place.path, "file");
  writeFileSync(path, "");
  const calls: number[][] = [];
  const symbols = { flock: (...args: number[]) => (calls.push(args), 0), __errno_location: () => 0 };
  const ffi = { dlopen: () => ({ symbols }), read: { i32: () => 0 } };
  const { process: own, done } = fakeProcess({}, { "bun:ffi": ffi });
  const { locks, sync } = onBun(own);
  assert.equal(done.some(([, name]) => name === "bun:ffi"), false);
  const { tryAcquire } = await locks!();
  const handle = await tryAcquire(path, true);
  assert.deepEqual(calls, [[handle, 1 | 4]]);
  // Network file systems want what is locked to be open for writing.
  assert.equal(sync.write(handle!, new Uint8Array(1), 0), 1);
  sync.close(handle!);
});

test("linkByHelper() fails if ln(1) is missing, fails or is killed, sync and pooled", async () => {
  const missing = Object.assign(new Error("no ln"), { code: "ENOENT" });
  const helper = (event: string, argument: unknown) => ({
    on: (name: string, listener: (argument: unknown) => void) => name === event && listener(argument),
  });
  const { sync, pooled } = linkByHelper(() =>
    ({
      spawn: () => helper("error", missing),
      spawnSync: () => ({ status: null, error: missing }),
    }) as never
  );
  assert.throws(() => sync(3, "/x"), missing);
  await assert.rejects(pooled(3, "/x"), missing);
  // A signal that ends it leaves no status.
  for (const status of [1, null]) {
    const failing = linkByHelper(() =>
      ({ spawn: () => helper("exit", status), spawnSync: () => ({ status }) }) as never
    );
    assert.throws(() => failing.sync(3, "/x"), { code: "EIO", syscall: "linkat" });
    await assert.rejects(failing.pooled(3, "/x"), { code: "EIO", syscall: "linkat" });
  }
});

test("linkByHelper() gives ln(1) the file, and none of the standard streams, where its messages would appear", () => {
  const started: unknown[] = [];
  const spawnSync = (...given: unknown[]): object => (started.push(given), { status: 0 });
  linkByHelper(() => ({ spawnSync }) as never).sync(7, "/x");
  const stdio = ["ignore", "ignore", "ignore", 7];
  assert.deepEqual(started, [["ln", ["-L", "--", "/proc/self/fd/3", "/x"], { stdio }]]);
});

test("nodePrimitives() omits open flags that the platform lacks; files are created with O_CREAT and O_EXCL", () => {
  const opened: unknown[] = [];
  const openSync = (...args: unknown[]): void => void opened.push(args);
  const constants = { O_RDONLY: 0, O_RDWR: 2, O_CREAT: 0x100, O_EXCL: 0x400 };
  const { sync } = nodePrimitives({ openSync, constants } as never);
  sync.createFile("C:\\f", 0o600);
  sync.openFile("C:\\f", "write");
  sync.openDirectory("C:\\d");
  assert.deepEqual(opened, [["C:\\f", 0x502, 0o600], ["C:\\f", 2], ["C:\\d", 0]]);
});

test(
  "Node and Bun: openFile() opens with O_NOFOLLOW, and with O_NONBLOCK, since a FIFO would block it (Linux)",
  {
    skip: !isLinux,
  },
  () => {
    const opened: number[] = [];
    const openSync = (_path: string, flags: number): void => void opened.push(flags);
    const { sync } = nodePrimitives({ constants: fs.constants, openSync } as never);
    for (const access of ["read", "write", "append"] as const) sync.openFile("/somewhere", access);
    const wanted = fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK;
    assert.deepEqual(opened.map((flags) => flags & wanted), [wanted, wanted, wanted]);
  },
);

test("startWatcher() reports a helper that cannot be started alike, whether spawn() throws or emits an error", () => {
  const missing = Object.assign(new Error("no sh"), { code: "ENOENT" });
  const throwing = { spawn: () => fail("ENOENT")() };
  const { process: own } = fakeProcess({}, { "node:child_process": throwing });
  const reasons: string[] = [];
  nodeRuntime(own).startWatcher("sh", [], ({ message }) => reasons.push(message))();
  const later = {
    spawn: () => ({
      pid: undefined,
      on: (event: string, listener: (error: Error) => void) => event === "error" && listener(missing),
    }),
  };
  const { deno, scope } = fakeDeno();
  Object.assign(scope.process, { getBuiltinModule: () => later });
  denoRuntime(deno, scope).startWatcher("sh", [], ({ message }) => reasons.push(message))();
  assert.deepEqual(reasons, ["ENOENT", "no sh"]);
});

test("list() returns its names even if closing the directory fails", () => {
  using place = scratch();
  writeFileSync(join(place.path, "file"), "");
  let closed = 0;
  const opendirSync = (...args: Parameters<typeof fs.opendirSync>) => {
    const directory = fs.opendirSync(...args);
    return {
      readSync: () => directory.readSync(),
      closeSync() {
        closed++;
        directory.closeSync();
        fail("EIO")();
      },
    };
  };
  const { sync } = nodePrimitives(fsWith({ opendirSync: opendirSync as never }) as never);
  const listing = sync.list(place.path) as Listing;
  assert.deepEqual(listing.next(), [{ name: "file", directory: false }]);
  assert.deepEqual(listing.next(), []);
  listing.close();
  assert.equal(closed, 1);
});

test(
  "Node and Bun: synchronizeDirectory() opens with O_DIRECTORY, and without O_NOFOLLOW, sync and pooled (Linux)",
  {
    skip: !isLinux,
  },
  async () => {
    const opened: number[] = [];
    const open = (_path: string, flags: number) => (opened.push(flags), 7);
    const { sync, pooled } = nodePrimitives({
      constants: fs.constants,
      openSync: open,
      open: (path: string, flags: number, done: (error: null, fd: number) => void) =>
        done(null, open(path, flags)),
      fsyncSync() {},
      fsync: (_fd: number, done: (error: null) => void) => done(null),
      closeSync() {},
    } as never);
    // With O_DIRECTORY a FIFO in the place of the directory fails; opening it would block.
    sync.synchronizeDirectory("/somewhere");
    await pooled.synchronizeDirectory("/somewhere");
    const { O_DIRECTORY, O_NOFOLLOW } = fs.constants;
    const each = [O_DIRECTORY, 0];
    assert.deepEqual(opened.map((flags) => [flags & O_DIRECTORY, flags & O_NOFOLLOW]), [each, each]);
  },
);

test(
  "Node and Bun: realPath() resolves links itself if Windows fails with EISDIR (RAM disk) or UNKNOWN (WinFsp)",
  { skip: noLinks },
  async () => {
    using place = scratch();
    fs.symlinkSync(place.path, join(place.path, "link"), "dir");
    const path = join(place.path, "link", "link");
    for (const make of NODE_LIKE) {
      const failing = (code: string): Runtime => {
        const later = (_path: string, done: (error: unknown) => void) => done(error(code));
        const own = fsWith({
          realpathSync: Object.assign((path: string) => fs.realpathSync(path), { native: fail(code) }),
          realpath: Object.assign(() => {}, { native: later }),
        });
        return make(fakeProcess({ platform: "win32" }, { "node:fs": own }).process);
      };
      for (const code of ["EISDIR", "UNKNOWN"]) {
        const { sync, pooled } = failing(code);
        assert.equal(sync.realPath(path), place.path);
        assert.equal(await pooled.realPath(path), place.path);
        assert.throws(() => sync.realPath(join(path, "missing")), error("ENOENT"));
        await assert.rejects(pooled.realPath(join(path, "missing")), error("ENOENT"));
      }
      const { sync, pooled } = failing("EACCES");
      assert.throws(() => sync.realPath(path), error("EACCES"));
      await assert.rejects(pooled.realPath(path), error("EACCES"));
    }
  },
);
