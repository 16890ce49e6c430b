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
    if (sameFile(yield io.statusOf(handle!), status)) return handle!;
  } catch (error) {
    if (handle !== undefined) yield* closeRead(io, handle);
    throw (yield* isOther(io, path, status)) ? replaced(path) : failure(`open "${path}"`, error, path);
  }
  yield* closeRead(io, handle!);
  throw replaced(path);
}

/** What has taken its place may be a directory, a link or a socket, which opening fails on in as many ways. */
function* isOther(io: Io, path: string, status: Status): Op<boolean> {
  try {
    return !sameFile(yield io.status(path), status);
  } catch {
    return false;
  }
}

function replaced(path: string): TempfileError {
  return new TempfileError(`Cannot open "${path}": another file has taken its place`, {
    code: "ERR_REPLACED",
    path,
  });
}
