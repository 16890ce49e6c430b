/**
 * Programs that do what the runtime has no call for, with a descriptor that they inherit.
 *
 * @module
 */

/** A program that was started. */
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

/** Where a helper finds the descriptor. */
export const INHERITED = 3;

/** The options to start one with. */
export const inheriting = (descriptor: number): { stdio: unknown[] } => ({
  stdio: ["ignore", "ignore", "ignore", descriptor],
});

/** The status that a helper ends with; null if that is brought about by a signal. Rejects if it could not be started. */
export const exitOf = (helper: Helper): Promise<number | null> =>
  new Promise((resolve, reject) => {
    helper.on("error", reject);
    helper.on("exit", resolve);
  });
