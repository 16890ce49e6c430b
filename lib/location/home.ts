/**
 * The user's home directory.
 *
 * @module
 */
import { isWindows, runtime } from "../runtime/mod.ts";

/** Read from the environment; undefined if unknown. On Windows `HOME` serves ported programs, if it is set at all. */
export function home(): string | undefined {
  const [first, second] = isWindows() ? ["USERPROFILE", "HOME"] : ["HOME", "USERPROFILE"];
  return runtime.env(first) ?? runtime.env(second);
}
