/**
 * What the runtime permits. Checked before anything is done with a path that the program has not passed itself: trying
 * would make Deno prompt the user.
 *
 * @module
 */
import { coded, runtime } from "./runtime/mod.ts";

/** The code for what the runtime does not permit. */
export const DENIED = "ERR_ACCESS_DENIED";

/** Throws unless a path may be read. */
export const requireReadable = (path: string): void => requirePermission(runtime.mayRead(path));

/** Throws unless a path may be read, created, changed and removed. */
export const requireWritable = (path: string): void =>
  requirePermission(runtime.mayRead(path) && runtime.mayWrite(path));

/** Throws unless something is permitted. */
export function requirePermission(permitted: boolean): asserts permitted {
  if (!permitted) throw coded(DENIED, "not permitted");
}
