/**
 * What Node and Bun have in common: a `process`, `node:fs`, and descriptors that are numbers.
 *
 * @module
 */
import { type NodeFs, nodePrimitives } from "./node_fs.ts";
import type { EndSignal, Runtime, Signals } from "./types.ts";

/** The part of `process` in use. */
export interface NodeProcess {
  pid: number;
  platform: string;
  versions: { [name: string]: string | undefined };
  env: { [name: string]: string | undefined };
  getuid?(): number;
  getBuiltinModule(name: string): unknown;
  emitWarning(message: string, options: { type: string; code: string; detail?: string }): void;
  on(event: string, listener: (...args: never[]) => void): unknown;
  off(event: string, listener: (...args: never[]) => void): unknown;
  listenerCount(event: string): number;
  kill(pid: number, signal: string): unknown;
}

/** A timer that can be told not to keep the process alive. */
interface Timer {
  unref?(): void;
}

declare function setTimeout(call: () => void, milliseconds: number): Timer;
declare function clearTimeout(timer: Timer): void;
declare function setImmediate(call: () => void): unknown;

const PLATFORMS: { [name: string]: Runtime["platform"] } = {
  linux: "linux",
  android: "linux",
  darwin: "darwin",
  win32: "windows",
};

/** The platform by the name that `process.platform` gives it. */
export const platformOf = (name: string): Runtime["platform"] => PLATFORMS[name] ?? "other";

/** The signals a process can be asked to end with. */
export const END_SIGNALS: readonly EndSignal[] = ["SIGINT", "SIGTERM", "SIGHUP"];

function signalsOf(process: NodeProcess): Signals {
  return {
    names: END_SIGNALS,
    countable: true,
    listen(name, listener) {
      process.on(name, listener);
      return () => void process.off(name, listener);
    },
    count: (name) => process.listenerCount(name),
    raise: (name) => void process.kill(process.pid, name),
  };
}

/** Blocks the thread without burning the processor. */
export function sleep(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

/** Runs `call` later without keeping the process alive. */
export function later(milliseconds: number, call: () => void): () => void {
  const timer = setTimeout(call, milliseconds);
  timer.unref?.();
  return () => clearTimeout(timer);
}

/**
 * Asks once whether the descriptors of this process can be named by path. Permission models refuse `/proc`, and some
 * containers do not mount it.
 */
export function anchors(allowed: () => boolean): (descriptor: number) => string | undefined {
  let usable: boolean | undefined;
  return (descriptor) => {
    usable ??= allowed();
    return usable ? `/proc/self/fd/${descriptor}` : undefined;
  };
}

/** A runtime over `process`, with what differs given by `own`. */
export function nodeLike(
  process: NodeProcess,
  own: Pick<Runtime, "name" | "random" | "removeTree">,
): Runtime {
  const fs = process.getBuiltinModule("node:fs") as NodeFs;
  const platform = platformOf(process.platform);
  const { sync, pooled } = nodePrimitives(fs);
  return {
    ...own,
    platform,
    sync,
    pooled,
    signals: signalsOf(process),
    env: (name) => process.env[name],
    pid: () => process.pid,
    mayRead: () => true,
    uid: () => process.getuid?.(),
    home: () => process.env.HOME ?? process.env.USERPROFILE,
    temporaryDirectory: () => undefined,
    now: () => performance.now(),
    nextTurn: () => new Promise((resolve) => setImmediate(() => resolve())),
    later,
    sleep,
    anchor: anchors(() => platform === "linux" && canStat(fs, "/proc/self/fd")),
    descriptor: (handle) => handle as number,
    fromDescriptor: (descriptor) => descriptor,
    onEnd(listener) {
      process.on("exit", listener);
      return () => void process.off("exit", listener);
    },
    warn: (message, code, detail) => process.emitWarning(message, { type: "TempfileWarning", code, detail }),
  };
}

function canStat(fs: NodeFs, path: string): boolean {
  try {
    fs.statSync(path);
    return true;
  } catch {
    return false;
  }
}
