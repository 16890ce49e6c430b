/**
 * The adapter for Node.
 *
 * @module
 */
import { attempt } from "./attempt.ts";
import { gcEvery } from "./collector.ts";
import { nodeLike, type NodeProcess } from "./node_like.ts";
import type { NodeFs } from "./node_fs.ts";
import type { FileBlobs, RemoveTree, Runtime } from "./types.ts";

/** Major and minor number of the kernel's random device, as `rdev` packs them. */
const RANDOM_DEVICE = (1 << 8) | 9;

interface NodeCrypto {
  randomFillSync(bytes: Uint8Array): void;
}

/**
 * Reads the kernel's random device, which takes a few microseconds, while loading the crypto module takes milliseconds.
 * Returns `false` if there is no such device, or something else in its place.
 */
function readRandomDevice(fs: NodeFs, bytes: Uint8Array): boolean {
  let fd: number | undefined;
  try {
    fd = fs.openSync("/dev/urandom", fs.constants.O_RDONLY!);
    const status = fs.fstatSync(fd) as ReturnType<NodeFs["fstatSync"]> & { rdev: number };
    return (status.mode & 0o170000) === 0o020000 && status.rdev === RANDOM_DEVICE &&
      fs.readSync(fd, bytes, 0, bytes.length, null as unknown as number) === bytes.length;
  } catch {
    return false;
  } finally {
    // A failure to close does not affect what was read.
    if (fd !== undefined) attempt(() => fs.closeSync(fd!));
  }
}

/**
 * Bytes handed out between two nudges to the collector: 45 MiB accumulate at 2 GiB/s, where it would be 120 without, and
 * reading is a fifth slower.
 */
const GC_BYTES = 24 * 1024 * 1024;

interface NodeBlobs {
  openAsBlob(path: string): Promise<Blob>;
  statSync(path: string): { mtimeMs: number; nlink: number };
  utimesSync(path: string, accessed: Date, modified: Date): void;
}

/**
 * Sets a unique modification time on the file behind a descriptor, unless it still has the one set before. Otherwise a
 * later file with the same descriptor number could not be told apart: it may have the same size and be written in the
 * same instant.
 */
function marker(fs: () => NodeBlobs): (path: string) => void {
  const marks = new Map<string, number>();
  let last = 0;
  return (path) => {
    const { statSync, utimesSync } = fs();
    const { mtimeMs, nlink } = statSync(path);
    // A file with a name belongs to somebody, who may look at its time.
    if (nlink > 0 || mtimeMs === marks.get(path)) return;
    const time = new Date(last = Math.max(last + 1, Date.now()));
    utimesSync(path, time, time);
    marks.set(path, statSync(path).mtimeMs);
  };
}

/** These blobs fail if the time or the size of the file has changed. */
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

/** Creates the adapter over Node's `process`. */
export function nodeRuntime(process: NodeProcess): Runtime {
  // Before version 24, `node:os` queries the host name when it loads, and again when it is asked. Loading it with the
  // other modules at startup keeps that call out of the creation of the first file.
  if (majorOf(process) < 24) process.getBuiltinModule("node:os");
  return nodeLike(process, {
    name: "node",
    fileFlags: "--allow-fs-read and --allow-fs-write",
    removeTree: removeTreeOf(process),
    fileBlobs: fileBlobsOf(process),
    // Older versions collect before half of that has accumulated.
    allocated: majorOf(process) >= 24 ? gcEvery(GC_BYTES) : undefined,
    isMainThread: () => (process.getBuiltinModule("node:worker_threads") as NodeWorkers).isMainThread,
    // Node loads what is behind `performance` on first use, which takes more than a millisecond.
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
