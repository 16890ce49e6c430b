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

/** A set of open files and directories. */
export class OpenFiles {
  readonly #keys = new Set<string>();

  add(identity: Identity): void {
    this.#keys.add(keyOf(identity));
  }

  has(identity: Identity): boolean {
    return this.#keys.has(keyOf(identity));
  }
}

const keyOf = ({ device, inode }: Identity): string => `${device}:${inode}`;

/** Looks through the processes that this one may look at (Linux); elsewhere none is seen. */
export function* openFiles(io: Io): Op<OpenFiles> {
  const open = new OpenFiles();
  if (runtime.platform !== "linux") return open;
  for (const process of yield* processes(io)) {
    // The directory a process is in counts as well as what it has open.
    for (const place of [`${process}/cwd`, ...(yield* listed(io, `${process}/fd`))]) {
      yield* note(io, place, open);
    }
  }
  return open;
}

function* note(io: Io, path: string, open: OpenFiles): Op<void> {
  try {
    const status: Status = yield io.statusOfTarget(path);
    open.add(status);
  } catch {
    // Ended meanwhile, or another user's.
  }
}
