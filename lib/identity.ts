/**
 * Telling whether two looks at the file system saw the same thing.
 *
 * @module
 */
import { isWindows, runtime, type Status } from "./runtime/mod.ts";

/** What does not change as long as a file or directory exists. */
export type Identity = Pick<Status, "device" | "inode" | "birth">;

/**
 * Inode numbers are used again, on some file systems at once; the time of birth tells such a one apart. On Windows the
 * device of a file may be told in another way by its path than by its handle (libuv#4698). On macOS, whose APFS counts its
 * numbers up, whoever sets the time of change of something to one before its birth sets that too (utimes of its HFS+), as
 * tar(1) does when it unpacks an archive with a "." in it.
 */
export function sameFile(one: Identity, other: Identity): boolean {
  return (one.device === other.device || isWindows()) && one.inode === other.inode &&
    (one.birth === other.birth || runtime.platform === "darwin" || birthsAreChanges());
}

/**
 * Where there is no statx(2), before Linux 4.11 and in sandboxes that do not know that call, the time of the last change may
 * be given for the birth. What has no birth shows it, and is looked at only where births differ.
 */
const birthsAreChanges = (): boolean =>
  runtime.anchor(0) !== undefined && runtime.sync.status("/proc/self").birth !== 0;
