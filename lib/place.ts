/**
 * The directory in which to create.
 *
 * @module
 */
import { isKnown, setDevice } from "./devices.ts";
import { cannot, failure } from "./errors.ts";
import type { Io } from "./io.ts";
import type { Op } from "./op.ts";
import type { Checked } from "./options/checked.ts";
import type { OwnedTree } from "./owned_tree.ts";
import type { Status } from "./runtime/mod.ts";
import { spaceOf } from "./space.ts";
import { tmpdir } from "./tmpdir.ts";

/**
 * The directory if the caller requested nothing in particular: known without a system call, and so without an
 * operation, which would cost a fiftieth of a file. Undefined if there is more to do.
 */
export const usualPlace = ({ dir, minFree, signal }: Checked): string | undefined =>
  dir === undefined && minFree === 0 && signal === undefined ? tmpdir() : undefined;

/** The canonical path of the requested directory. */
export function* place(io: Io, { dir, minFree, signal }: Checked): Op<string> {
  signal?.throwIfAborted();
  const directory: string = dir === undefined ? tmpdir() : yield* canonical(io, dir);
  if (minFree > 0) yield* requireFree(io, directory, minFree);
  return directory;
}

/** As `place`, for a directory of ours, which must still exist. */
export function* placeInside(given: Io, { minFree, signal }: Checked, tree: OwnedTree): Op<string> {
  signal?.throwIfAborted();
  const path = tree.path!, io = given.at(path);
  // What is created in it leads there: the handle of the directory may be garbage-collected before the other.
  tree.pathSeen = true;
  yield* tree.require(io, "create in");
  if (minFree > 0) yield* requireFree(io, path, minFree);
  return path;
}

function* canonical(given: Io, dir: string): Op<string> {
  const io = given.at(dir);
  try {
    const directory: string = yield io.realPath(dir);
    if (!io.blocking && !isKnown(directory)) {
      setDevice(directory, ((yield io.status(directory)) as Status).device);
    }
    return directory;
  } catch (error) {
    throw failure(`use the directory "${dir}"`, error, dir);
  }
}

function* requireFree(io: Io, directory: string, minFree: number): Op<void> {
  const { available, inodes } = yield* spaceOf(io, directory);
  if (available >= minFree && inodes?.free !== 0) return;
  const why = available >= minFree
    ? "no free inodes"
    : `${available} bytes are available, ${minFree} are required`;
  throw cannot(`create in "${directory}"`, why, "ENOSPC", directory);
}
