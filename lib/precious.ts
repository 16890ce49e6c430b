/**
 * Directories whose removal would be a disaster, and which are therefore not adopted.
 *
 * @module
 */
import { invalid } from "./errors.ts";
import { sameFile } from "./identity.ts";
import { home } from "./location/home.ts";
import { isMountPoint } from "./location/mounts.ts";
import { tmpdir } from "./location/tmpdir.ts";
import type { Io } from "./operation/io.ts";
import type { Op } from "./operation/op.ts";
import { tried } from "./operation/tried.ts";
import { contains, parentOf } from "./path.ts";
import { requireReadable } from "./permission.ts";
import { attempt, isWindows, type Status } from "./runtime/mod.ts";

/** World-writable: the contents may belong to other users. */
const PUBLIC = 0o002;

/**
 * Refuses what no one means to remove. A program running as root owns `/tmp` and `/usr`, so ownership is no criterion
 * there.
 */
export function* refusePrecious(io: Io, path: string, status: Status): Op<void> {
  const above = parentOf(path);
  const parent: Status = yield io.status(above);
  if (parentOf(above) === above || parent.device !== status.device || sameFile(parent, status)) {
    throw invalid("path", "neither a file system root nor a directory in one", path);
  }
  if (yield* isMountPoint(io, path)) throw invalid("path", "a directory that is not a mount point", path);
  if (!isWindows() && (status.mode & PUBLIC) !== 0) {
    throw invalid("path", "a directory that others cannot write to", path);
  }
  // Without a usable temporary directory, nothing is kept in it.
  const precious = { working: ".", home: home(), temporary: attempt(tmpdir) };
  for (const [name, place] of Object.entries(precious)) {
    const known = place === undefined ? undefined : yield* ifPermitted(place, () => io.realPath(place));
    if (known !== undefined && (contains(path, known) || (yield* isAbove(io, status, known)))) {
      throw invalid("path", `a directory without the ${name} directory in it`, path);
    }
  }
}

/** Whether a directory is `place` or an ancestor of it under any name: on file systems that ignore case it has many. */
function* isAbove(io: Io, directory: Status, place: string): Op<boolean> {
  for (let at = place;; at = parentOf(at)) {
    const status = yield* ifPermitted(at, () => io.status(at));
    if (status !== undefined && sameFile(status, directory)) return true;
    if (at === parentOf(at)) return false;
  }
}

/** If it is missing or not permitted, nothing in it can be lost either. */
const ifPermitted = <T>(path: string, look: () => T | Promise<T>): Op<T | undefined> =>
  tried(() => (requireReadable(path), look()));
