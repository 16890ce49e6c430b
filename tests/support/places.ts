/**
 * Targets for results, and the functions that put them there.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { statSync } from "node:fs";
import { tmpdir } from "node:os";
import { type ChildResult, runChild } from "./child.ts";
import { isLinux, isRoot, isWindows } from "./platform.ts";
import { type Scratch, scratch } from "./scratch.ts";
import type { PersistOptions, TemporaryFile } from "#mod";

/** The asynchronous and the synchronous `persist`. */
export const variants: {
  readonly [name: string]: (file: TemporaryFile, path: string, options?: PersistOptions) => Promise<string>;
} = {
  "async": (file, path, options) => file.persist(path, options),
  "sync": (file, path, options) => new Promise((resolve) => resolve(file.persistSync(path, options))),
};

/** Creates two directories, for the temporary files and for the results, until the end of the scope. */
export function workspace(): Disposable & { temporary: Scratch; results: Scratch } {
  const temporary = scratch(), results = scratch();
  return {
    temporary,
    results,
    [Symbol.dispose]() {
      temporary[Symbol.dispose]();
      results[Symbol.dispose]();
    },
  };
}

const MEMORY = "/dev/shm";

function deviceOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.dev;
}

/** Windows has no such directories; Wine claims to have them, and puts nothing there. */
const isElsewhere = (directory: string): boolean =>
  !isWindows && deviceOf(directory) !== undefined && deviceOf(directory) !== deviceOf(tmpdir());

/** A directory on another file system than the one for temporary files: in memory, or on disk if those are in memory. */
export const elsewhere: string = [MEMORY, "/var/tmp"].find(isElsewhere) ?? MEMORY;

/** The reason why there is no such directory; false if there is. */
export const noElsewhere: string | false = isElsewhere(elsewhere)
  ? false
  : `needs a second file system at ${MEMORY} or /var/tmp`;

/** The reason why no file system can be mounted; false if one can. */
export const noMounts: string | false = canMount() ? false : "needs root, and the right to mount";

function canMount(): boolean {
  return isLinux && isRoot &&
    spawnSync("unshare", ["-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]).status === 0;
}

/** Returns the command that runs a child in its own mount namespace, with such a tmpfs mounted on a directory. */
export function withTmpfs(path: string, options: string): string[] {
  return [
    "unshare",
    "-m",
    "sh",
    "-c",
    `mount -t tmpfs -o "$1" tmpfs "$2" && shift 2 && exec "$@"`,
    "sh",
    options,
    path,
  ];
}

/** Runs a child in which `disk` is a directory of 64 KiB. Its mount ends with it, and is never visible outside. */
export function runOnSmallDisk(code: string): Promise<ChildResult> {
  return runChild(`const disk = "/mnt";\n${code}`, { under: withTmpfs("/mnt", "size=64k,mode=1777") });
}
