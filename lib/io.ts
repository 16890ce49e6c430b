/**
 * The two faces of the primitives that an operation can be given.
 *
 * @module
 */
import { elsewhere, guardOf } from "./devices.ts";
import { type Guard, inline } from "./guard.ts";
import { type Handle, type Path, type Primitives, type Runtime, runtime } from "./runtime/mod.ts";
import { arriving, leaving, noted } from "./under_way.ts";

/** The primitives, each answering with its value or a promise of it. */
export type Io =
  & {
    [K in keyof Primitives]: Primitives[K] extends (...args: infer A) => infer R
      ? (...args: A) => R | Promise<R>
      : never;
  }
  & {
    /** Lets `milliseconds` pass. */
    sleep(milliseconds: number): void | Promise<void>;
    /** Whether waiting blocks the calling thread. */
    readonly blocking: boolean;
    /** Whether there is no time to wait for what may pass by itself. */
    readonly hurried?: boolean;
    /** The runtime's own removal of a tree, of few entries: it may be made inline. See {@linkcode Runtime.removeTree}. */
    readonly removeSmallTree: ((path: string) => void | Promise<void>) | undefined;
    /** The same face for calls in a directory: how fast its device is decides how they are made. */
    at(directory: string): Io;
  };

/** Calls that wait for a disk by their nature: never on the calling thread of an asynchronous function. */
const LONG: ReadonlySet<keyof Primitives> = new Set<keyof Primitives>([
  "synchronize",
  "synchronizeDirectory",
  "list",
]);

/**
 * Bytes up to which a read or write is made on the calling thread while the event loop has the time: about a quarter of a
 * millisecond's worth where nothing has to be waited for. In smaller pieces, a large file takes a twentieth longer.
 */
export const SHORT_TRANSFER: number = 1024 * 1024;

/** Calls that give or take what is at their first argument, which the end of the process must know. */
const NAMING: { readonly [name in keyof Primitives]?: Set<Path> } = {
  createFile: arriving,
  createDescriptor: arriving,
  makeDirectory: arriving,
  rename: leaving,
};

type Call = (...args: unknown[]) => unknown;

function build({ sync, pooled, removeTree }: Runtime, guard: Guard): Io {
  const io: { [name: string]: unknown } = {
    blocking: false,
    sleep,
    at: (directory: string) => asyncIo(guardOf(directory)),
    // Where the pool has no such call: what is not empty this refuses, as a tree is that could not be removed.
    removeSmallTree: removeTree &&
      inline(guard, removeTree.sync, removeTree.pooled ?? pooled.removeDirectory),
  };
  for (const name of Object.keys(sync) as (keyof Primitives)[]) {
    io[name] = LONG.has(name) ? pooled[name] : inline(guard, sync[name] as Call, pooledCall(pooled, name));
  }
  for (const name of ["read", "write"] as const) {
    const short = io[name] as Io["read"];
    io[name] = (handle: Handle, bytes: Uint8Array, at: number) =>
      bytes.byteLength > SHORT_TRANSFER ? pooled[name](handle, bytes, at) : short(handle, bytes, at);
  }
  return io as unknown as Io;
}

function pooledCall(pooled: Runtime["pooled"], name: keyof Primitives): Call {
  const call = pooled[name] as (...args: unknown[]) => Promise<unknown>;
  const paths = NAMING[name];
  return paths === undefined ? call : (...args) => noted(paths, args[0] as Path, call(...args));
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => void runtime.after(milliseconds, resolve));
}

interface Faces {
  of: Primitives;
  sync: Io;
  /** One for each device. */
  async: Map<Guard, Io>;
}

let current: Faces | undefined;

/** Built at first use, anew when a test has put another runtime in place. */
function faces(): Faces {
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

/** The face whose calls block. */
export const syncIo = (): Io => faces().sync;

/** The face whose calls do not hold the event loop for long, on the device that a guard is of. */
export function asyncIo(guard: Guard = elsewhere): Io {
  const { async } = faces();
  let io = async.get(guard);
  if (io === undefined) async.set(guard, io = build(runtime, guard));
  return io;
}
