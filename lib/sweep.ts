/**
 * Removing leftovers on demand. The implementation is loaded on first use, as few programs ever call it.
 *
 * @module
 */
import { invalid, notLoaded, outOfRange } from "./errors.ts";
import type { Sweeping, SweepReport } from "./life/sweep.ts";
import { asyncIo } from "./operation/io.ts";
import { runAsync } from "./operation/op.ts";
import { checkNamePart } from "./options/names.ts";
import { checkPath } from "./options/paths.ts";
import { checkBoolean, checkObject, checkSignal } from "./options/values.ts";

/** Options of {@linkcode sweep}. */
export interface SweepOptions {
  /**
   * Milliseconds since the last change, of a file or of anything in a directory, after which to remove entries that no
   * lease covers: those of other programs, or of processes that could not have a lease. On Linux also those of processes
   * in other PID namespaces, whose lease has not changed for that long either: in other containers, or in this one
   * before it was restarted. Requires `prefix`.
   */
  olderThan?: number | undefined;
  /** How the names of such entries begin; not empty. Requires `olderThan`. */
  prefix?: string | undefined;
  /**
   * Where to look for such entries.
   *
   * @default {tmpdir()}
   */
  dir?: string | URL | undefined;
  /**
   * Reports what would be removed, and removes nothing.
   *
   * @default {false}
   */
  dryRun?: boolean | undefined;
  /** Called with each path removed. A returned promise is awaited. An error or a rejection ends the sweep. */
  onProgress?: ((path: string) => unknown) | undefined;
  /** Aborts the sweep. */
  signal?: AbortSignal | undefined;
}

/**
 * Removes what dead processes left behind: everything covered by the lease of a process that is certainly dead and, on
 * request, by age. In case of doubt, it is kept.
 *
 * Removal by age is limited to files and directories that belong to this user, are on the same device as the directory,
 * are not mount points, are not locked, and are not open in any process that this one may inspect. Symbolic links,
 * devices, pipes and sockets are kept.
 *
 * On Deno without `--allow-all` it is unknown which processes are dead: what they left is kept, and only removal by age
 * removes anything.
 *
 * @throws {TypeError} `ERR_INVALID_OPTION` for an invalid option.
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
    aged: checkAged(olderThan, prefix, dir === undefined ? undefined : checkPath(dir, "dir")),
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
  dir: string | undefined,
): Sweeping["aged"] {
  if (olderThan === undefined && prefix === undefined) return undefined;
  if (typeof olderThan !== "number") {
    throw invalid("olderThan", "a number of milliseconds, given with prefix", olderThan);
  }
  if (!(olderThan >= 0)) throw outOfRange("olderThan", "0 or more milliseconds", olderThan);
  // Without a prefix, every file of this user in a shared directory would qualify.
  if (prefix === undefined || prefix === "") {
    throw invalid("prefix", "a non-empty string, given with olderThan", prefix);
  }
  return { prefix: checkNamePart(prefix, "prefix"), olderThan, dir };
}
