/**
 * Giving a name to a file that has none. The system can (`linkat`), the runtimes cannot: ln(1) does it for them.
 *
 * @module
 */
import type { NodeChildProcess } from "./locks.ts";
import type { Both } from "./types.ts";

/** Where the helper finds the descriptor. */
const INHERITED = 3;

const args = (path: string): string[] => ["-L", "--", `/proc/self/fd/${INHERITED}`, path];
const stdio = (descriptor: number): unknown[] => ["ignore", "ignore", "ignore", descriptor];

/** Links by ln(1) with an inherited descriptor. */
export function linkByHelper(
  childProcess: () => NodeChildProcess,
): Both<(descriptor: number, path: string) => void> {
  return {
    sync(descriptor, path) {
      const { status, error } = childProcess().spawnSync("ln", args(path), { stdio: stdio(descriptor) });
      if (error !== undefined) throw error;
      check(status, path);
    },
    pooled: (descriptor, path) =>
      new Promise((resolve, reject) => {
        const helper = childProcess().spawn("ln", args(path), { stdio: stdio(descriptor) });
        helper.on("error", reject);
        helper.on("exit", (status) => {
          try {
            resolve(check(status, path));
          } catch (error) {
            reject(error);
          }
        });
      }),
  };
}

/** The program does not tell why in a form for programs. */
function check(status: number | null, path: string): void {
  if (status !== 0) {
    throw Object.assign(new Error(`ln cannot make "${path}"`), { code: "EIO", syscall: "linkat" });
  }
}
