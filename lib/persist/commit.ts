/**
 * The commit: the one step that gives a file its place, and what follows it. Before this step the target is untouched;
 * afterwards the result is in place, and an error says so.
 *
 * @module
 */
import { codeOf, TempfileError, UNSUPPORTED } from "../errors.ts";
import type { OwnedName } from "../file/owned.ts";
import { keeping } from "../life/lease.ts";
import { held } from "../life/registry.ts";
import { isMade } from "../name.ts";
import type { Io } from "../operation/io.ts";
import type { Op } from "../operation/op.ts";
import { withRetries } from "../operation/retry.ts";
import { tried } from "../operation/tried.ts";
import { baseName } from "../path.ts";
import { isWindows, type Path } from "../runtime/mod.ts";
import type { Replacing } from "./options.ts";
import type { Target } from "./target.ts";

/** Gives what is at `from` the target's name in one step, and unregisters its old name. */
export function* commit(
  io: Io,
  from: string,
  name: OwnedName | undefined,
  { path }: Target,
  { overwrite }: Replacing,
): Op<void> {
  // A rename would replace whatever has appeared meanwhile; a link fails if the name is taken.
  const step = withRetries(io, () => (overwrite ? io.rename : io.link)(from, path));
  // The file may keep its name, in a directory with leftovers of the same session. A name that another handle owns is
  // still removed with that: only names that we may have made are looked for, as there may be many.
  const isOwned = from !== path && isMade(baseName(path)) &&
    held().entries.some((entry) => entry.path === path);
  yield* isOwned ? step : keeping(path, step);
  if (overwrite) name?.release();
  // The file is in place; a name of ours that cannot be removed stays registered.
  else yield* name === undefined ? tried(() => io.unlink(from)) : name.tryRemove(io);
}

/** Waits until the names in a directory are on the disk, where there is such a call. */
export function* synchronizeDirectory(io: Io, path: Path): Op<void> {
  if (isWindows()) return;
  yield* tried(() => io.synchronizeDirectory(path), ...UNSUPPORTED);
}

/** Waits until the target's name is on the disk, if asked to. */
export function* synchronizeName(io: Io, { directory, path }: Target, { durable }: Replacing): Op<void> {
  if (!durable) return;
  try {
    yield* synchronizeDirectory(io, directory);
  } catch (error) {
    throw inPlaceError(path, "it may not survive a power cut: its directory cannot be synchronized", error);
  }
}

/** The error for a step that failed when the result was already in place. */
export function inPlaceError(path: string, but: string, cause: unknown): TempfileError {
  const code = codeOf(cause);
  return new TempfileError(`"${path}" is in place, but ${but} (${code})`, { code, path, cause });
}
