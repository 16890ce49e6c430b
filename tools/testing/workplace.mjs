import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { spawnSync } from "node:child_process";

const open = new Set();

/** Room for the concurrent cells, including the tests with a gigabyte. */
const enoughMemory = 8 * 1024 ** 3;

/**
 * Returns where a cell has its temporary files: on a disk for the source and in memory for the package, if there is a
 * file system in memory. The library must work on both. Deno denies access below `/dev` unless everything is granted.
 */
export function parentOf(runtime, mode) {
  return mode === "dist" && runtime.kind !== "deno" && hasMemory() ? "/dev/shm" : tmpdir();
}

function hasMemory() {
  try {
    const { bavail, bsize } = statfsSync("/dev/shm");
    return bavail * bsize >= enoughMemory;
  } catch {
    return false;
  }
}

/** Creates a temporary directory for one cell, as open to every user as the system's own. */
export function makeWorkplace(parent = tmpdir()) {
  const path = mkdtempSync(join(parent, "mayfly-cell-"));
  chmodSync(path, 0o1777);
  open.add(path);
  return path;
}

/** Returns what tests left behind, as paths relative to the workplace; the library's own lease directory may stay. */
export function leftovers(path) {
  const top = readdirSync(path, { withFileTypes: true });
  const isLeaseFolder = (entry) => entry.isDirectory() && /^\.mayfly-(\d+|user)$/.test(entry.name);
  return top.filter((entry) => !isLeaseFolder(entry)).flatMap((entry) => listing(path, entry)).sort();
}

function listing(path, entry) {
  if (!entry.isDirectory()) return [entry.name];
  const name = `${entry.name}/`;
  try {
    return [name, ...readdirSync(join(path, entry.name), { recursive: true }).map((below) => name + below)];
  } catch (error) {
    return [`${name} (${error.code})`];
  }
}

/** Empties the workplace, so that one file's leftovers are not blamed on the next. */
export function clearWorkplace(path) {
  for (const name of readdirSync(path)) remove(join(path, name));
}

export function removeWorkplace(path) {
  open.delete(path);
  remove(path);
}

export function removeAllWorkplaces() {
  for (const path of open) removeWorkplace(path);
}

/** A test may have left a mount there: `rm` can be told to stop at it, Node cannot. */
function remove(path) {
  if (process.platform === "linux") spawnSync("rm", ["-rf", "--one-file-system", path], { stdio: "ignore" });
  if (!existsSync(path) || process.platform === "linux") return;
  rmSync(path, { recursive: true, force: true });
}
