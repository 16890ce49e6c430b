/**
 * Named files.
 *
 * @module
 */
import { createExclusively, ensureMode, FILE_MODE } from "../create/exclusively.ts";
import type { OwnedTree } from "../create/owned_tree.ts";
import { place, usualPlace } from "../create/place.ts";
import { busyError, closedError } from "../errors.ts";
import { printAs } from "../inspect.ts";
import { protect } from "../life/keep_alive.ts";
import { recordKept, sessionFor } from "../life/lease.ts";
import { guardOf } from "../operation/devices.ts";
import { asyncIo, type Io, syncIo } from "../operation/io.ts";
import { type Op, runAsync, runSync } from "../operation/op.ts";
import { tried } from "../operation/tried.ts";
import { checkOptions } from "../options/checked.ts";
import type { NamedFileOptions } from "../options/types.ts";
import type { Handle } from "../runtime/mod.ts";
import { TemporaryFile } from "./file.ts";
import { OpenFile } from "./open_file.ts";
import { openSame } from "./open_same.ts";
import { discardFile, OwnedName } from "./owned.ts";
import { DiskStorage } from "./storage.ts";

/** No buffering: other programs that have the path see each write at once. */
const BUFFER_SIZE = 0;

/**
 * A temporary file with a path that can be given to another program.
 *
 * The file is removed by {@linkcode TemporaryFile.close}, at the end of the scope, and when the process ends.
 */
export class NamedTemporaryFile extends TemporaryFile {
  readonly #file: OpenFile;

  /** Internal: use {@linkcode namedTemporaryFile}. */
  constructor(internals: unknown) {
    // Before the base class installs its own description.
    printAs(new.target, "NamedTemporaryFile", "path", "closed");
    super(internals);
    this.#file = internals as OpenFile;
  }

  /** The absolute path, with symbolic links resolved. Still readable after the file is closed. */
  get path(): string {
    this.#file.pathSeen = true;
    return this.#file.path!;
  }

  /** Returns the path. */
  override toString(): string {
    return this.path;
  }

  /**
   * Hands the file over to the caller: Mayfly forgets it and never removes it. The handle stays as it is: open or, with
   * `deleteOnClose: false`, closed.
   *
   * @returns The path.
   * @throws {TempfileError} `ERR_CLOSED` if {@linkcode TemporaryFile.close} or the end of the scope has removed the
   *   file; `EBUSY` while `persist()` is pending; `ENOSPC` if this cannot be recorded for other processes, in which
   *   case Mayfly still owns the file.
   */
  keep(): string {
    const file = this.#file, { owned } = file;
    if (file.ended) throw closedError("keep", file.path);
    if (file.moving > 0) throw busyError("keep", file.path);
    if (owned !== undefined) recordKept(owned.path!);
    owned?.release();
    file.owned = undefined;
    return this.path;
  }

  /**
   * Opens the same file again: a handle with its own cursor and buffer, which owns nothing and outlives this one.
   *
   * @throws {TempfileError} `ERR_REPLACED` if another file has taken its place, `ENOENT` if it is gone.
   */
  reopen(): Promise<TemporaryFile> {
    return this.#file.async((io) => reopen(io, this.#file));
  }

  /** Synchronous version of {@linkcode NamedTemporaryFile.reopen}. */
  reopenSync(): TemporaryFile {
    return this.#file.sync((io) => reopen(io, this.#file));
  }
}

/**
 * Creates a file that only its owner can open, with an unguessable name.
 *
 * @param options Where and how to create it, and when to remove it; see {@linkcode NamedFileOptions}.
 * @returns The open file.
 * @throws {TempfileError} The system's error (`ENOENT`, `EACCES`, `ENOSPC`, …), with the directory as `path`; nothing
 *   is left behind.
 * @throws {TypeError} `ERR_INVALID_OPTION` for an invalid option, a `RangeError` for a number out of range; before
 *   anything is done.
 *
 * @example A path for another program
 * ```ts
 * import { namedTemporaryFile } from "mayfly";
 *
 * await using file = await namedTemporaryFile({ suffix: ".txt" });
 * await file.write("hello");
 * console.log(file.path); // "/tmp/tmp….txt"
 * ```
 */
export function namedTemporaryFile(options?: NamedFileOptions): Promise<NamedTemporaryFile> {
  return runAsync(createNamed(asyncIo(), options));
}

/** Synchronous version of {@linkcode namedTemporaryFile}. */
export function namedTemporaryFileSync(options?: NamedFileOptions): NamedTemporaryFile {
  return runSync(createNamed(syncIo(), options));
}

/**
 * Creates a named file.
 *
 * @param inside The directory of ours in which it is created, if any.
 */
export function* createNamed(
  base: Io,
  given: NamedFileOptions | undefined,
  inside?: OwnedTree,
): Op<NamedTemporaryFile> {
  const options = checkOptions("named", given);
  const directory = usualPlace(options, inside) ?? (yield* place(base, options, inside));
  const io = base.at(directory);
  const owned = options.delete ? new OwnedName() : undefined;
  let handle: Handle | undefined;
  let path!: string;
  try {
    const session = options.delete ? sessionFor(directory, options) : "";
    handle = yield* createExclusively("file", directory, options, session, (candidate) => {
      path = candidate;
      if (owned !== undefined) owned.path = candidate;
      return io.createFile(candidate, options.mode ?? FILE_MODE);
    });
    yield* ensureMode(io, handle!, directory, options.mode);
    options.signal?.throwIfAborted();
  } catch (error) {
    if (handle === undefined) owned?.release();
    else {
      yield* discardFile(io, handle, owned);
      if (owned === undefined) yield* tried(() => io.unlink(path));
    }
    throw error;
  }
  if (owned !== undefined) protect(owned);
  const file = new OpenFile(new DiskStorage(handle!, path), options, BUFFER_SIZE);
  file.guard = guardOf(directory);
  file.owned = owned;
  file.path = path;
  file.movable = true;
  return new NamedTemporaryFile(file);
}

function* reopen(io: Io, file: OpenFile): Op<TemporaryFile> {
  file.require("reopen");
  yield* file.flush(io);
  const path = file.path!;
  const handle = yield* openSame(io, path, yield* file.status(io));
  const reopened = new OpenFile(new DiskStorage(handle, path), file.options, BUFFER_SIZE);
  reopened.guard = file.guard;
  reopened.path = path;
  return new TemporaryFile(reopened);
}
