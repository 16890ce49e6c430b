/**
 * Putting a temporary file in its place.
 *
 * @module
 */
import { createExclusively } from "../create.ts";
import { codeOf, TempfileError } from "../errors.ts";
import type { OpenFile } from "../file/open_file.ts";
import { OwnedName } from "../file/owned.ts";
import { DiskStorage, type Storage } from "../file/storage.ts";
import { sameFile } from "../identity.ts";
import type { Io } from "../io.ts";
import { sessionFor } from "../life/lease.ts";
import type { Op } from "../op.ts";
import { type Handle, runtime, type Status } from "../runtime/mod.ts";
import { commit, placingFailure } from "./commit.ts";
import { copyContents } from "./copy.ts";
import type { Replacing } from "./options.ts";
import { placeNew } from "./place_new.ts";
import { NAMING, settle } from "./stage.ts";
import { type Target, targetOf } from "./target.ts";

/** Puts the file at `destination` and closes it. On failure it stays as it is, open and whole. */
export function* persistFile(io: Io, file: OpenFile, destination: string, options: Replacing): Op<string> {
  file.require("persist");
  options.signal?.throwIfAborted();
  const target = yield* targetOf(io, destination, options);
  try {
    yield* file.flush(io);
    yield* move(io, file, target, options);
  } catch (error) {
    throw placingFailure(target, error);
  }
  yield* file.close(io, true);
  file.path = target.path;
  return target.path;
}

/** By the cheapest way that keeps the promise. */
function* move(io: Io, file: OpenFile, target: Target, options: Replacing): Op<void> {
  const { storage } = file;
  const handle: Handle | undefined = storage instanceof DiskStorage ? storage.handle : undefined;
  if (handle !== undefined && file.movable && (yield* moveName(io, file, handle, target, options))) return;
  if (!file.movable && (yield* giveName(io, storage, target, options))) return;
  yield* placeNew(io, target, options, (to) => copyContents(io, storage, to, options));
}

/** Renames. `false` if the target is on another file system. */
function* moveName(io: Io, file: OpenFile, handle: Handle, target: Target, options: Replacing): Op<boolean> {
  const path = file.path!;
  const status: Status = yield io.statusOf(handle);
  if (!sameFile(yield io.status(path), status)) {
    throw new TempfileError(`Cannot persist "${path}": another file has taken its place`, {
      code: "ERR_REPLACED",
      path,
    });
  }
  if (status.device !== ((yield io.status(target.directory)) as Status).device) return false;
  yield* makeReady(io, handle, target, options);
  try {
    yield* commit(io, path, file.owned, target, options);
  } catch (error) {
    // Mounts of one device are different file systems to a rename.
    if (codeOf(error) === "EXDEV") return false;
    throw error;
  }
  file.owned = undefined;
  return true;
}

function* makeReady(io: Io, handle: Handle, target: Target, options: Replacing): Op<void> {
  yield* settle(io, handle, PRIVATE, target, options);
  if (options.durable) yield io.synchronize(handle);
  options.signal?.throwIfAborted();
}

const PRIVATE = 0o600;

/** Bytes from which starting a program that links is cheaper than copying. */
const WORTH_LINKING = 4 * 1024 * 1024;

/** Gives a file without a name its first one, beside the target. `false` where the system cannot, or copying is cheaper. */
function* giveName(io: Io, storage: Storage, target: Target, options: Replacing): Op<boolean> {
  const { linkDescriptor } = runtime;
  if (linkDescriptor === undefined || storage.inMemory || (yield* storage.size(io)) < WORTH_LINKING) {
    return false;
  }
  const name = new OwnedName();
  try {
    const descriptor = yield* storage.descriptor(io);
    yield* createExclusively("file", target.directory, NAMING, sessionFor(target.directory), (path) => {
      name.path = path;
      return io.blocking ? linkDescriptor.sync(descriptor, path) : linkDescriptor.pooled(descriptor, path);
    });
    yield* makeReady(io, descriptor, target, options);
  } catch (error) {
    yield* discardName(io, name);
    if (options.signal?.aborted) throw error;
    return false;
  }
  try {
    yield* commit(io, name.path!, name, target, options);
    return true;
  } catch (error) {
    yield* discardName(io, name);
    throw error;
  }
}

function* discardName(io: Io, name: OwnedName): Op<void> {
  try {
    yield* name.remove(io);
  } catch {
    // It stays on the books: the end of the process tries once more.
  }
}
