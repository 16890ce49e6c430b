/**
 * What descriptors this process has open.
 *
 * @module
 */
import { existsSync, readdirSync, readlinkSync } from "node:fs";

/**
 * The files of a directory that this process has open, with and without a name, as the system calls them; no leases. None
 * where no `/proc` tells: there a test shows only what it finds by names.
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
    // The one that was open to list the others.
    return "";
  }
}
