/**
 * Unnamed files.
 *
 * @module
 */
import { createExclusively, ensureMode, FILE_MODE } from "../create/exclusively.ts";
import { failure, refusesUnnamed } from "../errors.ts";
import { sessionFor } from "../life/lease.ts";
import { hold } from "../life/registry.ts";
import { guardOf, MAX_DIRS } from "../operation/devices.ts";
import type { Guard } from "../operation/guard.ts";
import { asyncIo, type Io, syncIo } from "../operation/io.ts";
import { type Op, runAsync, runSync } from "../operation/op.ts";
import { tried } from "../operation/tried.ts";
import { type Checked, checkOptions } from "../options/checked.ts";
import type { FileOptions } from "../options/types.ts";
import { place, usualPlace } from "../create/place.ts";
import { type Handle, isWindows, runtime } from "../runtime/mod.ts";
import { TemporaryFile } from "./file.ts";
import { OpenFile } from "./open_file.ts";
import { discardFile, OwnedName } from "./owned.ts";
import { DiskStorage } from "./storage.ts";

/** Size of the write buffer. No other program can read the file, so none waits for the bytes. */
const BUFFER_SIZE = 65_536;

/**
 * Creates an unnamed file: no other program can open it, and nothing of it remains however the process ends.
 *
 * On Linux it never has a name (`O_TMPFILE`). Elsewhere, and on file systems without that, it is unlinked right after
 * creation. On Windows it keeps a name until it is closed.
 *
 * @param options Where and how to create it; see {@linkcode FileOptions}.
 * @returns The open file.
 * @throws {TempfileError} The system's error (`ENOENT`, `EACCES`, `ENOSPC`, …), with the directory as `path`; nothing
 *   is left behind.
 * @throws {TypeError} `ERR_INVALID_OPTION` for an invalid option, a `RangeError` for a number out of range; before
 *   anything is done.
 *
 * @example Scratch space nobody else can see
 * ```ts
 * import { temporaryFile } from "mayfly";
 *
 * await using file = await temporaryFile();
 * await file.write("secret");
 * console.log(await file.text()); // "secret"
 * ```
 */
export function temporaryFile(options?: FileOptions): Promise<TemporaryFile> {
  return runAsync(create(asyncIo(), options));
}

/** Synchronous version of {@linkcode temporaryFile}. */
export function temporaryFileSync(options?: FileOptions): TemporaryFile {
  return runSync(create(syncIo(), options));
}

function* create(io: Io, given: FileOptions | undefined): Op<TemporaryFile> {
  const options = checkOptions("file", given);
  const { handle, nameless, owned, guard } = yield* createUnnamed(io, options);
  const file = new OpenFile(new DiskStorage(handle, undefined, nameless), options, BUFFER_SIZE);
  file.guard = guard;
  file.owned = owned;
  hold(file);
  return new TemporaryFile(file);
}

/** An unnamed file. */
export interface Unnamed {
  handle: Handle;
  /** Whether it never had a name. */
  nameless: boolean;
  /** The name that must exist until it is closed (Windows). */
  owned: OwnedName | undefined;
  /** The guard of its device. */
  guard: Guard;
}

/** Directories whose file system has no unnamed files; other file systems may. */
const unsupported = new Set<string>();

/** Creates an unnamed file. One operation for the usual case: each below another would cost a fiftieth of a file. */
export function* createUnnamed(given: Io, options: Checked): Op<Unnamed> {
  const directory = usualPlace(options) ?? (yield* place(given, options));
  const io = given.at(directory);
  let handle: Handle | undefined, owned: OwnedName | undefined;
  if (runtime.platform === "linux" && !unsupported.has(directory)) {
    try {
      handle = yield io.createUnnamed(directory, options.mode ?? FILE_MODE);
    } catch (error) {
      if (!refusesUnnamed(error)) {
        throw failure(`create a temporary file in "${directory}"`, error, directory);
      }
    }
  }
  const nameless = handle !== undefined;
  if (handle === undefined) [handle, owned] = yield* createWithName(io, directory, options);
  try {
    yield* ensureMode(io, handle, directory, options.mode);
    options.signal?.throwIfAborted();
  } catch (error) {
    yield* discardFile(io, handle, owned);
    throw error;
  }
  return { handle, nameless, owned, guard: guardOf(directory) };
}

/** Creates a named file and unlinks it. */
function* createWithName(
  io: Io,
  directory: string,
  options: Checked,
): Op<[handle: Handle, owned: OwnedName | undefined]> {
  const owned = new OwnedName();
  let handle: Handle | undefined;
  try {
    // The process may die between the two calls.
    const session = sessionFor(directory, options);
    handle = yield* createExclusively("file", directory, options, session, (path) => {
      owned.path = path;
      return io.createDescriptor(path, options.mode ?? FILE_MODE);
    });
    if (!isWindows()) yield* owned.remove(io);
  } catch (error) {
    if (handle === undefined) owned.release();
    else yield* tried(() => io.close(handle!));
    throw error;
  }
  if (unsupported.size < MAX_DIRS) unsupported.add(directory);
  return [handle!, isWindows() ? owned : undefined];
}
