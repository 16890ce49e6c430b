/**
 * Which device a directory is on, as far as that is known without asking each time.
 *
 * Whoever creates in a directory learns it once. What is asked for without having been learnt is taken to be on the device
 * of the nearest directory above that was: so it is with everything in our own directories.
 *
 * @module
 */
import { Guard } from "./guard.ts";
import { parentOf } from "./path.ts";

/** Directories remembered: enough for any program, and no leak for one that makes a directory for each file. */
export const REMEMBERED = 1000;

/** By the number that `stat` gives. */
const devices = new Map<number, Guard>();

const directories = new Map<string, Guard>();

/** For what nothing is known of. */
export const elsewhere: Guard = new Guard();

/** Whether a directory itself was learnt. */
export const isLearnt = (directory: string): boolean => directories.has(directory);

/** Remembers on which device a directory is. What its calls have shown so far, as one of the unknown, goes with it. */
export function learn(directory: string, device: number): void {
  let guard = devices.get(device);
  if (guard === undefined) {
    guard = new Guard();
    guard.learnFrom(elsewhere);
    devices.set(device, guard);
  }
  if (directories.size < REMEMBERED) directories.set(directory, guard);
}

/** The guard of the device that a directory is on. */
export function guardOf(directory: string): Guard {
  const guard = directories.get(directory);
  if (guard !== undefined) return guard;
  const above = parentOf(directory);
  return above === directory ? elsewhere : guardOf(above);
}
