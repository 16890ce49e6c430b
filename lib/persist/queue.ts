/**
 * One after the other, by path.
 *
 * @module
 */
import { baseName, joinPath, parentOf } from "../path.ts";
import { runtime } from "../runtime/mod.ts";

/** The last call for each path that has one under way. */
const last = new Map<string, Promise<unknown>>();

/** Runs `work` after the calls for the same path that were made before it. */
export function inTurn<T>(path: string, work: () => Promise<T>): Promise<T> {
  const key = keyOf(path);
  const result = (last.get(key) ?? Promise.resolve()).then(work, work);
  const ended: Promise<unknown> = result.catch(() => {}).finally(() => {
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
