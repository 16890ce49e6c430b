/**
 * What can be written at once, as bytes.
 *
 * @module
 */
import { invalid } from "../errors.ts";
import type { Checked } from "../options/checked.ts";
import { encode } from "./text.ts";

/** Text, or bytes in memory: a buffer or a view of one. */
export type Data = string | ArrayBufferLike | ArrayBufferView;

/** The bytes of `data`; `undefined` for what is neither text nor bytes in memory. No copy, except of shared memory. */
export function toBytes(data: unknown, options: Checked): Uint8Array | undefined {
  if (typeof data === "string") return encode(data, options);
  return isBytes(data) ? present(viewOf(data, "data")) : undefined;
}

/** The bytes of `data`, which must be text or bytes in memory. */
export function requireBytes(data: unknown, options: Checked): Uint8Array {
  const bytes = toBytes(data, options);
  if (bytes === undefined) throw invalid("data", "a string, an ArrayBuffer or a view of one", data);
  return bytes;
}

/** By what they are: buffers of another realm (a worker, a test runner) are as good, and what only looks like one is none. */
const isBytes = (data: unknown): data is ArrayBufferView | ArrayBufferLike =>
  ArrayBuffer.isView(data) || hasBrand(ArrayBuffer, data) || isShared(data);

const isShared = (data: unknown): boolean => hasBrand(SharedArrayBuffer, data);

/** Whether the getter of a class takes an object for one of its own. */
function hasBrand({ prototype }: { prototype: object }, data: unknown): boolean {
  try {
    Object.getOwnPropertyDescriptor(prototype, "byteLength")!.get!.call(data);
    return true;
  } catch {
    return false;
  }
}

function present(bytes: Uint8Array): Uint8Array {
  const { buffer } = bytes;
  // Other threads may change shared memory while it is written, and no runtime writes it directly.
  return buffer instanceof ArrayBuffer || !isShared(buffer) ? bytes : bytes.slice();
}

/**
 * Makes sure that bytes are as many as they were when they were given. Their buffer may have been transferred since, or
 * have shrunk: then what is written is not what was meant.
 */
export function requireStill(bytes: Uint8Array, length: number): void {
  if (bytes.byteLength === length) return;
  throw invalid(
    "data",
    "a buffer that stays as it is until it is written (it was detached, or resized)",
    bytes,
  );
}

/** A view of the bytes that a caller wants filled. */
export function toTarget(buffer: unknown): Uint8Array {
  if (isBytes(buffer)) return viewOf(buffer, "buffer");
  throw invalid("buffer", "an ArrayBuffer or a view of one", buffer);
}

/**
 * A buffer that was transferred has no bytes, and neither has a view that its buffer became too short for. That would
 * pass for the end of a file, or for nothing to write.
 */
function viewOf(data: ArrayBufferView | ArrayBufferLike, option: string): Uint8Array {
  try {
    // An iterator is refused by what is no longer there, and does nothing else.
    if (data.byteLength === 0 && "keys" in data) (data as Uint8Array).keys();
    if (data instanceof Uint8Array) return data;
    if (!ArrayBuffer.isView(data)) return new Uint8Array(data);
    return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  } catch {
    throw invalid(option, "a buffer that is still there (it is detached, or shorter than the view)", data);
  }
}
