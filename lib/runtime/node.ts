/**
 * The adapter for Node.
 *
 * @module
 */
import { attempt } from "./ask.ts";
import { hurry } from "./collector.ts";
import { nodeLike, type NodeProcess } from "./node_like.ts";
import type { NodeFs } from "./node_fs.ts";
import type { FileBlobs, RemoveTree, Runtime } from "./types.ts";

/** Major and minor number of the kernel's random device, as `rdev` packs them. */
const RANDOM_DEVICE = (1 << 8) | 9;

interface NodeCrypto {
  randomFillSync(bytes: Uint8Array): void;
}

/**
 * The kernel's random device, which costs a few microseconds where loading the crypto module costs milliseconds.
 * `false` where there is no such device, or something else stands in its place.
 */
function readRandomDevice(fs: NodeFs, bytes: Uint8Array): boolean {
  let fd: number | undefined;
  try {
    fd = fs.openSync("/dev/urandom", fs.constants.O_RDONLY!);
    const status = fs.fstatSync(fd) as ReturnType<NodeFs["fstatSync"]> & { rdev: number };
    return (status.mode & 0o170000) === 0o020000 && status.rdev === RANDOM_DEVICE &&
      fs.readSync(fd, bytes, 0, bytes.byteLength, null as unknown as number) === bytes.byteLength;
  } catch {
    return false;
  } finally {
    // What was read is no worse for it if that fails.
    if (fd !== undefined) attempt(() => fs.closeSync(fd!));
  }
}

/**
 * Bytes handed out for which the collector is hurried: 45 MiB gather at 2 GiB a second, where it would be 120 without,
 * and reading is a fifth slower.
 */
const HURRY_EVERY = 24 * 1024 * 1024;

interface NodeBlobs {
  openAsBlob(path: string): Promise<Blob>;
  statSync(path: string): { mtimeMs: number; nlink: number };
  utimesSync(path: string, accessed: Date, modified: Date): void;
}

/**
 * Gives a file behind a descriptor a time that no other has, unless it still has the one that was given to it: a file that
 * gets the number next may be as long, and written in the same instant.
 */
function marker(fs: () => NodeBlobs): (path: string) => void {
  const marks = new Map<string, number>();
  let last = 0;
  return (path) => {
    const { statSync, utimesSync } = fs();
    const { mtimeMs, nlink } = statSync(path);
    // With a name it is somebody's, who may look at the time.
    if (nlink > 0 || mtimeMs === marks.get(path)) return;
    const time = new Date(last = Math.max(last + 1, Date.now()));
    utimesSync(path, time, time);
    marks.set(path, statSync(path).mtimeMs);
  };
}

/** They fail if the time or the size of the file is another than it was. */
function fileBlobsOf(process: NodeProcess): FileBlobs {
  const fs = () => process.getBuiltinModule("node:fs") as NodeBlobs;
  const mark = marker(fs);
  const named = (path: string): Promise<Blob> => fs().openAsBlob(path);
  return {
    named,
    unnamed(descriptor) {
      if (process.platform !== "linux") return undefined;
      const path = `/proc/self/fd/${descriptor}`;
      mark(path);
      return named(path);
    },
  };
}

interface NodeWorkers {
  isMainThread: boolean;
}

interface NodeRm {
  rmSync(path: string, options: { recursive: true }): void;
}

const majorOf = ({ versions }: NodeProcess): number => Number.parseInt(versions.node!);

/** From version 24 on, `rmSync` on Linux walks by descriptors (`openat` with `O_NOFOLLOW`). The asynchronous one does not. */
function removeTreeOf(process: NodeProcess): RemoveTree | undefined {
  const isSafe = process.platform === "linux" && majorOf(process) >= 24;
  if (!isSafe) return undefined;
  const fs = process.getBuiltinModule("node:fs") as NodeRm;
  return { sync: (path) => fs.rmSync(path, { recursive: true }), pooled: undefined };
}

/** Makes the adapter over Node's `process`. */
export function nodeRuntime(process: NodeProcess): Runtime {
  // Before version 24 the module asks for the machine's name when it is loaded, and again when it is asked itself:
  // with the other modules at the start that is no call of the first file.
  if (majorOf(process) < 24) process.getBuiltinModule("node:os");
  return nodeLike(process, {
    name: "node",
    fileFlags: "--allow-fs-read and --allow-fs-write",
    removeTree: removeTreeOf(process),
    fileBlobs: fileBlobsOf(process),
    // Older ones have collected before half of that has gathered.
    handedOut: majorOf(process) >= 24 ? hurry(HURRY_EVERY) : undefined,
    isMainThread: () => (process.getBuiltinModule("node:worker_threads") as NodeWorkers).isMainThread,
    // Node loads what is behind `performance` at its first use, which takes more than a millisecond.
    now() {
      const [seconds, nanoseconds] = process.hrtime();
      return seconds * 1000 + nanoseconds / 1e6;
    },
    random(bytes) {
      const fs = process.getBuiltinModule("node:fs") as NodeFs;
      if (process.platform === "linux" && readRandomDevice(fs, bytes)) return;
      (process.getBuiltinModule("node:crypto") as NodeCrypto).randomFillSync(bytes);
    },
  });
}
