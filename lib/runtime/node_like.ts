/**
 * What Node and Bun have in common: a `process`, `node:fs`, and descriptors that are numbers.
 *
 * @module
 */
import { attempt, once } from "./ask.ts";
import type { NodeChildProcess } from "./helper.ts";
import { linkByHelper } from "./link_descriptor.ts";
import { startWatcher } from "./watcher.ts";
import { helperLocks } from "./locks.ts";
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
  getuid?(): number;
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

/** A timer that can be told not to keep the process alive. */
interface Timer {
  unref(): void;
}

/**
 * The part of `node:timers` in use, as it is when the library is loaded. Test runners put others in place of the globals:
 * clocks that stand still until somebody winds them, or those of browsers, which have no `setImmediate`.
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

/** Where the listeners of `signal-exit` are counted: version 3 on `process`, version 4 on the global scope. */
interface SignalExit {
  __signal_exit_emitter__?: { count?: number };
}
const SIGNAL_EXIT = Symbol.for("signal-exit emitter");

/**
 * How many listeners the package `signal-exit` has, which most dependency trees contain. Like ours they act only when
 * nobody else listens: counted, each would wait for the other, and the signal would end nothing.
 */
function signalExitListeners(process: NodeProcess): number {
  const scope = globalThis as { [SIGNAL_EXIT]?: { count?: number } };
  return ((process as SignalExit).__signal_exit_emitter__?.count ?? 0) + (scope[SIGNAL_EXIT]?.count ?? 0);
}

function signalsOf(
  process: NodeProcess,
  names: () => readonly EndSignal[],
  turn: () => unknown,
): Signals {
  // Who has had a signal, and raises it again with nothing left to do, is to end by it: Node announces it a turn later.
  const linger = once(() => process.on("beforeExit", once(turn)));
  return {
    names,
    countable: true,
    listen(name, listener) {
      // Before the others: one that listens once is gone after its call, and could not be counted.
      // Marked: where the global scope is there several times (`node:vm`), so are our books, each with a listener.
      process.prependListener(name, Object.assign(listener, { mayfly: true }));
      return () => void process.off(name, listener);
    },
    others(name) {
      const others = process.listeners(name).filter((one) => !one.mayfly).length -
        signalExitListeners(process);
      if (others > 0) linger();
      return others;
    },
    raise: (name) => raise(process, name),
  };
}

/** Windows says SIGHUP when a console is closed, but nobody can send it there. Then the status says what a shell would. */
function raise(process: NodeProcess, name: EndSignal): void {
  try {
    process.kill(process.pid, name);
  } catch {
    process.exit(128 + SIGNAL_NUMBERS[name]);
  }
}

/** Blocks the thread without burning the processor. */
export function sleep(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

/**
 * Asks once whether the descriptors of this process can be named by path. Permission models refuse `/proc`, and some
 * containers do not mount it. An answer of undefined is none: the next time it is asked again.
 */
export function anchors(allowed: () => boolean | undefined): (descriptor: number) => string | undefined {
  let usable: boolean | undefined;
  return (descriptor) => {
    usable ??= allowed();
    return usable ? `/proc/self/fd/${descriptor}` : undefined;
  };
}

/** A runtime over `process`, with what differs given by `own`. */
export function nodeLike(
  process: NodeProcess,
  own: Pick<
    Runtime,
    "name" | "random" | "removeTree" | "now" | "isMainThread" | "handedOut" | "fileFlags" | "fileBlobs"
  >,
  heed: (signals: readonly EndSignal[]) => readonly EndSignal[] = (signals) => signals,
): Runtime {
  const fs = process.getBuiltinModule("node:fs") as NodeFs;
  const platform = platformOf(process.platform);
  const { setTimeout, clearTimeout, setImmediate } = process.getBuiltinModule("node:timers") as NodeTimers;
  const { sync, pooled } = nodePrimitives(fs);
  const childProcess = () => process.getBuiltinModule("node:child_process") as NodeChildProcess;
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
      once(() => heed(endSignals(process.pid, platform === "windows"))),
      () => setImmediate(() => {}),
    ),
    locks: platform === "windows" ? undefined : helperLocks(sync, childProcess, onEnd),
    env: (name) => process.env[name],
    pid: () => process.pid,
    cwd: () => attempt(() => process.cwd()),
    mayRead: () => true,
    mayWrite: () => true,
    processExists: (pid) => processExists(process, pid),
    // As text: the first named thing asks for it, and bytes take Bun a tenth of a millisecond to decode.
    processNamespace: once(() => attempt(() => fs.readlinkSync("/proc/self/ns/pid", "latin1"))),
    hostName: once(() => attempt(() => (process.getBuiltinModule("node:os") as NodeOs).hostname())),
    uid: () => process.getuid?.(),
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
    // Permissions go by the text of a path: who may write in a directory may not do so by a descriptor of it.
    anchor: anchors(() =>
      platform === "linux" && process.permission?.has("fs.write", "/proc/self/fd") !== false &&
      canStat(fs, "/proc/self/fd")
    ),
    descriptor: (handle) => handle as number,
    fromDescriptor: (descriptor) => descriptor,
    onEnd,
    startWatcher: (command, args, onFailure) => startWatcher(childProcess(), command, args, onFailure),
    warn: (message, code, detail) => process.emitWarning(message, { type: "TempfileWarning", code, detail }),
  };
}

/** Takes a fifth of a millisecond to load, and one system call where the kernel's file takes three. */
interface NodeOs {
  hostname(): string;
}

/** Signal 0 is sent to nobody, but says whether it could be. */
export function processExists(process: Pick<NodeProcess, "kill">, pid: number): boolean | undefined {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    const { code } = error as { code?: string };
    return code === "ESRCH" ? false : code === "EPERM" ? true : undefined;
  }
}

/** The codes of what is not there, or not for this process. Any other failure may pass. */
const ABSENT: ReadonlySet<unknown> = new Set(["ENOENT", "ENOTDIR", "EACCES", "EPERM", "ERR_ACCESS_DENIED"]);

/** Whether a path may be looked at; undefined where that was not to be learnt this time. */
function canStat(fs: NodeFs, path: string): boolean | undefined {
  try {
    fs.statSync(path);
    return true;
  } catch (error) {
    return ABSENT.has((error as { code?: unknown }).code) ? false : undefined;
  }
}
