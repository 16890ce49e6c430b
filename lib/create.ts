/**
 * Creating something that must not exist yet, under a name that nobody can guess.
 *
 * @module
 */
import { cannot, codeOf, failure } from "./errors.ts";
import type { Io } from "./io.ts";
import { randomName, refreshNames } from "./name.ts";
import { nothing, type Op } from "./op.ts";
import type { Checked } from "./options/checked.ts";
import { joinPath } from "./path.ts";
import { type Handle, isWindows, type Status } from "./runtime/mod.ts";

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
      if (tries === TRIES) {
        throw cannot(action, `${TRIES} random names are all taken`, "EEXIST", directory, error);
      }
      if (tries >= SUSPICIOUS) refreshNames();
    }
  }
}

/** The mode of a file unless the caller says another. */
export const FILE_MODE = 0o600;

/** Whether the umask is known to take no bits of our default modes. Learnt from the first creation; few take any. */
let defaultsAreExact = false;

/**
 * Whether permission bits are what they should be: the caller's exactly, ours if none is missing. File systems without
 * permissions show more than was asked for, and refuse a change.
 */
export function isSettled(found: number, wanted: number | undefined, standard: number): boolean {
  return wanted === undefined ? (found & standard) === standard : (found & 0o777) === wanted;
}

/**
 * Puts back the permission bits that the umask took from a file in `directory`, through the handle.
 *
 * @param wanted The caller's mode, or undefined for our default.
 */
export function settleMode(io: Io, handle: Handle, directory: string, wanted: number | undefined): Op<void> {
  const isExact = wanted === undefined && defaultsAreExact || isWindows();
  return isExact ? nothing : settle(io, handle, directory, wanted);
}

function* settle(io: Io, handle: Handle, directory: string, wanted: number | undefined): Op<void> {
  try {
    const { mode }: Status = yield io.statusOf(handle);
    const settled = isSettled(mode, wanted, FILE_MODE);
    if (wanted === undefined) defaultsAreExact = settled;
    if (!settled) yield io.changeMode(handle, (mode & 0o7000) | (wanted ?? FILE_MODE));
  } catch (error) {
    throw failure(`set the mode of a temporary file in "${directory}"`, error, directory);
  }
}

/** Takes back what a creation has made before it failed. Its own failures would hide the one to report. */
export function* takeBack(...steps: (() => void | Promise<void>)[]): Op<void> {
  for (const step of steps) {
    try {
      yield step();
    } catch {
      // The next one is still worth trying.
    }
  }
}
