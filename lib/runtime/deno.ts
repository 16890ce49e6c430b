/**
 * The adapter for Deno.
 *
 * @module
 */
import { attempt, once } from "./attempt.ts";
import { gcEvery } from "./collector.ts";
import { denoPrimitives, handleOfDescriptor } from "./deno_fs.ts";
import type { DenoNamespace, DenoScope, EndEvent } from "./deno_namespace.ts";
import { granted, requireGranted } from "./deno_permissions.ts";
import { linkByHelper } from "./link_descriptor.ts";
import type { NodeChildProcess } from "./helper.ts";
import { type NodeFs, nodePrimitives } from "./node_fs.ts";
import { platformOf, processExists, sleep } from "./node_like.ts";
import { endSignals, SIGNAL_NUMBERS } from "./signals.ts";
import type { EndSignal, Runtime, Signals } from "./types.ts";
import { startWatcher } from "./watcher.ts";

/** Bytes handed out between two nudges to the collector: 50 MiB accumulate at 3 GiB/s, where it would be 120 without. */
const GC_BYTES = 4 * 1024 * 1024;

function signalsOf(deno: DenoNamespace, windows: boolean): Signals {
  return {
    // Includes signals that the parent had set to be ignored: once Deno listens to one signal, it catches them all.
    names: () => endSignals(deno.pid, windows),
    countable: false,
    listen(name, listener) {
      deno.addSignalListener(name, listener);
      return () => deno.removeSignalListener(name, listener);
    },
    others: () => 0,
    raise: (name) => raise(deno, name),
  };
}

/** Milliseconds to wait for a raised signal to end the process. */
const SIGNAL_DELAY = 100;

/**
 * Raises a signal. Without `--allow-run` Deno 2.8.0 and 2.8.1 do not let a process signal even itself; it then exits with
 * the status that a shell would report.
 *
 * Deno ends the process from another thread. Until then this thread sleeps, so as not to create files that nobody
 * removes.
 */
function raise(deno: DenoNamespace, name: EndSignal): void {
  try {
    deno.kill(deno.pid, name);
  } catch {
    deno.exit(128 + SIGNAL_NUMBERS[name]);
  }
  sleep(SIGNAL_DELAY);
}

/** Events that announce an end, and the events of Node whose listeners prevent that end. */
const PREVENTERS: { readonly [type: string]: readonly string[] } = {
  unload: [],
  error: ["uncaughtException"],
  unhandledrejection: ["uncaughtException", "unhandledRejection"],
};

/**
 * Calls `listener` for the ends of the process that Deno announces: `unload` for return and exit, `error` and
 * `unhandledrejection` for the others. Skips an end that an earlier listener has prevented, or that a listener of Node's
 * kind will prevent, as `node:domain` does by capturing exceptions, which older versions of Deno do not support. Node's
 * layer is consulted only after an error.
 */
function onEnd(scope: DenoScope, listener: () => void): () => void {
  const prevents = (name: string): unknown =>
    scope.process.listenerCount(name) || scope.process.hasUncaughtExceptionCaptureCallback?.();
  const unlessPrevented = ({ type, defaultPrevented }: EndEvent): void => {
    if (!defaultPrevented && !PREVENTERS[type].some(prevents)) listener();
  };
  const types = Object.keys(PREVENTERS);
  for (const type of types) scope.addEventListener(type, unlessPrevented);
  // A worker of Node's kind, which has no `self`, announces its return by Node's event alone.
  const nodeWorker = !("self" in scope);
  if (nodeWorker) scope.process.on("exit", listener);
  return () => {
    for (const type of types) scope.removeEventListener(type, unlessPrevented);
    if (nodeWorker) scope.process.off("exit", listener);
  };
}

/** Returns where Deno itself puts temporary files: it reads the environment without needing the permission to. */
function systemTmpdir(deno: DenoNamespace): string | undefined {
  if (!granted(deno, "write") || granted(deno, "env")) return undefined;
  try {
    const probe = deno.makeTempDirSync();
    deno.removeSync(probe);
    return probe.slice(0, Math.max(probe.lastIndexOf("/"), probe.lastIndexOf("\\")));
  } catch {
    // The environment names a directory that cannot be used; other candidates may work.
    return undefined;
  }
}

/**
 * Captures a global as it is now, whatever a test puts in its place later, but reads it only at the first call: reading a
 * timer loads a part of Node's layer, which takes 12 milliseconds.
 */
function capture<T>(name: string): () => T {
  const { get, value } = Object.getOwnPropertyDescriptor(globalThis, name) ?? {};
  return once(() => get ? get.call(globalThis) : value);
}

/** Timers that keep the process alive. */
function timers(): Pick<Runtime, "nextTurn" | "after"> {
  const start = capture<(call: () => void, milliseconds: number) => number>("setTimeout");
  const stop = capture<(timer: number) => void>("clearTimeout");
  const immediate = capture<(call: () => void) => unknown>("setImmediate");
  return {
    nextTurn: () => new Promise((resolve) => immediate()(() => resolve())),
    after(milliseconds, call) {
      const timer = start()(call, milliseconds);
      return () => stop()(timer);
    },
  };
}

/** In the language since 2024. */
interface WaitAsync {
  waitAsync(
    cell: Int32Array,
    index: number,
    value: number,
    milliseconds: number,
  ): { value: Promise<"timed-out" | "ok"> };
}

/**
 * Waits for a change of memory that only cancelling makes. Such a wait does not keep the process alive, is no leak to
 * `deno test`, and loads nothing, unlike the first timer.
 */
function later(milliseconds: number, call: () => void): () => void {
  const cell = new Int32Array(new SharedArrayBuffer(4));
  // A wait of 0 ends at once, without a promise.
  const { value } = (Atomics as unknown as WaitAsync).waitAsync(cell, 0, 0, Math.max(1, milliseconds));
  value.then((outcome) => outcome === "timed-out" && call());
  return () => void Atomics.notify(cell, 0);
}

/** Creates the adapter over the namespace `Deno` and its global scope. */
export function denoRuntime(deno: DenoNamespace, scope: DenoScope): Runtime {
  const node = once(() => nodePrimitives(scope.process.getBuiltinModule("node:fs") as NodeFs));
  const platform = platformOf(deno.build.os === "windows" ? "win32" : deno.build.os);
  const windows = platform === "windows";
  const childProcess = (): NodeChildProcess => {
    // Checked first: trying would make Deno prompt, also for the environment, which is copied.
    for (const name of ["run", "env"]) requireGranted(deno, name);
    return scope.process.getBuiltinModule("node:child_process") as NodeChildProcess;
  };
  const may = (name: string, detail?: { [key: string]: string }): boolean => granted(deno, name, detail);
  /** Asks for something below `/proc`. Deno refuses that if anything is denied, which no permission query reports. */
  const inProc = <T>(ask: () => T): T | undefined =>
    platform === "linux" && may("read", { path: "/proc/self" }) ? attempt(ask) : undefined;
  return {
    name: "deno",
    platform,
    ...denoPrimitives(deno, node),
    // Only Node's layer can create one.
    lightUnnamed: false,
    linkDescriptor: platform === "linux" ? linkByHelper(childProcess) : undefined,
    signals: signalsOf(deno, windows),
    // Locks on Windows are mandatory, so they would also block the file's own handle.
    locks: windows ? undefined : async () => (await import("./locks.ts")).denoLocks(deno),
    // Deno throws for a value that is not valid Unicode. On other runtimes such a value leads nowhere.
    env: (name) => may("env", { variable: name }) ? attempt(() => deno.env.get(name)) : undefined,
    pid: () => deno.pid,
    cwd: () => attempt(() => deno.cwd()),
    mayRead: (path) => may("read", { path }),
    mayWrite: (path) => may("write", { path }),
    fileFlags: "--allow-read and --allow-write",
    // Checked first: asking for the process would make Deno prompt.
    processExists: (pid) => may("run") ? processExists(scope.process, pid) : undefined,
    processNamespace: once(() => inProc(() => deno.readLinkSync("/proc/self/ns/pid"))),
    hostName: once(() => may("sys", { kind: "hostname" }) ? deno.hostname() : undefined),
    // Present in both kinds of worker; those of Node's layer lack `WorkerGlobalScope`.
    isMainThread: () => !("DedicatedWorkerGlobalScope" in scope),
    uid: () => may("sys", { kind: "uid" }) ? deno.uid() ?? undefined : undefined,
    temporaryDirectory: () => systemTmpdir(deno),
    random: (bytes) => void crypto.getRandomValues(bytes),
    now: () => performance.now(),
    fileBlobs: undefined,
    allocated: gcEvery(GC_BYTES),
    ...timers(),
    later,
    sleep,
    // Checked each time: a program may revoke a permission, and a test may run with fewer.
    anchor: (descriptor) =>
      inProc(() => deno.statSync("/proc/self/fd")) ? `/proc/self/fd/${descriptor}` : undefined,
    descriptor: (handle) => typeof handle === "number" ? handle : undefined,
    fromDescriptor: (descriptor) => handleOfDescriptor(deno, node().sync, descriptor),
    onEnd: (listener) => onEnd(scope, listener),
    startWatcher: (command, args, onFailure) => startWatcher(childProcess, command, args, onFailure),
    warn: (message, code, detail) =>
      scope.process.emitWarning(message, { type: "TempfileWarning", code, detail }),
    // Deno walks by descriptors (`openat` with `O_NOFOLLOW`).
    removeTree: {
      sync: (path) => deno.removeSync(path, { recursive: true }),
      pooled: (path) => deno.remove(path, { recursive: true }),
    },
  };
}
