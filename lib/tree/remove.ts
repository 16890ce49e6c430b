/**
 * Removing a directory with everything in it.
 *
 * Only the directory with the recorded identity is removed; anything else in its place is left alone. An empty one is
 * removed by one call. Any other is emptied by a walk, which is repeated after growing delays if what stopped it may be
 * temporary.
 *
 * @module
 */
import { codeOf, isGone, type Leftover } from "../errors.ts";
import { type Identity, sameFile } from "../identity.ts";
import type { Io } from "../operation/io.ts";
import type { Op } from "../operation/op.ts";
import { delays, isTransient } from "../operation/retry.ts";
import { baseName, parentOf } from "../path.ts";
import type { Status } from "../runtime/mod.ts";
import { type DirRef, enter, hasAnchors, leave, locate, nativeRemoval, verify } from "./dir_ref.ts";
import { withLimit } from "./limit.ts";
import { leavesDevice } from "./list.ts";
import { Walk } from "./walk.ts";

/**
 * Removes the directory of which `identity` was recorded, and everything in it.
 *
 * @returns What is left and why: an empty list if all is gone.
 */
export function* removeDirectory(io: Io, path: string, identity: Identity): Op<Leftover[]> {
  try {
    const status: Status = yield io.status(path);
    if (!sameFile(status, identity)) return [{ path, code: "ERR_REPLACED" }];
  } catch (error) {
    return isGone(error) ? [] : yield* withLimit(io, removeFull(io, path, identity));
  }
  try {
    yield io.removeDirectory(path);
    return [];
  } catch (error) {
    return codeOf(error) === "ENOENT" ? [] : yield* withLimit(io, removeFull(io, path, identity));
  }
}

/** Removes a directory that is not empty, or whose status cannot be had. */
function* removeFull(io: Io, path: string, identity: Identity): Op<Leftover[]> {
  if (!hasAnchors() && (yield* removeNatively(io, path))) return [];
  let leftovers = yield* tryRemove(io, path, identity);
  for (const delay of delays(io)) {
    // `ENOTDIR`: a name was a directory when listed, and something else when it was to be removed.
    if (!leftovers.some(({ code }) => isTransient(code) || code === "ENOTDIR")) break;
    yield io.sleep(delay);
    leftovers = yield* tryRemove(io, path, identity);
  }
  return leftovers;
}

/**
 * Without anchors the runtime's own walk is safer, where it has one that no rename can mislead. But it would empty what
 * is mounted inside, and it stops at the first thing that it cannot remove: our walk, by paths, then removes what it
 * can and reports the rest.
 */
function* removeNatively(io: Io, path: string): Op<boolean> {
  const remove = nativeRemoval(io);
  if (remove === undefined) return false;
  try {
    if (yield* leavesDevice(io, path)) return false;
    yield remove(path);
    return true;
  } catch {
    return false;
  }
}

/** Makes one pass over the tree. */
function* tryRemove(io: Io, path: string, identity: Identity): Op<Leftover[]> {
  const name = baseName(path);
  let parent: DirRef | undefined;
  try {
    parent = yield* locate(io, parentOf(path));
    const top = yield* enter(io, parent, name, (dir) => verify(identity, dir));
    if (top === undefined) return [{ path, code: "ERR_REPLACED" }];
    return yield* new Walk(io, parent, name, top).remove();
  } catch (error) {
    // The walk does not throw: `ENOENT` is about the directory itself, or its parent.
    const code = codeOf(error);
    return code === "ENOENT" ? [] : [{ path, code }];
  } finally {
    if (parent !== undefined) yield* leave(io, parent);
  }
}
