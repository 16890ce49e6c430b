/**
 * What this process holds.
 *
 * @module
 */
import { codeOf } from "./errors.ts";
import { type Entry, held } from "./life/registry.ts";
import { asyncIo, type Io, syncIo } from "./operation/io.ts";
import { type Op, runAsync, runSync } from "./operation/op.ts";
import { parentOf } from "./path.ts";
import { attempt, type Status } from "./runtime/mod.ts";
import { type DirectoryUsage, usageOf } from "./tree/usage.ts";

/** A file held by this process. */
export interface HeldFile {
  /** Its path; omitted for an unnamed file. */
  path?: string;
  /** The size in bytes; for an unnamed file, including buffered data. */
  bytes: number;
  /** Whether it is in memory, as a spooled file is until it grows. */
  inMemory: boolean;
}

/** A directory held by this process, with its contents counted. */
export interface HeldDirectory extends DirectoryUsage {
  /** Its path. */
  path: string;
}

/** The result of {@linkcode usage}. */
export interface Usage {
  /** Files, including those inside the listed directories. */
  files: HeldFile[];
  /** Directories, including those inside other listed ones. */
  directories: HeldDirectory[];
  /** The bytes of all of them, each counted once. */
  bytes: number;
}

/**
 * Returns what this process currently holds: everything created or adopted that is still to be removed, by all copies
 * of the module and all their users. Excludes what was kept or persisted, and what `mkstemp()` and `mkdtemp()` created.
 *
 * Entries that vanish meanwhile or may not be inspected are not counted.
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

/** Synchronous version of {@linkcode usage}. */
export function usageSync(): Usage {
  return runSync(collect(syncIo()));
}

function* collect(io: Io): Op<Usage> {
  const { entries, contents } = held();
  // Someone else may have closed a descriptor.
  const files: HeldFile[] = contents.flatMap((content) => attempt(() => content.measure()) ?? []);
  const usage: Usage = { files, directories: [], bytes: 0 };
  const counted = new Set(contents.map(({ owned }) => owned));
  for (const entry of entries) if (!counted.has(entry)) yield* add(io, entry, usage);
  const paths = new Set(usage.directories.map(({ path }) => path));
  const tops = [...usage.files, ...usage.directories].filter(({ path }) => !isBelow(path, paths));
  return { ...usage, bytes: tops.reduce((sum, { bytes }) => sum + bytes, 0) };
}

function* add(io: Io, { kind, path }: Entry, usage: Usage): Op<void> {
  if (path === undefined) return;
  try {
    const { size }: Status = yield io.status(path);
    if (kind === "file") usage.files.push({ path, bytes: size, inMemory: false });
    if (kind === "directory") usage.directories.push({ path, ...yield* usageOf(io, path) });
  } catch (error) {
    if (codeOf(error) === "UNKNOWN") throw error;
  }
}

/** Whether a path lies inside one of the directories. */
function isBelow(path: string | undefined, directories: ReadonlySet<string>): boolean {
  if (path === undefined) return false;
  for (let at = path, above = parentOf(at); above !== at; at = above, above = parentOf(at)) {
    if (directories.has(above)) return true;
  }
  return false;
}
