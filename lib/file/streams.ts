/**
 * Web streams over a file.
 *
 * @module
 */
import { runtime } from "../runtime/mod.ts";

/** The size of a chunk in bytes: larger ones are no faster. */
export const CHUNK: number = 256 * 1024;

/** The size of the first chunk; each is four times the one before, up to a whole one, as most files are small. */
const FIRST = 4 * 1024;

/** Bytes requested after the end was reached: enough to see whether the file has grown. */
const PROBE = 1024;

/** Reads from an offset; all that streams need of a file. */
export type ReadAt = (into: Uint8Array, at: number) => Promise<number>;

/** A byte stream from `start`, with its own position. It ends when it reaches the end of the file. */
export function readableFrom(read: ReadAt, start: number): ReadableStream<Uint8Array<ArrayBuffer>> {
  let position = start, length = FIRST;
  const pull = async (controller: ReadableByteStreamController): Promise<void> => {
    const request = controller.byobRequest;
    const view = request?.view as Uint8Array | null | undefined;
    const into = view ?? allocate(length);
    const count = await read(into, position);
    position += count;
    length = count < into.length ? PROBE : Math.min(CHUNK, length * 4);
    if (count === 0) {
      controller.close();
      // Read again: a BYOB reader may have replaced one without buffers, and waits for this response.
      controller.byobRequest?.respond(0);
    } else if (request) request.respond(count);
    else controller.enqueue(into.subarray(0, count) as Uint8Array<ArrayBuffer>);
  };
  // Nothing is read before it is requested, so data written meanwhile is seen.
  return new ReadableStream({ type: "bytes", pull }, { highWaterMark: 0 });
}

/** Allocates memory that the reader keeps. */
function allocate(length: number): Uint8Array {
  runtime.allocated?.(length);
  return new Uint8Array(length);
}
