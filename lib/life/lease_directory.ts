/**
 * The directory of leases: `.mayfly-` and the user id (`user` on Windows), in the directory for temporary files. It is
 * used only if it is a real directory and, except on Windows, belongs to that user and nobody else may enter it.
 *
 * @module
 */
import { tmpdir } from "../location/tmpdir.ts";
import { joinPath } from "../path.ts";
import { type DirectoryEntry, isWindows, runtime, type Status } from "../runtime/mod.ts";

/**
 * Returns the path of the directory of leases; undefined if the user id, which keeps users apart, cannot be had.
 *
 * @param directory The directory for temporary files, this process's or another's.
 */
export function leaseDirectory(directory: string = tmpdir()): string | undefined {
  const uid = isWindows() ? "user" : runtime.uid();
  return uid === undefined ? undefined : joinPath(directory, `.mayfly-${uid}`);
}

/** Whether a name is that of a directory of leases, of this or another temporary directory. */
export const isLeaseDirectory = (name: string): boolean => /^\.mayfly-(\d+|user)$/.test(name);

/** Returns why a directory of leases must not be used; undefined if it belongs to the user in its name alone. */
export function refusalOf(directory: string, status: Status): string | undefined {
  if (status.kind === "other") return "it is not a directory";
  if (status.kind !== "directory") return `it is a ${status.kind}`;
  if (isWindows()) return undefined;
  if (!directory.endsWith(`-${status.uid}`)) return "it belongs to somebody else";
  return (status.mode & 0o077) === 0 ? undefined : "other users can access it";
}

/** Whether the lease that this process has just made is the only one, judged by one look at the directory. */
export function isAlone(): boolean {
  // Not undefined: the lease is in it.
  const listing = runtime.sync.list(leaseDirectory()!);
  try {
    return (listing.next() as DirectoryEntry[]).length <= 1;
  } finally {
    listing.close();
  }
}
