/**
 * Whether a process has an entry, by the leases that may speak for what is in a directory: those in this process's
 * directory of leases, and those in one above the entry.
 *
 * @module
 */
import type { Leftover } from "../errors.ts";
import type { Io } from "../operation/io.ts";
import type { Op } from "../operation/op.ts";
import { baseName, contains, joinPath } from "../path.ts";
import { runtime } from "../runtime/mod.ts";
import { visitEntries } from "./candidates.ts";
import { leaseDirectoriesAbove } from "./creator_directory.ts";
import { leaseDirectory } from "./lease_directory.ts";
import { type LeaseFile, speaksFor } from "./lease_file.ts";
import { livenessOf } from "./liveness.ts";
import { isUsable, otherLeases } from "./reclaim.ts";

/**
 * Leases that are looked at for each entry. If there are more, several entries share a look, for as long as it took: what
 * nobody had then may have been adopted since.
 */
const PER_ENTRY = 16;

/** The claims to what is in a directory. */
export class Claims {
  readonly #directory: string;
  readonly #isVoid: (lease: LeaseFile) => Op<boolean>;
  /** The leases by name, as last read. */
  readonly #known = new Map<string, LeaseFile>();
  /** What the last look has read. */
  readonly #found = new Set<LeaseFile>();
  /** The paths of leases whose processes were dead before the last look. */
  readonly #dead = new Set<string>();
  /** The number of entries that may still share the last look. */
  #shared = 0;
  /** Until when they may. */
  #until = 0;

  /** @param isVoid Whether what a lease says does not count. */
  constructor(directory: string, isVoid: (lease: LeaseFile) => Op<boolean>) {
    this.#directory = directory;
    this.#isVoid = isVoid;
  }

  /** Whether a lease of a process that may be alive speaks for an entry, or for something inside it. */
  *cover(io: Io, name: string): Op<boolean> {
    if (this.#shared-- <= 0 || runtime.now() > this.#until) yield* this.#look(io);
    for (const lease of this.#found) {
      if (this.#dead.has(lease.path)) continue;
      const isCovered = speaksFor(lease, this.#directory, name) ||
        (yield* speaksInside(io, lease, joinPath(this.#directory, name)));
      if (!isCovered) continue;
      if (yield* this.#isVoid(lease)) continue;
      if ((yield* livenessOf(io, lease)) !== "dead") return true;
      // It may have handed the entry over since that look, before it died.
      yield* this.#noteDead(io);
      this.#shared = 0;
      return yield* this.cover(io, name);
    }
    return false;
  }

  *#noteDead(io: Io): Op<void> {
    for (const lease of this.#found) {
      if ((yield* livenessOf(io, lease)) === "dead") this.#dead.add(lease.path);
    }
  }

  /** Twice: if something is handed over meanwhile, the leases of both may not have said so when they were read. */
  *#look(io: Io): Op<void> {
    const directories = [leaseDirectory()!, ...leaseDirectoriesAbove(joinPath(this.#directory, ""))];
    const start = runtime.now();
    this.#found.clear();
    for (const leases of [...directories, ...directories]) {
      if (!(yield* isUsable(io, leases))) continue;
      for (const lease of yield* otherLeases(io, leases, undefined, this.#known)) this.#found.add(lease);
    }
    this.#shared = Math.floor(this.#found.size / PER_ENTRY);
    this.#until = 2 * runtime.now() - start;
  }
}

/** Whether a lease speaks for something in a directory, or may do so: what cannot be looked at counts as well. */
function* speaksInside(io: Io, lease: LeaseFile, directory: string): Op<boolean> {
  const isInside = (path: string): boolean => contains(directory, path);
  const made = new Map([...lease.made].filter(([place]) => isInside(place)));
  const adopted = new Set([...lease.adopted].filter(isInside));
  const found: unknown[] = [], unseen: Leftover[] = [];
  const look = { leases: new Set([baseName(lease.path)]), listed: new Map() };
  yield* visitEntries(io, { ...lease, made, adopted }, look, function* (entry) {
    found.push(entry);
  }, unseen);
  return found.length + unseen.length > 0;
}
