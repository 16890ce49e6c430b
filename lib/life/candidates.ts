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
import { joinPath, parentOf } from "../path.ts";
import type { Path, Status } from "../runtime/mod.ts";
import { type DirRef, leave, locate, within } from "../tree/dir_ref.ts";
import { namesIn } from "../tree/list.ts";
import { isOurs, keptByOther, type LeaseFile, speaksFor } from "./lease_file.ts";

/** An entry that a lease may speak for. */
export interface Candidate {
  /** The path for messages, and for calls that need more than a name. */
  path: string;
  /** A path through the open directory, which stays valid whatever is done to those above it; elsewhere the plain path. */
  place: Path;
  status: Status;
}

/**
 * Visits the entries that a lease may speak for: those whose names have exactly a recorded form, or were recorded one
 * by one; that belong to this user, or are files that were given to another; that are no links and no mount points; and
 * that were not kept.
 *
 * @param unseen Receives what could not be looked at: an entry that the lease speaks for may be there.
 */
export function* visitEntries(
  io: Io,
  lease: LeaseFile,
  visit: (entry: Candidate) => Op<void>,
  unseen: Leftover[] = [],
): Op<void> {
  for (const directory of new Set([...lease.made.keys(), ...[...lease.adopted].map(parentOf)])) {
    // A directory, never through a link.
    const dir = yield* ifThere(directory, unseen, locate(io, directory));
    if (dir === undefined || dir.status.kind !== "directory") continue;
    try {
      const isWanted = (name: string): boolean =>
        speaksFor(lease, directory, name) && !lease.kept.has(keptByOther(name));
      // The dot makes the anchor of a descriptor an intermediate component, not a link at the end.
      const names = yield* ifThere(directory, unseen, namesIn(io, within(dir, "."), isWanted));
      for (const name of names ?? []) {
        const path = joinPath(directory, name);
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
function* ifThere<T>(path: string, unseen: Leftover[], look: Op<T>): Op<T | undefined> {
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
  if (!isOurs(status) && !(status.kind === "file" && given.has(path))) return undefined;
  if (!isPlain(status) || isOffDevice(status, dir.status)) return undefined;
  return (yield* isMounted(io, path, status, dir.status)) ? undefined : { path, place, status };
}

/** Whether a directory is on another device than its parent. A file may be, and still belong there, on an overlay. */
export const isOffDevice = ({ kind, device }: Status, parent: Status): boolean =>
  kind === "directory" && device !== parent.device;

/** Whether the mount table lists it: nothing else shows a bind mount from the same device. */
export function* isMounted(io: Io, path: string, { kind, device }: Status, parent: Status): Op<boolean> {
  return (kind === "directory" || device !== parent.device) && (yield* isMountPoint(io, path));
}

const isPlain = ({ kind }: Status): boolean => kind === "file" || kind === "directory";
