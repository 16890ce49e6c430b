/**
 * One after the other, by path.
 *
 * @module
 */
import { orAborted } from "./abort.ts";
import { baseName, joinPath, parentOf } from "../path.ts";
import { runtime } from "../runtime/mod.ts";

/** The last call for each path that has one under way. */
const last = new Map<string, Promise<unknown>>();

/** Runs `work` after the calls for the same path that were made before it; not at all if it is aborted until then. */
export function inTurn<T>(
  path: string,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  const key = keyOf(path);
  const before = last.get(key);
  const result = before === undefined ? work() : orAborted(before, signal).then(work);
  // Also after an abort, the next one waits for those before.
  const ended: Promise<unknown> = Promise.allSettled([before, result]).then(() => {
    if (last.get(key) === ended) last.delete(key);
  });
  last.set(key, ended);
  return result;
}

/** By the canonical parent: `/tmp/x` and `/private/tmp/x` are one file, and the file itself may not exist yet. */
function keyOf(path: string): string {
  try {
    return joinPath(runtime.sync.realPath(parentOf(path)), baseName(path));
  } catch {
    // The call itself will say what is wrong with it.
    return path;
  }
}
