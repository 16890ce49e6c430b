/**
 * The step in which a file gets its place, and what follows it.
 *
 * @module
 */
import { codeOf, TempfileError } from "../errors.ts";
import type { OwnedName } from "../file/owned.ts";
import type { Io } from "../io.ts";
import { recordKept } from "../life/lease.ts";
import type { Op } from "../op.ts";
import { patiently } from "../retry.ts";
import { isWindows, type Path } from "../runtime/mod.ts";
import type { Replacing } from "./options.ts";
import type { Target } from "./target.ts";

/** Gives what is at `from` the target's name in one step, and takes its old name off the books. */
export function* commit(
  io: Io,
  from: string,
  name: OwnedName | undefined,
  target: Target,
  options: Replacing,
): Op<void> {
  // A name may stay what it was in a directory that has leftovers of the same session.
  recordKept(target.path);
  if (options.overwrite) {
    yield* rename(io, from, target.path);
    name?.release();
  } else {
    // Renaming would replace what appeared meanwhile; a second name is refused if the name is taken.
    yield* patiently(io, () => io.link(from, target.path));
    yield* dropOldName(io, from, name);
  }
}

/** Renames; where that fails, tries again only as long as `mayHelp` says that it may. */
export function rename(io: Io, from: string, to: string, mayHelp?: () => Op<boolean>): Op<void> {
  return patiently(io, () => io.rename(from, to), mayHelp);
}

function* dropOldName(io: Io, from: string, name: OwnedName | undefined): Op<void> {
  try {
    if (name === undefined) yield io.unlink(from);
    else yield* name.remove(io);
  } catch {
    // The file is in place; its other name stays on the books.
  }
}

/** What file systems say that have no such call, or need none. */
export const UNSUPPORTED: ReadonlySet<string> = new Set(["EINVAL", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"]);

/** Waits until the disk has the names in a directory, where there is such a call. */
export function* synchronizeDirectory(io: Io, path: Path): Op<void> {
  if (isWindows()) return;
  try {
    yield io.synchronizeDirectory(path);
  } catch (error) {
    if (!UNSUPPORTED.has(codeOf(error))) throw error;
  }
}

/** Waits until the disk has the name, where that is asked for. */
export function* synchronizeName(io: Io, { directory, path }: Target, { durable }: Replacing): Op<void> {
  if (!durable) return;
  try {
    yield* synchronizeDirectory(io, directory);
  } catch (error) {
    throw afterwards(path, "it may not survive a power cut: its directory cannot be synchronized", error);
  }
}

/** The failure of what was left to do when the result was in its place already. */
export function afterwards(path: string, but: string, cause: unknown): TempfileError {
  const code = codeOf(cause);
  return new TempfileError(`"${path}" is in place, but ${but} (${code})`, { code, path, cause });
}
