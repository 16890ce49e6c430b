/**
 * Adopting what another process created: ownership that travels between processes.
 *
 * @module
 */
import { OwnedTree } from "./create/owned_tree.ts";
import { TemporaryDirectory } from "./directory.ts";
import { cannot, failure, nameOf, type TempfileError } from "./errors.ts";
import { NamedTemporaryFile } from "./file/named.ts";
import { OpenFile } from "./file/open_file.ts";
import { openSame } from "./file/open_same.ts";
import { OwnedName } from "./file/owned.ts";
import { DiskStorage } from "./file/storage.ts";
import { protect } from "./life/keep_alive.ts";
import { recordAdopted, recordReleased } from "./life/lease.ts";
import { guardOf } from "./operation/devices.ts";
import { asyncIo, type Io, syncIo } from "./operation/io.ts";
import { type Op, runAsync, runSync } from "./operation/op.ts";
import { checkOptions } from "./options/checked.ts";
import { checkPath } from "./options/paths.ts";
import type { ContentOptions, DirectoryOptions, NamedFileOptions } from "./options/types.ts";
import { baseName, isNameless, joinPath, parentOf, withoutTrailingSeparators } from "./path.ts";
import { refusePrecious } from "./precious.ts";
import { type Handle, runtime, type Status } from "./runtime/mod.ts";
import { lasting } from "./tree/overlay.ts";

/** Options of {@linkcode adoptFile}. */
export interface AdoptFileOptions
  extends ContentOptions, Pick<NamedFileOptions, "deleteOnClose" | "signal"> {}

/** Options of {@linkcode adoptDirectory}. */
export interface AdoptDirectoryOptions extends Pick<DirectoryOptions, "ignoreCleanupErrors" | "signal"> {}

/**
 * Takes over a file created by someone else, to read, write and then remove it.
 *
 * To take over what another process owns, first adopt it and then let its creator call `keep()`. Until the creator has
 * done so, it may remove the file when it ends, even if this process has kept it. A creator that calls `keep()` earlier
 * leaves the file for good if either process is interrupted before the adoption. The creator must also live until the
 * file is adopted: what a dead process left may be removed at any moment.
 *
 * If this process is killed, the next one removes the file, provided that a function of Mayfly created it. Until then,
 * and after it is kept, it does not count as a leftover of its creator, or of one who adopted it before, provided that
 * they have the same directory for temporary files, or one that contains the file.
 *
 * Adopt only what is temporary: the file is removed in the end, whoever created it and wherever it is. For root this
 * includes the files of the system.
 *
 * @param path A regular file that belongs to this user and has no other hard link; not a symbolic link.
 * @returns The open file, which is removed as if {@linkcode namedTemporaryFile} had created it.
 * @throws {TempfileError} `ENOENT`; `EISDIR`; `ELOOP` for a symbolic link; `EPERM` if it belongs to someone else;
 *   `EMLINK` if it has other hard links: anyone may have linked a file of this user into a directory that others can
 *   write to, and writing to one name changes the other.
 *
 * @example Finish another process's job
 * ```ts
 * import { adoptFile, mkstempSync } from "mayfly";
 * import { closeSync } from "node:fs";
 *
 * const { path, fd } = mkstempSync(); // what another process would do
 * closeSync(fd);
 * await using file = await adoptFile(path);
 * console.log(await file.size()); // 0
 * ```
 */
export function adoptFile(path: string | URL, options?: AdoptFileOptions): Promise<NamedTemporaryFile> {
  return runAsync(takeFile(asyncIo(), path, options));
}

/** Synchronous version of {@linkcode adoptFile}. */
export function adoptFileSync(path: string | URL, options?: AdoptFileOptions): NamedTemporaryFile {
  return runSync(takeFile(syncIo(), path, options));
}

function* takeFile(
  io: Io,
  given: string | URL,
  options: AdoptFileOptions | undefined,
): Op<NamedTemporaryFile> {
  const checked = checkOptions("adoptedFile", options);
  checked.signal?.throwIfAborted();
  const { path, status } = yield* inspectOne(io, given);
  checked.signal?.throwIfAborted();
  // Before anything is awaited: while nothing is registered, the lease may be discarded.
  const owned = new OwnedName();
  owned.released = () => recordReleased(path);
  let handle: Handle;
  try {
    // Recorded before it is opened: until then, it may have been removed as a leftover of its creator.
    recordAdopted(path);
    handle = yield* openSame(io, path, status);
  } catch (error) {
    owned.release();
    throw error;
  }
  owned.path = path;
  const file = new OpenFile(new DiskStorage(handle, path), checked, 0);
  file.owned = owned;
  file.guard = guardOf(path);
  file.path = path;
  file.movable = true;
  // The path comes from the caller.
  file.pathSeen = true;
  protect(owned);
  return new NamedTemporaryFile(file);
}

/**
 * Takes over a directory created by someone else, to remove it with its contents. If processes are killed, the rules of
 * {@linkcode adoptFile} apply.
 *
 * @param path A directory that belongs to this user; not a symbolic link, not writable by others, and nothing whose
 *   removal would be a disaster: a root or a directory in one, a mount point, or anything that is or contains the home,
 *   the working or the temporary directory.
 * @throws {TempfileError} `ENOENT`; `ENOTDIR`; `ELOOP` for a symbolic link; `EPERM` if it belongs to someone else.
 * @throws {TypeError} `ERR_INVALID_OPTION` for a directory that is refused.
 */
export function adoptDirectory(
  path: string | URL,
  options?: AdoptDirectoryOptions,
): Promise<TemporaryDirectory> {
  return runAsync(takeDirectory(asyncIo(), path, options));
}

/** Synchronous version of {@linkcode adoptDirectory}. */
export function adoptDirectorySync(path: string | URL, options?: AdoptDirectoryOptions): TemporaryDirectory {
  return runSync(takeDirectory(syncIo(), path, options));
}

function* takeDirectory(
  io: Io,
  given: string | URL,
  options: AdoptDirectoryOptions | undefined,
): Op<TemporaryDirectory> {
  const checked = checkOptions("adoptedDirectory", options);
  checked.signal?.throwIfAborted();
  const { path, status } = yield* inspect(io, given, "directory");
  try {
    yield* refusePrecious(io, path, status);
  } catch (error) {
    throw failure(`adopt "${path}"`, error, path);
  }
  const identity = yield* lasting(io, path, status);
  checked.signal?.throwIfAborted();
  recordAdopted(path);
  const tree = new OwnedTree(true);
  tree.path = path;
  tree.guard = guardOf(path);
  tree.released = () => recordReleased(path);
  tree.identity = identity;
  tree.pathSeen = true;
  try {
    // Until our lease recorded it, it may have been removed as a leftover of its creator.
    yield* tree.require(io, "adopt");
  } catch (error) {
    tree.release();
    throw error;
  }
  protect(tree);
  return new TemporaryDirectory(tree, checked.ignoreCleanupErrors);
}

/** The system's code for what was found instead of what was wanted. */
const MISMATCH = { link: "ELOOP", directory: "EISDIR", file: "ENOTDIR", other: "EINVAL" } as const;

/**
 * Milliseconds before each new look at a file with two hard links: persisting without overwriting creates two for a
 * moment.
 */
const DELAYS = [2, 10, 50];

/** As {@linkcode inspect}, for a file that must have a single hard link. */
function* inspectOne(io: Io, given: string | URL): Op<{ path: string; status: Status }> {
  let found = yield* inspect(io, given, "file");
  for (const delay of DELAYS) {
    if (found.status.links <= 1) break;
    yield io.sleep(delay);
    found = yield* inspect(io, found.path, "file");
  }
  if (found.status.links > 1) throw refusal(found.path, "EMLINK", "it has other hard links");
  return found;
}

/** Returns the canonical path of what is to be adopted, with a link there not followed, and its status. */
function* inspect(
  io: Io,
  given: string | URL,
  wanted: "file" | "directory",
): Op<{ path: string; status: Status }> {
  const asked = withoutTrailingSeparators(checkPath(given, "path"));
  let path: string, status: Status;
  try {
    path = yield* canonical(io, asked);
    status = yield io.status(path);
    // Where case is ignored, or names have a short form, the one given may differ from the one that leases record.
    if (status.kind === wanted) path = yield io.realPath(path);
  } catch (error) {
    throw failure(`adopt "${asked}"`, error, asked);
  }
  if (status.kind !== wanted) {
    throw refusal(path, MISMATCH[status.kind], `it is a ${nameOf(status.kind)}, not a ${wanted}`);
  }
  const uid = runtime.uid();
  if (uid !== undefined && status.uid !== uid) throw refusal(path, "EPERM", "it belongs to somebody else");
  return { path, status };
}

function refusal(path: string, code: string, why: string): TempfileError {
  return cannot(`adopt "${path}"`, why, code, path);
}

function* canonical(io: Io, path: string): Op<string> {
  if (isNameless(path)) return yield io.realPath(path);
  return joinPath(yield io.realPath(parentOf(path)), baseName(path));
}
