/**
 * Opening a file that exists, and no other.
 *
 * @module
 */
import { closeRead } from "../close.ts";
import { failure, TempfileError } from "../errors.ts";
import { sameFile } from "../identity.ts";
import type { Io } from "../io.ts";
import type { Op } from "../op.ts";
import type { Handle, Status } from "../runtime/mod.ts";

/** Opens the file that `status` was taken of, and nothing that has taken its place since. */
export function* openSame(io: Io, path: string, status: Status): Op<Handle> {
  let handle: Handle | undefined;
  try {
    handle = yield io.openFile(path, "write");
    if (yield* isSame(io, path, yield io.statusOf(handle!), status)) return handle!;
  } catch (error) {
    if (handle !== undefined) yield* closeRead(io, handle);
    throw (yield* isOther(io, path, status)) ? replaced(path) : failure(`open "${path}"`, error, path);
  }
  yield* closeRead(io, handle!);
  throw replaced(path);
}

/**
 * Whether what was opened is what was looked at. An overlay gives a file another time of birth when it is opened to be
 * written: then the file is the same if all else about it is, and if it has the name now.
 */
function* isSame(io: Io, path: string, opened: Status, seen: Status): Op<boolean> {
  if (sameFile(opened, seen)) return true;
  if (!sameFile({ ...opened, birth: seen.birth }, seen)) return false;
  if (opened.uid !== seen.uid || opened.links !== seen.links) return false;
  return sameFile(yield io.status(path), opened);
}

/** What has taken its place may be a directory, a link or a socket, which opening fails on in as many ways. */
function* isOther(io: Io, path: string, status: Status): Op<boolean> {
  try {
    return !sameFile(yield io.status(path), status);
  } catch {
    return false;
  }
}

/** Says that what has the name is not the file that is meant. */
export function replaced(path: string, action = "open"): TempfileError {
  return new TempfileError(`Cannot ${action} "${path}": another file has taken its place`, {
    code: "ERR_REPLACED",
    path,
  });
}
