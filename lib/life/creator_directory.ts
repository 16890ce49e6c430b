/**
 * Finding the lease of the process that made something: its directory for temporary files may not be this process's.
 *
 * @module
 */
import type { Io } from "../operation/io.ts";
import type { Op } from "../operation/op.ts";
import { baseName, parentOf } from "../path.ts";
import { leaseDirectory } from "./lease_directory.ts";
import { parseName } from "./lease_file.ts";
import { isUsable, leasesIn } from "./reclaim.ts";

/**
 * Returns the directory with the lease that speaks for a path, if it is not this process's own. Looks in the
 * directories above the path, since most files are in the directory for temporary files.
 */
export function* creatorDirectory(io: Io, path: string): Op<string | undefined> {
  const own = leaseDirectory();
  for (let at = parentOf(path);; at = parentOf(at)) {
    const directory = leaseDirectory(at);
    if (directory !== undefined && directory !== own && (yield* hasLeaseFor(io, directory, path))) {
      return directory;
    }
    if (at === parentOf(at)) return undefined;
  }
}

function* hasLeaseFor(io: Io, directory: string, path: string): Op<boolean> {
  if (!(yield* isUsable(io, directory))) return false;
  const name = baseName(path);
  return (yield* leasesIn(io, directory)).some((lease) => name.includes(parseName(lease)!.session));
}
