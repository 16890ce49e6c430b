/**
 * What daemons do to old files, at once.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { scratch } from "./scratch.ts";

/** Why tests of locks on directories are skipped; false where they run. */
export const noFlock: string | false = spawnSync("flock", ["--version"]).status !== 0 &&
  "there is no program flock(1)";

/** Why the daemon itself is not tried; false where it is. */
export const noTmpfiles: string | false = noFlock ||
  (spawnSync("systemd-tmpfiles", ["--version"]).status !== 0 && "there is no systemd-tmpfiles");

/** Whether somebody has a directory locked: the question that systemd-tmpfiles asks. */
export function isLocked(path: string): boolean {
  const { status } = spawnSync("flock", ["-n", "-x", path, "true"]);
  if (status !== 0 && status !== 1) throw new Error(`flock ended with ${status}`);
  return status === 1;
}

const HOUR = 3_600_000;

/** A daemon: removes what is in a directory and was neither read nor written for an hour, but no locked directory. */
export function removeOld(directory: string): void {
  for (const name of readdirSync(directory)) {
    const path = join(directory, name);
    const { atimeMs, mtimeMs } = statSync(path);
    if (Date.now() - Math.max(atimeMs, mtimeMs) < HOUR) continue;
    spawnSync("flock", ["-n", "-x", path, "rm", "-rf", "--", path]);
  }
}

/** systemd-tmpfiles itself, told that everything in a directory is old enough. */
export function runTmpfiles(directory: string): void {
  using place = scratch();
  const configuration = join(place.path, "test.conf");
  writeFileSync(configuration, `e "${directory}" - - - 0\n`);
  const { status, stderr } = spawnSync("systemd-tmpfiles", ["--clean", configuration]);
  if (status !== 0) throw new Error(`systemd-tmpfiles ended with ${status}: ${stderr}`);
}
