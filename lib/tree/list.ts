/**
 * All names in a directory at once, for walks that only look.
 *
 * @module
 */
import type { Io } from "../io.ts";
import type { Op } from "../op.ts";
import type { DirectoryEntry, Listing, Path } from "../runtime/mod.ts";

/** Everything in a directory. */
export function* entriesIn(io: Io, path: Path): Op<DirectoryEntry[]> {
  const entries: DirectoryEntry[] = [];
  const listing: Listing = yield io.list(path);
  try {
    for (;;) {
      const batch: DirectoryEntry[] = yield listing.next();
      if (batch.length === 0) return entries;
      entries.push(...batch);
    }
  } finally {
    listing.close();
  }
}
