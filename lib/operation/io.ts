/**
 * The synchronous and the asynchronous variant of the primitives.
 *
 * @module
 */
import { type Handle, type Path, type Primitives, type Runtime, runtime } from "../runtime/mod.ts";
import { fallback, guardOf } from "./devices.ts";
import { type Guard, inline } from "./guard.ts";
import { creatingAt, movingFrom, track } from "./pending.ts";

/** The primitives, each returning its value or a promise of it. */
export type Io =
  & {
    [K in keyof Primitives]: Primitives[K] extends (...args: infer A) => infer R
      ? (...args: A) => R | Promise<R>
      : never;
  }
  & {
    /** Waits for `milliseconds`. */
    sleep(milliseconds: number): void | Promise<void>;
    /** Whether waiting blocks the calling thread. */
    readonly blocking: boolean;
    /** Whether there is no time to wait for transient failures to pass. */
    readonly noRetry?: boolean;
    /** The runtime's own removal of a tree with few entries, which may run inline. See {@linkcode Runtime.removeTree}. */
    readonly removeSmallTree: ((path: string) => void | Promise<void>) | undefined;
    /** The same variant for calls in a directory, whose device's speed decides how they are made. */
    at(directory: string): Io;
  };

/** Calls that wait for a disk by nature: asynchronous functions never make them on the calling thread. */
const POOLED: ReadonlySet<keyof Primitives> = new Set<keyof Primitives>([
  "synchronize",
  "synchronizeDirectory",
  "list",
]);

/**
 * The most bytes that a read or write may move on the calling thread: about a quarter of a millisecond's worth if
 * nothing has to wait. With smaller pieces, a large file takes a twentieth longer.
 */
export const INLINE_MAX: number = 1024 * 1024;

/** Calls that create or move away what their first argument names, which the end of the process must know. */
const TRACKED: { readonly [name in keyof Primitives]?: Set<Path> } = {
  createFile: creatingAt,
  createDescriptor: creatingAt,
  makeDirectory: creatingAt,
  rename: movingFrom,
};

type Call = (...args: unknown[]) => unknown;

function build({ sync, pooled, removeTree }: Runtime, guard: Guard): Io {
  const io: { [name: string]: unknown } = {
    blocking: false,
    sleep,
    at: (directory: string) => asyncIo(guardOf(directory)),
    // If the pool has no such call, `removeDirectory` refuses a non-empty tree, just as a failed removal would.
    removeSmallTree: removeTree &&
      inline(guard, removeTree.sync, removeTree.pooled ?? pooled.removeDirectory),
  };
  for (const name of Object.keys(sync) as (keyof Primitives)[]) {
    io[name] = POOLED.has(name) ? pooled[name] : inline(guard, sync[name] as Call, pooledCall(pooled, name));
  }
  for (const name of ["read", "write"] as const) {
    const short = io[name] as Io["read"];
    io[name] = (handle: Handle, bytes: Uint8Array, at: number) =>
      bytes.length > INLINE_MAX ? pooled[name](handle, bytes, at) : short(handle, bytes, at);
  }
  return io as unknown as Io;
}

function pooledCall(pooled: Runtime["pooled"], name: keyof Primitives): Call {
  const call = pooled[name] as (...args: unknown[]) => Promise<unknown>;
  const paths = TRACKED[name];
  return paths === undefined ? call : (...args) => track(paths, args[0] as Path, call(...args));
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => void runtime.after(milliseconds, resolve));
}

interface Variants {
  of: Primitives;
  sync: Io;
  /** One per device. */
  async: Map<Guard, Io>;
}

let current: Variants | undefined;

/** Built on first use, and rebuilt when a test has replaced the runtime. */
function variants(): Variants {
  if (current?.of !== runtime.sync) {
    const sync: Io = {
      ...runtime.sync,
      blocking: true,
      sleep: (ms) => runtime.sleep(ms),
      at: () => sync,
      removeSmallTree: runtime.removeTree?.sync,
    };
    current = { of: runtime.sync, sync, async: new Map() };
  }
  return current;
}

/** The variant whose calls block. */
export const syncIo = (): Io => variants().sync;

/** The variant whose calls do not hold up the event loop for long, for the device of a guard. */
export function asyncIo(guard: Guard = fallback): Io {
  const { async } = variants();
  let io = async.get(guard);
  if (io === undefined) async.set(guard, io = build(runtime, guard));
  return io;
}
