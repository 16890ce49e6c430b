/**
 * A reference to a directory that a walk has entered.
 *
 * Where the platform can name the directory behind a descriptor (`/proc/self/fd/N`), it is a descriptor, and every
 * path below it has one component, so that no rename can lead the walk anywhere else. Elsewhere it is a path.
 *
 * @module
 */
import { codeOf } from "../errors.ts";
import { type Identity, sameFile } from "../identity.ts";
import type { Io } from "../operation/io.ts";
import type { Op } from "../operation/op.ts";
import { closeRead } from "../operation/tried.ts";
import { joinPath, shownPath } from "../path.ts";
import { requirePermission, requireReadable } from "../permission.ts";
import { coded, type Path, runtime, type Status } from "../runtime/mod.ts";

/** A directory, by its descriptor or its path. */
export interface DirRef {
  /** The path that names in it are joined to. */
  readonly base: Path;
  /** The path for messages. */
  readonly shown: string;
  readonly descriptor: number | undefined;
  readonly status: Status;
}

/** Throws if a directory must be left alone. Called before anything is done to it. */
export type Check = (dir: DirRef) => Op<void>;

/** Whether directories are referred to by descriptor here. */
export const hasAnchors = (): boolean => runtime.anchor(0) !== undefined;

/**
 * Returns the runtime's own removal of a tree, if it has one that is safe both blocking and not. It empties what is
 * mounted inside.
 */
export function nativeRemoval({ blocking }: Io): ((path: string) => void | Promise<void>) | undefined {
  const { removeTree } = runtime;
  return removeTree?.pooled && (blocking ? removeTree.sync : removeTree.pooled);
}

/** Returns the path of a name in a directory. */
export const within = (dir: DirRef, name: Path): Path => joinPath(dir.base, name);

/** Returns the path of a name in a directory, for messages. */
export const shownWithin = (dir: DirRef, name: Path): string => joinPath(dir.shown, shownPath(name));

/** Leaves a directory. */
export function* leave(io: Io, dir: DirRef): Op<void> {
  if (dir.descriptor !== undefined) yield* closeRead(io, dir.descriptor);
}

/** Locates a directory by its path, without opening it for listing. The directories on the way are not checked. */
export function* locate(io: Io, path: string): Op<DirRef> {
  // A lease may name any directory.
  requireReadable(path);
  if (!hasAnchors()) return { base: path, shown: path, descriptor: undefined, status: yield io.status(path) };
  return yield* dirOf(io, yield io.locateDirectory(path), path);
}

/**
 * Enters a subdirectory, never through a link.
 *
 * If its owner may not read it, the owner is granted access first, provided it passes the check: through a descriptor,
 * so that no swap can redirect that to anything else.
 *
 * @returns `undefined` if the name is not a directory.
 */
export function* enter(io: Io, from: DirRef, name: Path, check: Check): Op<DirRef | undefined> {
  const path = within(from, name), shown = shownWithin(from, name);
  if (from.descriptor === undefined) return yield* enterByPath(io, path, shown, check);
  try {
    return yield* openDir(io, path, shown, check);
  } catch (error) {
    const code = codeOf(error);
    if (code === "ELOOP" || code === "ENOTDIR") return undefined;
    throw error;
  }
}

function* enterByPath(io: Io, path: Path, shown: string, check: Check): Op<DirRef | undefined> {
  const status: Status = yield io.status(path);
  if (status.kind !== "directory") return undefined;
  const dir: DirRef = { base: path, shown, descriptor: undefined, status };
  yield* check(dir);
  return dir;
}

function* openDir(io: Io, path: Path, shown: string, check: Check): Op<DirRef> {
  let descriptor: number;
  try {
    descriptor = yield io.openDirectory(path);
  } catch (error) {
    if (codeOf(error) !== "EACCES") throw error;
    return yield* forceOpen(io, path, shown, check);
  }
  return yield* dirOf(io, descriptor, shown, check);
}

function* dirOf(io: Io, descriptor: number, shown: string, check?: Check): Op<DirRef> {
  try {
    const status: Status = yield io.statusOf(descriptor);
    const base = runtime.anchor(descriptor);
    // Permission may have been revoked since the walk began.
    requirePermission(base !== undefined);
    const dir: DirRef = { base, shown, descriptor, status };
    if (check !== undefined) yield* check(dir);
    return dir;
  } catch (error) {
    yield* closeRead(io, descriptor);
    throw error;
  }
}

/** The permissions that the owner of a directory needs to empty it. */
const OWNER_RIGHTS = 0o700;

function* forceOpen(io: Io, path: Path, shown: string, check: Check): Op<DirRef> {
  const located = yield* dirOf(io, yield io.locateDirectory(path), shown, check);
  try {
    yield* grant(io, located);
    // The dot makes the anchor an intermediate component: as the last one it would be a link, which is not opened.
    return yield* dirOf(io, yield io.openDirectory(within(located, ".")), shown);
  } finally {
    yield* leave(io, located);
  }
}

/**
 * Grants the owner of a directory access, so that it can be emptied. Where it is a path, this works only for one that may
 * be read: others cannot be opened.
 */
export function* grant(io: Io, { base, descriptor, status }: DirRef): Op<void> {
  const mode = status.mode | OWNER_RIGHTS;
  if (descriptor === undefined) yield* setMode(io, base, status, mode);
  // No dot here: it would need the permission to search the directory, which may be missing.
  else yield io.changeModeAt(base as string, mode);
}

/** Refuses a directory other than the one of which `identity` was recorded. */
// deno-lint-ignore require-yield -- other checks ask the system
export function* verify(identity: Identity, dir: Pick<DirRef, "status">): Op<void> {
  if (!sameFile(dir.status, identity)) {
    throw coded("ERR_REPLACED", "another directory has taken its place");
  }
}

/**
 * Sets the permission bits of the directory of which `identity` was recorded, through a descriptor.
 *
 * @returns Its status afterwards.
 */
export function* setMode(io: Io, path: Path, identity: Identity, mode: number): Op<Status> {
  // A directory that was only located can be changed by its anchor alone.
  const descriptor: number = yield hasAnchors() ? io.locateDirectory(path) : io.openDirectory(path);
  try {
    yield* verify(identity, { status: yield io.statusOf(descriptor) });
    const anchor = runtime.anchor(descriptor);
    yield anchor === undefined ? io.changeMode(descriptor, mode) : io.changeModeAt(anchor, mode);
    return yield io.statusOf(descriptor);
  } finally {
    yield* closeRead(io, descriptor);
  }
}
