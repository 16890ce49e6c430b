/**
 * What a directory holds.
 *
 * @module
 */
import { codeOf } from "../errors.ts";
import type { Io } from "../io.ts";
import type { Op } from "../op.ts";
import { joinPath } from "../path.ts";
import type { DirectoryEntry, Path, Status } from "../runtime/mod.ts";
import { entriesIn } from "./visit.ts";

/** What a directory holds, itself not counted. */
export interface DirectoryUsage {
  /** Everything that is not a directory, links included. */
  files: number;
  /** Directories at any depth. */
  directories: number;
  /** Bytes of the files' contents. */
  bytes: number;
}

/** Counts what is below a directory. What vanishes meanwhile, or may not be looked at, is not counted. */
export function* usageOf(io: Io, path: string): Op<DirectoryUsage> {
  const usage: DirectoryUsage = { files: 0, directories: 0, bytes: 0 };
  const paths: Path[] = [path];
  for (let next = paths.pop(); next !== undefined; next = paths.pop()) {
    for (const { name } of yield* listed(io, next)) yield* count(io, joinPath(next, name), usage, paths);
  }
  return usage;
}

function* listed(io: Io, path: Path): Op<DirectoryEntry[]> {
  try {
    return yield* entriesIn(io, path);
  } catch (error) {
    if (codeOf(error) === "UNKNOWN") throw error;
    return [];
  }
}

function* count(io: Io, path: Path, usage: DirectoryUsage, paths: Path[]): Op<void> {
  try {
    const status: Status = yield io.status(path);
    if (status.kind !== "directory") {
      usage.files++;
      usage.bytes += status.size;
      return;
    }
    usage.directories++;
    paths.push(path);
  } catch (error) {
    if (codeOf(error) === "UNKNOWN") throw error;
  }
}
