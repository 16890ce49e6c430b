/**
 * The processes that this one may look at (Linux), and what is to be seen of them.
 *
 * @module
 */
import type { Io } from "../io.ts";
import { isUntold } from "../mounts.ts";
import type { Op } from "../op.ts";
import { entriesIn } from "../tree/visit.ts";

/** Their directories. */
export function* processes(io: Io): Op<string[]> {
  return (yield* listed(io, "/proc")).filter((path) => /\/\d+$/.test(path));
}

/** The paths of what is in a directory of a process; nothing if it has ended meanwhile, or is another user's. */
export function* listed(io: Io, directory: string): Op<string[]> {
  try {
    return (yield* entriesIn(io, directory)).map(({ name }) => `${directory}/${name}`);
  } catch (error) {
    if (isUntold(error)) return [];
    throw error;
  }
}
