/**
 * Directories for tests, created without the library under test.
 *
 * @module
 */
import { accessSync, chmodSync, constants, mkdtempSync, readdirSync, realpathSync, rmSync } from "node:fs";
import { spawnSync } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A directory that is removed at the end of the scope, whatever its contents. */
export interface Scratch extends Disposable {
  path: string;
  /** The names in it, sorted. */
  list(): string[];
  /** As `list`, without the lease directory, which stays. */
  names(): string[];
}

/** A file system in memory if there is one, for trees so large that a disk would dominate the time. */
export const memory: string = process.platform === "linux" && isWritable("/dev/shm") ? "/dev/shm" : tmpdir();

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** Removes what the runtime cannot, such as names that are no text. Only root needs no permission to empty a directory. */
const remover = (path: string): [string, string[]] =>
  process.platform === "win32"
    ? ["cmd", ["/c", "rd", "/s", "/q", path]]
    : process.getuid!() === 0
    ? ["rm", ["-rf", "--", path]]
    : ["sh", ["-c", 'chmod -R u+rwx -- "$1" 2>/dev/null; rm -rf -- "$1"', "sh", path]];

/** Creates a directory that anybody may enter. */
export function scratch(parent: string = tmpdir()): Scratch {
  const path = realpathSync(mkdtempSync(join(parent, "scratch-")));
  chmodSync(path, 0o755);
  const list = (): string[] => readdirSync(path).sort();
  return {
    path,
    list,
    names: () => list().filter((name) => !/^\.mayfly-(\d+|user)$/.test(name)),
    [Symbol.dispose]: () => remove(path),
  };
}

/** By the runtime if possible: starting a program takes milliseconds, and there are thousands of these directories. */
function remove(path: string): void {
  try {
    rmSync(path, { recursive: true });
  } catch {
    spawnSync(...remover(path));
  }
}
