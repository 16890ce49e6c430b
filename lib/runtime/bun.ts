/**
 * The adapter for Bun.
 *
 * @module
 */
import { lazily } from "./attempt.ts";
import type { BunFfi } from "./locks.ts";
import { nodeLike, type NodeProcess } from "./node_like.ts";
import { listing, type NodeDirent, type NodeFs } from "./node_fs.ts";
import { notIgnored } from "./signals.ts";
import type { FileBlobs, Listing, Path, Runtime } from "./types.ts";

interface BunFs extends NodeFs {
  rmSync(path: Path, options: { recursive: true }): void;
  promises: {
    rm(path: Path, options: { recursive: true }): Promise<void>;
    readdir(path: Path, options: { withFileTypes: true }): Promise<NodeDirent[]>;
  };
}

/** The part of the `Bun` namespace in use. */
export interface BunNamespace {
  file(path: string): Blob;
  isMainThread: boolean;
}

/** The error of reading this path carries the reason. An empty upload would hide it. */
const NO_BLOB = "/dev/null/Bun reads a blob by a path, and the file has none: use bytes()";

/** Bun opens the file by its path when the blob is read. By then, the path of a descriptor may lead to another file. */
const fileBlobsOf = (bun: BunNamespace): FileBlobs => ({
  named: (path) => Promise.resolve(bun.file(path)),
  unnamed: () => Promise.resolve(bun.file(NO_BLOB)),
});

/**
 * Bun reads a directory in one piece, which takes a tenth of a second for 100,000 names, so this runs on its thread pool.
 */
async function pooledListing(fs: BunFs, path: Path): Promise<Listing> {
  const entries = await fs.promises.readdir(path, { withFileTypes: true });
  return listing(fs, path, { readSync: () => entries.shift() ?? null, closeSync() {} });
}

/**
 * Creates the adapter over Bun's `process` and namespace.
 *
 * Under `--watch`, Bun calls the listeners of SIGTERM and then restarts the program in the same process. A signal raised
 * synchronously would end the watcher as well; one turn later, only a signal from elsewhere is still raised.
 */
export function bunRuntime(process: NodeProcess, bun: BunNamespace): Runtime {
  const fs = process.getBuiltinModule("node:fs") as BunFs;
  const own: Parameters<typeof nodeLike>[1] = {
    name: "bun",
    fileFlags: undefined,
    // Bun walks by descriptors (`openat` with `O_NOFOLLOW`).
    removeTree: {
      sync: (path) => fs.rmSync(path, { recursive: true }),
      pooled: (path) => fs.promises.rm(path, { recursive: true }),
    },
    fileBlobs: fileBlobsOf(bun),
    now: () => performance.now(),
    // Bun collects such garbage in time: 30 MiB accumulate at 2 GiB/s.
    allocated: undefined,
    isMainThread: () => bun.isMainThread,
    random: (bytes) => void crypto.getRandomValues(bytes),
  };
  // Node resets every signal to its default at startup; Bun keeps ignoring the signals that its parent had set to be
  // ignored.
  const like = nodeLike(
    process,
    own,
    (signals) => notIgnored(signals, () => fs.readFileSync("/proc/self/status", "latin1")),
  );
  const { locks, sync, platform, signals, nextTurn } = like;
  const ffi = (): BunFfi => process.getBuiltinModule("bun:ffi") as BunFfi;
  const { raise } = signals;
  if (process.execArgv.includes("--watch")) signals.raise = (name) => void nextTurn().then(() => raise(name));
  return {
    ...like,
    pooled: { ...like.pooled, list: (path) => pooledListing(fs, path) },
    locks: locks &&
      lazily(async () => (await import("./locks.ts")).libraryLocks(sync, platform, ffi, await locks())),
  };
}
