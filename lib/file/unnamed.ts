/**
 * Files without a name.
 *
 * @module
 */
import { createExclusively, FILE_MODE, settleMode, takeBack } from "../create.ts";
import { guardOf, REMEMBERED } from "../devices.ts";
import { failure, refusesUnnamed } from "../errors.ts";
import { asyncIo, type Io, syncIo } from "../io.ts";
import type { Guard } from "../guard.ts";
import { sessionFor } from "../life/lease.ts";
import { hold } from "../life/registry.ts";
import { type Op, runAsync, runSync } from "../op.ts";
import { type Checked, checkOptions } from "../options/checked.ts";
import type { FileOptions } from "../options/types.ts";
import { place, usualPlace } from "../place.ts";
import { type Handle, isWindows, runtime } from "../runtime/mod.ts";
import { TemporaryFile } from "./file.ts";
import { OpenFile } from "./open_file.ts";
import { OwnedName } from "./owned.ts";
import { DiskStorage } from "./storage.ts";

/** Bytes gathered before a system call: nobody else reads the file, so nobody waits for them. */
const BUFFER_SIZE = 64 * 1024;

/**
 * Creates a file that has no name: nobody else can open it, and nothing of it is left however the process ends.
 *
 * On Linux it never has a name (`O_TMPFILE`). Elsewhere, and on file systems that refuse that, it loses its name at
 * once. On Windows it keeps a name until it is closed.
 *
 * @param options Where and how; see {@linkcode FileOptions}.
 * @returns The open file.
 * @throws {TempfileError} What the system says (`ENOENT`, `EACCES`, `ENOSPC`, …), with the directory as `path`; nothing is left then.
 * @throws {TypeError} `ERR_INVALID_OPTION`, before anything is done.
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

/** As {@linkcode temporaryFile}, blocking. */
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

/** Creates a file without a name. */
export function* createUnnamed(given: Io, options: Checked): Op<Made & { guard: Guard }> {
  const directory = usualPlace(options) ?? (yield* place(given, options));
  const io = given.at(directory);
  const made = yield* createHandle(io, directory, options);
  try {
    yield* settleMode(io, made.handle, directory, options.mode);
    options.signal?.throwIfAborted();
  } catch (error) {
    yield* unmake(io, made);
    throw error;
  }
  return { ...made, guard: guardOf(directory) };
}

/** A handle, and the name that must stay until it is closed (Windows). */
export interface Made {
  handle: Handle;
  /** Whether it never had a name. */
  nameless: boolean;
  owned?: OwnedName;
}

/** Takes back what was made. */
export function* unmake(io: Io, { handle, owned }: Made): Op<void> {
  yield* takeBack(() => io.close(handle));
  if (owned !== undefined) yield* owned.takeBack(io);
}

/** Directories whose file system refused; others may be on file systems that do not. */
const refused = new Set<string>();

function* createHandle(io: Io, directory: string, options: Checked): Op<Made> {
  if (runtime.platform === "linux" && !refused.has(directory)) {
    try {
      return { handle: yield io.createUnnamed(directory, options.mode ?? FILE_MODE), nameless: true };
    } catch (error) {
      if (!refusesUnnamed(error)) {
        throw failure(`create a temporary file in "${directory}"`, error, directory);
      }
    }
  }
  const made = yield* createWithName(io, directory, options);
  if (refused.size < REMEMBERED) refused.add(directory);
  return made;
}

/** Creates with a name and takes the name away. */
function* createWithName(io: Io, directory: string, options: Checked): Op<Made> {
  const owned = new OwnedName();
  let handle: Handle | undefined;
  try {
    // A process may die between the two calls.
    const session = sessionFor(directory, options);
    handle = yield* createExclusively("file", directory, options, session, (path) => {
      owned.path = path;
      return io.createDescriptor(path, options.mode ?? FILE_MODE);
    });
    if (isWindows()) return { handle: handle!, nameless: false, owned };
    yield* owned.remove(io);
    return { handle: handle!, nameless: false };
  } catch (error) {
    if (handle === undefined) owned.release();
    else yield* takeBack(() => io.close(handle!));
    throw error;
  }
}
