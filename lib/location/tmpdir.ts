/**
 * The directory for temporary files.
 *
 * @module
 */
import { codeOf, isGone, refusesUnnamed, TempfileError } from "../errors.ts";
import { randomName } from "../name.ts";
import { setDevice } from "../operation/devices.ts";
import { syncIo } from "../operation/io.ts";
import { runSync } from "../operation/op.ts";
import { withRetries } from "../operation/retry.ts";
import { joinPath, parentOf } from "../path.ts";
import { DENIED, requireReadable, requireWritable } from "../permission.ts";
import { type Handle, isWindows, runtime } from "../runtime/mod.ts";
import { onSettings, settings } from "../settings.ts";

/** A directory that cannot be used, and the reason. */
export interface Rejected {
  path: string;
  reason: string;
  /** Its canonical path, if the only objection is that it is not safe from other users. */
  unsafe?: string;
}

/** The directory below the value of an environment variable; empty if the variable is unset or empty. */
function envDir(variable: string, rest = ""): string[] {
  const base = runtime.env(variable);
  return base ? [base + rest] : [];
}

function platformCandidates(): string[] {
  if (!isWindows()) return ["/tmp", "/var/tmp", "/usr/tmp"];
  return [
    ...envDir("LOCALAPPDATA", "\\Temp"),
    ...envDir("USERPROFILE", "\\AppData\\Local\\Temp"),
    ...envDir("SystemRoot", "\\Temp"),
    "C:\\TEMP",
    "C:\\TMP",
  ];
}

/**
 * For a service running as SYSTEM, `TEMP` names a directory shared with all users. This one, where Windows has it, is
 * not.
 */
function systemCandidates(): string[] {
  const profile = isWindows() ? runtime.env("USERPROFILE") : undefined;
  return /\\config\\systemprofile$/i.test(profile ?? "") ? envDir("SystemRoot", "\\SystemTemp") : [];
}

/** The directories to try, best first. Never the working directory, which may be public, a checkout or a web root. */
export function candidates(): string[] {
  if (settings.tmpdir !== undefined) return [settings.tmpdir];
  const named = [...envDir("TMPDIR"), ...systemCandidates(), ...envDir("TEMP"), ...envDir("TMP")];
  const own = named.length === 0 ? runtime.temporaryDirectory() : undefined;
  return [...named, ...own === undefined ? [] : [own], ...platformCandidates()];
}

const WORLD_WRITABLE = 0o002;
const STICKY = 0o1000;

/**
 * Tries a candidate by writing a file: mode bits do not reveal read-only mounts, full disks and access lists. Returns
 * its canonical path, or why it cannot be used.
 */
export function probe(path: string): string | Rejected {
  const { sync } = runtime;
  try {
    requireWritable(path);
    const canonical = sync.realPath(path);
    requireWritable(canonical);
    const { kind, device } = sync.status(canonical);
    if (kind !== "directory") return { path, reason: "not a directory" };
    tryToWrite(canonical);
    setDevice(canonical, device);
    const open = findUnsafe(canonical);
    if (open === undefined) return canonical;
    const reason = `any user can replace files in "${open}": it is world-writable without the sticky bit`;
    return { path, reason, unsafe: canonical };
  } catch (error) {
    return { path, reason: codeOf(error) };
  }
}

/** Returns the directory, or the ancestor of it, in which any user can replace the next component. */
function findUnsafe(path: string): string | undefined {
  if (isWindows()) return undefined;
  for (let at = path;; at = parentOf(at)) {
    if (isUnsafe(at)) return at;
    if (at === parentOf(at)) return undefined;
  }
}

/** Directories that may not be read are skipped, so that a permission for the directory alone is enough. */
function isUnsafe(path: string): boolean {
  try {
    requireReadable(path);
    const { mode } = runtime.sync.status(path);
    return (mode & WORLD_WRITABLE) !== 0 && (mode & STICKY) === 0;
  } catch {
    return false;
  }
}

const MODE = 0o600;

/** Writes a file, unnamed where possible, so that nothing remains even if the process is killed meanwhile. */
function tryToWrite(directory: string): void {
  const { sync } = runtime;
  if (runtime.platform === "linux" && runtime.lightUnnamed) {
    try {
      return writeAndClose(sync.createUnnamed(directory, MODE));
    } catch (error) {
      if (!refusesUnnamed(error)) throw error;
    }
  }
  const path = joinPath(directory, `tmp${randomName()}`);
  const handle = sync.createFile(path, MODE);
  // Unlinked before writing, where an open file can be: a process killed after that leaves nothing either.
  if (!isWindows()) return writeAndClose(handle, () => removeProbe(path));
  try {
    writeAndClose(handle);
  } finally {
    removeProbe(path);
  }
}

function writeAndClose(handle: Handle, before?: () => void): void {
  const { sync } = runtime;
  try {
    before?.();
    sync.write(handle, Uint8Array.of(0), 0);
  } finally {
    sync.close(handle);
  }
}

/** Warns if the file stays, where users may create files but not remove them. */
function removeProbe(path: string): void {
  try {
    runSync(withRetries(syncIo(), () => runtime.sync.unlink(path)));
  } catch (error) {
    // Someone else's clean-up was faster.
    if (isGone(error)) return;
    const code = codeOf(error);
    runtime.warn(`Cannot remove "${path}", created to test the directory (${code})`, code);
    throw error;
  }
}

/**
 * The fallback if no candidate is good: one that is merely unsafe, with a warning.
 *
 * @throws {TempfileError} `ERR_NO_TMPDIR` with the reasons if there is none.
 */
export function lastResort(wanted: string, rejected: readonly Rejected[]): string {
  const last = rejected.find(({ unsafe }) => unsafe !== undefined);
  if (last === undefined) throw noDirectory(wanted, rejected);
  // Containers mount their only writable directory this way, and have no other users.
  runtime.warn(`Temporary files go to "${last.path}", where ${last.reason}`, "MAYFLY_UNSAFE_TMPDIR");
  return last.unsafe!;
}

/** The error that lists why each directory was rejected. */
function noDirectory(wanted: string, rejected: readonly Rejected[]): TempfileError {
  const list = rejected.map(({ path, reason }) => `"${path}" (${reason})`).join(", ");
  const isDenied = rejected.some(({ reason }) => reason === DENIED);
  const advice = isDenied && runtime.fileFlags !== undefined ? `. Permit it with ${runtime.fileFlags}` : "";
  return new TempfileError(`Cannot find ${wanted}: tried ${list}${advice}`, { code: "ERR_NO_TMPDIR" });
}

let cached: string | undefined;
onSettings((changed) => {
  if ("tmpdir" in changed) cached = undefined;
});

/**
 * Returns the directory for temporary files: the first of `TMPDIR`, `TEMP`, `TMP` and the platform's own directories
 * that is writable. The result is cached; later changes to the environment take effect only after
 * `configure({ tmpdir: undefined })`.
 *
 * A directory in which other users could replace files, because it or an ancestor is world-writable without the sticky
 * bit, is used only if there is no other, with a warning. The working directory is never used.
 *
 * On Deno, the variables are read only where `--allow-env` permits it; without it, `TMPDIR` still counts if
 * `--allow-write` is not limited to paths.
 *
 * @returns The absolute path, with symbolic links resolved.
 * @throws {TempfileError} `ERR_NO_TMPDIR` if none is usable; the message lists each with the reason.
 *
 * @example Where files go
 * ```ts
 * import { tmpdir } from "mayfly";
 *
 * console.log(tmpdir()); // "/tmp"
 * ```
 */
export function tmpdir(): string {
  return cached ??= find();
}

function find(): string {
  const rejected: Rejected[] = [];
  for (const candidate of candidates()) {
    const result = probe(candidate);
    if (typeof result === "string") return result;
    rejected.push(result);
  }
  return lastResort("a usable directory for temporary files", rejected);
}
