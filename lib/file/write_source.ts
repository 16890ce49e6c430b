/**
 * Writing what comes in chunks.
 *
 * @module
 */
import type { Io } from "../io.ts";
import type { Op } from "../op.ts";
import { requireBytes } from "./data.ts";
import type { OpenFile } from "./open_file.ts";
import type { Chunks } from "./source.ts";

/** Where the chunks of one call go. */
interface Series {
  /** Undefined until the first chunk is written. */
  next: number | undefined;
  /** Whether the cursor goes with them: no offset was given for the first. */
  readonly moves: boolean;
}

/** Writes all chunks. Each is a call of its own, so that a source may itself be fed from this file. */
export function writeSource(file: OpenFile, chunks: Chunks, at: number | undefined): Promise<number> {
  const before = file.writing;
  const written = (async () => {
    await before;
    return await writeChunks(file, chunks, { next: at, moves: at === undefined });
  })();
  const ended: Promise<unknown> = written.catch(() => {});
  // The first that hears of the end, and those that wait for it next: nobody comes in between and overtakes them.
  ended.then(() => {
    if (file.writing === ended) file.writing = undefined;
  });
  file.writing = ended;
  return written;
}

async function writeChunks(file: OpenFile, chunks: Chunks, series: Series): Promise<number> {
  const stop = (): void => void chunks.cancel(file.closedError("write to"));
  file.onClose.add(stop);
  try {
    for (let total = 0;;) {
      file.require("write to");
      const step = await chunks.next();
      // What is cancelled ends as if it were complete.
      file.require("write to");
      if (step.done) return total;
      const bytes = requireBytes(step.value, file.options);
      const { byteLength } = bytes;
      total += await file.async((io) => writeChunk(io, file, bytes, byteLength, series));
    }
  } catch (error) {
    await chunks.cancel(error);
    throw error;
  } finally {
    file.onClose.delete(stop);
  }
}

/** Writes a chunk behind the one before, wherever the cursor was moved meanwhile. */
function* writeChunk(
  io: Io,
  file: OpenFile,
  bytes: Uint8Array,
  length: number,
  series: Series,
): Op<number> {
  const start = series.next ?? file.position;
  yield* file.write(io, bytes, length, start);
  series.next = start + length;
  if (series.moves) file.position = series.next;
  return length;
}
