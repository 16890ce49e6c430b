/**
 * Removing leftovers on demand. What does it is loaded when it is called for: few programs ever do.
 *
 * @module
 */
import { invalid, notLoaded, outOfRange } from "./errors.ts";
import { asyncIo } from "./io.ts";
import type { Sweeping, SweepReport } from "./life/sweep.ts";
import { runAsync } from "./op.ts";
import { checkNamePart } from "./options/names.ts";
import { checkPath } from "./options/paths.ts";
import { checkBoolean, checkObject, checkSignal } from "./options/values.ts";

/** Options of {@linkcode sweep}. */
export interface SweepOptions {
  /**
   * Milliseconds since the last change, of a file or of anything in a directory, after which entries are removed that no
   * lease speaks for: those of other programs, or of processes that could not have a lease. Only with `prefix`.
   */
  olderThan?: number;
  /** How the names of such entries begin. Only with `olderThan`. */
  prefix?: string;
  /**
   * Where to look for such entries.
   *
   * @default {tmpdir()}
   */
  dir?: string | URL;
  /**
   * Says what would be removed, and removes nothing.
   *
   * @default {false}
   */
  dryRun?: boolean;
  /** Called with the path of each thing removed. If it returns a promise, that is waited for. What fails ends the sweep. */
  onProgress?: (path: string) => unknown;
  /** Ends it early. */
  signal?: AbortSignal;
}

/**
 * Removes what dead processes left: everything that a lease of a process speaks for that certainly lives no longer, and
 * by age where asked to. What is uncertain is kept.
 *
 * By age goes only what belongs to this user, is no link, lies on the directory's own device, is not locked and is not
 * open in a process that this one may look at.
 *
 * @throws {TypeError} `ERR_INVALID_OPTION`.
 * @throws {TempfileError} `ENOENT`, … for a `dir` that cannot be listed; `ERR_ACCESS_DENIED` on Deno without
 *   `--allow-sys=uid`.
 *
 * @example What is in the way?
 * ```ts
 * import { sweep } from "mayfly";
 *
 * const { removed, bytes } = await sweep({ dryRun: true });
 * console.log(`${removed.length} leftovers hold ${bytes} bytes`);
 * ```
 */
export async function sweep(options: SweepOptions = {}): Promise<SweepReport> {
  const sweeping = check(options);
  const { sweepAll } = await import("./life/sweep.ts").catch(notLoaded("sweeping"));
  return await runAsync(sweepAll(asyncIo(), sweeping));
}

function check(options: SweepOptions): Sweeping {
  checkObject(options, "options");
  const { olderThan, prefix, dir, dryRun = false, onProgress, signal } = options;
  const checkedSignal = signal === undefined ? undefined : checkSignal(signal, "signal");
  if (onProgress !== undefined && typeof onProgress !== "function") {
    throw invalid("onProgress", "a function", onProgress);
  }
  return {
    aged: checkAged(olderThan, prefix, dir),
    how: {
      dryRun: checkBoolean(dryRun, "dryRun"),
      onRemoved: (path) => onProgress?.(path),
      checkpoint: () => checkedSignal?.throwIfAborted(),
    },
  };
}

function checkAged(
  olderThan: number | undefined,
  prefix: string | undefined,
  dir: string | URL | undefined,
): Sweeping["aged"] {
  if (olderThan === undefined && prefix === undefined) return undefined;
  if (typeof olderThan !== "number") {
    throw invalid("olderThan", "a number of milliseconds, beside prefix", olderThan);
  }
  if (!(olderThan >= 0)) throw outOfRange("olderThan", "0 or more milliseconds", olderThan);
  // Without it, everything of this user's in a shared directory would be meant.
  if (prefix === undefined || prefix === "") {
    throw invalid("prefix", "given beside olderThan, and not empty", prefix);
  }
  return {
    prefix: checkNamePart(prefix, "prefix"),
    olderThan,
    dir: dir === undefined ? undefined : checkPath(dir, "dir"),
  };
}
