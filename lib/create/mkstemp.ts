/**
 * Low-level creation, as in the C library: the caller removes the result.
 *
 * @module
 */
import { asyncIo, type Io, syncIo } from "../operation/io.ts";
import { type Op, runAsync, runSync } from "../operation/op.ts";
import { tried } from "../operation/tried.ts";
import { checkOptions } from "../options/checked.ts";
import type { MakeOptions } from "../options/types.ts";
import { createExclusively, ensureMode, FILE_MODE } from "./exclusively.ts";
import { makeDirectory } from "./make_directory.ts";
import { OwnedTree } from "./owned_tree.ts";
import { place } from "./place.ts";

/** An open file that the caller must close and remove. */
export interface MadeFile {
  /** The absolute path, with symbolic links resolved. */
  path: string;
  /** The file descriptor, open for reading and writing, not inherited by child processes. */
  fd: number;
}

/**
 * Creates and opens a file that the caller must close and remove. For automatic removal, use
 * {@linkcode namedTemporaryFile}.
 *
 * @throws {TempfileError} The system's error, with the directory as `path`; nothing is left behind.
 * @throws {TypeError} `ERR_INVALID_OPTION` for an invalid option, a `RangeError` for a number out of range; before
 *   anything is done.
 *
 * @example A descriptor and a path
 * ```ts
 * import { mkstemp } from "mayfly";
 * import { closeSync, unlinkSync } from "node:fs";
 *
 * const { path, fd } = await mkstemp({ prefix: "job-" });
 * closeSync(fd);
 * unlinkSync(path);
 * ```
 */
export function mkstemp(options?: MakeOptions): Promise<MadeFile> {
  return runAsync(makeFile(asyncIo(), options));
}

/** Synchronous version of {@linkcode mkstemp}. */
export function mkstempSync(options?: MakeOptions): MadeFile {
  return runSync(makeFile(syncIo(), options));
}

function* makeFile(base: Io, given: MakeOptions | undefined): Op<MadeFile> {
  const options = checkOptions("make", given);
  const directory = yield* place(base, options);
  const io = base.at(directory);
  let path!: string;
  const fd: number = yield* createExclusively("file", directory, options, "", (candidate) => {
    path = candidate;
    return io.createDescriptor(candidate, options.mode ?? FILE_MODE);
  });
  try {
    yield* ensureMode(io, fd, directory, options.mode);
    options.signal?.throwIfAborted();
  } catch (error) {
    yield* tried(() => io.close(fd));
    yield* tried(() => io.unlink(path));
    throw error;
  }
  return { path, fd };
}

/**
 * Creates a directory that the caller must remove. For automatic removal, use {@linkcode temporaryDirectory}.
 *
 * @returns The absolute path, with symbolic links resolved.
 * @throws {TempfileError} The system's error, with the parent as `path`; nothing is left behind.
 * @throws {TypeError} `ERR_INVALID_OPTION` for an invalid option, a `RangeError` for a number out of range; before
 *   anything is done.
 *
 * @example A directory that stays
 * ```ts
 * import { mkdtemp } from "mayfly";
 * import { rmdirSync } from "node:fs";
 *
 * const path = await mkdtemp({ prefix: "build-" });
 * rmdirSync(path);
 * ```
 */
export function mkdtemp(options?: MakeOptions): Promise<string> {
  return runAsync(makeTree(asyncIo(), options));
}

/** Synchronous version of {@linkcode mkdtemp}. */
export function mkdtempSync(options?: MakeOptions): string {
  return runSync(makeTree(syncIo(), options));
}

function* makeTree(io: Io, given: MakeOptions | undefined): Op<string> {
  const options = checkOptions("make", given);
  const directory = yield* place(io, options);
  const tree = new OwnedTree(false);
  yield* makeDirectory(io, directory, options, "", tree);
  return tree.path!;
}
