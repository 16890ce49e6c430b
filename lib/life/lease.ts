/**
 * The lease: what tells others which entries are this module instance's, and whether it still lives.
 *
 * A small file in a private directory, named by session and process. It says where the process is at home and how the
 * names look that it makes in which directories, and it stays open as long as the instance lives: whoever finds that the
 * process has it open no longer may remove the entries. So death needs no last word, and a process number that is used
 * again deceives nobody.
 *
 * @module
 */
import { codeOf, failure } from "../errors.ts";
import { syncIo } from "../io.ts";
import { isMade, renewSession, sessionId } from "../name.ts";
import { runSync } from "../op.ts";
import { baseName, contains, joinPath, parentOf } from "../path.ts";
import { attempt, runtime } from "../runtime/mod.ts";
import { statusIfThere } from "../status.ts";
import { startReclaiming } from "./background.ts";
import { leaseDirectory, refusalOf } from "./lease_directory.ts";
import { makersDirectory } from "./makers_directory.ts";
import { Lease, type Naming } from "./open_lease.ts";
import { tellKept } from "./reclaim.ts";
import { held, heldLeases } from "./registry.ts";

/** Milliseconds after which a lease is tried for again that could not be written, on a full disk say. */
const AGAIN = 1000;

/** The leases of what this module instance has made and not yet removed: with the current one, those that are full. */
const leases = new Set<Lease>();

let current: Lease | undefined;

/** When a lease is tried for again, on the runtime's clock. */
let notBefore = -Infinity;

/** The directory that is not to be used, about which there was a warning. */
let refused: string | undefined;

/** The session id for a name in a directory, after such names in it are on the lease. */
export function sessionFor(directory: string, naming: Naming): string {
  // Without a lease all works but the removal after a crash.
  attempt(() => usable()?.record(directory, naming));
  return current?.session ?? sessionId();
}

/**
 * Records that what is at a path is taken over, so that it is not taken for a leftover of the process that made it. Only
 * what may have been made with a session can be: whatever else a process takes over, a sweep leaves alone.
 */
export function recordAdopted(path: string): void {
  if (isMade(baseName(path))) attempt(() => leaseFor(path)?.adopt(path));
}

/** The lease to record in what is taken over: one where those look who look for what its maker left. */
function leaseFor(path: string): Lease | undefined {
  const directory = runSync(makersDirectory(syncIo(), path));
  if (directory === undefined) return usable();
  const isThere = (lease: Lease): boolean => parentOf(lease.path) === directory && !lease.isFull;
  return [...leases].find(isThere) ?? open(directory);
}

/** Records that what was taken over is no longer on the books: what has the name next is not this process's. */
export function recordReleased(path: string): void {
  for (const lease of leases) if (lease.hasAdopted(path)) attempt(() => lease.keep(path, []));
}

/** Records that root is about to give a file to another user, which has not yet the place that it is made for. */
export function recordGiven(path: string): void {
  if (runtime.uid() !== 0 || path.includes("\n")) return;
  for (const lease of leases) if (lease.speaksFor(path)) attempt(() => lease.give(path));
}

/** The lease to write to. */
function usable(): Lease | undefined {
  if (current === undefined || current.isFull) attempt(begin);
  return current;
}

function begin(): void {
  const directory = leaseDirectory();
  if (directory === undefined || directory === refused || runtime.now() < notBefore) return;
  notBefore = runtime.now() + AGAIN;
  const refusal = prepare(directory);
  if (refusal !== undefined) return refuse(directory, refusal);
  current = open(directory);
  notBefore = -Infinity;
  startReclaiming();
}

/** A full lease goes as soon as nothing is left of what it speaks for. */
function discardUnused(): void {
  for (const lease of leases) {
    const speaks = ({ path = "" }): boolean => path.includes(lease.session) || lease.speaksFor(path);
    if (!lease.isFull || held().entries.some(speaks)) continue;
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
  const lease = new Lease(path, sync.openFile(path, "append"), forget);
  leases.add(lease);
  heldLeases().add(lease);
  return lease;
}

function forget(lease: Lease): void {
  leases.delete(lease);
  if (current === lease) current = undefined;
}

/** Makes the directory, or makes sure that it is ours alone. Returns what speaks against it; then it is left as it is. */
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
    `"${directory}" is not used: ${refusal}. What this process leaves when it is killed stays`,
    "MAYFLY_NO_LEASE",
  );
}

/** As {@linkcode recordKept}, for a directory, from which what was made in it stays to be removed. */
export function recordKeptDirectory(path: string): void {
  const inside = held().entries.flatMap((entry) => entry.path ?? []).filter((one) => one !== path);
  recordKept(path, inside.filter((one) => contains(path, one)));
}

/**
 * Records that the caller keeps what is at a path, so that it is not taken for a leftover later.
 *
 * @param inside What was made in it, which is to be one.
 * @throws {TempfileError} What keeps that from being written: then it must not be said to be kept.
 */
export function recordKept(path: string, inside: readonly string[] = []): void {
  try {
    for (const lease of leases) {
      // Only names with a session are ever looked at.
      if (!lease.speaksFor(path)) continue;
      if (lease.hasAdopted(path)) runSync(tellKept(syncIo(), parentOf(lease.path), path));
      lease.keep(path, inside);
    }
  } catch (error) {
    throw failure(`keep "${path}"`, error, path);
  }
}
