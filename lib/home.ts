/**
 * The user's home directory.
 *
 * @module
 */
import { isWindows, runtime } from "./runtime/mod.ts";

/** By the environment; undefined where unknown. On Windows `HOME` is for programs that come from elsewhere, if it is set. */
export function home(): string | undefined {
  const [first, second] = isWindows() ? ["USERPROFILE", "HOME"] : ["HOME", "USERPROFILE"];
  return runtime.env(first) ?? runtime.env(second);
}
