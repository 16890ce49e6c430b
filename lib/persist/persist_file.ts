/**
 * Putting a temporary file in its place.
 *
 * A file with a name is renamed; a large one without a name is linked beside the target and renamed; anything else, and
 * a file on another file system, is copied to a staged file. Each way ends in one step that gives the result its name:
 * until then the target is untouched, and the temporary file stays open and whole.
 *
 * @module
 */
import { FILE_MODE } from "../create/exclusively.ts";
import { codeOf } from "../errors.ts";
import type { OpenFile } from "../file/open_file.ts";
import { replaced } from "../file/open_same.ts";
import { OwnedName } from "../file/owned.ts";
import type { DiskStorage, Storage } from "../file/storage.ts";
import { sameFile } from "../identity.ts";
import type { Io } from "../operation/io.ts";
import type { Op } from "../operation/op.ts";
import { creatingAt, track } from "../operation/pending.ts";
import { statusIfThere } from "../operation/tried.ts";
import { parentOf } from "../path.ts";
import { type Handle, runtime, type Status } from "../runtime/mod.ts";
import { apply, attributesFor, restore } from "./attributes.ts";
import { commit, inPlaceError, synchronizeName } from "./commit.ts";
import { copyContents } from "./copy.ts";
import type { Replacing } from "./options.ts";
import { placeNew } from "./place_new.ts";
import { makeBeside, umaskMode } from "./stage.ts";
import { isOnDevice, placingFailure, type Target, targetOf } from "./target.ts";

/** Puts the file at `destination` and closes it. If it cannot be put there, it stays as it is, open and whole. */
export function* persistFile(io: Io, file: OpenFile, destination: string, options: Replacing): Op<string> {
  file.require("persist");
  options.signal?.throwIfAborted();
  const target = yield* targetOf(io, destination, options);
  try {
    yield* file.flush(io);
    yield* move(io, file, target, options);
  } catch (error) {
    // If it was disposed of meanwhile, that is why.
    file.require("persist");
    throw placingFailure(target.path, error);
  }
  // From here on it is in place, whatever else fails.
  file.path = target.path;
  yield* closeAfterwards(io, file, target);
  yield* synchronizeName(io, target, options);
  return target.path;
}

function* closeAfterwards(io: Io, file: OpenFile, { path }: Target): Op<void> {
  try {
    yield* file.close(io, true);
  } catch (error) {
    throw inPlaceError(path, "the temporary file could not be closed and removed", error);
  }
}

/** Puts the file in place in the cheapest possible way. */
function* move(io: Io, file: OpenFile, target: Target, options: Replacing): Op<void> {
  const { storage } = file;
  const moved = file.movable
    ? yield* renameFile(io, file, target, options)
    : yield* linkFile(io, storage, target, options);
  if (moved) return;
  const defaultMode = storage.inMemory
    ? file.options.mode ?? FILE_MODE
    : (yield* storage.status(io)).mode & 0o777;
  yield* placeNew(io, target, options, defaultMode, (to) => copyContents(io, storage, to, options));
}

/** Renames the file. Returns `false` if that cannot be done, and the contents must be copied. */
function* renameFile(io: Io, file: OpenFile, target: Target, options: Replacing): Op<boolean> {
  const path = file.path!, { handle } = file.storage as DiskStorage;
  const status: Status = yield io.statusOf(handle);
  const named = yield* statusIfThere(io, path);
  // The contents are there even if their name has been removed. Whatever has it next is not to be removed, even if that
  // is the result.
  if (named === undefined) {
    file.owned?.release();
    file.owned = undefined;
    return false;
  }
  if (!sameFile(named, status)) throw replaced(path, "persist");
  if (isHardLink(status, target, path)) return false;
  // On overlays a file may show another device than its directory, which therefore is checked as well, but only if needed.
  if (
    !(yield* isOnDevice(io, status, target)) &&
    !(yield* isOnDevice(io, yield io.status(parentOf(path)), target))
  ) return false;
  const moved = yield* commitFile(io, handle, path, file.owned, status, target, options);
  if (moved) file.owned = undefined;
  return moved;
}

/** Whether the target is another name of the same file: a rename from one to the other does nothing, but succeeds. */
const isHardLink = (status: Status, { existing, path }: Target, old: string): boolean =>
  existing !== undefined && status.links > 1 && path !== old && sameFile(existing, status);

/**
 * Gives an existing file its attributes and puts it in place; if that fails, restores it. Returns `false` between
 * mounts, which are different file systems to a rename even if they are on one device.
 */
function* commitFile(
  io: Io,
  handle: Handle,
  path: string,
  name: OwnedName | undefined,
  status: Status,
  target: Target,
  options: Replacing,
): Op<boolean> {
  let done = false;
  try {
    const attributes = attributesFor(target, options, undefined);
    if (options.mode === "umask") attributes.mode = yield* umaskMode(io, target);
    yield* apply(io, handle, path, status, attributes);
    if (options.durable) yield io.synchronize(handle);
    options.signal?.throwIfAborted();
    yield* commit(io, path, name, target, options);
    return done = true;
  } catch (error) {
    if (codeOf(error) === "EXDEV") return false;
    throw error;
  } finally {
    if (!done) yield* restore(io, handle, path, status);
  }
}

/** Bytes from which starting a program that links (about 2 ms) is cheaper than copying (0.4 to 0.8 ms for a MiB). */
const MIN_LINKED = 4 * 1024 * 1024;

/**
 * Links a file without a name beside the target and puts it in place. Returns `false` if the system cannot do that, if
 * copying is cheaper, or if the file has a name elsewhere: then it is not ours alone.
 */
function* linkFile(io: Io, storage: Storage, target: Target, options: Replacing): Op<boolean> {
  const { linkDescriptor } = runtime;
  if (linkDescriptor === undefined || storage.inMemory) return false;
  const status = yield* storage.status(io);
  if (status.links > 0 || status.size < MIN_LINKED) return false;
  const handle = yield* storage.descriptor(io);
  const link = (path: string): void | Promise<void> =>
    io.blocking
      ? linkDescriptor.sync(handle, path)
      : track(creatingAt, path, linkDescriptor.pooled(handle, path));
  const name = yield* linkBeside(io, status, target, link);
  if (name === undefined) return false;
  try {
    return yield* commitFile(io, handle, name.path!, name, status, target, options);
  } finally {
    // Once the file is in place, this does nothing, unless its name beside the target could not be removed.
    yield* name.tryRemove(io);
  }
}

/** Links the file beside the target. Returns its name; undefined if that failed. */
function* linkBeside(
  io: Io,
  status: Status,
  target: Target,
  link: (path: string) => void | Promise<void>,
): Op<OwnedName | undefined> {
  const name = new OwnedName();
  try {
    yield* makeBeside(target, name, link);
    return name;
  } catch {
    // It may be there even so: a program that was killed does not report how far it got.
    const found = yield* statusIfThere(io, name.path!);
    if (found !== undefined && sameFile(found, status)) yield* name.tryRemove(io);
    else name.release();
    return undefined;
  }
}
