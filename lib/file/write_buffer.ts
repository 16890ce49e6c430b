/**
 * What is gathered before a system call.
 *
 * @module
 */
import { encodeInto, WIDEST } from "./text.ts";

/** Bytes of the first buffer, which grows to its full size as it is used: most files stay small. */
const FIRST_BUFFER = 1024;

/** The first buffer of the file that was closed last, cleared, for the next one: to make an array takes as long as to fill it. */
let spare: Uint8Array<ArrayBuffer> | undefined;

/** Shared, since an array of its own costs each file as much as a system call. */
const NO_BYTES = new Uint8Array(0);

/** Bytes that follow each other, gathered before they are written. */
export class WriteBuffer {
  readonly #capacity: number;
  #bytes = NO_BYTES;
  #length = 0;
  /** Where in the file the first gathered byte belongs. */
  start = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** What is gathered, undefined if nothing is. */
  get pending(): Uint8Array | undefined {
    return this.#length === 0 ? undefined : this.#bytes.subarray(0, this.#length);
  }

  /** Where in the file the gathered bytes end. */
  get end(): number {
    return this.#length === 0 ? 0 : this.start + this.#length;
  }

  /** Gathers `data` if it follows what is there and fits. */
  append(data: Uint8Array, at: number): boolean {
    if (!this.#makeRoom(data.byteLength, at)) return false;
    this.#bytes.set(data, this.#length);
    this.#length += data.byteLength;
    return true;
  }

  /** As `append`, if it fits however long it gets. Returns the bytes it takes. */
  appendText(text: string, at: number): number | undefined {
    if (!this.#makeRoom(text.length * WIDEST, at)) return undefined;
    const count = encodeInto(text, this.#bytes.subarray(this.#length));
    this.#length += count;
    return count;
  }

  #makeRoom(count: number, at: number): boolean {
    const length = this.#length, needed = length + count;
    if (length === 0) {
      // What fills the buffer alone is better written as it is.
      if (count >= this.#capacity) return false;
      this.start = at;
    } else if (at !== this.start + length || needed > this.#capacity) return false;
    if (needed > this.#bytes.byteLength) this.#grow(needed);
    return true;
  }

  #grow(needed: number): void {
    const length = Math.min(Math.max(needed, this.#bytes.byteLength * 4, FIRST_BUFFER), this.#capacity);
    const larger = this.#newBytes(length);
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
  }

  #newBytes(length: number): Uint8Array<ArrayBuffer> {
    if (length !== spare?.byteLength) return new Uint8Array(length);
    const bytes = spare;
    spare = undefined;
    return bytes;
  }

  clear(): void {
    this.#length = 0;
  }

  /** Drops what belongs behind an offset. */
  cut(end: number): void {
    this.#length = Math.max(0, Math.min(this.#length, end - this.start));
  }

  release(): void {
    if (this.#bytes.byteLength === FIRST_BUFFER) spare = this.#bytes.fill(0);
    this.#length = 0;
    this.#bytes = NO_BYTES;
  }
}
