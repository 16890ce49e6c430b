/**
 * Waiting for what passes by itself.
 *
 * @module
 */
import { codeOf } from "./errors.ts";
import type { Io } from "./io.ts";
import type { Op } from "./op.ts";
import { isWindows } from "./runtime/mod.ts";

/**
 * Failures of a removal that can pass: a virus scanner or indexer that has the file open (Windows), a process that is
 * still writing into the directory, descriptors that are about to be closed.
 */
const PASSING: ReadonlySet<string> = new Set(["EBUSY", "EPERM", "ENOTEMPTY", "EMFILE", "ENFILE"]);

/** Whether trying a removal again may help. */
export const mayPass = (code: string): boolean => PASSING.has(code) || (isWindows() && code === "EACCES");

/** Milliseconds to wait before each further try: two seconds in all on Windows, where scanners hold files that long. */
export function delays({ hurried }: Pick<Io, "hurried">): readonly number[] {
  if (hurried) return [];
  return isWindows() ? [10, 20, 40, 80, 150, 200, 300, 400, 400, 400] : [5, 20, 75];
}

/** Makes a call. Scanners and indexers on Windows have files open for moments; elsewhere nothing passes by itself. */
export function* patiently<T>(io: Io, call: () => T | Promise<T>, mayHelp?: () => Op<boolean>): Op<T> {
  try {
    return yield call();
  } catch (error) {
    if (!isWindows()) throw error;
    return yield* again(io, call, error, mayHelp);
  }
}

/** Makes a call that has failed again, as long as its failure may pass and `mayHelp` knows nothing against it. */
export function* again<T>(
  io: Io,
  call: () => T | Promise<T>,
  failed: unknown,
  mayHelp?: () => Op<boolean>,
): Op<T> {
  let last = failed;
  for (const delay of delays(io)) {
    if (!mayPass(codeOf(last)) || (mayHelp !== undefined && !(yield* mayHelp()))) break;
    yield io.sleep(delay);
    try {
      return yield call();
    } catch (error) {
      last = error;
    }
  }
  throw last;
}
