/**
 * Calls whose failure is an answer, or of no interest.
 *
 * @module
 */
import { codeOf } from "../errors.ts";
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
