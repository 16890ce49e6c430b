/**
 * Programs that wait for the end of this process.
 *
 * @module
 */
import type { NodeChildProcess } from "./locks.ts";

/** A started program, as far as it is of interest. */
export interface Watcher {
  unref(): void;
  on(event: "error", listener: () => void): void;
  stdin: { unref?(): void; destroy(): void; on(event: "error", listener: () => void): void };
}

/** The pipes: were one collected as garbage, it would end as if the process had. */
const pipes = new Set<Watcher>();

/** Starts a program in a session of its own, so that a signal to the terminal's programs does not end it. */
export function startWatcher(childProcess: NodeChildProcess, command: string, args: string[]): () => void {
  const watcher = childProcess.spawn(command, args, {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  }) as unknown as Watcher;
  watcher.on("error", () => {});
  watcher.stdin.on("error", () => {});
  watcher.unref();
  watcher.stdin.unref?.();
  pipes.add(watcher);
  return () => {
    pipes.delete(watcher);
    watcher.stdin.destroy();
  };
}
