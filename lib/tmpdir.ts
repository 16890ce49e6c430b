/**
 * Where temporary files go.
 *
 * @module
 */
import { codeOf, TempfileError } from "./errors.ts";
import { randomName } from "./name.ts";
import { joinPath } from "./path.ts";
import { runtime } from "./runtime/mod.ts";
import { onSettings, settings } from "./settings.ts";

/** A directory that cannot be used, and why. */
export interface Rejected {
  path: string;
  reason: string;
}

const VARIABLES = ["TMPDIR", "TEMP", "TMP"];

function platformCandidates(): string[] {
  if (runtime.platform !== "windows") return ["/tmp", "/var/tmp", "/usr/tmp"];
  const below = (variable: string, rest: string): string[] => {
    const base = runtime.env(variable);
    return base ? [base + rest] : [];
  };
  return [
    ...below("LOCALAPPDATA", "\\Temp"),
    ...below("USERPROFILE", "\\AppData\\Local\\Temp"),
    ...below("SystemRoot", "\\Temp"),
    "C:\\TEMP",
    "C:\\TMP",
  ];
}

/** The directories to try, best first. Never the current directory, which may be public, a checkout or a web root. */
export function candidates(): string[] {
  if (settings.tmpdir !== undefined) return [settings.tmpdir];
  const named = VARIABLES.map((name) => runtime.env(name)).filter((path) =>
    path !== undefined && path !== ""
  );
  const own = named.length === 0 ? runtime.temporaryDirectory() : undefined;
  return [...named as string[], ...own === undefined ? [] : [own], ...platformCandidates()];
}

const WORLD_WRITABLE = 0o002;
const STICKY = 0o1000;

/**
 * Tries a candidate by writing a file: the mode bits do not tell of read-only mounts, full disks and access lists.
 * Returns its canonical path or why it cannot be used.
 */
export function probe(path: string): string | Rejected {
  const { sync, platform } = runtime;
  try {
    const canonical = sync.realPath(path);
    const { kind, mode } = sync.statusOfTarget(canonical);
    if (kind !== "directory") return { path, reason: "not a directory" };
    if (platform !== "windows" && (mode & WORLD_WRITABLE) && !(mode & STICKY)) {
      return { path, reason: "anybody may rename what is in it (world-writable without the sticky bit)" };
    }
    writeProbe(joinPath(canonical, `tmp${randomName()}`));
    return canonical;
  } catch (error) {
    return { path, reason: codeOf(error) };
  }
}

function writeProbe(path: string): void {
  const { sync } = runtime;
  const handle = sync.createFile(path, 0o600);
  try {
    sync.write(handle, Uint8Array.of(0), 0);
  } finally {
    try {
      sync.close(handle);
    } finally {
      sync.unlink(path);
    }
  }
}

/** Says why no directory would do. */
export function noDirectory(wanted: string, rejected: readonly Rejected[]): TempfileError {
  const list = rejected.map(({ path, reason }) => `"${path}" (${reason})`).join(", ");
  return new TempfileError(`Cannot find ${wanted}: tried ${list}`, { code: "ERR_NO_TMPDIR" });
}

let cached: string | undefined;
onSettings(() => cached = undefined);

/**
 * The directory for temporary files: the first of `TMPDIR`, `TEMP`, `TMP` and the platform's own that can be written
 * to. Found once; later changes of the environment count only after {@linkcode configure}.
 *
 * A directory that anybody may write to is used only with the sticky bit. The current directory is never used.
 *
 * On Deno, the variables count where `--allow-env` permits to read them.
 *
 * @returns The canonical absolute path.
 * @throws {TempfileError} `ERR_NO_TMPDIR` if none can be used; the message lists each with its reason.
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
  throw noDirectory("a usable directory for temporary files", rejected);
}
