/**
 * Calls pending on the thread pool that create or move something.
 *
 * The pool continues while the main thread of the process exits. What does not exist yet may then be left behind, and
 * what is being moved may already be at its destination, where it must not be found half removed.
 *
 * @module
 */
import { isGone } from "../errors.ts";
import { isWindows, type Path, runtime } from "../runtime/mod.ts";

/** Paths where something may appear. */
export const creatingAt: Set<Path> = new Set();

/** Paths from which something may have been moved. */
export const movingFrom: Set<Path> = new Set();

/** Keeps a path in `paths` until a call has settled. */
export async function track<T>(paths: Set<Path>, path: Path, answer: Promise<T>): Promise<T> {
  paths.add(path);
  try {
    return await answer;
  } finally {
    paths.delete(path);
  }
}

/**
 * Milliseconds that the end of the process waits for such calls, in total. Most take 0.1 ms; a pool that is busy for
 * longer is no reason to keep the process from exiting.
 */
let waitLeft = 200;

/** Sleeps briefly, blocking. Returns `false` once the time is used up. */
function pause(): boolean {
  if (waitLeft-- <= 0) return false;
  runtime.sleep(1);
  return true;
}

/**
 * Removes what is at a path at the end of the process, blocking, even if it does not exist yet, or the call that creates
 * it still has it open, which on Windows prevents the removal. So does a virus scanner there.
 *
 * @returns `false` if something is left, or may still appear.
 */
export function removeAtExit(path: string, remove: (path: string) => void): boolean {
  for (;;) {
    try {
      remove(path);
      return true;
    } catch (error) {
      if (!creatingAt.has(path)) {
        if (isGone(error)) return true;
        if (!isWindows()) return false;
      }
      // The rest is left for the next process to sweep.
      if (!pause()) return false;
    }
  }
}

/** Waits at the end of the process for what is being moved from a path to be gone. Returns `false` if it is still there. */
export function movedAtExit(path: string): boolean {
  do {
    try {
      runtime.sync.status(path);
    } catch {
      return true;
    }
  } while (pause());
  return false;
}
