/**
 * Opening one particular file.
 *
 * @module
 */
import { failure, TempfileError } from "../errors.ts";
import { sameFile } from "../identity.ts";
import type { Io } from "../operation/io.ts";
import type { Op } from "../operation/op.ts";
import { closeRead, tried } from "../operation/tried.ts";
import type { Handle, Status } from "../runtime/mod.ts";

/** Opens the file that `status` describes, and not one that has taken its place since. */
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
 * Whether the opened file is the one seen before. An overlay changes a file's birth time when it is opened for writing:
 * it is then the same if everything else matches and if it has the name now.
 */
function* isSame(io: Io, path: string, opened: Status, seen: Status): Op<boolean> {
  if (sameFile(opened, seen)) return true;
  if (!sameFile({ ...opened, birth: seen.birth }, seen)) return false;
  if (opened.uid !== seen.uid || opened.links !== seen.links) return false;
  return sameFile(yield io.status(path), opened);
}

/** A directory, link or socket may have taken its place, each of which makes opening fail in its own way. */
function* isOther(io: Io, path: string, status: Status): Op<boolean> {
  const found = yield* tried(() => io.status(path));
  return found !== undefined && !sameFile(found, status);
}

/** The error for a path that no longer names the intended file. */
export function replaced(path: string, action = "open"): TempfileError {
  return new TempfileError(`Cannot ${action} "${path}": another file has taken its place`, {
    code: "ERR_REPLACED",
    path,
  });
}
