/**
 * Opening a file that exists, and no other.
 *
 * @module
 */
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
    if (handle !== undefined) yield io.close(handle);
    throw failure(`open "${path}"`, error, path);
  }
  yield io.close(handle!);
  throw new TempfileError(`Cannot open "${path}": another file has taken its place`, {
    code: "ERR_REPLACED",
    path,
  });
}
