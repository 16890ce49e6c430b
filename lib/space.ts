/**
 * Room on disk.
 *
 * @module
 */
import { codeOf, failure, invalid, outOfRange, show } from "./errors.ts";
import { asyncIo, type Io, syncIo } from "./io.ts";
import { type Op, runAsync, runSync } from "./op.ts";
import { checkPath } from "./options/paths.ts";
import { checkObject, checkSize, LONGEST_TIMER } from "./options/values.ts";
import { type FileSystemStatus, runtime } from "./runtime/mod.ts";
import { tmpdir } from "./tmpdir.ts";

/** The room that a file system has. */
export interface DiskSpace {
  /** Bytes in all. */
  total: number;
  /** Bytes free, those included that only root may use. */
  free: number;
  /** Bytes free for this user. */
  available: number;
  /** How many more files it can have; undefined where the file system has no such limit. */
  inodes: { total: number; free: number } | undefined;
}

/**
 * How much room there is.
 *
 * On Deno it needs `--allow-sys=statfs` beside reading.
 *
 * @param dir A directory on the file system in question; the one for temporary files without it.
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

/** As {@linkcode diskSpace}, blocking. */
export function diskSpaceSync(dir?: string | URL): DiskSpace {
  return runSync(spaceAt(syncIo(), dir));
}

function* spaceAt(io: Io, dir: string | URL | undefined): Op<DiskSpace> {
  return yield* spaceOf(io, dir === undefined ? tmpdir() : checkPath(dir, "dir"));
}

/** The room on the file system of a directory. */
export function* spaceOf(io: Io, path: string): Op<DiskSpace> {
  let status: FileSystemStatus;
  try {
    status = yield io.fileSystem(path);
  } catch (error) {
    throw failure(`ask for the free space of "${path}"`, error, path);
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
  /** A directory on the file system to watch; the one for temporary files without it. */
  dir?: string | URL;
  /** Bytes available below which it is low. */
  minFree?: number;
  /** Free inodes below which it is low. */
  minInodes?: number;
  /**
   * Milliseconds between looks.
   *
   * @default {30_000}
   */
  interval?: number;
}

/** The shortest interval: more looks would find the same. */
const SHORTEST = 10;

const INTERVAL = 30_000;

/**
 * Looks at the room on disk from time to time, and calls back when it falls below a floor; again only after it was above
 * in between. Does not keep the process alive. What fails, a look or the callback, becomes a warning; a failure that lasts,
 * one.
 *
 * @param onLow Called with what was found. If it returns a promise, the next look is made when that has settled.
 * @returns What ends the watching when it is disposed.
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
  const look = async (): Promise<void> => {
    try {
      const space = await runAsync(spaceOf(asyncIo(), path));
      const before = low;
      low = isLow(space);
      if (low && !before && !stopped) await onLow(space);
      warned = undefined;
    } catch (error) {
      const message = (error as Partial<Error> | undefined)?.message ?? show(error);
      if (message !== warned && !stopped) runtime.warn(message, codeOf(error));
      warned = message;
    }
    if (!stopped) cancel = runtime.later(interval, look);
  };
  cancel = runtime.later(0, look);
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
    throw invalid("options", "given minFree or minInodes", options);
  }
  const bytes = minFree === undefined ? 0 : checkSize(minFree, "minFree");
  const inodes = minInodes === undefined ? 0 : checkSize(minInodes, "minInodes");
  if (typeof interval !== "number") throw invalid("interval", "a number of milliseconds", interval);
  if (!(interval >= SHORTEST && interval <= LONGEST_TIMER)) {
    throw outOfRange("interval", `${SHORTEST} to ${LONGEST_TIMER} milliseconds`, interval);
  }
  return {
    dir: dir === undefined ? undefined : checkPath(dir, "dir"),
    isLow: (space) => space.available < bytes || (space.inodes?.free ?? Infinity) < inodes,
    interval,
  };
}
