/**
 * Reading and writing in full, where the system may transfer less than requested.
 *
 * @module
 */
import { coded, type Handle } from "../runtime/mod.ts";
import { INLINE_MAX, type Io } from "./io.ts";
import type { Op } from "./op.ts";

/** The most bytes of one blocking call: some runtimes take no more than 2 GiB at once. */
const LONGEST = 1024 ** 3;

/** The bytes that the next call moves after those done: if not blocking, no more than a short transfer. */
function slice(io: Io, bytes: Uint8Array, done: number): Uint8Array {
  const length = io.blocking ? LONGEST : INLINE_MAX;
  return done === 0 && bytes.length <= length ? bytes : bytes.subarray(done, done + length);
}

/** Fills `into` from offset `at`; returns fewer bytes only at the end of the file. */
export function* readAll(io: Io, handle: Handle, into: Uint8Array, at: number): Op<number> {
  let done = 0;
  while (done < into.length) {
    const count: number = yield io.read(handle, slice(io, into, done), at + done);
    if (count === 0) break;
    done += count;
  }
  return done;
}

/** Writes all of `data`. After a failure, part of it may have been written. */
export function* writeAll(io: Io, handle: Handle, data: Uint8Array, at: number): Op<void> {
  let done = 0;
  while (done < data.length) {
    const count: number = yield io.write(handle, slice(io, data, done), at + done);
    if (count === 0) throw coded("EIO", "wrote nothing", { syscall: "write" });
    done += count;
  }
}
