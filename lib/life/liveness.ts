/**
 * Whether the process that made a lease still lives.
 *
 * @module
 */
import { codeOf } from "../errors.ts";
import { type Identity, sameFile } from "../identity.ts";
import type { Io } from "../io.ts";
import type { Op } from "../op.ts";
import { runtime, type Status } from "../runtime/mod.ts";
import { namesIn } from "../tree/visit.ts";
import type { LeaseFile } from "./lease_file.ts";

/** Only `"dead"` is a reason to remove anything. */
export type Liveness = "alive" | "dead" | "unknown";

/**
 * Looks for the process that has the lease open. After the end of that process, be it with the whole machine, nobody has,
 * even if its number is another's by now.
 *
 * Only Linux tells what a process has open. Elsewhere a number that is another's by now says nothing: what its process
 * left stays until no process has the number.
 */
export function* livenessOf(io: Io, lease: LeaseFile): Op<Liveness> {
  if (!isComparable(lease) && !isStillborn(lease)) return "unknown";
  if (runtime.platform !== "linux") return hasEnded(lease) ? "dead" : "unknown";
  try {
    if (yield* hasOpen(io, lease.pid, lease.status)) return "alive";
  } catch (error) {
    const code = codeOf(error);
    // A process of another user, or one that hides itself: it is there, at any rate. A /proc that hides the processes of
    // others hides those of this user, too, that have rights which this one lacks.
    const isHidden = code !== "ENOENT" && code !== "ESRCH" || runtime.processExists(lease.pid) !== false;
    if (isHidden) return "unknown";
  }
  return (yield* procIsOurs(io)) ? "dead" : "unknown";
}

/** Whether no process has the number. To ask can cost milliseconds: not for this one's, which is there. */
const hasEnded = ({ pid }: LeaseFile): boolean =>
  pid !== runtime.pid() && runtime.processExists(pid) === false;

/** Process numbers can be compared only on one host and in one namespace. */
export function isComparable({ host, namespace }: LeaseFile): boolean {
  if (host === undefined || host !== runtime.hostName()) return false;
  return runtime.platform !== "linux" ||
    (namespace !== undefined && namespace === runtime.processNamespace());
}

/** Milliseconds that a process is given to write into the lease that it has just made. */
const GRACE = 10 * 60_000;

/** Whether a lease says nothing, not even where its process was at home, and not because it is about to be written. */
function isStillborn({ made, host, namespace, status }: LeaseFile): boolean {
  return made.size === 0 && host === undefined && namespace === undefined &&
    Date.now() - status.modified >= GRACE;
}

/**
 * Whether `/proc` is there, and numbers processes as they number themselves: without it, or with that of another
 * namespace, as where one was made and it was not mounted anew, every process would look dead.
 */
function* procIsOurs(io: Io): Op<boolean> {
  try {
    return (yield io.readLink("/proc/self")) === String(runtime.pid());
  } catch {
    return false;
  }
}

function* hasOpen(io: Io, pid: number, file: Identity): Op<boolean> {
  const directory = `/proc/${pid}/fd`;
  for (const name of yield* namesIn(io, directory)) {
    if (yield* isFile(io, `${directory}/${name}`, file)) return true;
  }
  return false;
}

function* isFile(io: Io, descriptor: string, file: Identity): Op<boolean> {
  try {
    const status: Status = yield io.statusOfTarget(descriptor);
    return sameFile(status, file);
  } catch (error) {
    // Closed since it was listed.
    if (codeOf(error) === "ENOENT") return false;
    throw error;
  }
}
