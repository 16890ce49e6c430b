/**
 * What the processes of this user have open.
 *
 * @module
 */
import type { Identity } from "../identity.ts";
import type { Io } from "../operation/io.ts";
import type { Op } from "../operation/op.ts";
import { tried } from "../operation/tried.ts";
import { runtime } from "../runtime/mod.ts";
import { pathsIn, processes } from "./processes.ts";

/** The key of a file or directory, which distinguishes it from others that are open. */
export const keyOf = ({ device, inode }: Identity): string => `${device}:${inode}`;

/** Returns the keys of what is open in the processes that this one may inspect (Linux; elsewhere none can be seen). */
export function* openFiles(io: Io): Op<Set<string>> {
  const open = new Set<string>();
  if (runtime.platform !== "linux") return open;
  for (const process of yield* processes(io)) {
    // A process's working directory counts as open.
    for (const place of [`${process}/cwd`, ...(yield* pathsIn(io, `${process}/fd`))]) {
      // Undefined if the process has ended, or belongs to another user.
      const status = yield* tried(() => io.statusOfTarget(place));
      if (status !== undefined) open.add(keyOf(status));
    }
  }
  return open;
}
