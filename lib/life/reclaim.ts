/**
 * Removing what dead processes left.
 *
 * @module
 */
import { codeOf, type Leftover } from "../errors.ts";
import type { Io } from "../io.ts";
import { RANDOM_LENGTH } from "../name.ts";
import type { Op } from "../op.ts";
import { joinPath } from "../path.ts";
import { type DirectoryEntry, runtime, type Status } from "../runtime/mod.ts";
import { entriesIn } from "../tree/list.ts";
import { removeDirectory } from "../tree/remove.ts";
import { usageOf } from "../tree/usage.ts";
import { leaseDirectory, refusalOf } from "./lease_directory.ts";
import { isOurs, type LeaseFile, parseName, readLease } from "./lease_file.ts";
import { isComparable, type Liveness, livenessOf } from "./liveness.ts";

/** What a look for leftovers did. */
export interface Reclaimed {
  removed: { path: string; bytes: number }[];
  /** What is not removed, and why. */
  kept: { path: string; reason: string }[];
  /** What could not be removed. */
  left: Leftover[];
}

/** How to look. */
export interface Looking {
  /** Only say what would be removed. */
  dryRun: boolean;
  /** Called for each thing removed. */
  onRemoved: (path: string) => void;
  /** Whether this process is ending, so that its own leases, all threads' among them, are those of the dead. */
  ending: boolean;
}

/** Looks at all leases, and removes what belongs to those of the dead. */
export function* reclaim(io: Io, looking: Looking, report: Reclaimed): Op<void> {
  const directory = leaseDirectory();
  if (directory === undefined || !(yield* isUsable(io, directory))) return;
  for (const { name } of yield* entriesIn(io, directory)) {
    const named = typeof name === "string" ? parseName(name) : undefined;
    if (named === undefined || (looking.ending && !endsWithUs(named.pid))) continue;
    try {
      yield* reclaimLease(io, directory, name as string, looking, report);
    } catch (error) {
      // Another process may be at the same work: what is gone is done.
      if (codeOf(error) !== "ENOENT") {
        report.left.push({ path: joinPath(directory, name as string), code: codeOf(error) });
      }
    }
  }
}

/**
 * With the main thread all threads of its process end, and what they left belongs to nobody. Which thread this is costs
 * milliseconds to ask on Node, so only when there is a lease of this process.
 */
const endsWithUs = (pid: number): boolean => pid === runtime.pid() && runtime.isMainThread();

/** Whether a directory of leases is there and ours alone. */
export function* isUsable(io: Io, directory: string): Op<boolean> {
  try {
    return refusalOf(yield io.status(directory)) === undefined;
  } catch {
    return false;
  }
}

function* reclaimLease(
  io: Io,
  directory: string,
  name: string,
  looking: Looking,
  report: Reclaimed,
): Op<void> {
  const first = yield* readLease(io, directory, name);
  if (first === undefined) return;
  const liveness: Liveness = looking.ending && isComparable(first) ? "dead" : yield* livenessOf(io, first);
  // Its process may have kept something between the first look at the lease and its death: only now that is final.
  const lease = liveness === "dead" ? yield* readLease(io, directory, name) : first;
  if (lease === undefined) return;
  let left = false;
  for (const parent of lease.parents) {
    for (const { path, status } of yield* entriesOf(io, lease, parent)) {
      if (liveness === "dead") left = !(yield* removeEntry(io, path, status, looking, report)) || left;
      else report.kept.push({ path, reason: REASONS[liveness] });
    }
  }
  // The lease goes last: until then it leads the next process to what is left.
  if (liveness === "dead" && !left && !looking.dryRun) yield io.unlink(lease.path);
}

const REASONS = {
  alive: "its process is running",
  unknown: "nobody can tell from here whether its process is running",
};

/** Something that a lease may speak for. */
export interface Candidate {
  path: string;
  status: Status;
}

/**
 * What a lease may speak for: entries whose names carry its session at the right place, that belong to this user, are no
 * links and no mounts, and were not kept.
 */
export function* entriesOf(io: Io, lease: LeaseFile, parent: string): Op<Candidate[]> {
  const found: Candidate[] = [];
  let home: Status, entries: DirectoryEntry[];
  try {
    home = yield io.status(parent);
    if (home.kind !== "directory") return found;
    entries = yield* entriesIn(io, parent);
  } catch {
    return found;
  }
  const pattern = new RegExp(`${lease.session}[a-z2-9]{${RANDOM_LENGTH}}`);
  for (const { name } of entries) {
    if (typeof name !== "string" || !pattern.test(name) || lease.kept.has(name)) continue;
    const path = joinPath(parent, name);
    const status = yield* statusIfThere(io, path);
    if (status !== undefined && isOurs(status) && isPlain(status) && status.device === home.device) {
      found.push({ path, status });
    }
  }
  return found;
}

const isPlain = ({ kind }: Status): boolean => kind === "file" || kind === "directory";

function* statusIfThere(io: Io, path: string): Op<Status | undefined> {
  try {
    return yield io.status(path);
  } catch {
    return undefined;
  }
}

/** Removes a file or a tree. `false` if something of it is left. */
export function* removeEntry(
  io: Io,
  path: string,
  status: Status,
  { dryRun, onRemoved }: Pick<Looking, "dryRun" | "onRemoved">,
  report: Reclaimed,
): Op<boolean> {
  const isTree = status.kind === "directory";
  const bytes = isTree ? (yield* usageOf(io, path)).bytes : status.size;
  const leftovers = dryRun ? [] : isTree ? yield* removeDirectory(io, path, status) : yield* unlink(io, path);
  report.left.push(...leftovers);
  if (leftovers.length > 0) return false;
  report.removed.push({ path, bytes });
  onRemoved(path);
  return true;
}

function* unlink(io: Io, path: string): Op<Leftover[]> {
  try {
    yield io.unlink(path);
  } catch (error) {
    const code = codeOf(error);
    if (code !== "ENOENT") return [{ path, code }];
  }
  return [];
}

/** An empty report. */
export const nothingYet = (): Reclaimed => ({ removed: [], kept: [], left: [] });
