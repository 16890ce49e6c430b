/**
 * Kernel locks (`flock`) through the C library, for a runtime that can call it. Takes microseconds and needs no other
 * program.
 *
 * @module
 */
import { once } from "./attempt.ts";
import { lockFailure, lockOrClose, openToLock } from "./locks.ts";
import type { Locks, Primitives, Runtime } from "./types.ts";

interface Signature {
  args: string[];
  returns: string;
}

/** The part of `bun:ffi` in use. */
export interface BunFfi {
  dlopen(library: string, signatures: { [name: string]: Signature }): {
    symbols: { [name: string]: (...args: number[]) => number };
  };
  read: { i32(pointer: number, offset: number): number };
}

/** Names per platform: the library, the function that returns the address of `errno`, and the error number for "taken". */
const PLATFORMS: { [platform in Runtime["platform"]]?: { library: string; errno: string; taken: number } } = {
  // musl also answers to this name.
  linux: { library: "libc.so.6", errno: "__errno_location", taken: 11 },
  darwin: { library: "/usr/lib/libSystem.B.dylib", errno: "__error", taken: 35 },
};

const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;

/** Takes a lock if it is free. */
type TryLock = (descriptor: number, shared: boolean) => boolean;

/**
 * Creates locks that the C library takes. Waiting means trying again: a call that waits would block the thread.
 *
 * @param fallback What to use if the library cannot be called.
 */
export function libraryLocks(
  sync: Primitives,
  platform: Runtime["platform"],
  ffi: () => BunFfi,
  fallback: Locks,
): Locks {
  const load = once(() => bind(platform, ffi));
  return {
    async tryAcquire(path, shared) {
      const tryLock = load();
      if (tryLock === undefined) return await fallback.tryAcquire(path, shared);
      return await lockOrClose(sync, openToLock(sync, path), (descriptor) => tryLock(descriptor, shared));
    },
    get acquire() {
      return load() === undefined ? fallback.acquire : undefined;
    },
  };
}

function bind(platform: Runtime["platform"], ffi: () => BunFfi): TryLock | undefined {
  const names = PLATFORMS[platform];
  if (names === undefined) return undefined;
  try {
    const { dlopen, read } = ffi();
    const { symbols } = dlopen(names.library, {
      flock: { args: ["i32", "i32"], returns: "i32" },
      [names.errno]: { args: [], returns: "ptr" },
    });
    return (descriptor, shared) => {
      if (symbols.flock(descriptor, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB) === 0) return true;
      const number = read.i32(symbols[names.errno](), 0);
      if (number === names.taken) return false;
      throw lockFailure(number);
    };
  } catch {
    // A library with another name, or a runtime that no longer offers this.
    return undefined;
  }
}
