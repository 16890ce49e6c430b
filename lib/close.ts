/**
 * Closing what nothing was written to.
 *
 * @module
 */
import { type Io, syncIo } from "./io.ts";
import { type Op, runSync } from "./op.ts";
import type { Handle } from "./runtime/mod.ts";

/**
 * Closes a handle that was only read, listed or looked at. Whatever the system says, it takes the descriptor back, and
 * nothing can be lost: so a failure is no reason to leave off, and closing again would hit whoever has the number then.
 */
export function* closeRead(io: Io, handle: Handle): Op<void> {
  try {
    yield io.close(handle);
  } catch {
    // See above.
  }
}

/** Synchronous version of `closeRead`. */
export const closeReadNow = (handle: Handle): void => runSync(closeRead(syncIo(), handle));
