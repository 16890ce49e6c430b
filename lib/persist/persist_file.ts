/**
 * Putting a temporary file in its place.
 *
 * @module
 */
import { FILE_MODE } from "../create.ts";
import { codeOf } from "../errors.ts";
import type { OpenFile } from "../file/open_file.ts";
import { replaced } from "../file/open_same.ts";
import { OwnedName } from "../file/owned.ts";
import type { DiskStorage, Storage } from "../file/storage.ts";
import { sameFile } from "../identity.ts";
import type { Io } from "../io.ts";
import type { Op } from "../op.ts";
import { parentOf } from "../path.ts";
import { type Handle, runtime, type Status } from "../runtime/mod.ts";
import { statusIfThere } from "../status.ts";
import { arriving, noted } from "../under_way.ts";
import { attributesFor, restore, settle } from "./attributes.ts";
import { afterwards, commit, synchronizeName } from "./commit.ts";
import { copyContents } from "./copy.ts";
import type { Replacing } from "./options.ts";
import { placeNew } from "./place_new.ts";
import { makeBeside, umaskMode } from "./stage.ts";
import { isOnDevice, placingFailure, type Target, targetOf } from "./target.ts";

/** Puts the file at `destination` and closes it. On failure it stays as it is, open and whole. */
export function* persistFile(io: Io, file: OpenFile, destination: string, options: Replacing): Op<string> {
  file.require("persist");
  options.signal?.throwIfAborted();
  const target = yield* targetOf(io, destination, options);
  try {
    yield* file.flush(io);
    yield* move(io, file, target, options);
  } catch (error) {
    throw placingFailure(target.path, error);
  }
  // From here on it is in its place, whatever else fails.
  file.path = target.path;
  yield* closeAfterwards(io, file, target);
  yield* synchronizeName(io, target, options);
  return target.path;
}

function* closeAfterwards(io: Io, file: OpenFile, { path }: Target): Op<void> {
  try {
    yield* file.close(io, true);
  } catch (error) {
    throw afterwards(path, "the temporary file could not be closed and removed", error);
  }
}

/** By the cheapest way that keeps the promise. */
function* move(io: Io, file: OpenFile, target: Target, options: Replacing): Op<void> {
  const { storage } = file;
  const moved = file.movable
    ? yield* moveName(io, file, target, options)
    : yield* giveName(io, storage, target, options);
  if (moved) return;
  const own = storage.inMemory ? file.options.mode ?? FILE_MODE : (yield* storage.status(io)).mode & 0o777;
  yield* placeNew(io, target, options, own, (to) => copyContents(io, storage, to, options));
}

/** Renames. `false` if that cannot be done, and the contents must be copied. */
function* moveName(io: Io, file: OpenFile, target: Target, options: Replacing): Op<boolean> {
  const path = file.path!, { handle } = file.storage as DiskStorage;
  const status: Status = yield io.statusOf(handle);
  const named = yield* statusIfThere(io, path);
  // The contents are there even if something has taken their name away.
  if (named === undefined) return false;
  if (!sameFile(named, status)) throw replaced(path, "persist");
  if (isOtherNameOf(status, target, path) || !(yield* isRenamable(io, status, path, target))) return false;
  const moved = yield* moveReady(io, handle, path, file.owned, status, target, options);
  if (moved) file.owned = undefined;
  return moved;
}

/** Overlays may show another device for a file than for the directory it is in, which is looked at only then. */
function* isRenamable(io: Io, status: Status, path: string, target: Target): Op<boolean> {
  return (yield* isOnDevice(io, status, target)) ||
    (yield* isOnDevice(io, yield io.status(parentOf(path)), target));
}

/** A rename from one name of a file to another of its names does nothing, and says that it has succeeded. */
const isOtherNameOf = (status: Status, { existing, path }: Target, old: string): boolean =>
  existing !== undefined && status.links > 1 && path !== old && sameFile(existing, status);

/**
 * Makes an existing file what the result is to be, then puts it in place; else it is as it was. `false` between mounts, which
 * are different file systems to a rename even if they are on one device.
 */
function* moveReady(
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
    yield* settle(io, handle, path, status, attributes);
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

/** Bytes from which starting a program that links, about 2 ms, is cheaper than copying, 0.4 to 0.8 ms for a MiB. */
const WORTH_LINKING = 4 * 1024 * 1024;

/**
 * Gives a file without a name its first one, beside the target. `false` where the system cannot, or copying is cheaper, or
 * the file has a name elsewhere: then it is not ours alone.
 */
function* giveName(io: Io, storage: Storage, target: Target, options: Replacing): Op<boolean> {
  const { linkDescriptor } = runtime;
  if (linkDescriptor === undefined || storage.inMemory) return false;
  const status = yield* storage.status(io);
  if (status.links > 0 || status.size < WORTH_LINKING) return false;
  const handle = yield* storage.descriptor(io);
  const link = (path: string): void | Promise<void> =>
    io.blocking
      ? linkDescriptor.sync(handle, path)
      : noted(arriving, path, linkDescriptor.pooled(handle, path));
  const name = yield* linked(io, status, target, link);
  if (name === undefined) return false;
  try {
    return yield* moveReady(io, handle, name.path!, name, status, target, options);
  } finally {
    // What has its place is no longer on the books.
    yield* name.takeBack(io);
  }
}

/** The file's name beside the target; undefined if it could not be linked there. */
function* linked(
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
    // It may be there even so: a program that is killed does not tell how far it got.
    const found = yield* statusIfThere(io, name.path!);
    if (found !== undefined && sameFile(found, status)) yield* name.takeBack(io);
    else name.release();
    return undefined;
  }
}
