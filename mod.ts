/**
 * Temporary files and directories for Deno, Bun and Node: created safely, gone for certain.
 *
 * @example The whole idea
 * ```ts
 * import { namedTemporaryFile } from "mayfly";
 *
 * await using file = await namedTemporaryFile({ suffix: ".txt" });
 * await file.write("hello");
 * console.log(file.path); // a real path, for any program
 * // Gone at the end of the scope, and of the process.
 * ```
 *
 * @module
 */
export { temporaryFile, temporaryFileSync } from "./lib/file/unnamed.ts";
export type { At, Whence } from "./lib/file/cursor.ts";
export { TemporaryFile } from "./lib/file/file.ts";
export type { Data } from "./lib/file/data.ts";
export type { Source } from "./lib/file/source.ts";
export { FileLock, type LockOptions } from "./lib/file/file_lock.ts";
export { SpooledTemporaryFile, spooledTemporaryFile } from "./lib/file/spooled.ts";
export {
  adoptDirectory,
  type AdoptDirectoryOptions,
  adoptDirectorySync,
  adoptFile,
  type AdoptFileOptions,
  adoptFileSync,
} from "./lib/adopt.ts";
export { fromDescriptor } from "./lib/file/from_descriptor.ts";
export { NamedTemporaryFile, namedTemporaryFile, namedTemporaryFileSync } from "./lib/file/named.ts";
export {
  type Inside,
  TemporaryDirectory,
  temporaryDirectory,
  temporaryDirectorySync,
} from "./lib/directory.ts";
export type { DirectoryUsage } from "./lib/tree/usage.ts";
export { type MadeFile, mkdtemp, mkdtempSync, mkstemp, mkstempSync } from "./lib/create/mkstemp.ts";
export { writeFileAtomic, writeFileAtomicSync } from "./lib/persist/write_file_atomic.ts";
export type {
  ModePolicy,
  PersistDirectoryOptions,
  PersistOptions,
  WriteFileAtomicOptions,
} from "./lib/persist/options.ts";
export { tmpdir } from "./lib/location/tmpdir.ts";
export {
  type DiskSpace,
  diskSpace,
  diskSpaceSync,
  watchSpace,
  type WatchSpaceOptions,
} from "./lib/location/space.ts";
export { type HeldDirectory, type HeldFile, type Usage, usage, usageSync } from "./lib/usage.ts";
export { findTmpdir, findTmpdirSync, type TmpdirRequirements } from "./lib/location/find_tmpdir.ts";
export { sweep, type SweepOptions } from "./lib/sweep.ts";
export type { SweepReport } from "./lib/life/sweep.ts";
export { configure, type Settings } from "./lib/settings.ts";
export { type Leftover, TempfileError, type TempfileErrorOptions } from "./lib/errors.ts";
export type {
  ContentOptions,
  DirectoryOptions,
  Encoding,
  FileOptions,
  MakeOptions,
  NamedFileOptions,
  NameOptions,
  PlaceOptions,
  SpooledOptions,
} from "./lib/options/types.ts";
