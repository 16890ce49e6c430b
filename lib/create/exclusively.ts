/**
 * Exclusive creation under an unguessable name.
 *
 * @module
 */
import { cannot, codeOf, failure } from "../errors.ts";
import { randomName, refreshNames } from "../name.ts";
import type { Io } from "../operation/io.ts";
import { nothing, type Op } from "../operation/op.ts";
import type { Checked } from "../options/checked.ts";
import { joinPath } from "../path.ts";
import { type Handle, isWindows, type Status } from "../runtime/mod.ts";

/** Names tried before giving up. One is enough unless someone plants names. */
const TRIES = 20;

/** Collisions after which the source of random bytes is distrusted. */
const REFRESH_AFTER = 3;

function isTaken(error: unknown, kind: "file" | "directory"): boolean {
  const code = codeOf(error);
  return code === "EEXIST" || (kind === "file" && code === "EISDIR");
}

/**
 * The single loop for exclusive creation. If a name is taken, another one is tried, and the existing entry is neither
 * used nor removed; any other failure is final.
 *
 * @param session The session id for the name; empty for what the caller will remove.
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
      if (tries === TRIES) {
        throw cannot(action, `${TRIES} random names are all taken`, "EEXIST", directory, error);
      }
      if (tries >= REFRESH_AFTER) refreshNames();
    }
  }
}

/** The default mode of a file. */
export const FILE_MODE = 0o600;

/** Whether the umask is known to leave our default modes intact, as most do. Learnt from the first creation. */
let defaultsAreExact = false;

/**
 * Whether permission bits are as intended: exactly the caller's, or at least our default's. File systems without
 * permissions show more than requested, and refuse a change.
 */
export function hasMode(found: number, wanted: number | undefined, standard: number): boolean {
  return wanted === undefined ? (found & standard) === standard : (found & 0o777) === wanted;
}

/**
 * Restores the permission bits of a file in `directory` that the umask removed, through the handle.
 *
 * @param wanted The caller's mode, or undefined for our default.
 */
export function ensureMode(io: Io, handle: Handle, directory: string, wanted: number | undefined): Op<void> {
  const isExact = wanted === undefined && defaultsAreExact || isWindows();
  return isExact ? nothing : fixMode(io, handle, directory, wanted);
}

function* fixMode(io: Io, handle: Handle, directory: string, wanted: number | undefined): Op<void> {
  try {
    const { mode }: Status = yield io.statusOf(handle);
    const settled = hasMode(mode, wanted, FILE_MODE);
    if (wanted === undefined) defaultsAreExact = settled;
    if (!settled) yield io.changeMode(handle, wanted ?? FILE_MODE);
  } catch (error) {
    throw failure(`set the mode of a temporary file in "${directory}"`, error, directory);
  }
}
