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

/** Where something may appear. */
export const arriving: Set<Path> = new Set();

/** Where something may have gone to another place. */
export const leaving: Set<Path> = new Set();

/** Has a path among `paths` until a call has answered. */
export async function noted<T>(paths: Set<Path>, path: Path, answer: Promise<T>): Promise<T> {
  paths.add(path);
  try {
    return await answer;
  } finally {
    paths.delete(path);
  }
}

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
      if (!arriving.has(path)) return true;
      if (!waited()) return false;
    }
  }
}

/** Waits, when the process ends, until what is leaving a path is gone. `false` if it is still there. */
export function leftAtEnd(path: string): boolean {
  do {
    try {
      runtime.sync.status(path);
    } catch {
      return true;
    }
  } while (waited());
  return false;
}
