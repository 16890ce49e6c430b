/**
 * The directory in which to create.
 *
 * @module
 */
import { cannot, failure, invalid } from "../errors.ts";
import { spaceOf } from "../location/space.ts";
import { tmpdir } from "../location/tmpdir.ts";
import { isKnown, setDevice } from "../operation/devices.ts";
import type { Io } from "../operation/io.ts";
import type { Op } from "../operation/op.ts";
import type { Checked } from "../options/checked.ts";
import type { Status } from "../runtime/mod.ts";
import type { OwnedTree } from "./owned_tree.ts";

/**
 * The directory if the caller requested nothing in particular: known without a system call, and so without an
 * operation, which would cost a fiftieth of a file. Undefined if there is more to do.
 */
export const usualPlace = ({ dir, minFree, signal }: Checked, inside?: OwnedTree): string | undefined =>
  inside === undefined && dir === undefined && minFree === 0 && signal === undefined ? tmpdir() : undefined;

/**
 * The canonical path of the requested directory.
 *
 * @param inside A directory of ours, which must still exist, to be used in place of the option.
 */
export function* place(base: Io, { dir, minFree, signal }: Checked, inside?: OwnedTree): Op<string> {
  if (inside !== undefined && dir !== undefined) {
    throw invalid("dir", "omitted inside a temporary directory", dir);
  }
  signal?.throwIfAborted();
  if (inside !== undefined) {
    // What is created in it leads there: the handle of the directory may be garbage-collected before the other.
    inside.pathSeen = true;
    yield* inside.requireSettled(base, "create in");
  }
  const directory: string = inside?.path ?? (dir === undefined ? tmpdir() : yield* canonical(base, dir));
  const io = base.at(directory);
  if (minFree > 0) yield* requireFree(io, directory, minFree);
  return directory;
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
