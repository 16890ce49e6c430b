/**
 * The processes that this one may inspect in `/proc` (Linux).
 *
 * @module
 */
import { failure } from "../errors.ts";
import { isHidden } from "../location/mounts.ts";
import type { Io } from "../operation/io.ts";
import type { Op } from "../operation/op.ts";
import { requireReadable } from "../permission.ts";
import { namesIn } from "../tree/list.ts";

/**
 * Returns what a look finds; `nothing` if the path has vanished, belongs to another user or may not be read.
 *
 * @throws {TempfileError} For any other failure: something may be there.
 */
export function* tryOr<T>(path: string, look: Op<T>, nothing: T): Op<T> {
  try {
    requireReadable(path);
    return yield* look;
  } catch (error) {
    if (isHidden(error)) return nothing;
    throw failure(`look at "${path}"`, error, path);
  }
}

/** Returns the paths of the directories of processes. */
export function* processes(io: Io): Op<string[]> {
  return (yield* pathsIn(io, "/proc")).filter((path) => /\/\d+$/.test(path));
}

/** Returns the paths of the entries in a directory of a process. */
export function* pathsIn(io: Io, directory: string): Op<string[]> {
  return (yield* tryOr(directory, namesIn(io, directory), [])).map((name) => `${directory}/${name}`);
}
