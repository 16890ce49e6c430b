/**
 * Helper programs for what the runtime has no call for. They work on a descriptor that they inherit.
 *
 * @module
 */

/** A started program. */
export interface Helper {
  on(event: "error", listener: (error: Error) => void): void;
  on(event: "exit", listener: (status: number | null) => void): void;
  kill(signal: string): void;
}

/** The part of `node:child_process` in use. */
export interface NodeChildProcess {
  spawn(command: string, args: string[], options: { stdio: unknown[]; detached?: boolean }): Helper;
  spawnSync(
    command: string,
    args: string[],
    options: { stdio: unknown[] },
  ): { status: number | null; error?: Error };
}

/** The number of the descriptor in the helper. */
export const INHERITED = 3;

/** The options for starting a helper. */
export const stdioWith = (descriptor: number): { stdio: unknown[] } => ({
  stdio: ["ignore", "ignore", "ignore", descriptor],
});

/** Returns the exit status of a helper; null if a signal ended it. Rejects if it could not be started. */
export const exitOf = (helper: Helper): Promise<number | null> =>
  new Promise((resolve, reject) => {
    helper.on("error", reject);
    helper.on("exit", resolve);
  });
