/**
 * Removing leftovers when asked to.
 *
 * @module
 */
import { cannot, codeOf, failure, type Leftover } from "../errors.ts";
import type { Io } from "../io.ts";
import type { Op } from "../op.ts";
import { joinPath } from "../path.ts";
import { runtime, type Status, USER_FLAG } from "../runtime/mod.ts";
import { tmpdir } from "../tmpdir.ts";
import { contentsOf, namesIn } from "../tree/visit.ts";
import { isBeyond, isMounted, visitEntries } from "./candidates.ts";
import { isLeaseDirectory, leaseDirectory } from "./lease_directory.ts";
import { isOurs, type LeaseFile } from "./lease_file.ts";
import { keyOf, openFiles } from "./open_files.ts";
import { LockTable } from "./lock_table.ts";
import { LOCKED, reclaim, type Reclaimed, removeEntry, type Removing, type Work } from "./reclaim.ts";

/** What a sweep did. */
export interface SweepReport {
  /** What was removed, or would be, with the bytes it held. */
  removed: { path: string; bytes: number }[];
  /** Bytes of all that. */
  bytes: number;
  /** What looks like a leftover and is none, and why. */
  kept: { path: string; reason: string }[];
  /** What could not be removed, or only in part, and why. */
  left: Leftover[];
}

/** Checked options. */
export interface Sweeping {
  aged: { dir: string | undefined; prefix: string; olderThan: number } | undefined;
  how: Removing;
}

/** Removes what dead processes left, and what is old enough. */
export function* sweepAll(io: Io, { aged, how }: Sweeping): Op<SweepReport> {
  how.checkpoint();
  if (leaseDirectory() === undefined) {
    // Then nothing is known to be this user's, and no report would be true.
    throw cannot("sweep", `it needs ${USER_FLAG}`, "ERR_ACCESS_DENIED");
  }
  const report = yield* reclaim(io, { ...how, reportKept, ending: false });
  if (aged !== undefined) yield* sweepAged(io, aged, how, report);
  return { ...report, bytes: report.removed.reduce((sum, { bytes }) => sum + bytes, 0) };
}

/** Why what a process holds is kept. */
const REASONS = {
  alive: "its process is running",
  unknown: "nobody can tell from here whether its process is running",
};

/** Says what is kept of processes that are not dead. */
export function* reportKept(
  io: Io,
  lease: LeaseFile,
  liveness: keyof typeof REASONS,
  { checkpoint, report }: Work,
): Op<void> {
  yield* visitEntries(io, lease, function* ({ path }) {
    checkpoint();
    report.kept.push({ path, reason: REASONS[liveness] });
  });
}

/** What processes are at work with. */
interface InUse {
  /** By their keys. */
  open: Set<string>;
  locks: LockTable;
}

function* sweepAged(
  io: Io,
  aged: NonNullable<Sweeping["aged"]>,
  how: Removing,
  report: Reclaimed,
): Op<void> {
  const { directory, home, names } = yield* listHome(io, aged.dir ?? tmpdir(), aged.prefix);
  const known = new Set([...report.kept, ...report.removed, ...report.left].map(({ path }) => path));
  let inUse: InUse | undefined;
  for (const name of names) {
    how.checkpoint();
    const path = joinPath(directory, name);
    if (known.has(path)) continue;
    inUse ??= { open: yield* openFiles(io), locks: new LockTable() };
    const status = yield* oldOne(io, path, home, aged.olderThan, inUse, report);
    if (status !== undefined) yield* removeEntry(io, { path, place: path, status }, { ...how, report });
  }
}

/** What is to be removed for its age; undefined if it is not, after saying why. */
function* oldOne(
  io: Io,
  path: string,
  home: Status,
  olderThan: number,
  inUse: InUse,
  report: Reclaimed,
): Op<Status | undefined> {
  try {
    const status: Status = yield io.status(path);
    const reason = yield* reasonToKeep(io, path, status, home, olderThan, inUse);
    if (reason === undefined) return status;
    report.kept.push({ path, reason });
  } catch (error) {
    const code = codeOf(error);
    if (code === "UNKNOWN") throw error;
    // Gone meanwhile is as good as removed, and nothing of ours.
    if (code !== "ENOENT") report.left.push({ path, code });
  }
  return undefined;
}

function* listHome(
  io: Io,
  dir: string,
  prefix: string,
): Op<{ directory: string; home: Status; names: string[] }> {
  // The folder of leases is what everything that is not old enough needs.
  const isWanted = (name: string): boolean => name.startsWith(prefix) && !isLeaseDirectory(name);
  try {
    const directory: string = yield io.realPath(dir);
    return { directory, home: yield io.status(directory), names: yield* namesIn(io, directory, isWanted) };
  } catch (error) {
    throw failure(`sweep "${dir}"`, error, dir);
  }
}

/** Why an entry is not to be removed for its age; undefined if nothing speaks for it. */
function* reasonToKeep(
  io: Io,
  path: string,
  status: Status,
  home: Status,
  olderThan: number,
  inUse: InUse,
): Op<string | undefined> {
  if (!isOurs(status)) return "it belongs to somebody else";
  if (status.kind === "link") return "it is a symbolic link";
  if (status.kind === "other") return "it is no file or directory";
  if (isBeyond(status, home)) return "it is on another device";
  if (yield* isMounted(io, path, status, home)) return "something is mounted there";
  const all = [
    status,
    ...status.kind === "directory" ? (yield* contentsOf(io, path)).map((found) => found.status) : [],
  ];
  // In whole milliseconds, as the clock has it: what has just changed is no younger than now.
  const age = Date.now() - Math.floor(Math.max(...all.map(({ modified }) => modified)));
  if (age < olderThan) return `it changed ${Math.round(age / 1000)} seconds ago`;
  if (all.some((one) => inUse.open.has(keyOf(one)))) return "a process has it open";
  for (const one of all) if (yield* inUse.locks.has(io, one, path)) return LOCKED;
  return (yield* isLocked(path)) ? LOCKED : undefined;
}

/**
 * Whether somebody holds a lock that the kernel's table does not show, from another container say, as systemd-tmpfiles
 * asks to be told not to remove something.
 */
function* isLocked(path: string): Op<boolean> {
  const { locks } = runtime;
  if (locks === undefined) return false;
  try {
    const handle = yield locks.tryAcquire(path, false);
    if (handle === undefined) return true;
    runtime.sync.close(handle);
    return false;
  } catch (error) {
    // Where no program for locks is installed, nobody can have taken one with it.
    if (codeOf(error) === "ERR_UNSUPPORTED") return false;
    throw error;
  }
}
