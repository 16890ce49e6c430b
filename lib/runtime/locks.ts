/**
 * Kernel locks (`flock`), as each runtime can take them. Loaded when the first one is taken.
 *
 * A lock belongs to the open file, so it is released when that is closed.
 *
 * @module
 */
import { coded } from "./codes.ts";
import { DenoFile } from "./deno_fs.ts";
import type { DenoNamespace } from "./deno_namespace.ts";
import { exitOf, INHERITED, type NodeChildProcess, stdioWith } from "./helper.ts";
import type { Handle, Locks, Primitives, Runtime } from "./types.ts";

/**
 * Opens a file to lock it. Reading is enough, but network file systems want it open for writing, so that is tried first.
 */
function openToLock(sync: Primitives, path: string): number {
  try {
    return sync.openDescriptor(path, "write");
  } catch {
    return sync.openDescriptor(path, "read");
  }
}

/** A failure other than "somebody else has the lock". `why`: an error number, or the exit status of the helper. */
const lockFailure = (why: number | string): Error =>
  coded("ENOLCK", `flock failed: ${why}`, { syscall: "flock" });

/** Passes the handle to `lock`, and closes it unless the lock was taken. */
async function lockOrClose<H extends Handle>(
  sync: Pick<Primitives, "close">,
  handle: H,
  lock: (handle: H) => boolean | Promise<boolean>,
): Promise<H | undefined> {
  let taken = false;
  try {
    taken = await lock(handle);
    return taken ? handle : undefined;
  } finally {
    if (!taken) sync.close(handle);
  }
}

/** Creates locks that Deno takes. It can also wait for one, but on a thread that cannot be interrupted. */
export function denoLocks(deno: DenoNamespace): Locks {
  return {
    async tryAcquire(path, shared) {
      const open = (write: boolean) => deno.open(path, { read: true, write });
      const file = await open(true).catch(() => open(false));
      return await lockOrClose(file, new DenoFile(file, path), () => file.tryLock(!shared));
    },
    acquire: undefined,
  };
}

/** The exit status of flock(1) when somebody else has the lock. */
const TAKEN = 1;

/**
 * Creates locks that the program flock(1) takes on a descriptor that it inherits, at about two milliseconds each.
 *
 * @param onEnd Registers a listener for the end of this process.
 */
export function helperLocks(
  sync: Primitives,
  childProcess: () => NodeChildProcess,
  onEnd: (listener: () => void) => () => void,
): Locks {
  /** Kills each running helper; one listener for all, since Node warns at eleven. */
  const kills = new Set<() => void>();
  let stop: () => void;
  /** Runs flock(1) until it exits, even if the signal aborts it, so that no helper is left running. */
  const run = async (args: string[], descriptor: number, signal?: AbortSignal): Promise<number | null> => {
    const helper = childProcess().spawn("flock", args, stdioWith(descriptor));
    const kill = (): void => helper.kill("SIGKILL");
    // A helper that outlives us would wait on, and would briefly hold up others when its turn comes.
    if (kills.size === 0) stop = onEnd(() => kills.forEach((kill) => kill()));
    kills.add(kill);
    signal?.addEventListener("abort", kill);
    try {
      return await exitOf(helper);
    } finally {
      kills.delete(kill);
      if (kills.size === 0) stop();
      signal?.removeEventListener("abort", kill);
    }
  };
  const lock = (flags: string[], path: string, signal?: AbortSignal): Promise<Handle | undefined> =>
    lockOrClose(sync, openToLock(sync, path), async (descriptor) => {
      const status = await run([...flags, String(INHERITED)], descriptor, signal).catch(notStarted);
      signal?.throwIfAborted();
      if (status === 0 || status === TAKEN) return status === 0;
      throw lockFailure(status ?? "killed");
    });
  const kind = (shared: boolean): string => shared ? "-s" : "-x";
  return {
    // deno-lint-ignore require-await -- so that a path that cannot be opened rejects
    tryAcquire: async (path, shared) => lock([kind(shared), "-n"], path),
    acquire: async (path, shared, signal) => (await lock([kind(shared)], path, signal))!,
  };
}

/** Distinguishes a missing program from one that could not be started this time. */
function notStarted(cause: Error & { code?: string }): never {
  if (cause.code !== "ENOENT" && cause.code !== "EACCES") throw cause;
  throw Object.assign(new Error("it needs the program flock(1)", { cause }), { code: "ERR_UNSUPPORTED" });
}

interface Signature {
  args: string[];
  returns: string;
}

/** The part of `bun:ffi` in use. */
export interface BunFfi {
  dlopen(library: string, signatures: { [name: string]: Signature }): {
    symbols: { [name: string]: (...args: number[]) => number };
  };
  read: { i32(pointer: number, offset: number): number };
}

/** Names per platform: the library, the function that returns the address of `errno`, and the error number for "taken". */
const PLATFORMS: { [platform in Runtime["platform"]]?: { library: string; errno: string; taken: number } } = {
  // musl also answers to this name.
  linux: { library: "libc.so.6", errno: "__errno_location", taken: 11 },
  darwin: { library: "/usr/lib/libSystem.B.dylib", errno: "__error", taken: 35 },
};

const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;

/** Takes a lock if it is free. */
type TryLock = (descriptor: number, shared: boolean) => boolean;

/**
 * Creates locks that the C library takes, in microseconds. Waiting means trying again: a call that waits would block the
 * thread.
 *
 * @param fallback What to use if the library cannot be called.
 */
export function libraryLocks(
  sync: Primitives,
  platform: Runtime["platform"],
  ffi: () => BunFfi,
  fallback: Locks,
): Locks {
  const tryLock = bind(platform, ffi);
  if (tryLock === undefined) return fallback;
  return {
    // deno-lint-ignore require-await -- so that a path that cannot be opened rejects
    tryAcquire: async (path, shared) =>
      lockOrClose(sync, openToLock(sync, path), (descriptor) => tryLock(descriptor, shared)),
    acquire: undefined,
  };
}

function bind(platform: Runtime["platform"], ffi: () => BunFfi): TryLock | undefined {
  const names = PLATFORMS[platform];
  if (names === undefined) return undefined;
  try {
    const { dlopen, read } = ffi();
    const { symbols } = dlopen(names.library, {
      flock: { args: ["i32", "i32"], returns: "i32" },
      [names.errno]: { args: [], returns: "ptr" },
    });
    return (descriptor, shared) => {
      if (symbols.flock(descriptor, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB) === 0) return true;
      const number = read.i32(symbols[names.errno](), 0);
      if (number === names.taken) return false;
      throw lockFailure(number);
    };
  } catch {
    // A library with another name, or a runtime that no longer offers this.
    return undefined;
  }
}
