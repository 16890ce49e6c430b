/**
 * What the processes of this user have open.
 *
 * @module
 */
import type { Identity } from "../identity.ts";
import type { Io } from "../io.ts";
import type { Op } from "../op.ts";
import { runtime, type Status } from "../runtime/mod.ts";
import { listed, processes } from "./processes.ts";

/** By what a file or directory is told from others among those that are open. */
export const keyOf = ({ device, inode }: Identity): string => `${device}:${inode}`;

/** The keys of what is open. Looks through the processes that this one may look at (Linux); elsewhere none is seen. */
export function* openFiles(io: Io): Op<Set<string>> {
  const open = new Set<string>();
  if (runtime.platform !== "linux") return open;
  for (const process of yield* processes(io)) {
    // The directory a process is in counts as well as what it has open.
    for (const place of [`${process}/cwd`, ...(yield* listed(io, `${process}/fd`))]) {
      yield* note(io, place, open);
    }
  }
  return open;
}

function* note(io: Io, path: string, open: Set<string>): Op<void> {
  try {
    const status: Status = yield io.statusOfTarget(path);
    open.add(keyOf(status));
  } catch {
    // Ended meanwhile, or another user's.
  }
}
