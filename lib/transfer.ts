/**
 * Reading and writing all of it, where the system may do less than it is asked to.
 *
 * @module
 */
import { type Io, SHORT_TRANSFER } from "./io.ts";
import type { Op } from "./op.ts";
import { coded, type Handle } from "./runtime/mod.ts";

/** Bytes of one call that blocks: some runtimes take no more than 2 GiB at once. */
const LONGEST = 1024 ** 3;

/** What one call moves of the bytes behind those that are done: without blocking, never more than is short. */
function slice(io: Io, bytes: Uint8Array, done: number): Uint8Array {
  const length = io.blocking ? LONGEST : SHORT_TRANSFER;
  return done === 0 && bytes.byteLength <= length ? bytes : bytes.subarray(done, done + length);
}

/** Fills `into` with what is at `at`; returns fewer bytes only where the file ends. */
export function* readAll(io: Io, handle: Handle, into: Uint8Array, at: number): Op<number> {
  let done = 0;
  while (done < into.byteLength) {
    const count: number = yield io.read(handle, slice(io, into, done), at + done);
    if (count === 0) break;
    done += count;
  }
  return done;
}

/** Writes all of `data`. Where it fails, a part may have been written. */
export function* writeAll(io: Io, handle: Handle, data: Uint8Array, at: number): Op<void> {
  let done = 0;
  while (done < data.byteLength) {
    const count: number = yield io.write(handle, slice(io, data, done), at + done);
    if (count === 0) throw coded("EIO", "wrote nothing", { syscall: "write" });
    done += count;
  }
}
