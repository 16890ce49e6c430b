/**
 * What daemons do to old files, immediately.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { scratch } from "./scratch.ts";

/** The reason to skip tests of locks on directories; false where they run. */
export const noFlock: string | false = spawnSync("flock", ["--version"]).status !== 0 &&
  "there is no program flock(1)";

/** The reason not to try the daemon itself; false where it is tried. */
export const noTmpfiles: string | false = noFlock ||
  (spawnSync("systemd-tmpfiles", ["--version"]).status !== 0 && "there is no systemd-tmpfiles");

/** Whether somebody has a directory locked: the check that systemd-tmpfiles makes. */
export function isLocked(path: string): boolean {
  const { status } = spawnSync("flock", ["-n", "-x", path, "true"]);
  if (status !== 0 && status !== 1) throw new Error(`flock ended with ${status}`);
  return status === 1;
}

const HOUR = 3_600_000;

/** A daemon: removes what a directory contains and was neither read nor written for an hour, except locked directories. */
export function removeOld(directory: string): void {
  for (const name of readdirSync(directory)) {
    const path = join(directory, name);
    const { atimeMs, mtimeMs } = statSync(path);
    if (Date.now() - Math.max(atimeMs, mtimeMs) < HOUR) continue;
    spawnSync("flock", ["-n", "-x", path, "rm", "-rf", "--", path]);
  }
}

/** Runs systemd-tmpfiles itself, configured so that everything in a directory is old enough. */
export function runTmpfiles(directory: string): void {
  using place = scratch();
  const configuration = join(place.path, "test.conf");
  writeFileSync(configuration, `e "${directory}" - - - 0\n`);
  const { status, stderr } = spawnSync("systemd-tmpfiles", ["--clean", configuration]);
  if (status !== 0) throw new Error(`systemd-tmpfiles ended with ${status}: ${stderr}`);
}
