/**
 * What this process holds.
 *
 * @module
 */
import { codeOf } from "./errors.ts";
import { asyncIo, type Io, syncIo } from "./io.ts";
import { type Content, type Entry, held } from "./life/registry.ts";
import { type Op, runAsync, runSync } from "./op.ts";
import { parentOf } from "./path.ts";
import type { Status } from "./runtime/mod.ts";
import { type DirectoryUsage, usageOf } from "./tree/usage.ts";

/** A file that this process holds. */
export interface HeldFile {
  /** Where it is; left out for a file without a name. */
  path?: string;
  /** Bytes of its contents; where it has no name, with those that wait to be written. */
  bytes: number;
  /** Whether it is in memory, as a spooled file is until it grows. */
  inMemory: boolean;
}

/** A directory that this process holds, with what is in it. */
export interface HeldDirectory extends DirectoryUsage {
  /** Where it is. */
  path: string;
}

/** What {@linkcode usage} finds. */
export interface Usage {
  /** Files, also those inside directories of the list. */
  files: HeldFile[];
  /** Directories, also those inside others of the list. */
  directories: HeldDirectory[];
  /** Bytes of all that, each counted once. */
  bytes: number;
}

/**
 * What this process holds at the moment: everything that was made or adopted and is to go, by all copies of the module
 * and all its users. Not what was kept or persisted, nor what `mkstemp()` and `mkdtemp()` made.
 *
 * What vanishes meanwhile, or may not be looked at, is not counted.
 *
 * @example Who fills the disk?
 * ```ts
 * import { temporaryFile, usage } from "mayfly";
 *
 * await using file = await temporaryFile();
 * await file.write("hello");
 * console.log((await usage()).bytes); // 5
 * ```
 */
export function usage(): Promise<Usage> {
  return runAsync(collect(asyncIo()));
}

/** As {@linkcode usage}, blocking. */
export function usageSync(): Usage {
  return runSync(collect(syncIo()));
}

function* collect(io: Io): Op<Usage> {
  const { entries, contents } = held();
  const usage: Usage = { files: contents.flatMap(measured), directories: [], bytes: 0 };
  const counted = new Set(contents.map(({ owned }) => owned));
  for (const entry of entries) if (!counted.has(entry)) yield* look(io, entry, usage);
  const paths = new Set(usage.directories.map(({ path }) => path));
  const tops = [...usage.files, ...usage.directories].filter(({ path }) => !isBelow(path, paths));
  return { ...usage, bytes: tops.reduce((sum, { bytes }) => sum + bytes, 0) };
}

function measured(content: Content): HeldFile[] {
  try {
    return [content.measure()];
  } catch {
    // Somebody has closed its descriptor.
    return [];
  }
}

function* look(io: Io, { kind, path }: Entry, usage: Usage): Op<void> {
  if (path === undefined) return;
  try {
    const { size }: Status = yield io.status(path);
    if (kind === "file") usage.files.push({ path, bytes: size, inMemory: false });
    if (kind === "directory") usage.directories.push({ path, ...yield* usageOf(io, path) });
  } catch (error) {
    if (codeOf(error) === "UNKNOWN") throw error;
  }
}

/** Whether a path lies in one of some directories. */
function isBelow(path: string | undefined, directories: ReadonlySet<string>): boolean {
  if (path === undefined) return false;
  for (let at = path, above = parentOf(at); above !== at; at = above, above = parentOf(at)) {
    if (directories.has(above)) return true;
  }
  return false;
}
