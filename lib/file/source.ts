/**
 * What can be written chunk by chunk.
 *
 * @module
 */
import { invalid } from "../errors.ts";
import type { Data } from "./data.ts";

/** What {@linkcode TemporaryFile.write} takes beside text and bytes. Streams and iterables are of text or bytes. */
export type Source =
  | Blob
  | Response
  | ReadableStream<Data>
  | Iterable<Data>
  | AsyncIterable<Data>;

/** Chunks, one after the other. */
export interface Chunks {
  /** The next one. Ends, as if there were no more, when it is cancelled. */
  next(): Promise<IteratorResult<unknown, unknown>>;
  /** Says that no more will be taken, and why. Never throws: there is a better error to report. Nothing if it has ended. */
  cancel(reason: unknown): Promise<void>;
}

/** The chunks of a source, told by its shape: streams of another realm or a polyfill are as good. */
export function chunksOf(source: unknown): Chunks {
  const open = openerOf(source);
  if (open !== undefined) return open();
  const wanted = "a string, bytes, a Blob, a Response, a ReadableStream or an iterable of such chunks";
  throw invalid("data", wanted, source);
}

/** What gives the chunks of a source; undefined for what is none. */
function openerOf(source: unknown): (() => Chunks) | undefined {
  if (typeof source !== "object" || source === null) return undefined;
  const shape = source as { [name: PropertyKey]: unknown };
  try {
    if (typeof shape.getReader === "function") return () => ofStream(source as ReadableStream<Uint8Array>);
    if ("bodyUsed" in shape && "body" in shape) return () => ofResponse(source as Response);
    if (typeof shape.stream === "function" && typeof shape.size === "number") {
      return () => ofStream((source as Blob).stream());
    }
    if (typeof shape[Symbol.asyncIterator] === "function") {
      return () => ofIterator((source as AsyncIterable<Data>)[Symbol.asyncIterator]());
    }
    if (typeof shape[Symbol.iterator] === "function") {
      return () => ofIterator((source as Iterable<Data>)[Symbol.iterator]());
    }
  } catch {
    // What only has the prototype of a Blob throws when it is asked.
  }
  return undefined;
}

function ofResponse(response: Response): Chunks {
  if (response.bodyUsed) throw invalid("data", "a Response whose body was not read yet", response);
  // Those of `node-fetch` have a stream of Node's.
  return response.body === null ? ofIterator([][Symbol.iterator]()) : chunksOf(response.body);
}

function ofStream(stream: ReadableStream<Uint8Array>): Chunks {
  if (stream.locked) throw invalid("data", "a stream that nobody else reads (it is locked)", stream);
  const reader = stream.getReader();
  return {
    next: () => reader.read() as Promise<IteratorResult<unknown, unknown>>,
    // It ends or fails by itself, or is cancelled: who owns it cannot go on with it, so it stays locked.
    cancel: (reason) => quietly(() => reader.cancel(reason)),
  };
}

function ofIterator(iterator: Iterator<Data> | AsyncIterator<Data>): Chunks {
  /** Whether it has failed or was cancelled. */
  let over = false;
  /** Ends the wait for a chunk, as if there were no more. */
  let leave = (): void => {};
  const step = async (): Promise<IteratorResult<unknown, unknown>> => {
    try {
      return await iterator.next();
    } catch (error) {
      // As a loop has it: an iterator that failed has ended.
      over = true;
      throw error;
    }
  };
  return {
    next: () =>
      new Promise((resolve, reject) => {
        leave = () => resolve({ done: true, value: undefined });
        step().then(resolve, reject);
      }),
    async cancel() {
      if (over) return;
      over = true;
      // A generator that waits for something is told to return only when that has come, if it ever does.
      leave();
      let ended: unknown;
      try {
        ended = iterator.return?.();
      } catch {
        // A generator that closes the file is itself running, and can be ended only when it has yielded.
        over = false;
      }
      await quietly(() => ended);
    },
  };
}

async function quietly(call: () => unknown): Promise<void> {
  try {
    await call();
  } catch {
    // See `cancel`.
  }
}
