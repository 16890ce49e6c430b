/**
 * Listing directories and trees, without changing anything. These walks go by path.
 *
 * @module
 */
import { isGone } from "../errors.ts";
import type { Io } from "../operation/io.ts";
import type { Op } from "../operation/op.ts";
import { joinPath } from "../path.ts";
import type { DirectoryEntry, Listing, Path, Status } from "../runtime/mod.ts";

/** Returns the entries of a directory. They are filtered batch by batch, since there may be a hundred thousand. */
export function* entriesIn(
  io: Io,
  path: Path,
  isWanted: (entry: DirectoryEntry) => boolean = () => true,
): Op<DirectoryEntry[]> {
  const entries: DirectoryEntry[] = [];
  const listing: Listing = yield io.list(path);
  try {
    for (;;) {
      const batch: DirectoryEntry[] = yield listing.next();
      if (batch.length === 0) return entries;
      entries.push(...batch.filter(isWanted));
    }
  } finally {
    listing.close();
  }
}

/** Returns the wanted names in a directory, without those that are not text. */
export function* namesIn(
  io: Io,
  path: Path,
  isWanted: (name: string) => boolean = () => true,
): Op<string[]> {
  const entries = yield* entriesIn(io, path, ({ name }) => typeof name === "string" && isWanted(name));
  return entries.map(({ name }) => name as string);
}

/** Something found; parents come before their contents. */
export interface TreeEntry {
  path: Path;
  /** The path relative to the top. */
  inside: Path;
  status: Status;
}

/** Lists everything below a directory that only this user can change. */
export function* contentsOf(io: Io, top: string): Op<TreeEntry[]> {
  const found: TreeEntry[] = [];
  const directories: Pick<TreeEntry, "path" | "inside">[] = [{ path: top, inside: "" }];
  for (let next = directories.pop(); next !== undefined; next = directories.pop()) {
    for (const { name } of yield* entriesIn(io, next.path)) {
      const entry = {
        path: joinPath(next.path, name),
        inside: next.inside === "" ? name : joinPath(next.inside, name),
      };
      const status = yield* statusOf(io, entry.path);
      found.push({ ...entry, status });
      if (status.kind === "directory") directories.push(entry);
    }
  }
  return found;
}

/**
 * Where names are text only, one that is not valid text is listed with replacement characters, and nothing has that
 * name.
 */
function* statusOf(io: Io, path: Path): Op<Status> {
  try {
    return yield io.status(path);
  } catch (error) {
    if (typeof path !== "string" || !path.includes("\uFFFD") || !isGone(error)) throw error;
    throw Object.assign(new Error(`this runtime cannot express the name "${path}"`, { cause: error }), {
      code: "EILSEQ",
    });
  }
}

/** Whether a directory below a path is on another device. Bind mounts from the same device are not noticed. */
export function* leavesDevice(io: Io, path: string): Op<boolean> {
  const { device }: Status = yield io.status(path);
  const paths: Path[] = [path];
  for (let next = paths.pop(); next !== undefined; next = paths.pop()) {
    const status: Status = yield io.status(next);
    if (status.kind !== "directory") continue;
    if (status.device !== device) return true;
    for (const { name, directory } of yield* entriesIn(io, next)) {
      // A name in bytes comes without its kind.
      if (directory || typeof name !== "string") paths.push(joinPath(next, name));
    }
  }
  return false;
}
