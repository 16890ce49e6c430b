/**
 * Why a test cannot be run on a platform: each a reason to skip it there, and false where it runs.
 *
 * @module
 */
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

/** Whether this is Windows, or says so. */
export const isWindows: boolean = process.platform === "win32";

/** For tests of what `/proc` shows, or of calls that Linux alone has. */
export const noLinux: string | false = process.platform !== "linux" && "needs Linux";

/** For tests of permission bits and of the umask. */
export const noModes: string | false = isWindows && "Windows has no permission bits";

/** How a process ends that ends itself by a signal: on Windows it has a status, as if it had failed. */
export const endedBy = (
  signal: NodeJS.Signals,
): { status: number | null; signal: NodeJS.Signals | null } =>
  isWindows ? { status: 1, signal: null } : { status: null, signal };

/** For tests of what the number of names of a directory tells: on btrfs it is 1 for all. */
export const noLinkCounts: string | false = statSync(tmpdir()).nlink < 2 &&
  "the file system does not count directories in directories";

/** For tests of locks that other programs heed. */
export const noLocks: string | false = isWindows && "Windows has no flock";

/** For tests of what belongs to which user. */
export const noUsers: string | false = isWindows && "Windows does not number its users";

/** What a file shows that was given these permission bits: on Windows only whether it may be written. */
export const shownMode = (mode: number): number => isWindows ? ((mode & 0o200) !== 0 ? 0o666 : 0o444) : mode;

/** For tests of processes that hear a signal from outside. */
export const noSignals: string | false = isWindows &&
  "on Windows a signal ends a process before any code runs";

/** For tests of what `sh` does after the death of a process. */
export const noReaper: string | false = isWindows && "there are no reapers on Windows";

/** For tests of pipes and sockets that have a name in a directory. */
export const noFifos: string | false = isWindows && "Windows has no FIFOs in a directory";

/** For tests that call the programs of a POSIX system. */
export const noPrograms: string | false = isWindows && "Windows has no POSIX programs";

/** For tests of files whose name goes, or is given to another, while they are open. */
export const namesStay: string | false = isWindows && "an open file keeps its name on Windows";

/** Why a removal of a directory cannot be broken off or watched there, or `false`. */
export const wholeTrees: string | false = isWindows && ("Deno" in globalThis || "Bun" in globalThis) &&
  "on Windows a directory goes in one call of Deno's and Bun's";

/** For tests in which a file that is open loses its name to another. */
export const noReplacing: string | false = isWindows && "Windows does not replace what is open";

/** For tests of how a directory is written to the disk. */
export const noDirectorySync: string | false = isWindows && "Windows has no call to synchronize a directory";

/** For tests in which another platform is made of this one. */
export const noPosixPaths: string | false = isWindows && "needs paths of POSIX";

/** For tests of what an open file's name does when it is removed: some runtimes ask Windows to let it go at once. */
export const namesLinger: string | false = isWindows && nameLingers() &&
  "the name of an open file goes when that is closed";

function nameLingers(): boolean {
  const place = mkdtempSync(join(tmpdir(), "names-"));
  const path = join(place, "open"), fd = openSync(path, "w");
  try {
    unlinkSync(path);
    return existsSync(path);
  } finally {
    closeSync(fd);
    rmSync(place, { recursive: true });
  }
}

/** For tests with symbolic links, which Windows lets few make. */
export const noLinks: string | false = isWindows && !canLink() && "needs symbolic links";

/** By what is there afterwards: an emulation of Windows says that it has made one, and has not. */
function canLink(): boolean {
  const place = mkdtempSync(join(tmpdir(), "links-"));
  try {
    symlinkSync(place, join(place, "link"), "dir");
    return existsSync(join(place, "link"));
  } catch {
    return false;
  } finally {
    rmSync(place, { recursive: true });
  }
}
