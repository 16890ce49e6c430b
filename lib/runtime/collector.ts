/**
 * Hurrying the collector of V8.
 *
 * What a stream hands out is garbage soon after. V8 begins to collect arrays when 64 MiB of them have come, works at it
 * between other things, and a fast reader is as far again before it is done. It counts an array by its length, while the
 * system gives no memory for what nobody touches: one such array makes V8 begin, and takes nothing.
 *
 * @module
 */
import { attempt } from "./ask.ts";

/** Bytes of the array: as many as V8 waits for, and more than any allocator keeps at hand, which it would have to clear. */
const UNTOUCHED = 64 * 1024 * 1024;

/** Counts bytes handed out, and makes such an array after each `every` of them. */
export function hurry(every: number): (bytes: number) => void {
  let count = 0;
  return (bytes) => {
    count += bytes;
    if (count < every) return;
    count = 0;
    // The process may have no such room, and then V8 has collected in search of it.
    attempt(() => new ArrayBuffer(UNTOUCHED));
  };
}
