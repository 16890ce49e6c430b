/**
 * Calls whose failure is an answer, or of no interest.
 *
 * @module
 */
import type { Op } from "./op.ts";

/**
 * Makes a call and returns its answer; undefined if it fails. Also for what is cleaned up after another failure, which is
 * the one to report.
 */
export function* tried<T>(call: () => T | Promise<T>): Op<T | undefined> {
  try {
    return yield call();
  } catch {
    return undefined;
  }
}
