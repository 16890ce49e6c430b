/**
 * Disk space.
 *
 * @module
 */
import { failure, invalid, show, TempfileError } from "../errors.ts";
import { asyncIo, type Io, syncIo } from "../operation/io.ts";
import { type Op, runAsync, runSync } from "../operation/op.ts";
import { checkPath } from "../options/paths.ts";
import { checkInterval, checkObject, checkSize } from "../options/values.ts";
import { type FileSystemStatus, runtime } from "../runtime/mod.ts";
import { tmpdir } from "./tmpdir.ts";

/** The space on a file system. */
export interface DiskSpace {
  /** The size in bytes. */
  total: number;
  /** Free bytes, including those reserved for root. */
  free: number;
  /** Bytes available to this user. */
  available: number;
  /** How many files it can have, and how many more; undefined where the file system has no such limit. */
  inodes: { total: number; free: number } | undefined;
}

/**
 * Returns the total and the free space of a file system.
 *
 * On Deno it needs `--allow-sys=statfs` as well as read permission.
 *
 * @param dir A directory on the file system; the directory for temporary files if omitted.
 * @throws {TempfileError} `ENOENT`, …; `ERR_ACCESS_DENIED` without the permission, which the message names.
 *
 * @example Is there room for a gigabyte?
 * ```ts
 * import { diskSpace } from "mayfly";
 *
 * const { available } = await diskSpace();
 * console.log(available > 1e9);
 * ```
 */
export function diskSpace(dir?: string | URL): Promise<DiskSpace> {
  return runAsync(spaceAt(asyncIo(), dir));
}

/** Synchronous version of {@linkcode diskSpace}. */
export function diskSpaceSync(dir?: string | URL): DiskSpace {
  return runSync(spaceAt(syncIo(), dir));
}

function* spaceAt(io: Io, dir: string | URL | undefined): Op<DiskSpace> {
  return yield* spaceOf(io, dir === undefined ? tmpdir() : checkPath(dir, "dir"));
}

/** Returns the space on the file system of a directory. */
export function* spaceOf(io: Io, path: string): Op<DiskSpace> {
  let status: FileSystemStatus;
  try {
    status = yield io.fileSystem(path);
  } catch (error) {
    throw failure(`get the free space of "${path}"`, error, path);
  }
  const { blockSize, inodes, freeInodes } = status;
  return {
    total: status.blocks * blockSize,
    free: status.freeBlocks * blockSize,
    available: status.availableBlocks * blockSize,
    inodes: inodes > 0 ? { total: inodes, free: freeInodes } : undefined,
  };
}

/** Options of {@linkcode watchSpace}. */
export interface WatchSpaceOptions {
  /** A directory on the file system to watch; the directory for temporary files if omitted. */
  dir?: string | URL | undefined;
  /** The floor for available bytes. */
  minFree?: number | undefined;
  /** The floor for free inodes. */
  minInodes?: number | undefined;
  /**
   * Milliseconds between checks.
   *
   * @default {30_000}
   */
  interval?: number | undefined;
}

/** The shortest interval in milliseconds: more frequent checks would find the same. */
const SHORTEST = 10;

const INTERVAL = 30_000;

/**
 * Checks the disk space periodically, and calls back when it falls below a floor; again only after it has been above in
 * between. Does not keep the process alive. A failure of a check or of the callback becomes a warning; one that
 * persists is reported once.
 *
 * @param onLow Called with the space found. If it returns a promise, the next check waits for it to settle.
 * @returns A disposable that stops watching.
 * @throws {TypeError} `ERR_INVALID_OPTION`, also if neither floor is given.
 *
 * @example Stop taking uploads in time
 * ```ts
 * import { watchSpace } from "mayfly";
 *
 * using _watch = watchSpace({ minFree: 100 * 1024 ** 2 }, ({ available }) => {
 *   console.warn(`only ${available} bytes left`);
 * });
 * ```
 */
export function watchSpace(options: WatchSpaceOptions, onLow: (space: DiskSpace) => unknown): Disposable {
  const { dir, isLow, interval } = checkWatch(options);
  if (typeof onLow !== "function") throw invalid("onLow", "a function", onLow);
  const path = dir ?? tmpdir();
  let low = false, stopped = false;
  let warned: string | undefined;
  let cancel: () => void;
  const check = async (): Promise<void> => {
    try {
      const space = await runAsync(spaceOf(asyncIo(), path));
      const before = low;
      low = isLow(space);
      if (low && !before && !stopped) await onLow(space);
      warned = undefined;
    } catch (error) {
      const message = String((error as Partial<Error> | undefined)?.message ?? show(error));
      if (message !== warned && !stopped) {
        if (error instanceof TempfileError) runtime.warn(message, error.code);
        else runtime.warn(`The callback of watchSpace() for "${path}" failed: ${message}`, "MAYFLY_CALLBACK");
      }
      warned = message;
    }
    if (!stopped) cancel = runtime.later(interval, check);
  };
  cancel = runtime.later(0, check);
  return {
    [Symbol.dispose]() {
      stopped = true;
      cancel();
    },
  };
}

function checkWatch(
  options: WatchSpaceOptions,
): { dir: string | undefined; isLow: (space: DiskSpace) => boolean; interval: number } {
  checkObject(options, "options");
  const { dir, minFree, minInodes, interval = INTERVAL } = options;
  if (minFree === undefined && minInodes === undefined) {
    throw invalid("options", "an object with minFree or minInodes", options);
  }
  const bytes = minFree === undefined ? 0 : checkSize(minFree, "minFree");
  const inodes = minInodes === undefined ? 0 : checkSize(minInodes, "minInodes");
  checkInterval(interval, "interval", SHORTEST);
  return {
    dir: dir === undefined ? undefined : checkPath(dir, "dir"),
    isLow: (space) => space.available < bytes || (space.inodes?.free ?? Infinity) < inodes,
    interval,
  };
}
