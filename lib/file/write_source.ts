/**
 * Writing data that arrives in chunks.
 *
 * @module
 */
import { closedError } from "../errors.ts";
import type { Io } from "../operation/io.ts";
import type { Op } from "../operation/op.ts";
import { requireBytes } from "./data.ts";
import type { OpenFile } from "./open_file.ts";
import type { Chunks } from "./source.ts";

/** Writes all chunks, each in a call of its own, so that the source may itself read from this file. */
export function writeSource(file: OpenFile, chunks: Chunks, at: number | undefined): Promise<number> {
  const before = file.writing;
  const written = (async () => {
    await before;
    return await writeChunks(file, chunks, at);
  })();
  const ended: Promise<unknown> = written.catch(() => {});
  // This is the first handler, before those of waiting calls: no later call can get in between and overtake them.
  ended.then(() => {
    if (file.writing === ended) file.writing = undefined;
  });
  file.writing = ended;
  return written;
}

async function writeChunks(file: OpenFile, chunks: Chunks, at: number | undefined): Promise<number> {
  let next = at;
  /** Writes a chunk after the previous one, wherever the cursor was moved meanwhile. */
  function* write(io: Io, bytes: Uint8Array, length: number): Op<number> {
    const start = next ?? file.position;
    yield* file.write(io, bytes, length, start);
    next = start + length;
    if (at === undefined) file.position = next;
    return length;
  }
  const stop = (): void => void chunks.cancel(closedError("write to", file.path));
  file.onClose.add(stop);
  try {
    for (let total = 0;;) {
      file.require("write to");
      const step = await chunks.next();
      // A cancelled source ends as if it were complete.
      file.require("write to");
      if (step.done) return total;
      const bytes = requireBytes(step.value, file.options, "an iterable of text or bytes");
      const { length } = bytes;
      total += await file.async((io) => write(io, bytes, length));
    }
  } catch (error) {
    await chunks.cancel(error);
    throw error;
  } finally {
    file.onClose.delete(stop);
  }
}
