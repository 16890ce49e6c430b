/**
 * Where leases are.
 *
 * @module
 */
import { joinPath } from "../path.ts";
import { type DirectoryEntry, isWindows, runtime, type Status } from "../runtime/mod.ts";
import { tmpdir } from "../tmpdir.ts";

/**
 * The directory of leases, undefined where there is no user to keep them apart by.
 *
 * @param directory That for temporary files, this process's or another's.
 */
export function leaseDirectory(directory: string = tmpdir()): string | undefined {
  const uid = isWindows() ? "user" : runtime.uid();
  return uid === undefined ? undefined : joinPath(directory, `.mayfly-${uid}`);
}

/** Whether a name is that of a directory of leases, of this one's or of another temporary directory. */
export const isLeaseDirectory = (name: string): boolean => /^\.mayfly-(\d+|user)$/.test(name);

/** Why a directory of leases, whose name says whose it is, is not to be used; undefined if it is that user's alone. */
export function refusalOf(directory: string, status: Status): string | undefined {
  if (status.kind === "other") return "it is no directory";
  if (status.kind !== "directory") return `it is a ${status.kind}`;
  if (isWindows()) return undefined;
  if (!directory.endsWith(`-${status.uid}`)) return "it belongs to somebody else";
  return (status.mode & 0o077) === 0 ? undefined : "others may enter it";
}

/** Whether there is no lease but the one that this process has just made, as one look at the directory tells. */
export function isAlone(): boolean {
  const directory = leaseDirectory();
  if (directory === undefined) return true;
  const listing = runtime.sync.list(directory);
  try {
    return (listing.next() as DirectoryEntry[]).length <= 1;
  } finally {
    listing.close();
  }
}
