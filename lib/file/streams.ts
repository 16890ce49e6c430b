/**
 * Web streams over a file.
 *
 * @module
 */
import { runtime } from "../runtime/mod.ts";

/** Bytes of a chunk: from here on, larger ones are no faster. */
export const CHUNK: number = 256 * 1024;

/** Bytes of the first chunk, which grow fourfold up to those of a whole one: most files are small. */
const FIRST = 4 * 1024;

/** Bytes asked for where the file ended before: enough to see whether it still does. */
const PROBE = 1024;

/** Reads from an offset; the part of a file that streams need. */
export type ReadAt = (into: Uint8Array, at: number) => Promise<number>;

/** A byte stream of what follows `start`. It has a position of its own, and ends where the file ends when it gets there. */
export function readableFrom(read: ReadAt, start: number): ReadableStream<Uint8Array<ArrayBuffer>> {
  let position = start, length = FIRST;
  const pull = async (controller: ReadableByteStreamController): Promise<void> => {
    const request = controller.byobRequest;
    const view = request?.view as Uint8Array | null | undefined;
    const into = view ?? handOut(length);
    const count = await read(into, position);
    position += count;
    length = count < into.byteLength ? PROBE : Math.min(CHUNK, length * 4);
    if (count === 0) {
      controller.close();
      // Asked for anew: a reader with buffers of its own may have taken the place of one without, and waits for this.
      controller.byobRequest?.respond(0);
    } else if (request) request.respond(count);
    else controller.enqueue(into.subarray(0, count) as Uint8Array<ArrayBuffer>);
  };
  // Nothing is read before somebody asks, so what is written meanwhile is seen.
  return new ReadableStream({ type: "bytes", pull }, { highWaterMark: 0 });
}

/** Memory that a reader is given to keep. */
function handOut(length: number): Uint8Array {
  runtime.handedOut?.(length);
  return new Uint8Array(length);
}
