/**
 * Finding the lease of the process that made or adopted something: its directory for temporary files may not be this
 * process's.
 *
 * @module
 */
import type { Io } from "../operation/io.ts";
import type { Op } from "../operation/op.ts";
import { baseName, parentOf } from "../path.ts";
import { leaseDirectory } from "./lease_directory.ts";
import { isUsable, otherLeases } from "./reclaim.ts";

/** Returns the directories of leases that may be above a path, except this process's own. */
export function leaseDirectoriesAbove(path: string): string[] {
  const found: string[] = [], own = leaseDirectory();
  for (let at = parentOf(path);; at = parentOf(at)) {
    const directory = leaseDirectory(at);
    if (directory !== undefined && directory !== own) found.push(directory);
    if (at === parentOf(at)) return found;
  }
}

/**
 * Returns the directory with the lease that speaks for a path, if it is not this process's own. Looks in the
 * directories above the path, since most files are in the directory for temporary files.
 */
export function* creatorDirectory(io: Io, path: string): Op<string | undefined> {
  for (const directory of leaseDirectoriesAbove(path)) {
    if (yield* hasLeaseFor(io, directory, path)) return directory;
  }
  return undefined;
}

function* hasLeaseFor(io: Io, directory: string, path: string): Op<boolean> {
  if (!(yield* isUsable(io, directory))) return false;
  const name = baseName(path);
  return (yield* otherLeases(io, directory)).some(({ session, adopted }) =>
    name.includes(session) || adopted.has(path)
  );
}
