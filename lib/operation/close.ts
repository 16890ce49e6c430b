/**
 * Closing handles that were not written to.
 *
 * @module
 */
import type { Handle } from "../runtime/mod.ts";
import { type Io, syncIo } from "./io.ts";
import { type Op, runSync } from "./op.ts";
import { tried } from "./tried.ts";

/**
 * Closes a handle that was only read, listed or inspected. Whatever error the system reports, it has released the
 * descriptor, and no data can be lost. So errors are ignored; closing again could close a descriptor that now belongs
 * to someone else.
 */
export const closeRead = (io: Io, handle: Handle): Op<void> => tried(() => io.close(handle));

/** Synchronous version of `closeRead`. */
export const closeReadSync = (handle: Handle): void => runSync(closeRead(syncIo(), handle));
