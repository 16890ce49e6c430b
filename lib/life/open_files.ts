/**
 * What the processes of this user have open.
 *
 * @module
 */
import type { Identity } from "../identity.ts";
import type { Io } from "../io.ts";
import type { Op } from "../op.ts";
import { type DirectoryEntry, runtime, type Status } from "../runtime/mod.ts";
import { entriesIn } from "../tree/visit.ts";

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
  for (const { name } of yield* listed(io, "/proc")) {
    if (!/^\d+$/.test(name as string)) continue;
    // The directory a process is in counts as well as what it has open.
    for (
      const place of [
        "cwd",
        ...(yield* listed(io, `/proc/${name}/fd`)).map((entry) => `fd/${entry.name}`),
      ]
    ) {
      yield* note(io, `/proc/${name}/${place}`, open);
    }
  }
  return open;
}

function* listed(io: Io, path: string): Op<DirectoryEntry[]> {
  try {
    return yield* entriesIn(io, path);
  } catch {
    // Ended meanwhile, or another user's.
    return [];
  }
}

function* note(io: Io, path: string, open: OpenFiles): Op<void> {
  try {
    const status: Status = yield io.statusOfTarget(path);
    open.add(status);
  } catch {
    // Ended meanwhile, or another user's.
  }
}
