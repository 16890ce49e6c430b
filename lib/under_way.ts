/**
 * Calls under way on the thread pool that give something its name, or another one.
 *
 * The pool goes on while the process's own thread ends: what was not there a moment ago may be left, and what was may by
 * then have its place, where it must not be found half removed.
 *
 * @module
 */
import { isGone } from "./errors.ts";
import { type Path, runtime } from "./runtime/mod.ts";

const paths = new Set<Path>();

/** Notes that until there is an answer a path may get or lose what has that name. */
export async function underWay<T>(path: Path, answer: Promise<T>): Promise<T> {
  paths.add(path);
  try {
    return await answer;
  } finally {
    paths.delete(path);
  }
}

/** Whether a call is under way that may give or take what is at a path. */
export const isUnderWay = (path: Path): boolean => paths.has(path);

/**
 * Milliseconds that the end of the process waits for such calls, in all. Most take a tenth of one; a pool that is busy with
 * something else for longer is not worth a process that does not end.
 */
let patience = 200;

/** Waits a little, blocking. `false` if that was done for long enough. */
function waited(): boolean {
  if (patience-- <= 0) return false;
  runtime.sleep(1);
  return true;
}

/**
 * Removes what is at a path, blocking, when the process ends: also what is not there yet.
 *
 * @returns `false` if something is left, or may yet appear.
 */
export function removeAtEnd(path: string, remove: (path: string) => void): boolean {
  for (;;) {
    try {
      remove(path);
      return true;
    } catch (error) {
      // What is left is for the next process to sweep.
      if (!isGone(error)) return false;
      if (!isUnderWay(path)) return true;
      if (!waited()) return false;
    }
  }
}

/** Waits, when the process ends, until what is being renamed is gone from a path. `false` if it is still there. */
export function leftAtEnd(path: string): boolean {
  for (;;) {
    try {
      runtime.sync.status(path);
    } catch {
      return true;
    }
    if (!waited()) return false;
  }
}
