import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inRoot } from "../../tools/paths.mjs";

const TMPFS = 0x01021994;

/** What to undo at the end, last first. */
const undo = [];

/** Creates the directories to measure in, each as `{ kind, path }`, and one for the harness itself. */
export function makePlaces({ kinds }) {
  const work = directoryIn(tmpdir());
  const makers = { tmpfs: () => directoryIn(memory(work)), disk: () => directoryIn(disk()) };
  return { work, measured: kinds.map((kind) => ({ kind, path: makers[kind]() })) };
}

export function removePlaces() {
  while (undo.length) undo.pop()();
}

function directoryIn(parent) {
  const path = mkdtempSync(join(parent, "mayfly-bench-"));
  undo.push(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** Returns a directory on a file system in memory: an existing one, or one that we mount. */
function memory(work) {
  const found = ["/dev/shm", ...mounted()].find((path) =>
    existsSync(path) && isMemory(path) && mayWrite(path)
  );
  return found ?? mount(join(work, "memory"));
}

function mounted() {
  const lines = existsSync("/proc/mounts") ? readFileSync("/proc/mounts", "utf8").split("\n") : [];
  return lines.map((line) => line.split(" ")).filter(([, , type]) => type === "tmpfs").map(([, path]) =>
    path
  );
}

function mount(path) {
  mkdirSync(path);
  const { status } = spawnSync("mount", ["-t", "tmpfs", "tmpfs", path], { stdio: "inherit" });
  if (status !== 0) throw new Error("There is no tmpfs, and none can be mounted: try --place disk");
  undo.push(() => spawnSync("umount", [path]));
  return path;
}

function disk() {
  const found = [tmpdir(), inRoot()].find((path) => !isMemory(path));
  if (found === undefined) throw new Error("There is no disk here: try --place tmpfs");
  return found;
}

const isMemory = (path) => statfsSync(path).type === TMPFS;

function mayWrite(path) {
  try {
    rmSync(mkdtempSync(join(path, "mayfly-bench-")), { recursive: true });
    return true;
  } catch {
    return false;
  }
}
