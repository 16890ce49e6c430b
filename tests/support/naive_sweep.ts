/**
 * Sweeping as it must not be done: the positive control of the attacks on leases. It believes what a lease says, takes
 * every name with the session for a leftover, and removes by paths.
 *
 * @module
 */
import * as real from "node:fs";
import { join } from "node:path";
import { naiveRemove } from "./naive.ts";

/** The calls it makes, so that a test can act between them. */
export type SweepFs = Pick<
  typeof real,
  | "chmodSync"
  | "existsSync"
  | "lstatSync"
  | "mkdirSync"
  | "readdirSync"
  | "readFileSync"
  | "rmdirSync"
  | "statSync"
  | "unlinkSync"
  | "writeFileSync"
>;

/** Removes what the leases in a directory lead to. */
export function naiveSweep(leases: string, fs: SweepFs = real): void {
  for (const lease of fs.readdirSync(leases)) {
    const session = lease.slice(0, 8), path = join(leases, lease);
    const pid = /-(\d+)\.lease$/.exec(lease)?.[1];
    // A PID that has been recycled keeps everything.
    if (pid !== undefined && fs.existsSync(`/proc/${pid}`)) continue;
    for (const [, parent] of fs.readFileSync(path, "utf8").matchAll(/^made (.*)[\\/].*$/gm)) {
      const names = fs.existsSync(parent) ? fs.readdirSync(parent) : [];
      for (const name of names) if (name.includes(session)) remove(join(parent, name), fs);
    }
    fs.unlinkSync(path);
  }
}

/** Follows a link at the top, since it does not use `lstat`. */
function remove(path: string, fs: SweepFs): void {
  if (fs.statSync(path).isDirectory()) {
    for (const name of fs.readdirSync(path)) naiveRemove(join(path, name), fs);
    if (!fs.lstatSync(path).isSymbolicLink()) return fs.rmdirSync(path);
  }
  fs.unlinkSync(path);
}

/** Creates a lease as it must not be done: uses whatever is there, and fixes its mode. */
export function naiveLease(directory: string): void {
  if (!real.existsSync(directory)) real.mkdirSync(directory, { recursive: true });
  real.chmodSync(directory, 0o700);
  real.writeFileSync(join(directory, "naive.lease"), "");
}
