/**
 * Putting a temporary directory in its place.
 *
 * On one file system the tree is renamed; otherwise it is copied to a staged directory beside the target, which is
 * renamed. Until then the tree stays where it is, and what prepares the destination for the rename is undone if that
 * fails.
 *
 * @module
 */
import { makeDirectory } from "../create/make_directory.ts";
import { OwnedTree } from "../create/owned_tree.ts";
import {
  cannot,
  codeOf,
  failure,
  isGone,
  type Leftover,
  nameOf,
  type TempfileError,
  UNSUPPORTED,
} from "../errors.ts";
import { DiskStorage } from "../file/storage.ts";
import { sameFile } from "../identity.ts";
import { keeping, sessionFor } from "../life/lease.ts";
import type { Io } from "../operation/io.ts";
import type { Op } from "../operation/op.ts";
import { withRetries } from "../operation/retry.ts";
import { closeRead, statusIfThere, tried } from "../operation/tried.ts";
import { contains, isNameless, joinPath, shownPath } from "../path.ts";
import { type Handle, isWindows, type Path, type Status } from "../runtime/mod.ts";
import { contentsOf, type TreeEntry } from "../tree/list.ts";
import { inPlaceError, synchronizeDirectory, synchronizeName } from "./commit.ts";
import { copyContents } from "./copy.ts";
import type { Replacing } from "./options.ts";
import { NAMING } from "./stage.ts";
import { isOnDevice, kindBehind, type Target, targetAt } from "./target.ts";

/**
 * Puts the tree at `destination`. If it cannot be put there, it stays where it is, whole, and the destination
 * unchanged.
 */
export function* persistTree(io: Io, tree: OwnedTree, destination: string, options: Replacing): Op<string> {
  options.signal?.throwIfAborted();
  const target = yield* targetAt(io, destination, placingFailure);
  yield* tree.require(io, "persist");
  let leftovers: Leftover[] = [];
  try {
    requireFree(target, options);
    requireOutside(tree, target);
    // A rename that must fail is not attempted: while one is under way, the end of the process does not touch the tree.
    const sameDevice = yield* isOnDevice(io, tree.identity!, target);
    if (sameDevice && options.durable) yield* synchronizeTree(io, tree.path!, options);
    if (!sameDevice || !(yield* renameTree(io, tree.path!, target, options))) {
      leftovers = yield* moveByCopy(io, tree, target, options);
    }
  } catch (error) {
    throw placingFailure(target.path, error);
  }
  // From here on it is in place, whatever else fails.
  tree.forget();
  tree.path = target.path;
  yield* synchronizeName(io, target, options);
  if (leftovers.length > 0) {
    throw inPlaceError(target.path, `"${leftovers[0].path}" cannot be removed`, leftovers[0]);
  }
  return target.path;
}

/** Refuses a target that is not free. Only an empty directory can be replaced in one step; the system refuses any other. */
function requireFree({ existing, path }: Target, { overwrite }: Replacing): void {
  if (isNameless(path)) throw refusal(path, "EINVAL", "it has no name of its own");
  if (existing === undefined || (overwrite && existing.kind === "directory")) return;
  if (overwrite) throw refusal(path, "ENOTDIR", `a ${nameOf(existing.kind)} is there`);
  throw refusal(path, "EEXIST", "it exists");
}

const refusal = (path: string, code: string, why: string): TempfileError =>
  cannot(`put a directory at "${path}"`, why, code, path);

const placingFailure = (path: string, error: unknown): unknown =>
  failure(`put a directory at "${path}"`, error, path);

function requireOutside({ path }: OwnedTree, target: Target): void {
  if (contains(path!, target.directory)) {
    throw refusal(target.path, "EINVAL", "it is inside the source directory");
  }
}

/** Renames the tree. Returns `false` if the target is on another file system. */
function* renameTree(io: Io, from: string, target: Target, options: Replacing): Op<boolean> {
  const undo = yield* prepare(io, from, target, options);
  try {
    options.signal?.throwIfAborted();
    // Not earlier: until the tree is in place, it must be a leftover if this process is killed, even under the same
    // name.
    const step = withRetries(io, () => io.rename(from, target.path), () => mayReplace(io, target, options));
    yield* keeping(target.path, step);
    return true;
  } catch (error) {
    yield* tried(undo);
    if (codeOf(error) === "EXDEV") return false;
    // Where no directory of ours reserved the name (Windows), that of another process may be in the way.
    if (!options.overwrite) {
      requireFree({ ...target, existing: yield* statusIfThere(io, target.path) }, options);
    }
    throw error;
  }
}

/** Whether another attempt may succeed: with `overwrite: false` only while nothing is at the target. */
function* mayReplace(io: Io, { path }: Target, { overwrite }: Replacing): Op<boolean> {
  return overwrite || (yield* statusIfThere(io, path)) === undefined;
}

/**
 * Prepares for the rename, which replaces an empty directory on POSIX systems, and none on Windows, where it is removed
 * first. With `overwrite: false` a directory that appears meanwhile must not be replaced, so an empty one of ours
 * reserves the name (POSIX). Returns a function that undoes what was done.
 */
function* prepare(
  io: Io,
  from: string,
  { path, existing }: Target,
  { overwrite }: Replacing,
): Op<() => void | Promise<void>> {
  const windows = isWindows();
  // The target may be the tree itself, under this name or one that differs in case.
  if (windows && existing !== undefined && !sameFile(existing, yield io.status(from))) {
    yield io.removeDirectory(path);
    return () => io.makeDirectory(path, existing.mode & 0o777);
  }
  if (windows || overwrite) return () => {};
  yield io.makeDirectory(path, 0o700);
  return () => io.removeDirectory(path);
}

/**
 * Copies the tree beside the target and renames the copy. Returns what could not be removed of the original, which then
 * stays registered.
 */
function* moveByCopy(io: Io, tree: OwnedTree, target: Target, options: Replacing): Op<Leftover[]> {
  const staged = new OwnedTree(true);
  try {
    yield* makeDirectory(io, target.directory, NAMING, sessionFor(target.directory, NAMING), staged);
    yield* copyTree(io, tree.path!, staged.path!, options);
    if (!(yield* renameTree(io, staged.path!, target, options))) {
      throw refusal(target.path, "EXDEV", "it is a mount point");
    }
    staged.release();
  } catch (error) {
    yield* staged.remove(io);
    throw error;
  }
  const leftovers = yield* tree.remove(io);
  if (leftovers.length > 0) Object.assign(new OwnedTree(true), { path: tree.path, identity: tree.identity });
  tree.removed = false;
  tree.identity = staged.identity;
  return leftovers;
}

/** Copies contents, links and modes, but not owners, times and hard links among the files. */
function* copyTree(io: Io, from: string, to: string, options: Replacing): Op<void> {
  const top: TreeEntry = { path: from, inside: "", status: yield io.status(from) };
  const found = yield* contentsOf(io, from);
  for (const entry of found) {
    options.signal?.throwIfAborted();
    yield* COPIES[entry.status.kind](io, entry, joinPath(to, entry.inside), options);
  }
  // Last, and from the bottom up: a directory's mode may forbid what is still to be put into it.
  for (const { status, inside } of [top, ...found].reverse()) {
    if (status.kind === "directory") {
      yield* finishDir(io, inside === "" ? to : joinPath(to, inside), status, options);
    }
  }
}

function* finishDir(io: Io, path: Path, { mode }: Status, { durable }: Replacing): Op<void> {
  if (durable) yield* synchronizeDirectory(io, path);
  if (isWindows()) return;
  const directory: number = yield io.openDirectory(path);
  try {
    yield* setMode(io, directory, mode);
  } finally {
    yield* closeRead(io, directory);
  }
}

type Copy = (io: Io, entry: TreeEntry, to: Path, options: Replacing) => Op<void>;

const COPIES: { [kind in Status["kind"]]: Copy } = {
  *directory(io, _entry, to) {
    yield io.makeDirectory(to, 0o700);
  },
  *link(io, { path }, to) {
    yield io.symbolicLink(yield io.readLink(path), to, (yield* leadsToDirectory(io, path)) ? "dir" : "file");
  },
  *file(io, { path, status }, to, options) {
    const from: Handle = yield io.openFile(path, "read");
    try {
      const copy: Handle = yield io.createFile(to, 0o600);
      try {
        // Nobody else writes to the copy: without a call it is known how far it was written.
        const written = new DiskStorage(copy, undefined, true);
        const size = yield* copyContents(io, new DiskStorage(from), written, options);
        requireWhole(path, yield* written.left(io, 0), size);
        if (showsMode(status)) yield* setMode(io, copy, status.mode);
        if (options.durable) yield io.synchronize(copy);
      } finally {
        yield io.close(copy);
      }
    } finally {
      yield* closeRead(io, from);
    }
  },
  // deno-lint-ignore require-yield -- one of several operations of the same form
  *other(_io, { path }) {
    const shown = shownPath(path);
    throw cannot(`copy "${shown}"`, "it is not a file, directory or link", "EINVAL", shown);
  },
};

/** Refuses a copy of less than the file had at first: if something truncates it meanwhile, or a read ends early. */
function requireWhole(path: Path, copied: number, size: number): void {
  if (copied === size) return;
  const shown = shownPath(path);
  throw cannot(`copy "${shown}"`, `${copied} of ${size} bytes arrived`, "EIO", shown);
}

/**
 * Whether a copy must be a link to a directory, which is a separate kind on Windows. The original is checked, since
 * what the copy leads to may not be copied yet.
 */
function* leadsToDirectory(io: Io, link: Path): Op<boolean> {
  return isWindows() && (yield* kindBehind(io, link as string)) === "directory";
}

/** Whether the permission bits mean anything: on Windows only that nobody may write. */
const showsMode = ({ mode }: Status): boolean => !isWindows() || (mode & 0o222) === 0;

/** Sets the mode. File systems without permissions, such as FAT, refuse a change: the mode that they show must do. */
const setMode = (io: Io, handle: Handle, mode: number): Op<void> =>
  tried(() => io.changeMode(handle, mode & 0o777), "EPERM", ...UNSUPPORTED);

/** Waits until everything in the tree is on the disk. */
function* synchronizeTree(io: Io, top: string, { signal }: Replacing): Op<void> {
  for (const { path, status } of yield* contentsOf(io, top)) {
    signal?.throwIfAborted();
    try {
      if (status.kind === "file") yield* synchronizeFile(io, path);
      if (status.kind === "directory") yield* synchronizeDirectory(io, path);
    } catch (error) {
      // What has been removed since it was listed need not be on the disk.
      if (!isGone(error)) throw error;
    }
  }
  yield* synchronizeDirectory(io, top);
}

function* synchronizeFile(io: Io, path: Path): Op<void> {
  const handle = yield* openToSynchronize(io, path);
  if (handle === undefined) return;
  try {
    yield io.synchronize(handle);
  } finally {
    yield* closeRead(io, handle);
  }
}

/** Opens a file to synchronize it; undefined if Windows denies the write access that this needs there. */
function* openToSynchronize(io: Io, path: Path): Op<Handle | undefined> {
  if (!isWindows()) return yield io.openFile(path, "read");
  // A file with the read-only attribute: nobody can have written to it since it was closed.
  return yield* tried(() => io.openFile(path, "write"), "EACCES", "EPERM");
}
