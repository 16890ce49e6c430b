/**
 * Giving a name to a file that has none. The system can (`linkat`), the runtimes cannot, so ln(1) does it for them.
 *
 * @module
 */
import { coded } from "./codes.ts";
import { exitOf, INHERITED, type NodeChildProcess, stdioWith } from "./helper.ts";
import type { SyncAndPooled } from "./types.ts";

const args = (path: string): string[] => ["-L", "--", `/proc/self/fd/${INHERITED}`, path];

/** Links by ln(1) with an inherited descriptor. */
export function linkByHelper(
  childProcess: () => NodeChildProcess,
): SyncAndPooled<(descriptor: number, path: string) => void> {
  return {
    sync(descriptor, path) {
      const { status, error } = childProcess().spawnSync("ln", args(path), stdioWith(descriptor));
      if (error !== undefined) throw error;
      check(status, path);
    },
    async pooled(descriptor, path) {
      check(await exitOf(childProcess().spawn("ln", args(path), stdioWith(descriptor))), path);
    },
  };
}

/** ln(1) does not report the reason in a form that programs can read. */
function check(status: number | null, path: string): void {
  if (status !== 0) {
    throw coded("EIO", `ln cannot make "${path}"`, { syscall: "linkat" });
  }
}
