/**
 * Removing leftovers on demand.
 *
 * @module
 */
import { codeOf, failure, invalid, type Leftover, outOfRange } from "../errors.ts";
import { asyncIo, type Io } from "../io.ts";
import { type Op, runAsync } from "../op.ts";
import { checkBoolean, checkOption, checkPath, checkSignal } from "../options.ts";
import { joinPath } from "../path.ts";
import { type DirectoryEntry, runtime, type Status } from "../runtime/mod.ts";
import { tmpdir } from "../tmpdir.ts";
import { contentsOf } from "../tree/visit.ts";
import { entriesIn } from "../tree/list.ts";
import { isOurs } from "./lease_file.ts";
import { type OpenFiles, openFiles } from "./open_files.ts";
import { nothingYet, reclaim, type Reclaimed, removeEntry } from "./reclaim.ts";

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
  /** Called with the path of each thing removed. */
  onProgress?: (path: string) => void;
  /** Ends it early. */
  signal?: AbortSignal;
}

/** What {@linkcode sweep} did. */
export interface SweepReport {
  /** What was removed, or would be, with the bytes it held. */
  removed: { path: string; bytes: number }[];
  /** Bytes of all that. */
  bytes: number;
  /** What looks like a leftover and is none, and why. */
  kept: { path: string; reason: string }[];
  /** What could not be removed, or only in part, and why. */
  left: Leftover[];
}

/**
 * Removes what dead processes left: everything that a lease of a process speaks for that certainly lives no longer, and
 * by age where asked to. What is uncertain is kept.
 *
 * By age goes only what belongs to this user, is no link, lies on the directory's own device, is not locked and is not
 * open in a process that this one may look at.
 *
 * @throws {TypeError} `ERR_INVALID_OPTION`.
 * @throws {TempfileError} `ENOENT`, … for a `dir` that cannot be listed.
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
  return await runAsync(sweepAll(asyncIo(), sweeping));
}

/** Checked options. */
interface Sweeping {
  aged: { dir: string; prefix: string; olderThan: number } | undefined;
  dryRun: boolean;
  onRemoved: (path: string) => void;
}

function check(options: SweepOptions): Sweeping {
  if (typeof options !== "object" || options === null) throw invalid("options", "an object", options);
  const { olderThan, prefix, dir, dryRun = false, onProgress, signal } = options;
  const checkedSignal = signal === undefined ? undefined : checkSignal(signal, "signal");
  if (onProgress !== undefined && typeof onProgress !== "function") {
    throw invalid("onProgress", "a function", onProgress);
  }
  return {
    aged: checkAged(olderThan, prefix, dir),
    dryRun: checkBoolean(dryRun, "dryRun"),
    onRemoved: (path) => {
      onProgress?.(path);
      checkedSignal?.throwIfAborted();
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
  const name = checkOption("prefix", prefix);
  return { dir: dir === undefined ? tmpdir() : checkPath(dir, "dir"), prefix: name, olderThan };
}

function* sweepAll(io: Io, { aged, dryRun, onRemoved }: Sweeping): Op<SweepReport> {
  const report = nothingYet();
  yield* reclaim(io, { dryRun, onRemoved, ending: false }, report);
  if (aged !== undefined) yield* sweepAged(io, aged, { dryRun, onRemoved }, report);
  return { ...report, bytes: report.removed.reduce((sum, { bytes }) => sum + bytes, 0) };
}

function* sweepAged(
  io: Io,
  { dir, prefix, olderThan }: NonNullable<Sweeping["aged"]>,
  how: Pick<Sweeping, "dryRun" | "onRemoved">,
  report: Reclaimed,
): Op<void> {
  const { directory, home, entries } = yield* listHome(io, dir);
  const known = new Set([...report.kept, ...report.removed, ...report.left].map(({ path }) => path));
  let open: OpenFiles | undefined;
  for (const { name } of entries) {
    if (typeof name !== "string" || !name.startsWith(prefix)) continue;
    const path = joinPath(directory, name);
    if (known.has(path)) continue;
    try {
      const status: Status = yield io.status(path);
      open ??= yield* openFiles(io);
      const reason = yield* reasonToKeep(io, path, status, home, olderThan, open);
      if (reason === undefined) yield* removeEntry(io, path, status, how, report);
      else report.kept.push({ path, reason });
    } catch (error) {
      if (codeOf(error) === "UNKNOWN") throw error;
      // Gone meanwhile is as good as removed, and nothing of ours.
      if (codeOf(error) !== "ENOENT") report.left.push({ path, code: codeOf(error) });
    }
  }
}

function* listHome(io: Io, dir: string): Op<{ directory: string; home: Status; entries: DirectoryEntry[] }> {
  try {
    const directory: string = yield io.realPath(dir);
    return { directory, home: yield io.status(directory), entries: yield* entriesIn(io, directory) };
  } catch (error) {
    throw failure(`sweep "${dir}"`, error, dir);
  }
}

/** Why an entry is not to be removed for its age; undefined if nothing speaks for it. */
function* reasonToKeep(
  io: Io,
  path: string,
  status: Status,
  home: Status,
  olderThan: number,
  open: OpenFiles,
): Op<string | undefined> {
  if (!isOurs(status)) return "it belongs to somebody else";
  if (status.kind === "link") return "it is a symbolic link";
  if (status.kind === "other") return "it is no file or directory";
  if (status.device !== home.device) return "it is on another device";
  const all = [
    status,
    ...status.kind === "directory" ? (yield* contentsOf(io, path)).map((found) => found.status) : [],
  ];
  const age = Date.now() - Math.max(...all.map(({ modified }) => modified));
  if (age < olderThan) return `it changed ${Math.round(age / 1000)} seconds ago`;
  if (all.some((one) => open.has(one))) return "a process has it open";
  return (yield* isLocked(path)) ? "it is locked" : undefined;
}

/** Whether somebody holds a lock, as systemd-tmpfiles asks to be told not to remove something. */
function* isLocked(path: string): Op<boolean> {
  const { locks } = runtime;
  if (locks === undefined) return false;
  try {
    const handle = yield locks.tryAcquire(path, false);
    if (handle === undefined) return true;
    runtime.sync.close(handle);
    return false;
  } catch (error) {
    // Where no program for locks is installed, nobody can have taken one with it.
    if (codeOf(error) === "ERR_UNSUPPORTED") return false;
    throw error;
  }
}
