/**
 * Listing all leases and their entries, without removing anything.
 *
 * @module
 */
import type { Io } from "../operation/io.ts";
import type { Op } from "../operation/op.ts";
import { type Candidate, type Look, visitEntries } from "./candidates.ts";
import { leaseDirectory } from "./lease_directory.ts";
import { readLease } from "./lease_file.ts";
import { type Liveness, livenessOf } from "./liveness.ts";
import { isUsable, leasesIn } from "./reclaim.ts";

/** A lease with the entries it speaks for. */
export interface ListedLease {
  pid: number;
  liveness: Liveness;
  entries: Candidate[];
}

/** Returns all leases of this user. */
export function* listLeases(io: Io): Op<ListedLease[]> {
  const found: ListedLease[] = [];
  const directory = leaseDirectory();
  if (directory === undefined || !(yield* isUsable(io, directory))) return found;
  const leases = yield* leasesIn(io, directory), look: Look = { leases: new Set(leases), listed: new Map() };
  for (const name of leases) {
    const one = yield* lookAt(io, directory, name, look);
    if (one !== undefined) found.push(one);
  }
  return found;
}

function* lookAt(io: Io, directory: string, name: string, look: Look): Op<ListedLease | undefined> {
  try {
    const lease = yield* readLease(io, directory, name);
    if (lease === undefined) return undefined;
    const entries: Candidate[] = [];
    yield* visitEntries(io, lease, look, function* (entry) {
      entries.push(entry);
    });
    return { pid: lease.pid, liveness: yield* livenessOf(io, lease), entries };
  } catch {
    // Its process has just ended, or another is removing it.
    return undefined;
  }
}
