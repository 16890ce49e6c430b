/**
 * Data that is written chunk by chunk.
 *
 * @module
 */
import { invalid } from "../errors.ts";
import type { Data } from "./data.ts";

/** What {@linkcode TemporaryFile.write} accepts besides text and bytes. Streams and iterables yield text or bytes. */
export type Source =
  | Blob
  | Response
  | Request
  | ReadableStream<Data>
  | Iterable<Data>
  | AsyncIterable<Data>;

/** Chunks, one after the other. */
export interface Chunks {
  /** Returns the next chunk. Once cancelled, it ends as if there were no more. */
  next(): Promise<IteratorResult<unknown, unknown>>;
  /**
   * Reports that no more chunks will be taken, and why. Never throws, as there is a better error to report. A no-op if
   * ended.
   */
  cancel(reason: unknown): Promise<void>;
}

/** The chunks of a source, recognized by its shape: streams of another realm or a polyfill work too. */
export function chunksOf(source: unknown): Chunks {
  const open = openerOf(source);
  if (open !== undefined) return open();
  const wanted = "text, bytes, a Blob, a Response, a ReadableStream or an iterable of text or bytes";
  throw invalid("data", wanted, source);
}

/** Returns what opens a source; undefined for anything else. */
function openerOf(source: unknown): (() => Chunks) | undefined {
  if (typeof source !== "object" || source === null) return undefined;
  const shape = source as { [name: PropertyKey]: unknown };
  try {
    if (typeof shape.getReader === "function") return () => ofStream(source as ReadableStream<Uint8Array>);
    if ("bodyUsed" in shape && "body" in shape) return () => ofResponse(source as Response | Request);
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
    // An object that only inherits from Blob throws when its properties are read.
  }
  return undefined;
}

function ofResponse(response: Response | Request): Chunks {
  if (response.bodyUsed) throw invalid("data", "a Response or Request with an unread body", response);
  // A `node-fetch` response has a Node stream as its body.
  return chunksOf(response.body ?? []);
}

function ofStream(stream: ReadableStream<Uint8Array>): Chunks {
  if (stream.locked) throw invalid("data", "an unlocked stream", stream);
  const reader = stream.getReader();
  return {
    next: () => reader.read() as Promise<IteratorResult<unknown, unknown>>,
    // The stream stays locked: it has ended, failed or been cancelled, so its owner cannot continue with it.
    cancel: (reason) => quietly(() => reader.cancel(reason)),
  };
}

function ofIterator(iterator: Iterator<Data> | AsyncIterator<Data>): Chunks {
  /** Whether the iterator has ended, failed or been cancelled. */
  let finished = false;
  /** Ends the wait for a chunk, as if there were no more. */
  let endWait = (): void => {};
  const step = async (): Promise<IteratorResult<unknown, unknown>> => {
    try {
      const result = await iterator.next();
      if (result.done) finished = true;
      return result;
    } catch (error) {
      // As in a `for` loop: an iterator that throws has ended.
      finished = true;
      throw error;
    }
  };
  return {
    next: () =>
      new Promise((resolve, reject) => {
        endWait = () => resolve({ done: true, value: undefined });
        step().then(resolve, reject);
      }),
    async cancel() {
      if (finished) return;
      finished = true;
      // A waiting generator handles `return()` only once the awaited value arrives, if it ever does.
      endWait();
      let ended: unknown;
      try {
        ended = iterator.return?.();
      } catch {
        // A generator that closes the file is itself running, and can be ended only after it yields.
        finished = false;
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
