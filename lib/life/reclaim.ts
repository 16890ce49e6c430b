/**
 * Reclaiming: removing what dead processes left.
 *
 * First the process of each lease is checked, then the leases of dead processes are worked through. Directories are
 * listed only then, so that nothing is missed that a process created before it died. Before each removal the other
 * leases are read again, if they are many for several: an entry that another process has adopted is kept, and so is one
 * that is locked. A lease is removed after its last entry: until then it leads the next process to what is left.
 *
 * @module
 */
import { failure, type Leftover } from "../errors.ts";
import type { Io } from "../operation/io.ts";
import type { Op } from "../operation/op.ts";
import { withRetries } from "../operation/retry.ts";
import { tried } from "../operation/tried.ts";
import { baseName, contains, joinPath, parentOf } from "../path.ts";
import { DENIED, requireWritable } from "../permission.ts";
import { type Handle, type Path, runtime, type Status } from "../runtime/mod.ts";
import { namesIn } from "../tree/list.ts";
import { lasting } from "../tree/overlay.ts";
import { removeDirectory } from "../tree/remove.ts";
import { type Candidate, ifThere, type Look, visitEntries } from "./candidates.ts";
import { leaseDirectory, refusalOf } from "./lease_directory.ts";
import { isLeftover, keptByOther, type LeaseFile, parseName, readLease } from "./lease_file.ts";
import { isComparable, type Liveness, livenessOf } from "./liveness.ts";
import { LockTable } from "./lock_table.ts";
import { append } from "./open_lease.ts";
import { tryOr } from "./processes.ts";

/** The result of a look for leftovers. */
export interface Reclaimed {
  removed: { path: string; bytes: number }[];
  /** What was not removed, since another process has taken it, or has locked it. */
  kept: { path: string; isTaken: boolean }[];
  /** What could not be removed. */
  left: Leftover[];
  /** The names of the leases that were left alone, since their processes are alive, or may be. */
  running: Map<string, Liveness>;
}

/** How to remove. */
export interface Removing {
  /** Only report what would be removed. */
  dryRun: boolean;
  /** Called after each removal. A promise it returns is waited for. */
  onRemoved: (path: string) => unknown;
  /** Called before each lease and each entry. What it throws ends the work. */
  checkpoint: () => void;
  /** Returns the size of an entry for the report; undefined if nobody asks. */
  bytesOf?: (io: Io, entry: Candidate) => Op<number>;
}

/** How to look. */
export interface ReclaimOptions extends Removing {
  /** Whether this process is ending: its own leases, those of all its threads, then count as leases of the dead. */
  ending: boolean;
}

/** A look under way. */
interface Work extends ReclaimOptions, Reclaimed, Look {
  /** The directory of leases. */
  directory: string;
  locks: LockTable;
  /** The names of the leases of the dead, and of those that end with this process. */
  leases: Map<string, Liveness>;
  /** The other leases by name, as last read. */
  others: Map<string, LeaseFile>;
  /** When they are to be read next. */
  next: number;
}

/** Looks at all leases, and removes what those of the dead speak for. */
export function* reclaim(io: Io, options: ReclaimOptions): Op<Reclaimed> {
  const report: Reclaimed = { removed: [], kept: [], left: [], running: new Map() };
  const directory = leaseDirectory();
  if (directory === undefined || !(yield* isUsable(io, directory))) return report;
  const work: Work = {
    ...options,
    ...report,
    directory,
    locks: new LockTable(),
    leases: new Map(),
    listed: new Map(),
    others: new Map(),
    next: 0,
  };
  for (const name of yield* leasesIn(io, directory)) {
    options.checkpoint();
    if (options.ending && !endsWithUs(parseName(name)!.pid)) continue;
    const lease = yield* leaseIfThere(io, work, name);
    if (lease === undefined) continue;
    const liveness = yield* livenessOf(io, lease);
    const isToGo = liveness === "dead" || options.ending && isComparable(lease);
    (isToGo ? work.leases : report.running).set(name, liveness);
  }
  for (const [name, liveness] of work.leases) yield* reclaimLease(io, name, liveness, work);
  return report;
}

/** Returns the names of the leases in a directory. */
export function* leasesIn(io: Io, directory: string): Op<string[]> {
  try {
    return yield* namesIn(io, directory, (name) => parseName(name) !== undefined);
  } catch (error) {
    throw failure(`look for leases in "${directory}"`, error, directory);
  }
}

/**
 * All threads of a process end with its main thread, and their leftovers then belong to nobody. On Node it takes
 * milliseconds to find out which thread this is, so that is asked only if there is a lease of this process.
 */
const endsWithUs = (pid: number): boolean => pid === runtime.pid() && runtime.isMainThread();

/** Whether a directory of leases exists, is ours alone, and may be read and written to. */
export function* isUsable(io: Io, directory: string): Op<boolean> {
  const status = yield* tried(() => (requireWritable(directory), io.status(directory)));
  return status !== undefined && refusalOf(directory, status) === undefined;
}

/** Returns the leases other than those of the dead. Of the `known` ones, those that have grown are read again. */
export function* otherLeases(
  io: Io,
  directory: string,
  dead: ReadonlyMap<string, unknown> = new Map(),
  known: Map<string, LeaseFile> = new Map(),
): Op<LeaseFile[]> {
  for (const name of yield* leasesIn(io, directory)) {
    if (dead.has(name)) continue;
    const read = readLease(io, directory, name, known.get(name));
    const lease = yield* tryOr(joinPath(directory, name), read, undefined);
    if (lease !== undefined) known.set(name, lease);
  }
  return [...known.values()];
}

/** Whether a path is the directory for temporary files of a process that may be alive. */
function* isTmpdir(io: Io, path: string): Op<boolean> {
  // The user id is known: without it there are no leases of ours to work through.
  const directory = leaseDirectory(path)!;
  if (!(yield* isUsable(io, directory))) return false;
  for (const lease of yield* otherLeases(io, directory)) {
    if ((yield* livenessOf(io, lease)) !== "dead") return true;
  }
  return false;
}

function* reclaimLease(io: Io, name: string, liveness: Liveness, work: Work): Op<void> {
  const { left, kept } = work, before = left.length + kept.length;
  // Read again: the process may have kept something between the first look at the lease and its death.
  const lease = yield* leaseIfThere(io, work, name);
  if (lease === undefined) return;
  yield* visitEntries(io, lease, work, (entry) => removeUnused(io, entry, name, lease, work), left);
  // The lease goes last: until then it leads the next process to what is left. When this process ends, a thread that
  // had it open may yet create more.
  if (left.length + kept.length > before || work.dryRun || liveness !== "dead") return;
  yield* ifThere(lease.path, left, unlink(io, lease.path));
}

/** Reads a lease, unless it has not grown since it was `known`. */
function leaseIfThere(
  io: Io,
  { directory, left }: Work,
  name: string,
  known?: LeaseFile,
): Op<LeaseFile | undefined> {
  return ifThere(joinPath(directory, name), left, readLease(io, directory, name, known));
}

/**
 * Removes an entry unless it is in use: a program that the dead process started, for example, may have it locked. When
 * this process ends, locks of its own threads do not count, although the kernel still lists them.
 */
function* removeUnused(
  io: Io,
  entry: Candidate,
  name: string,
  known: LeaseFile,
  work: Work,
): Op<void> {
  const { path } = entry;
  // Read only now: a process that has adopted the entry meanwhile has recorded that. If there are many, reading them takes
  // longer than a removal, so what was read is used for as long as that took, less a millisecond: few are always read.
  // A process that already keeps the entry has recorded that in its creator's lease before its own was discarded, so
  // that one is read last. It is read again at the end of a process as well, whose threads are still running then.
  const start = runtime.now();
  if (start >= work.next) {
    yield* otherLeases(io, work.directory, work.leases, work.others);
    work.next = 2 * runtime.now() - 1 - start;
  }
  const latest = yield* leaseIfThere(io, work, name, known);
  if (latest === undefined || !isLeftover(latest, parentOf(path), baseName(path))) return;
  // If something was handed on meanwhile, none of the others may have said so when it was read.
  if (latest !== known) return yield* removeUnused(io, entry, name, latest, { ...work, next: 0 });
  const isTaken = [...work.others.values()].some((lease) => speaksForAny(lease, path)) ||
    (!work.ending && entry.status.kind === "directory" && (yield* isTmpdir(io, path)));
  // Checked first, because removing it would make Deno prompt the user.
  if (!runtime.mayWrite(path)) return void work.left.push({ path, code: DENIED });
  if (isTaken || (!work.ending && (yield* work.locks.has(io, entry.status, path)))) {
    work.kept.push({ path, isTaken });
  } else {
    yield* removeEntry(io, entry, work);
  }
}

/**
 * Whether a lease speaks for a path, or has made or adopted something inside it. An adopted entry counts even when it is
 * kept: its creator's lease says so too, but may not have done so when it was read. What was made inside a directory of
 * the same process has no record of its own, so its name is enough: another process may have died while it adopted it.
 */
const speaksForAny = (lease: LeaseFile, path: string): boolean =>
  lease.adopted.has(path) || (!lease.kept.has(baseName(path)) && baseName(path).includes(lease.session)) ||
  [...lease.made.keys(), ...lease.adopted].some((one) =>
    contains(path, one) && !lease.kept.has(baseName(one))
  );

/**
 * Records in the other leases in `directory` that an adopted entry is kept: their processes may be dead, or be killed
 * before they let go of it. A living process that has adopted it itself may have it from this one, and is skipped.
 */
export function* markKept(io: Io, directory: string, path: string): Op<void> {
  const name = baseName(path);
  for (const lease of yield* otherLeases(io, directory)) {
    const mustRecord = lease.adopted.has(path)
      ? (yield* livenessOf(io, lease)) === "dead"
      // The creator may still record that it makes such names there.
      : name.includes(lease.session);
    if (mustRecord) {
      yield* tryOr(lease.path, write(io, lease.path, `kept ${keptByOther(name)}\n`), undefined);
    }
  }
}

function* write(io: Io, path: string, lines: string): Op<void> {
  const handle: Handle = yield io.openFile(path, "append");
  try {
    append(handle, lines);
  } finally {
    yield io.close(handle);
  }
}

/** Removes a file or a tree, and reports it. */
export function* removeEntry(
  io: Io,
  entry: Candidate,
  { dryRun, onRemoved, checkpoint, bytesOf, removed, left }: Removing & Pick<Reclaimed, "removed" | "left">,
): Op<void> {
  checkpoint();
  const { path, place, status } = entry;
  const bytes = bytesOf === undefined ? 0 : yield* bytesOf(io, entry);
  const gone = dryRun ||
    (status.kind === "directory"
      ? yield* removeTree(io, path, status, left)
      // Another process may be faster.
      : yield* ifThere(path, left, unlink(io, place)));
  if (!gone) return;
  removed.push({ path, bytes });
  yield onRemoved(path);
}

/** Returns whether that removed it. */
function* removeTree(io: Io, path: string, status: Status, left: Leftover[]): Op<boolean> {
  const leftovers = yield* removeDirectory(io, path, yield* lasting(io, path, status));
  left.push(...leftovers);
  return leftovers.length === 0;
}

function* unlink(io: Io, place: Path): Op<true> {
  yield* withRetries(io, () => io.unlink(place));
  return true;
}
