/**
 * Whether two looks at the file system found the same file.
 *
 * @module
 */
import { isWindows, runtime, type Status } from "./runtime/mod.ts";

/** What stays constant as long as a file or directory exists. */
export type Identity = Pick<Status, "device" | "inode" | "birth">;

/**
 * Inode numbers are recycled, on some file systems at once; the birth time detects that. On Windows a file's device may
 * be reported differently by path and by handle (libuv#4698). On macOS, where APFS never recycles inode numbers,
 * setting a modification time before the birth time also moves the birth time (as utimes on HFS+ does); tar(1) does so
 * when it unpacks an archive with a "." entry.
 */
export function sameFile(one: Identity, other: Identity): boolean {
  return (one.device === other.device || isWindows()) && one.inode === other.inode &&
    (one.birth === other.birth || runtime.platform === "darwin" || birthsAreChanges());
}

/**
 * Without statx(2), before Linux 4.11 and in sandboxes that do not know it, the time of the last change may be reported
 * as the birth time. A file known to have no birth time reveals this; it is read only when birth times differ.
 */
const birthsAreChanges = (): boolean =>
  runtime.anchor(0) !== undefined && runtime.sync.status("/proc/self").birth !== 0;
