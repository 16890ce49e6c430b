/**
 * The two faces of the primitives that an operation can be given.
 *
 * @module
 */
import { inline } from "./inline.ts";
import { type Handle, type Listing, type Pooled, type Primitives, runtime } from "./runtime/mod.ts";

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
  };

/** Calls that wait for a disk by their nature: never on the calling thread of an asynchronous function. */
const LONG: ReadonlySet<keyof Primitives> = new Set<keyof Primitives>([
  "synchronize",
  "synchronizeDirectory",
  "list",
]);

/** Bytes up to which a read or write is no longer than the trip to the thread pool. */
const SHORT_TRANSFER = 256 * 1024;

type Call = (...args: unknown[]) => unknown;

function build(sync: Primitives, pooled: Pooled<Primitives>): Io {
  const io: { [name: string]: unknown } = { blocking: false, sleep };
  for (const name of Object.keys(sync) as (keyof Primitives)[]) {
    io[name] = LONG.has(name) ? pooled[name] : inline(sync[name] as Call, pooled[name] as Call);
  }
  for (const name of ["read", "write"] as const) {
    const short = io[name] as Io["read"];
    io[name] = (handle: Handle, bytes: Uint8Array, at: number) =>
      bytes.byteLength > SHORT_TRANSFER ? pooled[name](handle, bytes, at) : short(handle, bytes, at);
  }
  return io as unknown as Io;
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

declare function setTimeout(call: () => void, milliseconds: number): unknown;

let faces: { of: Primitives; sync: Io; async: Io } | undefined;

/** Built at first use, anew when a test has put another runtime in place. */
function both(): { sync: Io; async: Io } {
  if (faces?.of !== runtime.sync) {
    const { sync, pooled } = runtime;
    faces = {
      of: sync,
      sync: { ...sync, blocking: true, sleep: (ms) => runtime.sleep(ms) },
      async: build(sync, pooled),
    };
  }
  return faces;
}

/** The face whose calls block. */
export const syncIo = (): Io => both().sync;

/** The face whose calls do not hold the event loop for long. */
export const asyncIo = (): Io => both().async;

export type { Listing };
