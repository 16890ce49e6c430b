/**
 * The write buffer of a file.
 *
 * @module
 */
import { utf8 } from "../utf8.ts";
import { UTF8_MAX } from "./text.ts";

/** The initial size, which grows to the full one on demand: most files stay small. */
const FIRST_BUFFER = 1024;

/** The first buffer of the last closed file, cleared, for reuse: allocating one takes as long as filling it. */
let spare: Uint8Array<ArrayBuffer> | undefined;

/** Shared, as an empty array per file would cost as much as a system call. */
const NO_BYTES = new Uint8Array(0);

/** Consecutive bytes, gathered before they are written. */
export class WriteBuffer {
  readonly #capacity: number;
  #bytes = NO_BYTES;
  #length = 0;
  /** The offset in the file of the first buffered byte. */
  start = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** The buffered bytes; undefined if there are none. */
  get pending(): Uint8Array | undefined {
    return this.#length === 0 ? undefined : this.#bytes.subarray(0, this.#length);
  }

  /** The offset in the file where the buffered bytes end. */
  get end(): number {
    return this.#length === 0 ? 0 : this.start + this.#length;
  }

  /** Buffers `data` if it continues the buffered bytes and fits. */
  append(data: Uint8Array, at: number): boolean {
    if (!this.#makeRoom(data.length, at)) return false;
    this.#bytes.set(data, this.#length);
    this.#length += data.length;
    return true;
  }

  /** As `append`, if the text fits even at its longest. Returns the number of bytes it takes. */
  appendText(text: string, at: number): number | undefined {
    if (!this.#makeRoom(text.length * UTF8_MAX, at)) return undefined;
    const count = utf8.encodeInto(text, this.#bytes.subarray(this.#length)).written;
    this.#length += count;
    return count;
  }

  #makeRoom(count: number, at: number): boolean {
    const length = this.#length, needed = length + count;
    if (length === 0) {
      // Data as large as the buffer is better written directly.
      if (count >= this.#capacity) return false;
      this.start = at;
    } else if (at !== this.start + length || needed > this.#capacity) return false;
    if (needed > this.#bytes.length) this.#grow(needed);
    return true;
  }

  #grow(needed: number): void {
    const length = Math.min(Math.max(needed, this.#bytes.length * 4, FIRST_BUFFER), this.#capacity);
    const larger = this.#newBytes(length);
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
  }

  #newBytes(length: number): Uint8Array<ArrayBuffer> {
    if (length !== spare?.length) return new Uint8Array(length);
    const bytes = spare;
    spare = undefined;
    return bytes;
  }

  clear(): void {
    this.#length = 0;
  }

  /** Drops the bytes beyond an offset. */
  cut(end: number): void {
    this.#length = Math.max(0, Math.min(this.#length, end - this.start));
  }

  release(): void {
    if (this.#bytes.length === FIRST_BUFFER) spare = this.#bytes.fill(0);
    this.#length = 0;
    this.#bytes = NO_BYTES;
  }
}
