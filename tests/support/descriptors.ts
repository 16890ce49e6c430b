/**
 * The open descriptors of this process.
 *
 * @module
 */
import { existsSync, readdirSync, readlinkSync } from "node:fs";

/**
 * Returns the files in a directory that this process has open, with and without a name, by the system's names, without
 * leases. Empty without `/proc`: there, a test shows only what it finds by names.
 */
export function openIn(directory: string): string[] {
  if (!existsSync("/proc/self/fd")) return [];
  const targets = readdirSync("/proc/self/fd").map(targetOf);
  return targets.filter((target) => target.startsWith(`${directory}/`) && !target.includes("/.mayfly-"));
}

function targetOf(fd: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    // The descriptor that listed the others.
    return "";
  }
}
