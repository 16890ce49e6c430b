/**
 * Taking over what somebody else created: ownership that travels between processes.
 *
 * @module
 */
import { guardOf } from "./devices.ts";
import { TemporaryDirectory } from "./directory.ts";
import { cannot, failure, invalid, nameOf, outOfRange, type TempfileError } from "./errors.ts";
import { TemporaryFile } from "./file/file.ts";
import { NamedTemporaryFile } from "./file/named.ts";
import { OpenFile } from "./file/open_file.ts";
import { openSame } from "./file/open_same.ts";
import { OwnedName } from "./file/owned.ts";
import { DiskStorage } from "./file/storage.ts";
import { home } from "./home.ts";
import { sameFile } from "./identity.ts";
import { asyncIo, type Io, syncIo } from "./io.ts";
import { keepYoung } from "./life/keep_alive.ts";
import { recordAdopted, recordReleased } from "./life/lease.ts";
import { hold } from "./life/registry.ts";
import { isMountPoint } from "./mounts.ts";
import { type Op, runAsync, runSync } from "./op.ts";
import { checkOptions } from "./options/checked.ts";
import { checkPath } from "./options/paths.ts";
import type { ContentOptions, DirectoryOptions, NamedFileOptions } from "./options/types.ts";
import { withoutSign } from "./options/values.ts";
import { OwnedTree } from "./owned_tree.ts";
import { baseName, contains, isNameless, joinPath, parentOf, withoutTrailingSeparators } from "./path.ts";
import { type Handle, isWindows, runtime, type Status } from "./runtime/mod.ts";
import { tmpdir } from "./tmpdir.ts";
import { lasting } from "./tree/overlay.ts";

/** Options of {@linkcode adoptFile}. */
export interface AdoptFileOptions
  extends ContentOptions, Pick<NamedFileOptions, "deleteOnClose" | "signal"> {}

/** Options of {@linkcode adoptDirectory}. */
export interface AdoptDirectoryOptions extends Pick<DirectoryOptions, "ignoreCleanupErrors" | "signal"> {}

/**
 * Takes over a file that somebody else created, to read and write it and then remove it. What this process leaves of it
 * when it is killed is removed by the next one if a function of Mayfly had made it; until then, and once it is kept, it is
 * no leftover of the process that did, if that has the same directory for temporary files, or one that the file is in.
 * Who hands it on must let go of it by `keep()`: what a process still has may go when that ends, though another keeps it.
 * And must live until it is taken over: what a dead process left may be removed in the same moment.
 *
 * @param path A regular file that belongs to this user and has no other name; no link.
 * @returns The open file, which is removed as if {@linkcode namedTemporaryFile} had made it.
 * @throws {TempfileError} `ENOENT`, `EISDIR`, `ELOOP` for a link, `EPERM` if it belongs to somebody else, `EMLINK` if it
 *   has other names: a name for any file of this user's may have been put where others may write, and what is written to
 *   the one is written to the other.
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

/** As {@linkcode adoptFile}, blocking. */
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
  const { path, status } = yield* lookAlone(io, given);
  const handle = yield* opened(io, path, status);
  const file = new OpenFile(new DiskStorage(handle, path), checked, 0);
  file.owned = new OwnedName();
  file.owned.path = path;
  file.owned.released = () => recordReleased(path);
  file.guard = guardOf(path);
  file.path = path;
  file.movable = true;
  // The path comes from the caller, so it is known.
  file.pathSeen = true;
  keepYoung(file.owned);
  return new NamedTemporaryFile(file);
}

/** Opens it when it is on our lease: as what its maker left, somebody may have removed it before that. */
function* opened(io: Io, path: string, status: Status): Op<Handle> {
  recordAdopted(path);
  try {
    return yield* openSame(io, path, status);
  } catch (error) {
    recordReleased(path);
    throw error;
  }
}

/**
 * Takes over a directory that somebody else created, to remove it with everything in it. What becomes of it when its
 * processes are killed is as with {@linkcode adoptFile}.
 *
 * @param path A directory that belongs to this user; no link, and nothing whose removal would be a disaster: not a root,
 *   not a mount point, nothing that has the home directory, the current one or the one for temporary files in it.
 * @throws {TempfileError} `ENOENT`, `ENOTDIR`, `ELOOP` for a link, `EPERM` if it belongs to somebody else.
 * @throws {TypeError} `ERR_INVALID_OPTION` for a directory that is refused.
 */
export function adoptDirectory(
  path: string | URL,
  options?: AdoptDirectoryOptions,
): Promise<TemporaryDirectory> {
  return runAsync(takeDirectory(asyncIo(), path, options));
}

/** As {@linkcode adoptDirectory}, blocking. */
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
  const { path, status } = yield* look(io, given, "directory");
  try {
    yield* refusePrecious(io, path, status);
  } catch (error) {
    throw failure(`adopt "${path}"`, error, path);
  }
  const identity = yield* lasting(io, path, status);
  recordAdopted(path);
  const tree = new OwnedTree(true);
  tree.path = path;
  tree.released = () => recordReleased(path);
  tree.identity = identity;
  tree.pathSeen = true;
  try {
    // As what its maker left, somebody may have removed it before it was on our lease.
    yield* tree.require(io, "adopt");
  } catch (error) {
    tree.release();
    throw error;
  }
  keepYoung(tree);
  return new TemporaryDirectory(tree, checked.ignoreCleanupErrors);
}

/** How the system names what was found in place of what was wanted. */
const MISMATCH = { link: "ELOOP", directory: "EISDIR", file: "ENOTDIR", other: "EINVAL" } as const;

/** Milliseconds before each further look at a file with two names: one that is put where none may be has them for a moment. */
const MOMENT = [2, 10, 50];

/** As {@linkcode look}, at a file that has one name only. */
function* lookAlone(io: Io, given: string | URL): Op<{ path: string; status: Status }> {
  let seen = yield* look(io, given, "file");
  for (const delay of MOMENT) {
    if (seen.status.links <= 1) break;
    yield io.sleep(delay);
    seen = yield* look(io, seen.path, "file");
  }
  if (seen.status.links > 1) throw refusal(seen.path, "EMLINK", "it has other names");
  return seen;
}

/** The canonical path of what is to be adopted, itself not followed, and what it is. */
function* look(
  io: Io,
  given: string | URL,
  wanted: "file" | "directory",
): Op<{ path: string; status: Status }> {
  const asked = withoutTrailingSeparators(checkPath(given, "path"));
  let path: string, status: Status;
  try {
    path = yield* canonical(io, asked);
    status = yield io.status(path);
  } catch (error) {
    throw failure(`adopt "${asked}"`, error, asked);
  }
  if (status.kind !== wanted) {
    throw refusal(path, MISMATCH[status.kind], `it is no ${wanted} but a ${nameOf(status.kind)}`);
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

/** Anybody may write into it: what is in there belongs to others too. */
const SHARED = 0o002;

/**
 * Refuses what nobody means to have removed. A program that runs as root owns `/tmp` and `/usr`, so ownership says
 * nothing there.
 */
function* refusePrecious(io: Io, path: string, status: Status): Op<void> {
  const above = parentOf(path);
  const parent: Status = yield io.status(above);
  if (parentOf(above) === above || parent.device !== status.device || sameFile(parent, status)) {
    throw invalid("path", "no root of a file system, nor a directory in one", path);
  }
  if (yield* isMountPoint(io, path)) throw invalid("path", "no place where something is mounted", path);
  if (!isWindows() && (status.mode & SHARED) !== 0) {
    throw invalid("path", "no directory that others may write to", path);
  }
  const precious = { current: ".", home: home(), temporary: tmpdirIfAny() };
  for (const [name, place] of Object.entries(precious)) {
    const known = place === undefined ? undefined : yield* ifPermitted(place, () => io.realPath(place));
    if (known !== undefined && (contains(path, known) || (yield* isAbove(io, status, known)))) {
      throw invalid("path", `no directory that has the ${name} directory in it`, path);
    }
  }
}

/** Whether a directory is a place or has it in it, whatever it was called: where case is not heeded it has many names. */
function* isAbove(io: Io, directory: Status, place: string): Op<boolean> {
  for (let at = place;; at = parentOf(at)) {
    const status = yield* ifPermitted(at, () => io.status(at));
    if (status !== undefined && sameFile(status, directory)) return true;
    if (at === parentOf(at)) return false;
  }
}

function tmpdirIfAny(): string | undefined {
  try {
    return tmpdir();
  } catch {
    // Nothing is kept where nothing can be made.
    return undefined;
  }
}

function* ifPermitted<T>(path: string, look: () => T | Promise<T>): Op<T | undefined> {
  // Asked first, since looking would make Deno ask the user.
  if (!runtime.mayRead(path)) return undefined;
  try {
    return yield look();
  } catch {
    // Not there or not permitted: then nothing of it can be lost either.
    return undefined;
  }
}

/**
 * Takes over an open descriptor that another process handed on, such as a file of {@linkcode temporaryFile} in the `stdio`
 * of a child. The handle has a cursor of its own, at the start; closing it closes the descriptor.
 *
 * Deno knows the descriptors that a parent on Deno handed on, and needs `--allow-all` for those of any other. The number
 * itself stays open there until the process ends.
 *
 * @param fd The number, of a regular file open for reading and writing.
 * @throws {TempfileError} `EBADF` if nothing is open there, `EINVAL` for a pipe, a terminal or a directory.
 *
 * @example In the child process
 * ```ts ignore
 * import { fromDescriptor } from "mayfly";
 *
 * using file = fromDescriptor(3);
 * console.log(file.textSync());
 * ```
 */
export function fromDescriptor(fd: number, options?: ContentOptions): TemporaryFile {
  if (typeof fd !== "number") throw invalid("fd", "a descriptor number", fd);
  if (!Number.isInteger(fd) || fd < 0 || fd > 0x7fffffff) throw outOfRange("fd", "a descriptor number", fd);
  const checked = checkOptions("descriptor", options);
  const file = new OpenFile(new DiskStorage(handleOf(withoutSign(fd))), checked, 0);
  hold(file);
  return new TemporaryFile(file);
}

function handleOf(fd: number): Handle {
  let kind: Status["kind"];
  let handle: Handle;
  try {
    handle = runtime.fromDescriptor(fd);
    kind = runtime.sync.statusOf(handle).kind;
  } catch (error) {
    throw failure(`use descriptor ${fd}`, error);
  }
  if (kind === "file") return handle;
  throw cannot(`use descriptor ${fd}`, "it is no regular file", "EINVAL");
}
