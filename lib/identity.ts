/**
 * Telling whether two looks at the file system saw the same thing.
 *
 * @module
 */
import type { Status } from "./runtime/mod.ts";

/** What does not change as long as a file or directory exists. */
export type Identity = Pick<Status, "device" | "inode" | "birth">;

/** Inode numbers are used again, on some file systems at once; the time of birth tells such a one apart. */
export function sameFile(one: Identity, other: Identity): boolean {
  return one.device === other.device && one.inode === other.inode && one.birth === other.birth;
}
