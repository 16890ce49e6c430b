/**
 * What can be written at once, as bytes.
 *
 * @module
 */
import { invalid } from "../errors.ts";
import type { Checked } from "../options.ts";
import { encode } from "./text.ts";

/** Text, or bytes in memory: a buffer or a view of one. */
export type Data = string | ArrayBufferLike | ArrayBufferView;

/** The bytes of `data`; `undefined` for what is neither text nor bytes in memory. No copy, except of shared memory. */
export function toBytes(data: unknown, options: Checked): Uint8Array | undefined {
  if (typeof data === "string") return encode(data, options);
  if (data instanceof Uint8Array) return present(data);
  if (ArrayBuffer.isView(data)) return present(viewOf(data, "data"));
  if (isBuffer(data)) return present(viewOf(data, "data"));
  return undefined;
}

/** The bytes of `data`, which must be text or bytes in memory. */
export function requireBytes(data: unknown, options: Checked): Uint8Array {
  const bytes = toBytes(data, options);
  if (bytes === undefined) throw invalid("data", "a string, an ArrayBuffer or a view of one", data);
  return bytes;
}

/** By their tags: buffers of another realm (a worker, a test runner) are as good. */
function isBuffer(data: unknown): data is ArrayBuffer {
  const tag = Object.prototype.toString.call(data);
  return tag === "[object ArrayBuffer]" || tag === "[object SharedArrayBuffer]";
}

function present(bytes: Uint8Array): Uint8Array {
  const { buffer } = attached(bytes, "data");
  // Other threads may change shared memory while it is written, and no runtime writes it directly.
  return buffer instanceof ArrayBuffer || !isShared(buffer) ? bytes : bytes.slice();
}

const isShared = (buffer: unknown): boolean =>
  Object.prototype.toString.call(buffer) === "[object SharedArrayBuffer]";

/** A view of the bytes that a caller wants filled. */
export function toTarget(buffer: unknown): Uint8Array {
  if (buffer instanceof Uint8Array) return attached(buffer, "buffer");
  if (ArrayBuffer.isView(buffer)) return viewOf(buffer, "buffer");
  if (isBuffer(buffer)) return viewOf(buffer, "buffer");
  throw invalid("buffer", "an ArrayBuffer or a view of one", buffer);
}

function viewOf(data: ArrayBufferView | ArrayBufferLike, option: string): Uint8Array {
  const buffer = ArrayBuffer.isView(data) ? data.buffer : data;
  if (isDetached(buffer)) throw detached(option, data);
  return ArrayBuffer.isView(data)
    ? new Uint8Array(buffer, data.byteOffset, data.byteLength)
    : new Uint8Array(buffer);
}

/** A buffer that was transferred has no bytes, which would pass for the end of a file or for nothing to write. */
function attached(bytes: Uint8Array, option: string): Uint8Array {
  if (bytes.byteLength === 0 && isDetached(bytes.buffer)) throw detached(option, bytes);
  return bytes;
}

const detached = (option: string, data: unknown): TypeError =>
  invalid(option, "a buffer that is still there (it is detached)", data);

/** By what it refuses: the property `detached` is not in Node 20. */
function isDetached(buffer: ArrayBufferLike): boolean {
  try {
    new Uint8Array(buffer);
    return false;
  } catch {
    return true;
  }
}
