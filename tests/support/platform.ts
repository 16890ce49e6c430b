/**
 * What the tests run on, and reasons to skip one there; false where it runs.
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

/** The root of the project: the lowered tests run from another directory. */
export const root: string = process.env.MAYFLY_TEST_ROOT ?? process.cwd();

export const isDeno: boolean = "Deno" in globalThis;
export const isBun: boolean = "Bun" in globalThis;
export const isNode: boolean = !isDeno && !isBun;
export const isLinux: boolean = process.platform === "linux";
export const isRoot: boolean = process.getuid?.() === 0;

/** Whether this is Windows, or claims to be. */
export const isWindows: boolean = process.platform === "win32";

/** For tests of `/proc`, or of system calls that only Linux has. */
export const noLinux: string | false = !isLinux && "needs Linux";

/** For tests of permission bits and of the umask. */
export const noModes: string | false = isWindows && "Windows has no permission bits";

/** How a process ends that sends itself a signal: on Windows it has a status, as if it had failed. */
export const endedBy = (
  signal: NodeJS.Signals,
): { status: number | null; signal: NodeJS.Signals | null } =>
  isWindows ? { status: 1, signal: null } : { status: null, signal };

/** For tests of the link count of a directory: on btrfs it is always 1. */
export const noLinkCounts: string | false = statSync(tmpdir()).nlink < 2 &&
  "the file system does not count directories in directories";

/** For tests of locks that other programs respect. */
export const noLocks: string | false = isWindows && "Windows has no flock";

/** For tests with files of other users. */
export const notRoot: string | false = !(isLinux && isRoot) && "needs root on Linux";

/** For tests of ownership. */
export const noUsers: string | false = isWindows && "Windows does not number its users";

/** The permission bits of what is at a path. */
export const modeOf = (path: string): number => statSync(path).mode & 0o777;

/** The mode that a file reports after it was given these permission bits: on Windows only whether it is writable. */
export const shownMode = (mode: number): number => isWindows ? ((mode & 0o200) !== 0 ? 0o666 : 0o444) : mode;

/** For tests of processes that receive a signal from outside. */
export const noSignals: string | false = isWindows &&
  "on Windows a signal ends a process before any code runs";

/** For tests of what `sh` does after the death of a process. */
export const noReaper: string | false = isWindows && "there are no reapers on Windows";

/** For tests of pipes and sockets that have a name in a directory. */
export const noFifos: string | false = isWindows && "Windows has no FIFOs in a directory";

/** For tests that call the programs of a POSIX system. */
export const noPrograms: string | false = isWindows && "Windows has no POSIX programs";

/** For tests of open files whose name is removed or reused. */
export const namesStay: string | false = isWindows && "an open file keeps its name on Windows";

/** The reason why a removal of a directory cannot be interrupted or watched there; false if it can. */
export const wholeTrees: string | false = isWindows && !isNode &&
  "on Windows a directory goes in one call of Deno's and Bun's";

/** For tests in which an open file loses its name to another. */
export const noReplacing: string | false = isWindows && "Windows does not replace what is open";

/** For tests of how a directory is written to the disk. */
export const noDirectorySync: string | false = isWindows && "Windows has no call to synchronize a directory";

/** For tests that turn this platform into another. */
export const noPosixPaths: string | false = isWindows && "needs paths of POSIX";

/**
 * For tests of what happens to an open file's name when it is removed: some runtimes ask Windows to release it
 * immediately.
 */
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

/**
 * The reason to skip a test of what Wine lacks; false elsewhere, so that nothing is skipped on Windows itself. Set by
 * `tools/testing/wine.mjs`.
 */
export const underWine = (reason: string): string | false =>
  process.env.MAYFLY_TEST_WINE === "1" && `under Wine ${reason}`;

/** For tests whose programs pass relative paths to `fs`. */
export const noRelativePaths: string | false = isBun &&
  underWine("Bun's writeFileSync(), readdirSync() and build find nothing by a relative path");

/** For tests with symbolic links, which Windows lets few users create. */
export const noLinks: string | false = isWindows && !canLink() && "needs symbolic links";

/** Checks the result: an emulation of Windows claims to have created one, and has not. */
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
