/**
 * Locks of the kernel (`flock`) where the runtime has no call for them: the program flock(1) takes one on a descriptor
 * that it inherits. The lock belongs to the open file, so it stays when the program ends and goes when we close.
 *
 * @module
 */
import type { Handle, Locks, Primitives } from "./types.ts";

interface Helper {
  on(event: "error", listener: (error: Error) => void): void;
  on(event: "exit", listener: (status: number | null) => void): void;
  kill(signal: string): void;
}

/** The part of `node:child_process` in use. */
export interface NodeChildProcess {
  spawn(command: string, args: string[], options: { stdio: unknown[] }): Helper;
  spawnSync(
    command: string,
    args: string[],
    options: { stdio: unknown[] },
  ): { status: number | null; error?: Error };
}

/** What flock(1) ends with when somebody else has the lock. */
const TAKEN = 1;

/** Where the helper finds the descriptor. */
const INHERITED = 3;

/** Locks taken by flock(1). */
export function helperLocks(sync: Primitives, childProcess: () => NodeChildProcess): Locks {
  const lock = async (flags: string[], path: string, signal?: AbortSignal): Promise<Handle | undefined> => {
    const descriptor = sync.openDescriptor(path, "write");
    try {
      const status = await runHelper(childProcess(), [...flags, String(INHERITED)], descriptor, signal);
      if (status === 0) return descriptor;
      sync.close(descriptor);
      if (status === TAKEN) return undefined;
    } catch (error) {
      sync.close(descriptor);
      throw error;
    }
    throw Object.assign(new Error("flock failed"), { code: "ENOLCK", syscall: "flock" });
  };
  const kind = (shared: boolean): string => shared ? "-s" : "-x";
  return {
    tryAcquire: (path, shared) => lock([kind(shared), "-n"], path),
    acquire: async (path, shared, signal) => (await lock([kind(shared)], path, signal))!,
  };
}

function runHelper(
  { spawn }: NodeChildProcess,
  args: string[],
  descriptor: number,
  signal: AbortSignal | undefined,
): Promise<number | null> {
  return new Promise((resolve, reject) => {
    const helper = spawn("flock", args, { stdio: ["ignore", "ignore", "ignore", descriptor] });
    const abort = (): void => {
      helper.kill("SIGKILL");
      reject(signal!.reason);
    };
    const end = (settle: () => void): void => {
      signal?.removeEventListener("abort", abort);
      settle();
    };
    signal?.addEventListener("abort", abort);
    helper.on("error", (error) => end(() => reject(unsupported(error))));
    helper.on("exit", (status) => end(() => resolve(status)));
  });
}

function unsupported(cause: Error): Error {
  return Object.assign(new Error("the program flock(1) is needed", { cause }), { code: "ERR_UNSUPPORTED" });
}
