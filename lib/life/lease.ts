/**
 * The lease: an on-disk record of what this module instance owns, and evidence of whether it is still alive.
 *
 * A lease is a small file in a private directory, named after the session and the pid. It records where the process
 * runs and which forms of names it makes in which directories, and it stays open as long as the instance lives: once
 * the process no longer has it open, another may remove the entries. So a process need not do anything when it dies,
 * and one that reuses its pid is not mistaken for it.
 *
 * Records come first: a form before the first such name is created, an adoption or a change of owner before it happens,
 * and what is kept before the caller is told so. The lease is removed once nothing is left that it speaks for.
 *
 * @module
 */
import { codeOf, failure } from "../errors.ts";
import { isMade, renewSession, sessionId } from "../name.ts";
import { syncIo } from "../operation/io.ts";
import { type Op, runSync } from "../operation/op.ts";
import { statusIfThere } from "../operation/tried.ts";
import { baseName, contains, joinPath, parentOf } from "../path.ts";
import { attempt, runtime } from "../runtime/mod.ts";
import { startReclaiming } from "./background.ts";
import { creatorDirectory } from "./creator_directory.ts";
import { leaseDirectory, refusalOf } from "./lease_directory.ts";
import { Lease, type Naming } from "./open_lease.ts";
import { markKept } from "./reclaim.ts";
import { held, heldLeases } from "./registry.ts";

/** Milliseconds before another attempt at a lease that could not be written, on a full disk for example. */
const RETRY = 1000;

/** The leases of entries that this module instance has made and not yet removed: the current one, and any full ones. */
const leases = new Set<Lease>();

let current: Lease | undefined;

/** The earliest time for another attempt at a lease, on the runtime's clock. */
let notBefore = -Infinity;

/** The directory that was refused, with a warning. */
let refused: string | undefined;

/** Returns the session id for a name in a directory, after recording the form of such names on the lease. */
export function sessionFor(directory: string, naming: Naming): string {
  // Without a lease everything works except the removal after a crash.
  attempt(() => usable()?.record(directory, naming));
  return current?.session ?? sessionId();
}

/**
 * Records an adoption, so that the entry no longer counts as a leftover of the process that made it. Only names that
 * may carry a session are recorded: no lease speaks for any other.
 */
export function recordAdopted(path: string): void {
  if (isMade(baseName(path))) attempt(() => leaseFor(path)?.adopt(path));
}

/**
 * Returns the lease to record an adoption in: one in the directory of the creator's lease, where a sweep for its
 * leftovers looks.
 */
function leaseFor(path: string): Lease | undefined {
  const directory = runSync(creatorDirectory(syncIo(), path));
  if (directory === undefined) return usable();
  const isThere = (lease: Lease): boolean => parentOf(lease.path) === directory && !lease.isFull;
  return [...leases].find(isThere) ?? open(directory);
}

/** Records that an adopted entry is no longer ours: whatever has the name next does not belong to this process. */
export function recordReleased(path: string): void {
  for (const lease of leases) if (lease.hasAdopted(path)) attempt(() => lease.keep(path, []));
}

/** Records that root is about to give another user a file that is not yet in its final place. */
export function recordGiven(path: string): void {
  if (runtime.uid() !== 0 || path.includes("\n")) return;
  for (const lease of leases) attempt(() => lease.give(path));
}

/** Returns the lease to write to, opening one if necessary. */
function usable(): Lease | undefined {
  if (current === undefined || current.isFull) attempt(begin);
  return current;
}

function begin(): void {
  const directory = leaseDirectory();
  if (directory === undefined || directory === refused || runtime.now() < notBefore) return;
  notBefore = runtime.now() + RETRY;
  const refusal = prepare(directory);
  if (refusal !== undefined) return refuse(directory, refusal);
  current = open(directory);
  notBefore = -Infinity;
  startReclaiming();
}

/** Discards full leases that speak for nothing any more. */
function discardUnused(): void {
  for (const lease of leases) {
    if (!lease.isFull || held().entries.some(({ path = "" }) => lease.speaksFor(path))) continue;
    heldLeases().delete(lease);
    lease.discard();
  }
}

function open(directory: string): Lease {
  discardUnused();
  renewSession();
  const path = joinPath(directory, `${sessionId()}-${runtime.pid()}.lease`);
  const { sync } = runtime;
  sync.close(sync.createFile(path, 0o600));
  try {
    const lease = new Lease(path, sync.openFile(path, "append"), forget);
    leases.add(lease);
    heldLeases().add(lease);
    return lease;
  } catch (error) {
    sync.unlink(path);
    throw error;
  }
}

function forget(lease: Lease): void {
  leases.delete(lease);
  if (current === lease) current = undefined;
}

/** Creates the directory, or verifies that it is ours alone. Returns the reason to refuse it; it is then left as it is. */
function prepare(directory: string): string | undefined {
  const status = runSync(statusIfThere(syncIo(), directory));
  if (status !== undefined) return refusalOf(directory, status);
  try {
    runtime.sync.makeDirectory(directory, 0o700);
    return undefined;
  } catch (error) {
    if (codeOf(error) !== "EEXIST") throw error;
    // Another process was faster.
    return prepare(directory);
  }
}

function refuse(directory: string, refusal: string): void {
  refused = directory;
  notBefore = -Infinity;
  runtime.warn(
    `"${directory}" is not used: ${refusal}. If this process is killed, its leftovers stay`,
    "MAYFLY_NO_LEASE",
  );
}

/** As {@linkcode recordKept}, for a directory, whose entries made by this process are still to be removed. */
export function recordKeptDirectory(path: string): void {
  const paths = held().entries.flatMap((entry) => entry.path ?? []);
  recordKept(path, paths.filter((one) => one !== path && contains(path, one)));
}

/**
 * Records that the caller keeps an entry, so that it is not treated as a leftover later.
 *
 * @param inside Entries made inside it, which are still to be removed.
 * @throws {TempfileError} If that cannot be written; the entry must then not be reported as kept.
 */
export function recordKept(path: string, inside: readonly string[] = []): void {
  try {
    for (const lease of leases) {
      // Only names with a session are ever looked at.
      if (!lease.speaksFor(path)) continue;
      if (lease.hasAdopted(path)) runSync(markKept(syncIo(), parentOf(lease.path), path));
      lease.keep(path, inside);
    }
  } catch (error) {
    throw failure(`keep "${path}"`, error, path);
  }
}

/**
 * Takes the step that gives something its final path, which counts as kept from before that step on. If it fails, that
 * is undone: what we still hold under the same name, wherever it is, would count as kept as well.
 */
export function* keeping(path: string, step: Op<void>): Op<void> {
  recordKept(path);
  try {
    yield* step;
  } catch (error) {
    for (const lease of leases) if (lease.speaksFor(path)) attempt(() => lease.unkeep(baseName(path)));
    throw error;
  }
}
