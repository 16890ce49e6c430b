/**
 * Looks for what dead processes left in a directory.
 *
 * @module
 */
import { mkdirSync, realpathSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { reclaim, type Reclaimed, type ReclaimOptions } from "../../lib/life/reclaim.ts";
import { sweepAll, type SweepReport } from "../../lib/life/sweep.ts";
import { syncIo } from "../../lib/operation/io.ts";
import { runSync } from "../../lib/operation/op.ts";
import type { DirectoryEntry, Listing } from "../../lib/runtime/mod.ts";
import { configure } from "../../lib/settings.ts";
import { plant } from "./leases.ts";
import type { Scratch } from "./scratch.ts";
import type { Stub } from "./substitute.ts";

/** Options that change nothing. */
export const OPTIONS: ReclaimOptions = {
  dryRun: false,
  onRemoved: () => {},
  checkpoint: () => {},
  ending: false,
};

/** Runs an action with a directory as the temporary directory. */
export function within<T>(directory: string, action: () => T): T {
  configure({ tmpdir: directory });
  try {
    return action();
  } finally {
    configure({ tmpdir: undefined });
  }
}

/** A listing of `/proc` without processes: in a container, the locks of each visible process are read. */
export const NO_PROCESS: Listing = { next: () => [], close: () => {} };

/** Runs `reclaim()` on the leases in a directory, and reports what is kept for processes that are not dead. */
export function reclaimIn(directory: string): Omit<SweepReport, "bytes"> {
  const sweeping = { aged: undefined, how: OPTIONS };
  const { removed, kept, left } = within(directory, () => runSync(sweepAll(syncIo(), sweeping)));
  return { removed, kept, left };
}

/** Runs `reclaim()` alone. */
export function onlyReclaim(directory: string, options: Partial<ReclaimOptions> = {}): Reclaimed {
  return within(directory, () => runSync(reclaim(syncIo(), { ...OPTIONS, ...options })));
}

/** Lists as the runtime does, but counts the names in one directory, and sorts those of another. */
export function watchedList(counted: string, sorted: string, order: readonly string[]) {
  const seen = { names: 0, lists: 0, afterList: (): void => {} };
  const rank = ({ name }: DirectoryEntry): number => order.indexOf(name as string);
  const list: Stub = (real, path: string) => {
    const listing = real(path) as Listing, batches: DirectoryEntry[][] = [];
    const place = path.startsWith("/proc/") && !path.endsWith("/.") ? path : realpathSync(path);
    if (place !== counted && place !== sorted) return listing;
    for (let batch = listing.next() as DirectoryEntry[]; batch.length > 0;) {
      batches.push(batch);
      batch = listing.next() as DirectoryEntry[];
    }
    const entries = batches.flat();
    if (place === sorted) entries.sort((one, other) => rank(one) - rank(other));
    if (place === counted) {
      seen.lists++;
      seen.names += entries.length;
      seen.afterList();
    }
    return { next: () => entries.splice(0), close: () => listing.close() };
  };
  return { seen, list };
}

/** The directories of one attempt. */
export interface Scene {
  /** The temporary directory. */
  top: string;
  parent: string;
  outside: string;
}

/** Creates a directory with leftovers of a dead process, and beside it one outside with the same names. */
export function arrange(place: Scratch, number: number): Scene {
  const top = join(place.path, String(number));
  const [parent, outside] = ["parent", "outside"].map((name) => join(top, name));
  mkdirSync(top);
  const lease = plant(top, { lines: [`made ${parent}/tmp*`] });
  const [file, tree] = [lease.name(), lease.name()];
  for (const directory of [parent, outside]) {
    mkdirSync(join(directory, tree, "sub"), { recursive: true });
    for (const path of [file, join(tree, "one"), join(tree, "sub", "two")]) {
      writeFileSync(join(directory, path), "contents");
    }
  }
  return { top, parent, outside };
}
