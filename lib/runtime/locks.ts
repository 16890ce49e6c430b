/**
 * Kernel locks (`flock`) where the runtime has no call for them: the program flock(1) takes one on a descriptor that it
 * inherits. The lock belongs to the open file, so it survives the program and is released when we close the file.
 *
 * @module
 */
import { coded } from "./codes.ts";
import { exitOf, INHERITED, type NodeChildProcess, stdioWith } from "./helper.ts";
import type { Handle, Locks, Primitives } from "./types.ts";

/** The exit status of flock(1) when somebody else has the lock. */
const TAKEN = 1;

/**
 * Opens a file to lock it. Reading is enough, but network file systems want it open for writing, so that is tried first.
 */
export function openToLock(sync: Primitives, path: string): number {
  try {
    return sync.openDescriptor(path, "write");
  } catch {
    return sync.openDescriptor(path, "read");
  }
}

/** A failure other than "somebody else has the lock". `why`: an error number, or the exit status of the helper. */
export const lockFailure = (why: number | string): Error =>
  coded("ENOLCK", `flock failed: ${why}`, { syscall: "flock" });

/** Passes the handle to `lock`, and closes it unless the lock was taken. */
export async function lockOrClose<H extends Handle>(
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

/**
 * Creates locks that flock(1) takes, at about two milliseconds each.
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
