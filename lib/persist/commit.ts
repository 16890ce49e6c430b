/**
 * The step in which a file gets its place.
 *
 * @module
 */
import { codeOf, failure, TempfileError } from "../errors.ts";
import type { OwnedName } from "../file/owned.ts";
import type { Io } from "../io.ts";
import { recordKept } from "../life/lease.ts";
import type { Op } from "../op.ts";
import { retrying } from "../retry.ts";
import { runtime } from "../runtime/mod.ts";
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
    yield io.link(from, target.path);
    yield* dropOldName(io, from, name);
  }
  if (options.durable) yield* synchronizeName(io, target);
}

function* rename(io: Io, from: string, to: string): Op<void> {
  // Scanners and indexers on Windows have files open for moments; elsewhere nothing passes by itself.
  if (runtime.platform === "windows") yield* retrying(io, () => io.rename(from, to));
  else yield io.rename(from, to);
}

function* dropOldName(io: Io, from: string, name: OwnedName | undefined): Op<void> {
  try {
    if (name === undefined) yield io.unlink(from);
    else yield* name.remove(io);
  } catch {
    // The file is in place; its other name stays on the books.
  }
}

/** What file systems say that keep directories safe by themselves, or cannot be asked. */
const UNSUPPORTED: ReadonlySet<string> = new Set(["EINVAL", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"]);

/** Waits until the disk has the name. */
export function* synchronizeName(io: Io, { directory, path }: Target): Op<void> {
  // Windows has no such call for directories.
  if (runtime.platform === "windows") return;
  try {
    yield io.synchronizeDirectory(directory);
  } catch (error) {
    if (UNSUPPORTED.has(codeOf(error))) return;
    const message =
      `"${path}" is in place, but may not survive a power cut: its directory cannot be synchronized`;
    throw new TempfileError(`${message} (${codeOf(error)})`, { code: codeOf(error), path, cause: error });
  }
}

/** The failure of putting a file in place. */
export const placingFailure = (target: Target, error: unknown): unknown =>
  failure(`put a file at "${target.path}"`, error, target.path);
