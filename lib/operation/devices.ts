/**
 * Which device a directory is on, as far as known without asking each time.
 *
 * A directory is recorded when something is first created there. An unrecorded path is assumed to be on the device of
 * its nearest recorded ancestor, as everything in our own directories is.
 *
 * @module
 */
import { parentOf } from "../path.ts";
import { Guard } from "./guard.ts";

/** The most directories remembered: enough for any program, and no leak for one that creates a directory per file. */
export const MAX_DIRS = 1000;

/** By device number, as in `stat`. */
const devices = new Map<number, Guard>();

const directories = new Map<string, Guard>();

/** The guard for unknown devices. */
export const fallback: Guard = new Guard();

/** Whether this very directory is recorded. */
export const isKnown = (directory: string): boolean => directories.has(directory);

/** Records the device of a directory. A new device inherits what the calls on unknown devices have shown so far. */
export function setDevice(directory: string, device: number): void {
  let guard = devices.get(device);
  if (guard === undefined) {
    guard = new Guard();
    guard.copyFrom(fallback);
    devices.set(device, guard);
  }
  if (directories.size < MAX_DIRS) directories.set(directory, guard);
}

/** Returns the guard of a directory's device. */
export function guardOf(directory: string): Guard {
  const guard = directories.get(directory);
  if (guard !== undefined) return guard;
  const above = parentOf(directory);
  return above === directory ? fallback : guardOf(above);
}
