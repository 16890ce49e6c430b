/**
 * Retrying after transient failures.
 *
 * @module
 */
import { codeOf } from "../errors.ts";
import { isWindows } from "../runtime/mod.ts";
import type { Io } from "./io.ts";
import type { Op } from "./op.ts";

/**
 * Failures of a removal that may be transient: a virus scanner or indexer has the file open (Windows), a process is
 * still writing into the directory, descriptors are about to be closed, a signal has interrupted the call (FUSE).
 */
const TRANSIENT: ReadonlySet<string> = new Set(["EMFILE", "ENFILE", "EBUSY", "EINTR", "ENOTEMPTY", "EPERM"]);

/** Whether retrying a removal may help. */
export const isTransient = (code: string): boolean =>
  TRANSIENT.has(code) || (isWindows() && code === "EACCES");

/** Milliseconds before each retry: two seconds in total on Windows, where scanners hold files that long. */
export function delays({ noRetry }: Pick<Io, "noRetry">): readonly number[] {
  if (noRetry) return [];
  return isWindows() ? [10, 20, 40, 80, 150, 200, 300, 400, 400, 400] : [5, 20, 75];
}

/** Makes a call, with retries on Windows, where scanners and indexers open files for a moment. */
export function* withRetries<T>(io: Io, call: () => T | Promise<T>, mayHelp?: () => Op<boolean>): Op<T> {
  try {
    return yield call();
  } catch (error) {
    if (!isWindows()) throw error;
    return yield* retry(io, call, error, mayHelp);
  }
}

/** Retries a failed call while the failure may be transient and `mayHelp` does not rule it out. */
export function* retry<T>(
  io: Io,
  call: () => T | Promise<T>,
  failed: unknown,
  mayHelp?: () => Op<boolean>,
): Op<T> {
  let last = failed;
  for (const delay of delays(io)) {
    if (!isTransient(codeOf(last)) || (mayHelp !== undefined && !(yield* mayHelp()))) break;
    yield io.sleep(delay);
    try {
      return yield call();
    } catch (error) {
      last = error;
    }
  }
  throw last;
}
