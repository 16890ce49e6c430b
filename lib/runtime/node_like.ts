/**
 * What Node and Bun share: a `process`, `node:fs`, and descriptors that are numbers.
 *
 * @module
 */
import { attempt, lazily, once } from "./attempt.ts";
import type { NodeChildProcess } from "./helper.ts";
import { linkByHelper } from "./link_descriptor.ts";
import { startWatcher } from "./watcher.ts";
import { type NodeFs, nodePrimitives } from "./node_fs.ts";
import { endSignals, SIGNAL_NUMBERS } from "./signals.ts";
import type { EndSignal, Runtime, Signals } from "./types.ts";

/** The part of `process` in use. */
export interface NodeProcess {
  pid: number;
  platform: string;
  versions: { [name: string]: string | undefined };
  env: { [name: string]: string | undefined };
  execArgv: readonly string[];
  permission?: { has(scope: string, path: string): boolean };
  cwd(): string;
  geteuid?(): number;
  getBuiltinModule(name: string): unknown;
  emitWarning(message: string, options: { type: string; code: string; detail?: string }): void;
  on(event: string, listener: (...args: never[]) => void): unknown;
  off(event: string, listener: (...args: never[]) => void): unknown;
  prependListener(event: string, listener: (...args: never[]) => void): unknown;
  listeners(event: string): { mayfly?: boolean }[];
  hrtime(): [number, number];
  kill(pid: number, signal: string | 0): unknown;
  exit(status: number): unknown;
}

/** A timer that can be kept from holding the process alive. */
interface Timer {
  unref(): void;
}

/**
 * The part of `node:timers` in use, captured when the library loads. Test runners replace the globals with fake clocks,
 * or with browser timers, which lack `setImmediate`.
 */
interface NodeTimers {
  setTimeout(call: () => void, milliseconds: number): Timer;
  clearTimeout(timer: Timer): void;
  setImmediate(call: () => void): unknown;
}

const PLATFORMS: { [name: string]: Runtime["platform"] } = {
  linux: "linux",
  android: "linux",
  darwin: "darwin",
  win32: "windows",
};

/** The platform by the name that `process.platform` gives it. */
export const platformOf = (name: string): Runtime["platform"] => PLATFORMS[name] ?? "other";

/** Where `signal-exit` counts its listeners: version 3 on `process`, version 4 on the global scope. */
interface SignalExit {
  __signal_exit_emitter__?: { count?: number };
}
const SIGNAL_EXIT = Symbol.for("signal-exit emitter");

/**
 * Returns the number of listeners of the package `signal-exit`, which most dependency trees contain. Like ours, they act
 * only if nobody else listens: if we counted them, each would wait for the other, and the signal would end nothing.
 */
function signalExitCount(process: NodeProcess): number {
  const scope = globalThis as { [SIGNAL_EXIT]?: { count?: number } };
  return ((process as SignalExit).__signal_exit_emitter__?.count ?? 0) + (scope[SIGNAL_EXIT]?.count ?? 0);
}

function signalsOf(
  process: NodeProcess,
  names: () => readonly EndSignal[],
  turn: () => unknown,
): Signals {
  // A listener that raises its signal again with nothing left to do must still end the process by it: Node delivers a
  // raised signal one turn later.
  const linger = once(() => process.on("beforeExit", once(turn)));
  return {
    names,
    countable: true,
    listen(name, listener) {
      // Before the others: a `once` listener is gone after its call and could not be counted.
      // Marked: with several global scopes (`node:vm`) there are several copies of our state, each with a listener.
      process.prependListener(name, Object.assign(listener, { mayfly: true }));
      return () => void process.off(name, listener);
    },
    others(name) {
      const others = process.listeners(name).filter((one) => !one.mayfly).length -
        signalExitCount(process);
      if (others > 0) linger();
      return others;
    },
    raise: (name) => raise(process, name),
  };
}

/**
 * Windows reports SIGHUP when a console closes, but cannot send it. The process then exits with the status that a shell
 * would report.
 */
function raise(process: NodeProcess, name: EndSignal): void {
  try {
    process.kill(process.pid, name);
  } catch {
    process.exit(128 + SIGNAL_NUMBERS[name]);
  }
}

/** Blocks the thread without using the processor. */
export function sleep(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

/** Creates a runtime over `process`; `own` supplies the differences. */
export function nodeLike(
  process: NodeProcess,
  own: Pick<
    Runtime,
    "name" | "random" | "removeTree" | "now" | "isMainThread" | "allocated" | "fileFlags" | "fileBlobs"
  >,
  filter: (signals: readonly EndSignal[]) => readonly EndSignal[] = (signals) => signals,
): Runtime {
  const fs = process.getBuiltinModule("node:fs") as NodeFs;
  const platform = platformOf(process.platform);
  const { setTimeout, clearTimeout, setImmediate } = process.getBuiltinModule("node:timers") as NodeTimers;
  const { sync, pooled } = nodePrimitives(fs);
  const childProcess = () => process.getBuiltinModule("node:child_process") as NodeChildProcess;
  /** Whether descriptors have paths here. An answer of undefined is not remembered: the next call asks again. */
  let anchored: boolean | undefined;
  const onEnd = (listener: () => void): () => void => {
    process.on("exit", listener);
    return () => void process.off("exit", listener);
  };
  return {
    ...own,
    platform,
    sync,
    pooled,
    lightUnnamed: true,
    linkDescriptor: platform === "linux" ? linkByHelper(childProcess) : undefined,
    signals: signalsOf(
      process,
      once(() => filter(endSignals(process.pid, platform === "windows"))),
      () => setImmediate(() => {}),
    ),
    locks: platform === "windows"
      ? undefined
      : lazily(async () => (await import("./locks.ts")).helperLocks(sync, childProcess, onEnd)),
    env: (name) => process.env[name],
    pid: () => process.pid,
    cwd: () => attempt(() => process.cwd()),
    mayRead: () => true,
    mayWrite: () => true,
    processExists: (pid) => processExists(process, pid),
    // As text: the first named file or directory asks for it, and decoding bytes takes Bun a tenth of a millisecond.
    processNamespace: once(() => attempt(() => fs.readlinkSync("/proc/self/ns/pid", "latin1"))),
    hostName: once(() => attempt(() => (process.getBuiltinModule("node:os") as NodeOs).hostname())),
    uid: () => process.geteuid?.(),
    temporaryDirectory: () => undefined,
    nextTurn: () => new Promise((resolve) => setImmediate(() => resolve())),
    later(milliseconds, call) {
      const timer = setTimeout(call, milliseconds);
      timer.unref();
      return () => clearTimeout(timer);
    },
    after(milliseconds, call) {
      const timer = setTimeout(call, milliseconds);
      return () => clearTimeout(timer);
    },
    sleep,
    // Permission models refuse `/proc`, and some containers do not mount it. Permissions match the text of a path: that
    // for a directory does not cover the path of its descriptor.
    anchor(descriptor) {
      anchored ??= platform === "linux" && process.permission?.has("fs.write", "/proc/self/fd") !== false &&
        canStat(fs, "/proc/self/fd");
      return anchored ? `/proc/self/fd/${descriptor}` : undefined;
    },
    descriptor: (handle) => handle as number,
    fromDescriptor: (descriptor) => descriptor,
    onEnd,
    startWatcher: (command, args, onFailure) => startWatcher(childProcess, command, args, onFailure),
    warn: (message, code, detail) => process.emitWarning(message, { type: "TempfileWarning", code, detail }),
  };
}

/** Takes a fifth of a millisecond to load, and one system call where the kernel's file takes three. */
interface NodeOs {
  hostname(): string;
}

/** Whether a process exists. Signal 0 is delivered to nobody, but reports whether it could be. */
export function processExists(process: Pick<NodeProcess, "kill">, pid: number): boolean | undefined {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    const { code } = error as { code?: string };
    return code === "ESRCH" ? false : code === "EPERM" ? true : undefined;
  }
}

/** Codes for a path that is missing or inaccessible to this process. Any other failure may be transient. */
const ABSENT: ReadonlySet<unknown> = new Set(["ENOTDIR", "ENOENT", "EACCES", "EPERM", "ERR_ACCESS_DENIED"]);

/** Whether a path may be looked at; undefined if that could not be determined this time. */
function canStat(fs: NodeFs, path: string): boolean | undefined {
  try {
    fs.statSync(path);
    return true;
  } catch (error) {
    return ABSENT.has((error as { code?: unknown }).code) ? false : undefined;
  }
}
