/**
 * Staging: a file is made ready under a hidden name beside its target, on the same file system, and then gets its name.
 *
 * @module
 */
import { createExclusively } from "../create/exclusively.ts";
import { discardFile, OwnedName } from "../file/owned.ts";
import { sessionFor } from "../life/lease.ts";
import type { Io } from "../operation/io.ts";
import type { Op } from "../operation/op.ts";
import { type Checked, DEFAULTS } from "../options/checked.ts";
import type { Handle, Status } from "../runtime/mod.ts";
import { PUBLIC } from "./attributes.ts";
import type { Target } from "./target.ts";

/** Hidden, and distinct from the user's files. */
export const NAMING: Checked = { ...DEFAULTS, prefix: ".mayfly-", suffix: "" };

/** A file beside its target that nobody is meant to see yet. */
export interface Staged {
  handle: Handle;
  name: OwnedName;
}

/** Creates a staged file, with no more permissions than the result will have. */
export function* stage(io: Io, target: Target, mode: number): Op<Staged> {
  const name = new OwnedName();
  try {
    return { handle: yield* makeBeside(target, name, (path) => io.createFile(path, mode)), name };
  } catch (error) {
    name.release();
    throw error;
  }
}

/** Makes something beside the target, by a call that receives its path. */
export function makeBeside<T>(
  { directory }: Target,
  name: OwnedName,
  make: (path: string) => T | Promise<T>,
): Op<T> {
  return createExclusively("file", directory, NAMING, sessionFor(directory, NAMING), (path) => {
    name.path = path;
    return make(path);
  });
}

/**
 * Returns 0666 less the umask, learnt by creating a file: the runtimes reveal the umask only with permissions, or by
 * changing it.
 */
export function* umaskMode(io: Io, target: Target): Op<number> {
  const probe = yield* stage(io, target, PUBLIC);
  try {
    return ((yield io.statusOf(probe.handle)) as Status).mode & 0o777;
  } finally {
    yield* discardFile(io, probe.handle, probe.name);
  }
}
