/**
 * Looking whether something is there.
 *
 * @module
 */
import { codeOf } from "./errors.ts";
import type { Io } from "./io.ts";
import type { Op } from "./op.ts";
import type { Status } from "./runtime/mod.ts";

/** What has a name, itself not followed; undefined if nothing does. */
export function* statusIfThere(io: Io, path: string): Op<Status | undefined> {
  try {
    return yield io.status(path);
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
}
