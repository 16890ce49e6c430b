/**
 * Creations that the thread pool was asked for and has not answered yet.
 *
 * The pool goes on while the process's own thread ends: what was looked for a moment ago, and was not there, may be left.
 *
 * @module
 */
import { isGone } from "./errors.ts";
import { runtime } from "./runtime/mod.ts";

const underWay = new Set<string>();

/** Notes that something appears at a path, unless that fails, before there is an answer. */
export async function creating<T>(path: string, answer: Promise<T>): Promise<T> {
  underWay.add(path);
  try {
    return await answer;
  } finally {
    underWay.delete(path);
  }
}

/**
 * Milliseconds that the end of the process waits for creations, in all. Most take a tenth of one; a pool that is busy with
 * something else for longer is not worth a process that does not end.
 */
let patience = 200;

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
      if (!underWay.has(path)) return true;
      if (patience-- <= 0) return false;
      runtime.sleep(1);
    }
  }
}
