/**
 * The processes that this one may look at (Linux), and what is to be seen of them.
 *
 * @module
 */
import { failure } from "../errors.ts";
import type { Io } from "../io.ts";
import { isUntold } from "../mounts.ts";
import type { Op } from "../op.ts";
import { namesIn } from "../tree/visit.ts";

/**
 * What there is to be seen at a path; `nothing` if it has gone meanwhile, or is another user's.
 *
 * @throws {TempfileError} Any other failure, after which something may be there.
 */
export function* seen<T>(path: string, look: Op<T>, nothing: T): Op<T> {
  try {
    return yield* look;
  } catch (error) {
    if (isUntold(error)) return nothing;
    throw failure(`look at "${path}"`, error, path);
  }
}

/** Their directories. */
export function* processes(io: Io): Op<string[]> {
  return (yield* listed(io, "/proc")).filter((path) => /\/\d+$/.test(path));
}

/** The paths of what is in a directory of a process. */
export function* listed(io: Io, directory: string): Op<string[]> {
  return (yield* seen(directory, namesIn(io, directory), [])).map((name) => `${directory}/${name}`);
}
