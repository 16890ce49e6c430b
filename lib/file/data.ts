/**
 * Data that is written in one piece, as bytes.
 *
 * @module
 */
import { invalid } from "../errors.ts";
import type { Checked } from "../options/checked.ts";
import { encode } from "./text.ts";

/** Text, or bytes in memory: a buffer or a view of one. */
export type Data = string | ArrayBufferLike | ArrayBufferView;

/** The bytes of `data`; `undefined` if it is neither text nor bytes in memory. Copies nothing but shared memory. */
export function toBytes(data: unknown, options: Checked): Uint8Array | undefined {
  if (typeof data === "string") return encode(data, options);
  return isBytes(data) ? unshared(viewOf(data, "data")) : undefined;
}

/** The bytes of `data`, which must be text or bytes in memory; `wanted` is for the message. */
export function requireBytes(
  data: unknown,
  options: Checked,
  wanted = "a string, an ArrayBuffer or a view of one",
): Uint8Array {
  const bytes = toBytes(data, options);
  if (bytes === undefined) throw invalid("data", wanted, data);
  return bytes;
}

/**
 * Checks internal slots: buffers of another realm (a worker, a test runner) pass, objects that only look like one do
 * not.
 */
const isBytes = (data: unknown): data is ArrayBufferView | ArrayBufferLike =>
  ArrayBuffer.isView(data) || hasBrand(ArrayBuffer, data) || isShared(data);

const isShared = (data: unknown): boolean => hasBrand(SharedArrayBuffer, data);

/** Whether a class's own getter accepts an object. */
function hasBrand({ prototype }: { prototype: object }, data: unknown): boolean {
  try {
    Object.getOwnPropertyDescriptor(prototype, "byteLength")!.get!.call(data);
    return true;
  } catch {
    return false;
  }
}

function unshared(bytes: Uint8Array): Uint8Array {
  const { buffer } = bytes;
  // Other threads may change shared memory while it is written, and no runtime writes it directly.
  return buffer instanceof ArrayBuffer || !isShared(buffer) ? bytes : bytes.slice();
}

/**
 * Checks that bytes still have the length they were given with. If their buffer has been transferred or has shrunk
 * since, what is written is not the data that was given.
 */
export function requireLength(bytes: Uint8Array, length: number): void {
  if (bytes.length === length) return;
  throw invalid(
    "data",
    "a buffer that does not change until it is written (it was detached or resized)",
    bytes,
  );
}

/** A view of the bytes to fill for the caller. */
export function toTarget(buffer: unknown): Uint8Array {
  if (isBytes(buffer)) return viewOf(buffer, "buffer");
  throw invalid("buffer", "an ArrayBuffer or a view of one", buffer);
}

/**
 * A transferred buffer has length 0, and so has a view that its buffer became too short for. Either would pass for the
 * end of a file, or for nothing to write.
 */
function viewOf(data: ArrayBufferView | ArrayBufferLike, option: string): Uint8Array {
  try {
    // Asking for an iterator throws if the buffer is gone, and has no other effect.
    if (data.byteLength === 0 && "keys" in data) (data as Uint8Array).keys();
    if (data instanceof Uint8Array) return data;
    if (!ArrayBuffer.isView(data)) return new Uint8Array(data);
    return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  } catch {
    throw invalid(option, "an intact buffer (it is detached, or shorter than the view)", data);
  }
}
