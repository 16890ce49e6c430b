/**
 * Making V8 collect garbage sooner.
 *
 * What a stream hands out becomes garbage soon after. V8 starts to collect array buffers once 64 MiB of them have been
 * allocated, does so incrementally, and a fast reader has allocated as much again before it is done. V8 counts a buffer
 * by its length, while the system commits no memory to untouched pages: one such buffer makes V8 start, and takes up
 * nothing.
 *
 * @module
 */
import { attempt } from "./attempt.ts";

/**
 * Size in bytes of that buffer: as much as V8 waits for, and more than any allocator keeps in reserve, which it would
 * have to clear.
 */
const PRESSURE = 64 * 1024 * 1024;

/** Counts bytes allocated, and allocates such a buffer after each `every` of them. */
export function gcEvery(every: number): (bytes: number) => void {
  let count = 0;
  return (bytes) => {
    count += bytes;
    if (count < every) return;
    count = 0;
    // The process may lack the room, in which case V8 has collected garbage in search of it.
    attempt(() => new ArrayBuffer(PRESSURE));
  };
}
