/**
 * Copying contents.
 *
 * @module
 */
import type { Storage } from "../file/storage.ts";
import type { Io } from "../operation/io.ts";
import type { Op } from "../operation/op.ts";
import type { Replacing } from "./options.ts";

/** Bytes copied at a time. */
const CHUNK = 1024 * 1024;

/** Copies everything. Returns how many bytes there should be, which is more than were copied if the source ended early. */
export function* copyContents(io: Io, from: Storage, to: Storage, { signal }: Replacing): Op<number> {
  const size = yield* from.size(io);
  const chunk = new Uint8Array(Math.min(CHUNK, size));
  for (let at = 0; at < size;) {
    signal?.throwIfAborted();
    const count = yield* from.read(io, chunk, at);
    if (count === 0) break;
    yield* to.write(io, chunk.subarray(0, count), at);
    at += count;
  }
  return size;
}
