/**
 * Walking a tree that only this user can change.
 *
 * @module
 */
import { isGone } from "../errors.ts";
import type { Io } from "../io.ts";
import type { Op } from "../op.ts";
import { joinPath } from "../path.ts";
import type { Path, Status } from "../runtime/mod.ts";
import { entriesIn } from "./list.ts";

/** Something found, parents before what is in them. */
export interface Found {
  path: Path;
  /** The path from the top. */
  inside: Path;
  status: Status;
}

/** Lists everything below a directory. */
export function* contentsOf(io: Io, top: string): Op<Found[]> {
  const found: Found[] = [];
  const directories: Pick<Found, "path" | "inside">[] = [{ path: top, inside: "" }];
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

/** Where names are text only, one that is none is listed with replacement characters, and nothing has it. */
function* statusOf(io: Io, path: Path): Op<Status> {
  try {
    return yield io.status(path);
  } catch (error) {
    if (typeof path !== "string" || !path.includes("\uFFFD") || !isGone(error)) throw error;
    throw Object.assign(new Error(`this runtime cannot say the name "${path}"`, { cause: error }), {
      code: "EILSEQ",
    });
  }
}
