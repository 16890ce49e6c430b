/**
 * The contents of a file as a `Blob`.
 *
 * @module
 */
import type { Io } from "../operation/io.ts";
import type { Op } from "../operation/op.ts";
import { runtime } from "../runtime/mod.ts";
import type { OpenFile } from "./open_file.ts";
import { readableFrom, type ReadAt } from "./streams.ts";

/**
 * What the runtime's own code reads for a file of `size` bytes: the file on demand if it is on disk, or a copy if it is
 * in memory. Undefined where that is not possible; that code then finds nothing.
 */
export function* nativeOf(io: Io, file: OpenFile, size: number): Op<Blob | undefined> {
  const { fileBlobs } = runtime;
  if (fileBlobs === undefined) return undefined;
  yield* file.flush(io);
  const { storage } = file;
  // On Windows an unnamed file has a hidden name.
  const path = file.path ?? file.owned?.path;
  if (storage.inMemory) {
    const bytes = new Uint8Array(size);
    return new Blob([bytes.subarray(0, yield* storage.read(io, bytes, 0))]);
  }
  try {
    return yield path === undefined
      ? fileBlobs.unnamed(yield* storage.descriptor(io))
      : fileBlobs.named(path);
  } catch {
    // Not permitted, or no longer in its place.
    return undefined;
  }
}

/** Resolves an offset into `length` bytes, which may count from the end, as `Blob.slice` defines it. */
function clamp(given: number, length: number): number {
  // NaN becomes 0.
  const offset = Math.round(given) || 0;
  return offset < 0 ? Math.max(length + offset, 0) : Math.min(offset, length);
}

/** A class that refers to itself by name is renamed in the package. */
const newBlob = (...range: ConstructorParameters<typeof FileBlob>): Blob => new FileBlob(...range);

/** A range of a file that is read on demand, by its own methods or by the runtime's code. */
export class FileBlob extends Blob {
  readonly #native: Blob | undefined;
  readonly #read: ReadAt;
  readonly #start: number;
  readonly #size: number;

  constructor(native: Blob | undefined, read: ReadAt, start: number, size: number, type: string) {
    super(native === undefined ? [] : [native.slice(start, start + size)], { type });
    this.#native = native;
    this.#read = read;
    this.#start = start;
    this.#size = size;
  }

  override get size(): number {
    return this.#size;
  }

  override slice(start = 0, end: number = this.#size, type = ""): Blob {
    const from = clamp(start, this.#size);
    const length = Math.max(0, clamp(end, this.#size) - from);
    return newBlob(this.#native, this.#read, this.#start + from, length, type);
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
    return count === bytes.length ? bytes : bytes.slice(0, count);
  }

  override async text(): Promise<string> {
    return new TextDecoder().decode(await this.bytes());
  }
}
