/**
 * Calls whose failure is an answer, or of no interest.
 *
 * @module
 */
import { codeOf } from "../errors.ts";
import type { Handle, Status } from "../runtime/mod.ts";
import type { Io } from "./io.ts";
import type { Op } from "./op.ts";

/**
 * Makes a call and returns its answer; undefined if it fails. Also for what is cleaned up after another failure, which is
 * the one to report.
 *
 * @param codes Those of the failures meant, if not all are: others are thrown.
 */
export function* tried<T>(call: () => T | Promise<T>, ...codes: string[]): Op<T | undefined> {
  try {
    return yield call();
  } catch (error) {
    if (codes.length > 0 && !codes.includes(codeOf(error))) throw error;
    return undefined;
  }
}

/** The status of a path, with a link there not followed; undefined if nothing exists. */
export const statusIfThere = (io: Io, path: string): Op<Status | undefined> =>
  tried(() => io.status(path), "ENOENT");

/**
 * Closes a handle that was only read, listed or inspected. Whatever error the system reports, it has released the
 * descriptor, and no data can be lost. So errors are ignored; closing again could close a descriptor that now belongs
 * to someone else.
 */
export const closeRead = (io: Io, handle: Handle): Op<void> => tried(() => io.close(handle));
