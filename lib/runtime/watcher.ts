/**
 * Programs that wait for the end of this process.
 *
 * @module
 */
import type { NodeChildProcess } from "./helper.ts";

/** A started program, as far as it is used here. */
export interface Watcher {
  readonly pid: number | undefined;
  unref(): void;
  on(event: "error", listener: (error: Error) => void): void;
  stdin: { destroy(): void; on(event: "error", listener: () => void): void };
}

/** Starts a program in a session of its own, so that a signal from the terminal does not end it. */
export function startWatcher(
  childProcess: () => NodeChildProcess,
  command: string,
  args: string[],
  onFailure: (reason: Error) => void,
): () => void {
  let watcher: Watcher;
  try {
    const options = { stdio: ["pipe", "ignore", "ignore"], detached: true };
    watcher = childProcess().spawn(command, args, options) as unknown as Watcher;
  } catch (error) {
    onFailure(error as Error);
    return () => {};
  }
  // If a program cannot be started, some runtimes emit an event, others throw.
  watcher.on("error", onFailure);
  if (watcher.pid === undefined) return () => {};
  watcher.stdin.on("error", () => {});
  watcher.unref();
  return () => watcher.stdin.destroy();
}
