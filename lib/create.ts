/**
 * Creating something that must not exist yet, under a name that nobody can guess.
 *
 * @module
 */
import { codeOf, failure, TempfileError } from "./errors.ts";
import type { Io } from "./io.ts";
import { randomName, refreshNames } from "./name.ts";
import type { Op } from "./op.ts";
import type { Checked } from "./options.ts";
import { joinPath } from "./path.ts";
import { type Handle, runtime, type Status } from "./runtime/mod.ts";

/** Names tried before giving up. One is enough unless somebody plants names. */
const TRIES = 20;

/** Collisions after which the random source is not trusted any more. */
const SUSPICIOUS = 3;

function isTaken(error: unknown, kind: "file" | "directory"): boolean {
  const code = codeOf(error);
  return code === "EEXIST" || (kind === "file" && code === "EISDIR");
}

/**
 * The one loop over "create exclusively at this name". A name that is taken leads to another name, never to using or
 * removing what has it; any other failure is final.
 *
 * @param session What the name carries of the session; empty for what the caller will remove himself.
 */
export function* createExclusively<T>(
  kind: "file" | "directory",
  directory: string,
  { prefix, suffix }: Checked,
  session: string,
  attempt: (path: string) => T | Promise<T>,
): Op<T> {
  for (let tries = 1;; tries++) {
    const path = joinPath(directory, prefix + session + randomName() + suffix);
    try {
      return yield attempt(path);
    } catch (error) {
      const action = `create a temporary ${kind} in "${directory}"`;
      if (!isTaken(error, kind)) throw failure(action, error, directory);
      if (tries === TRIES) throw allTaken(action, directory, error);
      if (tries >= SUSPICIOUS) refreshNames();
    }
  }
}

function allTaken(action: string, path: string, cause: unknown): TempfileError {
  const message = `Cannot ${action}: ${TRIES} random names are all taken (EEXIST)`;
  return new TempfileError(message, { code: "EEXIST", path, cause });
}

/** Whether the umask takes bits of our default modes. Learnt from the first creation; such a umask is very rare. */
let defaultsAreExact: boolean | undefined;

/**
 * Puts back the permission bits that the umask took, through the handle.
 *
 * @param wanted The caller's mode, or undefined for our default.
 */
export function* settleMode(io: Io, handle: Handle, wanted: number | undefined, standard: number): Op<void> {
  if (wanted === undefined && defaultsAreExact === true) return;
  if (runtime.platform === "windows") return;
  const mode = wanted ?? standard;
  const status: Status = yield io.statusOf(handle);
  const exact = (status.mode & 0o777) === mode;
  if (wanted === undefined) defaultsAreExact = exact;
  if (!exact) yield io.changeMode(handle, (status.mode & 0o7000) | mode);
}
