/**
 * Walking a tree that only this user can change.
 *
 * @module
 */
import type { Io } from "../io.ts";
import type { Op } from "../op.ts";
import { joinPath } from "../path.ts";
import { type DirectoryEntry, runtime, type Status } from "../runtime/mod.ts";
import { entriesIn } from "./list.ts";

/** Something found, parents before what is in them. */
export interface Found {
  path: string;
  /** The path from the top. */
  inside: string;
  status: Status;
}

/** Lists everything below a directory. */
export function* contentsOf(io: Io, top: string): Op<Found[]> {
  const found: Found[] = [];
  const directories = [{ path: top, inside: "" }];
  for (let next = directories.pop(); next !== undefined; next = directories.pop()) {
    for (const { name: raw } of yield* entriesIn(io, next.path)) {
      const name = asText(raw);
      const entry = {
        path: joinPath(next.path, name),
        inside: next.inside === "" ? name : joinPath(next.inside, name),
      };
      const status: Status = yield io.status(entry.path);
      found.push({ ...entry, status });
      if (status.kind === "directory") directories.push(entry);
    }
  }
  return found;
}

function asText(name: DirectoryEntry["name"]): string {
  if (typeof name === "string") return name;
  const error = new Error(`a name in it is no text on ${runtime.name}`);
  throw Object.assign(error, { code: "EILSEQ" });
}
