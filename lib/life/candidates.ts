/**
 * Finding the entries that a lease may speak for.
 *
 * A lease only says where to look: each entry is checked against the file system, through its open directory where the
 * platform allows that.
 *
 * @module
 */
import { codeOf, type Leftover } from "../errors.ts";
import { isMountPoint } from "../location/mounts.ts";
import type { Io } from "../operation/io.ts";
import type { Op } from "../operation/op.ts";
import { SESSION_LENGTH } from "../name.ts";
import { baseName, joinPath, parentOf } from "../path.ts";
import { coded, type Path, type Status } from "../runtime/mod.ts";
import { type DirRef, leave, locate, within } from "../tree/dir_ref.ts";
import { namesIn } from "../tree/list.ts";
import { isLeftover, isOurs, type LeaseFile } from "./lease_file.ts";

/** An entry that a lease may speak for. */
export interface Candidate {
  /** The path for messages, and for calls that need more than a name. */
  path: string;
  /** A path through the open directory, which stays valid whatever is done to those above it; elsewhere the plain path. */
  place: Path;
  status: Status;
}

/**
 * A look at several leases. Most name the same directory, so it is listed once for all of them. A process that is still
 * alive then may create more: its lease must stay.
 */
export interface Look {
  /** The names of the leases. */
  leases: { keys(): Iterable<string> };
  /** The names found, by directory. Only those with a session of the leases: there may be a hundred thousand others. */
  listed: Map<string, string[]>;
}

/** Returns the names in a directory that have a session of the leases. */
function* namesWithSession(io: Io, dir: DirRef, { leases, listed }: Look): Op<string[]> {
  let names = listed.get(dir.shown);
  if (names === undefined) {
    const sessions = [...leases.keys()].map((lease) => lease.slice(0, SESSION_LENGTH));
    const isWanted = (name: string): boolean => sessions.some((session) => name.includes(session));
    // The dot makes the anchor of a descriptor an intermediate component, not a link at the end.
    names = yield* namesIn(io, within(dir, "."), isWanted);
    listed.set(dir.shown, names);
  }
  return names;
}

/**
 * Visits the entries that a lease may speak for: those whose names have exactly a recorded form, or were recorded one
 * by one; that belong to this user, or are files that were given to another; that are no links and no mount points; and
 * that were not kept.
 *
 * @param unseen Receives mount points, and what could not be looked at: the lease may speak for an entry there.
 */
export function* visitEntries(
  io: Io,
  lease: LeaseFile,
  look: Look,
  visit: (entry: Candidate) => Op<void>,
  unseen: Leftover[] = [],
): Op<void> {
  const { made, adopted, kept } = lease;
  const places: [directory: string, adopted?: string][] = [...made.keys()].map((directory) => [directory]);
  for (const path of adopted) if (!kept.has(baseName(path))) places.push([parentOf(path), path]);
  for (const [directory, one] of places) {
    // A directory, never through a link.
    const dir = yield* ifThere(directory, unseen, locate(io, directory));
    if (dir === undefined || dir.status.kind !== "directory") continue;
    try {
      const names = one === undefined
        ? yield* ifThere(directory, unseen, namesWithSession(io, dir, look))
        : [baseName(one)];
      for (const name of names ?? []) {
        const path = joinPath(directory, name);
        if (!isLeftover(lease, directory, name)) continue;
        // An adopted entry is visited once, for its own record.
        if ((one === undefined) === adopted.has(path)) continue;
        const entry = yield* ifThere(path, unseen, candidate(io, dir, name, path, lease));
        if (entry !== undefined) yield* visit(entry);
      }
    } finally {
      yield* leave(io, dir);
    }
  }
}

/** Codes for an entry that is gone, was replaced by a link or a file, or can never have existed. */
const GONE: ReadonlySet<string> = new Set(["ENOENT", "ENOTDIR", "ELOOP", "ENAMETOOLONG"]);

/** Returns what a look finds; undefined if nothing is there, or if it fails, which `unseen` then records. */
export function* ifThere<T>(path: string, unseen: Leftover[], look: Op<T>): Op<T | undefined> {
  try {
    return yield* look;
  } catch (error) {
    const code = codeOf(error);
    if (!GONE.has(code)) unseen.push({ path, code });
    return undefined;
  }
}

function* candidate(
  io: Io,
  dir: DirRef,
  name: string,
  path: string,
  { given }: LeaseFile,
): Op<Candidate | undefined> {
  const place = within(dir, name);
  const status: Status = yield io.status(place);
  const isMine = isOurs(status);
  if (!(status.kind === "file" ? isMine || given.has(path) : status.kind === "directory" && isMine)) {
    return undefined;
  }
  // A leftover all the same, once that is unmounted.
  if (yield* isMounted(io, path, status, dir.status)) throw coded("EBUSY", "mounted");
  return { path, place, status };
}

/** Whether a directory is on another device than its parent. A file may be, and still belong there, on an overlay. */
export const isOffDevice = ({ kind, device }: Status, parent: Status): boolean =>
  kind === "directory" && device !== parent.device;

/** Whether something is mounted there. Nothing but the mount table shows a bind mount from the same device. */
export function* isMounted(io: Io, path: string, status: Status, parent: Status): Op<boolean> {
  return isOffDevice(status, parent) ||
    (status.kind === "directory" || status.device !== parent.device) && (yield* isMountPoint(io, path));
}
