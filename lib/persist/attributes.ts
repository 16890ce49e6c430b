/**
 * Permission bits and owner of what is put in place.
 *
 * @module
 */
import { codeOf } from "../errors.ts";
import type { Io } from "../io.ts";
import { recordGiven } from "../life/lease.ts";
import type { Op } from "../op.ts";
import { type Handle, isWindows, type Status } from "../runtime/mod.ts";
import type { Replacing } from "./options.ts";
import type { Target } from "./target.ts";

/** What a file is to have beside its contents. */
export interface Attributes {
  /** Undefined for what it is created with: the umask decides. */
  mode: number | undefined;
  /** `false`: more is as good, which is what file systems without permissions show, and refuse to change. */
  exact: boolean;
  /** Whose it is to be, where that is permitted; undefined for whoever creates it. */
  owner: Pick<Status, "uid" | "gid"> | undefined;
}

const PRIVATE = 0o600;

/** What `open` is asked for where the umask is to decide. */
export const PUBLIC = 0o666;

const BITS = 0o777;

/**
 * What the result is to have.
 *
 * @param own The mode where nothing is replaced; undefined for what the file has or is created with.
 */
export function attributesFor(
  { existing }: Target,
  { mode }: Replacing,
  own: number | undefined,
): Attributes {
  if (mode === "existing" && existing?.kind === "file") {
    return { mode: existing.mode & BITS, exact: true, owner: existing };
  }
  // A link has no bits that would mean anything: replacing one is creating a file.
  const modes = { private: PRIVATE, existing: own, umask: undefined };
  return {
    mode: typeof mode === "number" ? mode : modes[mode],
    exact: mode !== "existing",
    owner: undefined,
  };
}

/**
 * The mode to create a file with: never more rights than it will have. The umask has its say only now, and as long as the
 * group is not known to be the right one, it is one of the others.
 */
export function creationMode({ mode, owner }: Attributes): number {
  if (mode === undefined || isWindows()) return PUBLIC;
  return owner === undefined ? mode : mode & forStrangers(mode);
}

/** The mode with a group that is not the one it was meant for: its members were others to the old file. */
const forStrangers = (mode: number): number => (mode & 0o707) | (mode & 0o007) << 3;

/**
 * Gives a file its mode and owner.
 *
 * @param path Where it is until it gets its place.
 * @param status What it has now.
 */
export function* settle(
  io: Io,
  handle: Handle,
  path: string,
  status: Status,
  attributes: Attributes,
): Op<void> {
  const { mode, exact, owner } = attributes;
  if (mode === undefined || isWindows()) return;
  const hasGroup = owner === undefined || (yield* inherit(io, handle, path, status, owner));
  const wanted = hasGroup ? mode : forStrangers(mode);
  const found = status.mode & (exact ? BITS : wanted);
  if (found !== wanted) yield io.changeMode(handle, wanted);
}

/** How systems say that this user may not give files away, or not to that one; file systems without owners say it too. */
const REFUSALS: ReadonlySet<string> = new Set([
  "EPERM",
  "EACCES",
  "EINVAL",
  "ENOSYS",
  "ENOTSUP",
  "EOPNOTSUPP",
  "ERR_ACCESS_DENIED",
]);

/** Only root may give files away, others only to a group of theirs. Returns whether the group is as it was. */
function* inherit(
  io: Io,
  handle: Handle,
  path: string,
  status: Status,
  { uid, gid }: Pick<Status, "uid" | "gid">,
): Op<boolean> {
  if (status.uid === uid && status.gid === gid) return true;
  if (status.uid !== uid) recordGiven(path);
  if (yield* give(io, handle, uid, gid)) return true;
  return status.gid === gid || (status.uid !== uid && (yield* give(io, handle, status.uid, gid)));
}

function* give(io: Io, handle: Handle, uid: number, gid: number): Op<boolean> {
  try {
    yield io.changeOwner(handle, uid, gid);
    return true;
  } catch (error) {
    if (REFUSALS.has(codeOf(error))) return false;
    throw error;
  }
}

/** Gives a file back what it had. There is a better error to report than that this fails. */
export function* restore(io: Io, handle: Handle, path: string, { mode, uid, gid }: Status): Op<void> {
  try {
    yield* settle(io, handle, path, yield io.statusOf(handle), {
      mode: mode & BITS,
      exact: true,
      owner: { uid, gid },
    });
  } catch {
    // See above.
  }
}
