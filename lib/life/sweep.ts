/**
 * Removing leftovers on demand: first those that leases of dead processes speak for, then, if asked, old entries that
 * no lease speaks for, or only one of another pid namespace. Any doubt keeps an entry, and the report says why.
 *
 * @module
 */
import { cannot, codeOf, failure, type Leftover } from "../errors.ts";
import { tmpdir } from "../location/tmpdir.ts";
import type { Io } from "../operation/io.ts";
import type { Op } from "../operation/op.ts";
import { joinPath } from "../path.ts";
import { type Handle, type Locks, runtime, type Status, USER_FLAG } from "../runtime/mod.ts";
import { contentsOf, namesIn } from "../tree/list.ts";
import { usageOf } from "../tree/usage.ts";
import { type Candidate, ifThere, isMounted, isOffDevice, visitEntries } from "./candidates.ts";
import { Claims } from "./claims.ts";
import { isLeaseDirectory, leaseDirectory } from "./lease_directory.ts";
import { isOurs, type LeaseFile, readLease } from "./lease_file.ts";
import { isElsewhere } from "./liveness.ts";
import { LockTable } from "./lock_table.ts";
import { keyOf, openFiles } from "./open_files.ts";
import { reclaim, type Reclaimed, removeEntry, type Removing } from "./reclaim.ts";

/** The result of a sweep. */
export interface SweepReport {
  /** The entries that were removed, or would be, with their sizes. */
  removed: { path: string; bytes: number }[];
  /** The total size in bytes. */
  bytes: number;
  /** The entries that look like leftovers but are kept, and why. */
  kept: { path: string; reason: string }[];
  /** The entries that could not be removed, or only in part, and why. */
  left: Leftover[];
}

/** Why an entry is kept. */
const TAKEN = "another process has it", LOCKED = "it is locked";

type Report = Omit<SweepReport, "bytes">;

interface Aged {
  dir: string | undefined;
  prefix: string;
  olderThan: number;
}

/** Checked options. */
export interface Sweeping {
  aged: Aged | undefined;
  how: Removing;
}

/** Removes what dead processes left, and what is old enough. */
export function* sweepAll(io: Io, { aged, how: asked }: Sweeping): Op<SweepReport> {
  const how = { ...asked, bytesOf }, leases = leaseDirectory();
  how.checkpoint();
  if (leases === undefined) {
    // Without a user id nothing is known to be this user's, and no report would be true.
    throw cannot("sweep", `it needs ${USER_FLAG}`, "ERR_ACCESS_DENIED");
  }
  const found = yield* reclaim(io, { ...how, ending: false });
  const kept = found.kept.map(({ path, isTaken }) => ({ path, reason: isTaken ? TAKEN : LOCKED }));
  const report = { ...found, kept }, inUse = lookOnce(io), undecided: Report["kept"] = [];
  yield* reportRunning(io, leases, found.running, how, report, function* (lease) {
    return aged !== undefined && (yield* isForsaken(lease, aged, inUse)) ? undecided : kept;
  });
  if (aged !== undefined) yield* sweepAged(io, aged, how, report, inUse);
  const decided = pathsIn(report);
  for (const entry of undecided) if (!decided.has(entry.path)) kept.push(entry);
  const { removed, left } = report;
  return { removed, kept, left, bytes: removed.reduce((sum, { bytes }) => sum + bytes, 0) };
}

/** Returns the size of an entry: of a directory, that of the files in it. */
function* bytesOf(io: Io, { path, status }: Candidate): Op<number> {
  return status.kind === "directory" ? (yield* usageOf(io, path)).bytes : status.size;
}

/** Returns the paths of what was dealt with. */
const pathsIn = ({ kept, removed, left }: Report): Set<string> =>
  new Set([...kept, ...removed, ...left].map(({ path }) => path));

/**
 * Reports the entries of processes that are not known to be dead.
 *
 * @param listFor Returns where the entries of a lease are reported.
 */
function* reportRunning(
  io: Io,
  directory: string,
  running: Reclaimed["running"],
  { checkpoint }: Removing,
  report: Report,
  listFor: (lease: LeaseFile) => Op<Report["kept"]>,
): Op<void> {
  const look = { leases: running, listed: new Map() };
  for (const [name, liveness] of running) {
    checkpoint();
    const lease = yield* ifThere(joinPath(directory, name), report.left, readLease(io, directory, name));
    if (lease === undefined) continue;
    const reason = liveness === "alive"
      ? "its process is running"
      : "it is unknown whether its process is running";
    const list = yield* listFor(lease);
    yield* visitEntries(io, lease, look, function* ({ path }) {
      checkpoint();
      list.push({ path, reason });
    });
  }
}

/** What processes are using. */
interface InUse {
  /** The keys of what is open. */
  open: Set<string>;
  locks: LockTable;
}

/** Returns a look at what is in use that is taken once, and only if something is to be compared with it. */
function lookOnce(io: Io): () => Op<InUse> {
  let found: InUse | undefined;
  return function* () {
    return found ??= { open: yield* openFiles(io), locks: new LockTable() };
  };
}

/**
 * Whether age decides in spite of a lease: it is old itself, nobody has it open who can be seen, and whether its process
 * is alive can never be found out here.
 */
function* isForsaken(lease: LeaseFile, { olderThan }: Aged, inUse: () => Op<InUse>): Op<boolean> {
  return isElsewhere(lease) && Date.now() - Math.floor(lease.status.modified) >= olderThan &&
    !(yield* inUse()).open.has(keyOf(lease.status));
}

function* sweepAged(
  io: Io,
  aged: Aged,
  how: Removing,
  report: Report,
  inUse: () => Op<InUse>,
): Op<void> {
  const { directory, parent, names } = yield* listDirectory(io, aged.dir ?? tmpdir(), aged.prefix);
  const known = pathsIn(report);
  const claims = new Claims(directory, (lease) => isForsaken(lease, aged, inUse));
  for (const name of names) {
    how.checkpoint();
    const path = joinPath(directory, name);
    if (known.has(path)) continue;
    const status = yield* statusIfOld(io, path, parent, aged.olderThan, yield* inUse(), report);
    if (status === undefined) continue;
    // It may have been handed over since the leases were read, or belong to a process with another temporary directory.
    if (yield* claims.cover(io, name)) report.kept.push({ path, reason: TAKEN });
    else yield* removeEntry(io, { path, place: path, status }, { ...how, ...report });
  }
}

/** Returns the status of an entry to remove for its age; undefined if it stays, after reporting why. */
function* statusIfOld(
  io: Io,
  path: string,
  parent: Status,
  olderThan: number,
  inUse: InUse,
  report: Report,
): Op<Status | undefined> {
  try {
    const status: Status = yield io.status(path);
    const reason = yield* reasonToKeep(io, path, status, parent, olderThan, inUse);
    if (reason === undefined) return status;
    report.kept.push({ path, reason });
  } catch (error) {
    const code = codeOf(error);
    if (code === "UNKNOWN") throw error;
    // An entry that has vanished meanwhile is as good as removed, and was not ours.
    if (code !== "ENOENT") report.left.push({ path, code });
  }
  return undefined;
}

function* listDirectory(
  io: Io,
  dir: string,
  prefix: string,
): Op<{ directory: string; parent: Status; names: string[] }> {
  // The directory of leases is needed by every entry that is not old enough.
  const isWanted = (name: string): boolean => name.startsWith(prefix) && !isLeaseDirectory(name);
  try {
    const directory: string = yield io.realPath(dir);
    return { directory, parent: yield io.status(directory), names: yield* namesIn(io, directory, isWanted) };
  } catch (error) {
    throw failure(`sweep "${dir}"`, error, dir);
  }
}

/** Returns why an entry must not be removed for its age; undefined if nothing prevents it. */
function* reasonToKeep(
  io: Io,
  path: string,
  status: Status,
  parent: Status,
  olderThan: number,
  inUse: InUse,
): Op<string | undefined> {
  if (!isOurs(status)) return "it belongs to somebody else";
  if (status.kind === "link") return "it is a symbolic link";
  if (status.kind === "other") return "it is not a file or directory";
  if (isOffDevice(status, parent)) return "it is on another device";
  if (yield* isMounted(io, path, status, parent)) return "something is mounted there";
  const all = [
    status,
    ...status.kind === "directory" ? (yield* contentsOf(io, path)).map((found) => found.status) : [],
  ];
  // In whole milliseconds, like the clock: otherwise what has just changed would be younger than now.
  const age = Date.now() - Math.floor(Math.max(...all.map(({ modified }) => modified)));
  if (age < 0) return "its time of change is in the future";
  if (age < olderThan) return `it changed ${Math.round(age / 1000)} seconds ago`;
  if (all.some((one) => inUse.open.has(keyOf(one)))) return "a process has it open";
  for (const one of all) if (yield* inUse.locks.has(io, one, path)) return LOCKED;
  return (yield* isLocked(path)) ? LOCKED : undefined;
}

/**
 * Whether somebody holds a lock that the kernel does not list, from another container for example. It is the kind of
 * lock that keeps systemd-tmpfiles from removing something.
 */
function* isLocked(path: string): Op<boolean> {
  const { locks } = runtime;
  if (locks === undefined) return false;
  try {
    const { tryAcquire }: Locks = yield locks();
    const handle: Handle | undefined = yield tryAcquire(path, false);
    if (handle === undefined) return true;
    runtime.sync.close(handle);
    return false;
  } catch (error) {
    // If no program for locks is installed, nobody can have taken one with it.
    if (codeOf(error) === "ERR_UNSUPPORTED") return false;
    throw error;
  }
}
