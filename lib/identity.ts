/**
 * Telling whether two looks at the file system saw the same thing.
 *
 * @module
 */
import { isWindows, runtime, type Status } from "./runtime/mod.ts";

/** What does not change as long as a file or directory exists. */
export type Identity = Pick<Status, "device" | "inode" | "birth">;

/**
 * Inode numbers are used again, on some file systems at once; the time of birth tells such a one apart. On Windows some
 * versions of Node 22 and 24 name the device of a file in another way, or as 0, when they are asked by its path. On macOS,
 * whose file systems do not use numbers again, whoever sets the time of change of something to one before its birth sets
 * that too, as tar(1) does when it unpacks an archive with a "." in it.
 */
export function sameFile(one: Identity, other: Identity): boolean {
  return (one.device === other.device || isWindows()) && one.inode === other.inode &&
    (one.birth === other.birth || runtime.platform === "darwin");
}
