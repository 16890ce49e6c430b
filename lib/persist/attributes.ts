/**
 * Permission bits and owner of a file that is put in place.
 *
 * @module
 */
import { codeOf, UNSUPPORTED } from "../errors.ts";
import { recordGiven } from "../life/lease.ts";
import type { Io } from "../operation/io.ts";
import type { Op } from "../operation/op.ts";
import { type Handle, isWindows, type Status } from "../runtime/mod.ts";
import type { Replacing } from "./options.ts";
import type { Target } from "./target.ts";

/** The mode and owner that a file is to have. */
export interface Attributes {
  /** Undefined for the mode it is created with: the umask decides. */
  mode: number | undefined;
  /** `false`: more bits are acceptable. File systems without permissions show more, and refuse a change. */
  exact: boolean;
  /** The owner it is to have, where that is permitted; undefined for whoever creates it. */
  owner: Pick<Status, "uid" | "gid"> | undefined;
}

const PRIVATE = 0o600;

/** The mode passed to `open` if the umask is to decide. */
export const PUBLIC = 0o666;

const BITS = 0o777;

/**
 * Returns the attributes of the result.
 *
 * @param defaultMode The mode if nothing is replaced; undefined for the one that the file has or is created with.
 */
export function attributesFor(
  { existing }: Target,
  { mode }: Replacing,
  defaultMode: number | undefined,
): Attributes {
  if (mode === "existing" && existing?.kind === "file") {
    return { mode: existing.mode & BITS, exact: true, owner: existing };
  }
  // The bits of a link mean nothing: replacing one is like creating a file.
  const modes = { private: PRIVATE, existing: defaultMode, umask: undefined };
  return {
    mode: typeof mode === "number" ? mode : modes[mode],
    exact: mode !== "existing",
    owner: undefined,
  };
}

/**
 * Returns the mode to create a file with: never more permissions than it will have. The umask applies only here. Until
 * the group is known to be the right one, it gets what others get.
 */
export function creationMode({ mode, owner }: Attributes): number {
  if (mode === undefined || isWindows()) return PUBLIC;
  return owner === undefined ? mode : mode & limitGroup(mode);
}

/** Returns the mode for a group that is not the intended one: its members were others to the old file. */
const limitGroup = (mode: number): number => (mode & 0o707) | (mode & 0o007) << 3;

/**
 * Gives a file its mode and owner.
 *
 * @param path The path it has until it is put in place.
 * @param status Its current status.
 */
export function* apply(
  io: Io,
  handle: Handle,
  path: string,
  status: Status,
  attributes: Attributes,
): Op<void> {
  const { mode, exact, owner } = attributes;
  if (mode === undefined || isWindows()) return;
  const hasGroup = owner === undefined || (yield* setOwner(io, handle, path, status, owner));
  const wanted = hasGroup ? mode : limitGroup(mode);
  const found = status.mode & (exact ? BITS : wanted);
  if (found !== wanted) yield io.changeMode(handle, wanted);
}

/** Codes that say that this user may not give files away, or not to that user; also used by file systems without owners. */
const REFUSALS: ReadonlySet<string> = new Set([...UNSUPPORTED, "EACCES", "EPERM", "ERR_ACCESS_DENIED"]);

/**
 * Changes owner and group. Only root may give files away, others only to a group of theirs. Returns whether the group
 * is right.
 */
function* setOwner(
  io: Io,
  handle: Handle,
  path: string,
  status: Status,
  { uid, gid }: Pick<Status, "uid" | "gid">,
): Op<boolean> {
  if (status.uid === uid && status.gid === gid) return true;
  if (status.uid !== uid) recordGiven(path);
  if (yield* chown(io, handle, uid, gid)) return true;
  return status.gid === gid || (status.uid !== uid && (yield* chown(io, handle, status.uid, gid)));
}

function* chown(io: Io, handle: Handle, uid: number, gid: number): Op<boolean> {
  try {
    yield io.changeOwner(handle, uid, gid);
    return true;
  } catch (error) {
    if (REFUSALS.has(codeOf(error))) return false;
    throw error;
  }
}

/** Restores the mode and owner of a file. Failures are ignored: there is a better error to report. */
export function* restore(io: Io, handle: Handle, path: string, { mode, uid, gid }: Status): Op<void> {
  try {
    yield* apply(io, handle, path, yield io.statusOf(handle), {
      mode: mode & BITS,
      exact: true,
      owner: { uid, gid },
    });
  } catch {
    // See above.
  }
}
