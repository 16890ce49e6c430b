/**
 * Reading text by characters.
 *
 * @module
 */
import type { Io } from "../operation/io.ts";
import type { Op } from "../operation/op.ts";
import { type OpenFile, SMALL } from "./open_file.ts";
import { decode, measure } from "./text.ts";

/** Reads `count` characters at the cursor and advances it past them. */
export function* readText(io: Io, file: OpenFile, count: number): Op<string> {
  file.require("read from");
  const start = file.position;
  const bytes = count === Infinity
    ? yield* file.readBytes(io, Infinity, start)
    : yield* readCharacters(io, file, count, start);
  const text = decode(bytes, file.options);
  file.position = start + bytes.length;
  return text;
}

/** The least bytes to read; the longest character has four. */
const MIN_STEP = 64;

/** Returns the bytes of the next `count` characters. */
function* readCharacters(io: Io, file: OpenFile, count: number, start: number): Op<Uint8Array> {
  const { encoding } = file.options;
  // Each character takes at least one byte. A large count is not trusted until the bytes have been read.
  let bytes: Uint8Array = new Uint8Array(Math.min(Math.max(count, MIN_STEP), SMALL));
  let filled = 0, length = 0;
  for (let left = count, ended = false; left > 0 && !ended;) {
    if (filled === bytes.length) bytes = doubled(bytes);
    filled += yield* file.read(io, bytes.subarray(filled), start + filled);
    ended = filled < bytes.length;
    const found = measure(bytes.subarray(length, filled), left, encoding, ended);
    length += found.length;
    left -= found.characters;
  }
  return bytes.subarray(0, length);
}

function doubled(bytes: Uint8Array): Uint8Array {
  const larger = new Uint8Array(bytes.length * 2);
  larger.set(bytes);
  return larger;
}
