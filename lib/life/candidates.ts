/**
 * What a lease may speak for, found where it says.
 *
 * @module
 */
import { codeOf, type Leftover } from "../errors.ts";
import type { Io } from "../io.ts";
import { isMountPoint } from "../mounts.ts";
import type { Op } from "../op.ts";
import { joinPath, parentOf } from "../path.ts";
import type { Path, Status } from "../runtime/mod.ts";
import { leave, locate, type Spot, within } from "../tree/spot.ts";
import { namesIn } from "../tree/visit.ts";
import { isOurs, keptByOther, type LeaseFile, speaksFor } from "./lease_file.ts";

/** Something that a lease may speak for. */
export interface Candidate {
  /** For messages, and for what looks at more than a name. */
  path: string;
  /** Where it is whatever is done to the directories on the way there. */
  place: Path;
  status: Status;
}

/**
 * Visits what a lease may speak for: entries whose names have just the form that was recorded, or were recorded one by
 * one, that belong to this user or are files that were given to another, are no links and no mounts, and were not kept.
 *
 * @param unseen Gets what could not be looked at: something that the lease speaks for may be there.
 */
export function* visitEntries(
  io: Io,
  lease: LeaseFile,
  visit: (entry: Candidate) => Op<void>,
  unseen: Leftover[] = [],
): Op<void> {
  for (const directory of new Set([...lease.made.keys(), ...[...lease.adopted].map(parentOf)])) {
    // A directory, never through a link.
    const spot = yield* ifThere(directory, unseen, locate(io, directory));
    if (spot === undefined || spot.status.kind !== "directory") continue;
    try {
      const isWanted = (name: string): boolean =>
        speaksFor(lease, directory, name) && !lease.kept.has(keptByOther(name));
      // The dot makes the anchor of a descriptor a directory on the way rather than a link at the end.
      const names = yield* ifThere(directory, unseen, namesIn(io, within(spot, "."), isWanted));
      for (const name of names ?? []) {
        const path = joinPath(directory, name);
        const entry = yield* ifThere(path, unseen, candidate(io, spot, name, path, lease));
        if (entry !== undefined) yield* visit(entry);
      }
    } finally {
      yield* leave(io, spot);
    }
  }
}

/** How systems say that a thing is gone, that a link or a file is in its place, or that it can never have been. */
const GONE: ReadonlySet<string> = new Set(["ENOENT", "ENOTDIR", "ELOOP", "ENAMETOOLONG"]);

/** What a look finds; undefined if there is nothing to look at, or that is not to be told. */
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
  spot: Spot,
  name: string,
  path: string,
  { given }: LeaseFile,
): Op<Candidate | undefined> {
  const place = within(spot, name);
  const status: Status = yield io.status(place);
  if (!isOurs(status) && !(status.kind === "file" && given.has(path))) return undefined;
  if (!isPlain(status) || isBeyond(status, spot.status)) return undefined;
  return (yield* isMounted(io, path, status, spot.status)) ? undefined : { path, place, status };
}

/** Whether a directory is on another device than the one it is in. A file may be and yet belong there, on an overlay. */
export const isBeyond = ({ kind, device }: Status, home: Status): boolean =>
  kind === "directory" && device !== home.device;

/** Whether the table of mounts says so: it alone tells of a directory bound from the same device. */
export function* isMounted(io: Io, path: string, { kind, device }: Status, home: Status): Op<boolean> {
  return (kind === "directory" || device !== home.device) && (yield* isMountPoint(io, path));
}

const isPlain = ({ kind }: Status): boolean => kind === "file" || kind === "directory";
