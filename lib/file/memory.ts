/**
 * Bytes in memory, as a list of pages: growing copies nothing.
 *
 * @module
 */

/** The size of a page in bytes. */
const PAGE = 65_536;

/** The initial size of the first page, which grows to a whole one: most spools stay small. */
const FIRST = 1024;

/** The most bytes the list can hold. */
export const MEMORY_MAX = 0x8000_0000_0000;

/**
 * A growable sequence of bytes. Bytes never written are zero.
 *
 * Here as elsewhere, `length` and not `byteLength`: Node 20 calls a function for the latter, and a write takes twice as
 * long.
 */
export class Memory {
  /** The length of the contents in bytes. */
  size = 0;
  readonly #pages: (Uint8Array | undefined)[] = [];

  write(data: Uint8Array, at: number): void {
    for (let done = 0; done < data.length;) {
      const offset = (at + done) % PAGE;
      const count = Math.min(PAGE - offset, data.length - done);
      const page = this.#page(Math.floor((at + done) / PAGE), offset + count);
      page.set(count === data.length ? data : data.subarray(done, done + count), offset);
      done += count;
    }
    this.size = Math.max(this.size, at + data.length);
  }

  /** Reads into `into`; returns fewer bytes only at the end. */
  read(into: Uint8Array, at: number): number {
    const length = Math.max(0, Math.min(into.length, this.size - at));
    for (let done = 0; done < length;) {
      const offset = (at + done) % PAGE;
      const count = Math.min(PAGE - offset, length - done);
      const page = this.#pages[Math.floor((at + done) / PAGE)]?.subarray(offset, offset + count);
      const target = into.subarray(done, done + count);
      // A page that is missing, or shorter, was never written there.
      target.fill(0, page?.length ?? 0);
      if (page !== undefined) target.set(page);
      done += count;
    }
    return length;
  }

  truncate(size: number): void {
    if (size < this.size) {
      this.#pages.length = Math.ceil(size / PAGE);
      // Bytes cut off must be zero if the contents grow again.
      if (size % PAGE !== 0) this.#pages[Math.floor(size / PAGE)]?.fill(0, size % PAGE);
    }
    this.size = size;
  }

  /** The pages with their offsets, except those never written. */
  *pages(): Generator<{ data: Uint8Array; at: number }> {
    // By key: the entries of the list include every page that a gap has skipped.
    for (const index of Object.keys(this.#pages).map(Number)) {
      const at = index * PAGE;
      yield { data: this.#pages[index]!.subarray(0, Math.max(0, this.size - at)), at };
    }
  }

  #page(index: number, needed: number): Uint8Array {
    const page = this.#pages[index];
    if (page !== undefined && page.length >= needed) return page;
    const grown = new Uint8Array(index === 0 ? firstLength(needed) : PAGE);
    if (page !== undefined) grown.set(page);
    return this.#pages[index] = grown;
  }
}

function firstLength(needed: number): number {
  let length = FIRST;
  while (length < needed) length *= 4;
  return Math.min(length, PAGE);
}
