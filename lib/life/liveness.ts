/**
 * Deciding whether the process that made a lease is still alive.
 *
 * A process is alive as long as it has its lease open. What cannot be determined is `"unknown"`, and its entries are
 * kept.
 *
 * @module
 */
import { codeOf } from "../errors.ts";
import { type Identity, sameFile } from "../identity.ts";
import type { Io } from "../operation/io.ts";
import type { Op } from "../operation/op.ts";
import { tried } from "../operation/tried.ts";
import { requireReadable } from "../permission.ts";
import { runtime } from "../runtime/mod.ts";
import { namesIn } from "../tree/list.ts";
import type { LeaseFile } from "./lease_file.ts";

/** Only `"dead"` is a reason to remove anything. */
export type Liveness = "alive" | "dead" | "unknown";

/**
 * Checks whether the process still has the lease open. After it has ended, by itself or with the whole machine, no
 * process has, even if its pid was reused.
 *
 * Only Linux shows what a process has open. Elsewhere a pid that is in use proves nothing, as it may have been reused:
 * leftovers stay until no process has the pid.
 */
export function* livenessOf(io: Io, lease: LeaseFile): Op<Liveness> {
  if (!isComparable(lease) && !isAbandoned(lease)) return "unknown";
  if (runtime.platform !== "linux") {
    // Asking can take milliseconds, so it is skipped for this process's own.
    return lease.pid !== runtime.pid() && runtime.processExists(lease.pid) === false ? "dead" : "unknown";
  }
  try {
    if (yield* hasOpen(io, lease.pid, lease.status)) return "alive";
  } catch (error) {
    const code = codeOf(error);
    // Any other error means that the process is there, but belongs to another user or protects itself. A missing entry
    // proves nothing if `/proc` hides processes of others (`hidepid`): it also hides those of this user that have
    // privileges which this one lacks.
    const isHidden = code !== "ENOENT" && code !== "ESRCH" || runtime.processExists(lease.pid) !== false;
    if (isHidden) return "unknown";
  }
  return (yield* procIsOurs(io)) ? "dead" : "unknown";
}

/** Whether the pid means anything here: only on the same host and in the same pid namespace. */
export function isComparable({ host, namespace }: LeaseFile): boolean {
  if (host === undefined || host !== runtime.hostName()) return false;
  return runtime.platform !== "linux" ||
    (namespace !== undefined && namespace === runtime.processNamespace());
}

/**
 * Whether a process is, or was, in another pid namespace, as in another container or in this one before it was
 * restarted: nothing can be found out about it here.
 */
export function isElsewhere({ namespace }: LeaseFile): boolean {
  const here = runtime.processNamespace();
  return here !== undefined && namespace !== undefined && namespace !== here;
}

/** Milliseconds that a process has to write to the lease that it has just created. */
const GRACE = 10 * 60_000;

/** Whether a lease is empty, without even the host of its process, and too old to be still waiting for its first write. */
function isAbandoned({ made, adopted, host, namespace, status }: LeaseFile): boolean {
  return made.size + adopted.size === 0 && host === undefined && namespace === undefined &&
    Date.now() - status.modified >= GRACE;
}

/**
 * Whether `/proc` is mounted and belongs to this process's pid namespace. Without it, or with that of another namespace
 * (after one was created and `/proc` was not mounted again), every process would look dead.
 */
function* procIsOurs(io: Io): Op<boolean> {
  return (yield* tried(() => io.readLink("/proc/self"))) === String(runtime.pid());
}

function* hasOpen(io: Io, pid: number, file: Identity): Op<boolean> {
  requireReadable("/proc");
  const directory = `/proc/${pid}/fd`;
  for (const name of yield* namesIn(io, directory)) {
    if (yield* refersTo(io, `${directory}/${name}`, file)) return true;
  }
  return false;
}

function* refersTo(io: Io, descriptor: string, file: Identity): Op<boolean> {
  // Undefined if it was closed since it was listed.
  const status = yield* tried(() => io.statusOfTarget(descriptor), "ENOENT");
  return status !== undefined && sameFile(status, file);
}
