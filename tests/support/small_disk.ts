/**
 * A disk of 64 KiB, for tests of a full disk.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { type ChildResult, runChild } from "./child.ts";

/** Whether this machine lets a test mount something that nobody else sees. */
export const canMount: boolean =
  spawnSync("unshare", ["-m", "sh", "-c", "mount -t tmpfs -o size=64k none /mnt"], { stdio: "ignore" })
    .status === 0;

/** Runs a child in which `disk` is a directory of 64 KiB. Its mount ends with it, and is never visible outside. */
export function runOnSmallDisk(code: string): Promise<ChildResult> {
  const mount = `mount -t tmpfs -o size=64k,mode=1777 none /mnt && exec "$@"`;
  return runChild(`const disk = "/mnt";\n${code}`, { under: ["unshare", "-m", "sh", "-c", mount, "sh"] });
}
