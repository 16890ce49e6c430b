/**
 * Putting a temporary directory in its place.
 *
 * @module
 */
import { createExclusively } from "../create.ts";
import { codeOf, failure, TempfileError } from "../errors.ts";
import { DiskStorage } from "../file/storage.ts";
import type { Io } from "../io.ts";
import { recordKept, sessionFor } from "../life/lease.ts";
import type { Op } from "../op.ts";
import { OwnedTree } from "../owned_tree.ts";
import { joinPath } from "../path.ts";
import type { Handle, Status } from "../runtime/mod.ts";
import { contentsOf, type Found } from "../tree/visit.ts";
import { synchronizeName } from "./commit.ts";
import { copyContents } from "./copy.ts";
import type { Replacing } from "./options.ts";
import { NAMING } from "./stage.ts";
import { locate, type Target } from "./target.ts";

/** Puts the tree at `destination`. On failure it stays where it is, whole, and the destination as it was. */
export function* persistTree(io: Io, tree: OwnedTree, destination: string, options: Replacing): Op<string> {
  options.signal?.throwIfAborted();
  const target = yield* locate(io, destination);
  try {
    requireFree(target, options);
    recordKept(target.path);
    if (options.durable) yield* synchronizeTree(io, tree.path!);
    if (!(yield* rename(io, tree.path!, target, options))) yield* moveByCopy(io, tree, target, options);
    if (options.durable) yield* synchronizeName(io, target);
  } catch (error) {
    throw failure(`put a directory at "${target.path}"`, error, target.path);
  }
  tree.release();
  tree.path = target.path;
  return target.path;
}

/** Only an empty directory can be replaced in one step; the system refuses any other. */
function requireFree({ existing, path }: Target, { overwrite }: Replacing): void {
  if (existing === undefined || (overwrite && existing.kind === "directory")) return;
  const code = overwrite ? "ENOTDIR" : "EEXIST";
  const why = overwrite ? `a ${existing.kind} is there` : "it exists";
  throw new TempfileError(`Cannot put a directory at "${path}": ${why} (${code})`, { code, path });
}

/** `false` if the target is on another file system. */
function* rename(io: Io, from: string, target: Target, { overwrite }: Replacing): Op<boolean> {
  // A rename would replace an empty directory that appeared meanwhile; one that we make ourselves we may replace.
  if (!overwrite) yield io.makeDirectory(target.path, 0o700);
  try {
    yield io.rename(from, target.path);
    return true;
  } catch (error) {
    if (!overwrite) yield io.removeDirectory(target.path);
    if (codeOf(error) === "EXDEV") return false;
    throw error;
  }
}

function* moveByCopy(io: Io, tree: OwnedTree, target: Target, options: Replacing): Op<void> {
  const staged = new OwnedTree(true);
  try {
    yield* createExclusively("directory", target.directory, NAMING, sessionFor(target.directory), (path) => {
      staged.path = path;
      return io.makeDirectory(path, 0o700);
    });
    staged.identity = yield io.status(staged.path!);
    yield* copyTree(io, tree.path!, staged.path!, options);
    if (options.durable) yield* synchronizeTree(io, staged.path!);
    yield* rename(io, staged.path!, target, options);
    staged.release();
  } catch (error) {
    yield* staged.remove(io);
    throw error;
  }
  // What cannot be removed of the old one stays on the books of nobody but the sweep: the result is in place.
  yield* tree.remove(io);
}

function* copyTree(io: Io, from: string, to: string, options: Replacing): Op<void> {
  const found = yield* contentsOf(io, from);
  for (const entry of found) {
    options.signal?.throwIfAborted();
    yield* COPIES[entry.status.kind](io, entry, joinPath(to, entry.inside), options);
  }
  // Last, and from the depth up: a directory may forbid what is still to be put into it.
  for (const { status, inside } of found.reverse()) {
    if (status.kind === "directory") yield* setMode(io, joinPath(to, inside), status.mode);
  }
}

type Copy = (io: Io, entry: Found, to: string, options: Replacing) => Op<void>;

const COPIES: { [kind in Status["kind"]]: Copy } = {
  *directory(io, _entry, to) {
    yield io.makeDirectory(to, 0o700);
  },
  *link(io, { path }, to) {
    yield io.symbolicLink(yield io.readLink(path), to);
  },
  *file(io, { path, status }, to, options) {
    const from: Handle = yield io.openFile(path, "read");
    try {
      const copy: Handle = yield io.createFile(to, 0o600);
      try {
        yield* copyContents(io, new DiskStorage(from), new DiskStorage(copy), options);
        yield io.changeMode(copy, status.mode & 0o777);
      } finally {
        yield io.close(copy);
      }
    } finally {
      yield io.close(from);
    }
  },
  // deno-lint-ignore require-yield -- one of several operations of the same form
  *other(_io, { path }) {
    throw new TempfileError(`Cannot copy "${path}": it is no file, directory or link (EINVAL)`, {
      code: "EINVAL",
      path,
    });
  },
};

function* setMode(io: Io, path: string, mode: number): Op<void> {
  const directory: number = yield io.openDirectory(path);
  try {
    yield io.changeMode(directory, mode & 0o777);
  } finally {
    yield io.close(directory);
  }
}

/** Waits until the disk has everything in the tree. */
function* synchronizeTree(io: Io, top: string): Op<void> {
  for (const { path, status } of yield* contentsOf(io, top)) {
    if (status.kind === "file") yield* synchronizeFile(io, path);
    if (status.kind === "directory") yield io.synchronizeDirectory(path);
  }
  yield io.synchronizeDirectory(top);
}

function* synchronizeFile(io: Io, path: string): Op<void> {
  const handle: Handle = yield io.openFile(path, "read");
  try {
    yield io.synchronize(handle);
  } finally {
    yield io.close(handle);
  }
}
