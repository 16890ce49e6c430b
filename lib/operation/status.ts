/**
 * Checking whether something exists.
 *
 * @module
 */
import { codeOf } from "../errors.ts";
import type { Status } from "../runtime/mod.ts";
import type { Io } from "./io.ts";
import type { Op } from "./op.ts";

/** The status of a path, with a link there not followed; undefined if nothing exists. */
export function* statusIfThere(io: Io, path: string): Op<Status | undefined> {
  try {
    return yield io.status(path);
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
}
