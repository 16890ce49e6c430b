/**
 * A directory for temporary files that meets given requirements.
 *
 * @module
 */
import { codeOf, failure, TempfileError } from "../errors.ts";
import { asyncIo, type Io, syncIo } from "../operation/io.ts";
import { type Op, runAsync, runSync } from "../operation/op.ts";
import { checkPath } from "../options/paths.ts";
import { checkBoolean, checkObject, checkSize } from "../options/values.ts";
import type { FileSystemStatus, Status } from "../runtime/mod.ts";
import { mountOptions } from "./mounts.ts";
import { candidates, lastResort, probe, type Rejected } from "./tmpdir.ts";

/** The requirements of {@linkcode findTmpdir}. */
export interface TmpdirRequirements {
  /** Programs in it can be executed: not mounted `noexec`. Known on Linux with `/proc` only; elsewhere all pass. */
  exec?: boolean | undefined;
  /** Its files are on a disk, not in memory (`tmpfs`). */
  disk?: boolean | undefined;
  /** The least number of bytes available. */
  minFree?: number | undefined;
  /** On the same file system as this path, so that files can be renamed from one to the other. */
  sameDeviceAs?: string | URL | undefined;
}

/**
 * Returns the first of the directories for temporary files that meets the requirements; see {@linkcode tmpdir} for the
 * directories tried, and for the warning about one that is not safe from other users.
 *
 * On Deno, `disk` and `minFree` need `--allow-sys=statfs`, and `exec` needs `--allow-all`.
 *
 * @returns The absolute path, with symbolic links resolved.
 * @throws {TempfileError} `ERR_NO_TMPDIR` if none does; the message lists each with the reason. `ENOENT`, … if nothing
 *   exists at `sameDeviceAs`.
 *
 * @example Room for a build
 * ```ts
 * import { findTmpdir, temporaryDirectory } from "mayfly";
 *
 * const dir = await findTmpdir({ minFree: 1024 ** 2 });
 * await using build = await temporaryDirectory({ dir });
 * console.log(build.path);
 * ```
 */
export function findTmpdir(requirements: TmpdirRequirements = {}): Promise<string> {
  return runAsync(find(asyncIo(), requirements));
}

/** Synchronous version of {@linkcode findTmpdir}. */
export function findTmpdirSync(requirements: TmpdirRequirements = {}): string {
  return runSync(find(syncIo(), requirements));
}

/** Returns why a directory does not meet a requirement; undefined if it does. */
type Check = (io: Io, path: string) => Op<string | undefined>;

function checksFor(requirements: TmpdirRequirements): Check[] {
  checkObject(requirements, "requirements");
  const { exec, disk, minFree, sameDeviceAs } = requirements;
  const checks: Check[] = [];
  if (exec !== undefined && checkBoolean(exec, "exec")) checks.push(executable);
  if (disk !== undefined && checkBoolean(disk, "disk")) checks.push(onDisk);
  if (minFree !== undefined) checks.push(withFree(checkSize(minFree, "minFree")));
  if (sameDeviceAs !== undefined) checks.push(onDeviceOf(checkPath(sameDeviceAs, "sameDeviceAs")));
  return checks;
}

function* find(io: Io, requirements: TmpdirRequirements): Op<string> {
  const checks = checksFor(requirements);
  const rejected: Rejected[] = [];
  for (const candidate of candidates()) {
    const found = probe(candidate);
    const path = typeof found === "string" ? found : found.unsafe;
    const reason = path === undefined ? undefined : yield* firstReason(io, path, checks);
    if (reason !== undefined) rejected.push({ path: candidate, reason });
    else if (typeof found === "string") return found;
    else rejected.push(found);
  }
  return lastResort("a suitable directory for temporary files", rejected);
}

function* firstReason(io: Io, path: string, checks: readonly Check[]): Op<string | undefined> {
  for (const check of checks) {
    try {
      const reason = yield* check(io, path);
      if (reason !== undefined) return reason;
    } catch (error) {
      // Concerns the requirement, not the directory.
      if (error instanceof TempfileError) throw error;
      // Without the permission to ask, every directory would fail, for a reason that is not its own.
      if (codeOf(error) === "ERR_ACCESS_DENIED") {
        throw failure(`check the directory "${path}"`, error, path);
      }
      return codeOf(error);
    }
  }
  return undefined;
}

function* executable(io: Io, path: string): Op<string | undefined> {
  return (yield* mountOptions(io, path))?.includes("noexec") ? "mounted noexec" : undefined;
}

/** File systems in memory, by their numbers on Linux: tmpfs and ramfs. */
const IN_MEMORY: ReadonlySet<number> = new Set([0x01021994, 0x858458f6]);

/** Whether a type of file system is in memory. Some systems report the number as signed. */
export const isInMemory = (type: number): boolean => IN_MEMORY.has(type >>> 0);

function* onDisk(io: Io, path: string): Op<string | undefined> {
  const { type }: FileSystemStatus = yield io.fileSystem(path);
  return isInMemory(type) ? "in memory, not on disk" : undefined;
}

function withFree(minFree: number): Check {
  return function* (io, path) {
    const { availableBlocks, blockSize }: FileSystemStatus = yield io.fileSystem(path);
    const available = availableBlocks * blockSize;
    return available < minFree ? `${available} bytes available, ${minFree} required` : undefined;
  };
}

function onDeviceOf(other: string): Check {
  return function* (io, path) {
    const wanted = yield* lookAt(io, other);
    const found: Status = yield io.statusOfTarget(path);
    return found.device === wanted.device ? undefined : `not on the device of "${other}"`;
  };
}

function* lookAt(io: Io, path: string): Op<Status> {
  try {
    return yield io.statusOfTarget(path);
  } catch (error) {
    throw failure(`find the device of "${path}"`, error, path);
  }
}
