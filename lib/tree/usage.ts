/**
 * Counting what a directory holds.
 *
 * @module
 */
import { codeOf } from "../errors.ts";
import type { Io } from "../operation/io.ts";
import type { Op } from "../operation/op.ts";
import { joinPath } from "../path.ts";
import type { Path, Status } from "../runtime/mod.ts";
import { entriesIn } from "./list.ts";

/** The contents of a directory, itself not counted. */
export interface DirectoryUsage {
  /** Everything that is not a directory, including links. */
  files: number;
  /** Directories at any depth. */
  directories: number;
  /** Bytes of the files' contents. */
  bytes: number;
}

/** Counts what is below a directory. What vanishes meanwhile, or may not be inspected, is not counted. */
export function* usageOf(io: Io, top: string): Op<DirectoryUsage> {
  const usage: DirectoryUsage = { files: 0, directories: 0, bytes: 0 };
  const paths: Path[] = [top];
  for (let path = paths.pop(); path !== undefined; path = paths.pop()) {
    try {
      const { kind, size }: Status = yield io.status(path);
      if (kind === "directory") {
        if (path !== top) usage.directories++;
        for (const { name } of yield* entriesIn(io, path)) paths.push(joinPath(path, name));
      } else if (path !== top) {
        usage.files++;
        usage.bytes += size;
      }
    } catch (error) {
      if (codeOf(error) === "UNKNOWN") throw error;
    }
  }
  return usage;
}
