/**
 * The contents of a file as a `Blob`.
 *
 * @module
 */
import { readableFrom, type ReadAt } from "./streams.ts";

/** Where a range of `length` bytes that may be given from its end starts, as `Blob.slice` defines it. */
function clamp(given: number, length: number): number {
  // Of what is no number at all nothing is left but 0.
  const offset = Math.round(given) || 0;
  return offset < 0 ? Math.max(length + offset, 0) : Math.min(offset, length);
}

/** A class whose own body names it has another name in the package. */
const part = (...range: ConstructorParameters<typeof FileBlob>): Blob => new FileBlob(...range);

/**
 * A range of a file that is read when somebody asks for it. A `Blob` by its methods and its class; what a runtime itself
 * keeps behind a `Blob` is empty.
 */
export class FileBlob extends Blob {
  readonly #read: ReadAt;
  readonly #start: number;
  readonly #size: number;

  constructor(read: ReadAt, start: number, size: number, type: string) {
    super([], { type });
    this.#read = read;
    this.#start = start;
    this.#size = size;
  }

  override get size(): number {
    return this.#size;
  }

  override slice(start = 0, end: number = this.#size, type = ""): Blob {
    const from = clamp(start, this.#size);
    return part(this.#read, this.#start + from, Math.max(0, clamp(end, this.#size) - from), type);
  }

  override stream(): ReadableStream<Uint8Array<ArrayBuffer>> {
    const end = this.#start + this.#size;
    const readInside: ReadAt = (into, at) => this.#read(into.subarray(0, Math.max(0, end - at)), at);
    return readableFrom(readInside, this.#start);
  }

  override async arrayBuffer(): Promise<ArrayBuffer> {
    return (await this.bytes()).buffer;
  }

  override async bytes(): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = new Uint8Array(this.#size);
    const count = await this.#read(bytes, this.#start);
    return count === bytes.byteLength ? bytes : bytes.slice(0, count);
  }

  override async text(): Promise<string> {
    return new TextDecoder().decode(await this.bytes());
  }
}
