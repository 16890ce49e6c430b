/**
 * The handle of a temporary file.
 *
 * @module
 */
import { warnOfDisposal } from "../disposal.ts";
import { invalid, notLoaded } from "../errors.ts";
import { printAs } from "../inspect.ts";
import { watchLeak } from "../life/leaks.ts";
import { checkPath } from "../options/paths.ts";
import { checkSize } from "../options/values.ts";
import { abortable } from "../persist/abort.ts";
import { checkReplacing, type PersistOptions } from "../persist/options.ts";
import { persistFile } from "../persist/persist_file.ts";
import { runtime } from "../runtime/mod.ts";
import { readText } from "./characters.ts";
import { type At, checkAt, checkLength, checkSeek, seek, type Whence } from "./cursor.ts";
import { type Data, requireBytes, toBytes, toTarget } from "./data.ts";
import type { FileLock, LockOptions } from "./file_lock.ts";
import { linesOf } from "./lines.ts";
import { OpenFile } from "./open_file.ts";
import { chunksOf, type Source } from "./source.ts";
import { CHUNK, readableFrom, type ReadAt } from "./streams.ts";
import { decode } from "./text.ts";
import { writeSource } from "./write_source.ts";

/**
 * An open temporary file: bytes and text, read and written asynchronously or synchronously.
 *
 * The cursor belongs to the handle. Overlapping calls run in the order they were made, so each has its own range; a
 * synchronous call made while asynchronous ones are pending fails with `EBUSY`. Every call fails with `ERR_CLOSED`
 * after {@linkcode TemporaryFile.close}.
 *
 * @example Write and read back
 * ```ts
 * import { temporaryFile } from "mayfly";
 *
 * await using file = await temporaryFile();
 * await file.write("hello");
 * console.log(await file.text()); // "hello"
 * ```
 */
export class TemporaryFile implements AsyncDisposable, Disposable {
  readonly #file: OpenFile;

  /** Internal: use {@linkcode temporaryFile}, {@linkcode namedTemporaryFile} or {@linkcode spooledTemporaryFile}. */
  constructor(internals: unknown) {
    if (!(internals instanceof OpenFile)) {
      throw new TypeError("Temporary files are made by temporaryFile() and its like, not by a constructor");
    }
    this.#file = internals;
    watchLeak(this, internals);
    printAs(new.target, "TemporaryFile", "closed");
  }

  /** Whether the file is closed. */
  get closed(): boolean {
    return this.#file.closed;
  }

  /** The offset in bytes at which the next read or write starts. */
  get position(): number {
    return this.#file.position;
  }

  /**
   * The file descriptor, for the `stdio` of a child process. Buffered data is written first. The handle still owns the
   * descriptor and closes it with the file.
   *
   * The offset of the descriptor itself is not the cursor: it is at the start, however much was written here, and only
   * children that use the descriptor move it. The first one reads from the start, and overwrites what is there if it
   * writes.
   *
   * @throws {TempfileError} `ERR_CLOSED`, or the system's error if the buffer cannot be written.
   */
  get fd(): number {
    return this.#file.sync((io) => this.#file.descriptor(io));
  }

  /**
   * Writes all of `data`, or throws.
   *
   * Streams and iterables are consumed chunk by chunk, each requested only after the previous one is written.
   * Overlapping writes do not interleave their chunks, but other calls run between chunks, so a source may itself read
   * from this file. Two kinds of source never finish: one that waits for another write to this file, or for its
   * `persist()`, waits for itself; and a stream of this file grows with each chunk. The file itself is refused.
   *
   * @param data Text, encoded with the file's encoding chunk by chunk: in UTF-8, a surrogate pair split across two
   *   chunks becomes two U+FFFD. Or bytes, which must not change until the call settles.
   * @returns The number of bytes written.
   * @throws {TempfileError} `ENOSPC` on a full disk; part of that piece of data may then lie beyond the cursor. `EFBIG`
   *   if the file would exceed `maxSize`; nothing of that piece is written. The cursor stays after the last fully
   *   written chunk, and a source is cancelled; likewise with `ERR_CLOSED` if the file is closed meanwhile.
   *
   * @example A download
   * ```ts
   * import { temporaryFile } from "mayfly";
   *
   * await using file = await temporaryFile();
   * await file.write(new Response("the body"));
   * console.log(await file.text()); // "the body"
   * ```
   */
  write(data: Data | Source, options?: At): Promise<number> {
    const count = options === undefined ? this.#file.buffered(data) : undefined;
    return count === undefined ? this.#write(data, options) : Promise.resolve(count);
  }

  async #write(data: Data | Source, options: At | undefined): Promise<number> {
    const file = this.#file;
    const bytes = toBytes(data, file.options);
    const at = checkAt(options);
    // Each chunk would produce another, until the disk is full.
    if (data as unknown === this) throw invalid("data", "something other than the file itself", data);
    if (bytes === undefined) return await writeSource(file, chunksOf(data), at);
    const { length } = bytes;
    if (file.writing !== undefined) await file.writing;
    return await file.async((io) => file.write(io, bytes, length, at));
  }

  /** Synchronous version of {@linkcode TemporaryFile.write}, for text and bytes only. */
  writeSync(data: Data, options?: At): number {
    const file = this.#file;
    const count = options === undefined ? file.buffered(data) : undefined;
    if (count !== undefined) return count;
    const bytes = requireBytes(data, file.options);
    const at = checkAt(options);
    return file.sync((io) => file.write(io, bytes, bytes.length, at));
  }

  /**
   * Reads from the cursor and advances it.
   *
   * @param length The number of bytes to read; to the end of the file if omitted.
   * @returns That many bytes; fewer only at the end of the file.
   */
  async read(length?: number): Promise<Uint8Array<ArrayBuffer>> {
    const count = checkLength(length);
    return await this.#file.async((io) => this.#file.readBytes(io, count));
  }

  /** Synchronous version of {@linkcode TemporaryFile.read}. */
  readSync(length?: number): Uint8Array<ArrayBuffer> {
    const count = checkLength(length);
    return this.#file.sync((io) => this.#file.readBytes(io, count));
  }

  /**
   * Reads into the caller's buffer.
   *
   * @returns The number of bytes read: the size of the buffer, fewer only near the end of the file, 0 at the end.
   */
  async readInto(buffer: ArrayBufferLike | ArrayBufferView, options?: At): Promise<number> {
    const into = toTarget(buffer), at = checkAt(options);
    return await this.#file.async((io) => this.#file.read(io, into, at));
  }

  /** Synchronous version of {@linkcode TemporaryFile.readInto}. */
  readIntoSync(buffer: ArrayBufferLike | ArrayBufferView, options?: At): number {
    const into = toTarget(buffer), at = checkAt(options);
    return this.#file.sync((io) => this.#file.read(io, into, at));
  }

  /** Returns the whole contents as bytes. The cursor does not move. */
  bytes(): Promise<Uint8Array<ArrayBuffer>> {
    return this.#file.async((io) => this.#file.readBytes(io, Infinity, 0));
  }

  /** Synchronous version of {@linkcode TemporaryFile.bytes}. */
  bytesSync(): Uint8Array<ArrayBuffer> {
    return this.#file.sync((io) => this.#file.readBytes(io, Infinity, 0));
  }

  /**
   * Returns the whole contents as text in the file's encoding. The cursor does not move.
   *
   * @throws {TempfileError} `EFBIG` if they exceed the runtime's longest string (half a gigabyte on some); `EILSEQ` for
   *   malformed text, if the file was opened with `fatal`.
   */
  async text(): Promise<string> {
    return decode(await this.bytes(), this.#file.options);
  }

  /** Synchronous version of {@linkcode TemporaryFile.text}. */
  textSync(): string {
    return decode(this.bytesSync(), this.#file.options);
  }

  /**
   * Reads text from the cursor and advances it. A character is never split, however many bytes it takes.
   *
   * @param length The number of characters (code points) to read; to the end of the file if omitted.
   * @throws {TempfileError} `EILSEQ` for malformed text, if the file was opened with `fatal`.
   */
  async readText(length?: number): Promise<string> {
    const count = checkLength(length);
    return await this.#file.async((io) => readText(io, this.#file, count));
  }

  /** Synchronous version of {@linkcode TemporaryFile.readText}. */
  readTextSync(length?: number): string {
    const count = checkLength(length);
    return this.#file.sync((io) => readText(io, this.#file, count));
  }

  /**
   * Returns the whole contents, parsed as JSON. The cursor does not move.
   *
   * @throws {SyntaxError} If they are not valid JSON.
   */
  // deno-lint-ignore no-explicit-any -- as JSON.parse and Response.json say
  async json(): Promise<any> {
    return JSON.parse(await this.text());
  }

  /** Synchronous version of {@linkcode TemporaryFile.json}. */
  // deno-lint-ignore no-explicit-any -- as JSON.parse and Response.json say
  jsonSync(): any {
    return JSON.parse(this.textSync());
  }

  /**
   * Returns the contents as a `Blob` that reads the file on demand: its size is fixed now, and it holds no bytes in
   * memory. After the file is closed, its methods fail with `ERR_CLOSED`.
   *
   * `FormData`, `new File([blob])`, `new Blob([blob])` and `new Response(blob)` also read the file on demand: keep it
   * open and unchanged until then. On Node they fail if it has changed. On Bun they fail for an unnamed file on disk,
   * and `new Blob` with several parts drops any file, Bun's own included: pass {@linkcode TemporaryFile.bytes} instead.
   * For a spooled file still in memory they hold a copy. `structuredClone` on Deno finds no contents, nor does any of
   * them for an unnamed file on Node on macOS. `new Response(blob).formData()` fails on Bun 1.4 for any file on disk:
   * use {@linkcode TemporaryFile.readable}.
   *
   * @param type The media type of the blob; empty if omitted.
   */
  async blob(type = ""): Promise<Blob> {
    if (typeof type !== "string") throw invalid("type", "a string", type);
    const size = await this.size();
    const { FileBlob, nativeOf } = await import("./blob.ts").catch(notLoaded("blobs"));
    const native = await this.#file.async((io) => nativeOf(io, this.#file, size));
    return new FileBlob(native, this.#readAt(), 0, size, type);
  }

  /**
   * Iterates over the lines from an offset, without their line endings (`\n` or `\r\n`).
   *
   * @param options Where to start; the beginning of the file if omitted. The cursor is neither used nor moved.
   * @throws {TempfileError} `EFBIG` if a line exceeds the runtime's longest string; `EILSEQ` for malformed text, if the
   *   file was opened with `fatal`.
   *
   * @example Number the lines
   * ```ts
   * import { temporaryFile } from "mayfly";
   *
   * await using file = await temporaryFile();
   * await file.write("a\nb\n");
   * for await (const line of file.lines()) console.log(line); // "a", "b"
   * ```
   */
  lines(options?: At): AsyncGenerator<string, void> {
    return linesOf(this.#chunks(checkAt(options) ?? 0), this.#file.options);
  }

  /** Iterates over the contents in chunks, from the beginning. The cursor is neither used nor moved. */
  [Symbol.asyncIterator](): AsyncGenerator<Uint8Array<ArrayBuffer>, void> {
    return this.#chunks(0);
  }

  async *#chunks(start: number): AsyncGenerator<Uint8Array<ArrayBuffer>, void> {
    for (let at = start;;) {
      const chunk = await this.#file.async((io) => this.#file.readBytes(io, CHUNK, at));
      if (chunk.length === 0) return;
      at += chunk.length;
      runtime.allocated?.(chunk.length);
      yield chunk;
    }
  }

  /** The function references the handle, so that the handle is not garbage-collected while a stream is read. */
  #readAt(): ReadAt {
    return (into, at) => this.#file.async((io) => this.#file.read(io, into, at));
  }

  /**
   * Returns a stream of the bytes from an offset. It reads only what is requested, and ends when it reaches the end of
   * the file. Keep the file open until it is read.
   *
   * Readers that supply their own buffers (`getReader({ mode: "byob" })`) need no further memory, however much flows
   * through. Otherwise each chunk is a new buffer, and some 50 MiB accumulate before the runtime reclaims them.
   *
   * @param options Where to start; the beginning of the file if omitted. The cursor is neither used nor moved.
   */
  stream(options?: At): ReadableStream<Uint8Array<ArrayBuffer>> {
    return readableFrom(this.#readAt(), checkAt(options) ?? 0);
  }

  /** A new stream of the whole contents; see {@linkcode TemporaryFile.stream}. */
  get readable(): ReadableStream<Uint8Array<ArrayBuffer>> {
    return this.stream();
  }

  /**
   * A new stream that writes text and bytes at the cursor, like {@linkcode TemporaryFile.write}. Closing it flushes the
   * buffer; the file stays open.
   */
  get writable(): WritableStream<Data> {
    // Each chunk is written before the next is accepted: that is all the backpressure needed.
    return new WritableStream({
      write: async (chunk) => void await this.write(chunk),
      close: () => this.flush(),
    });
  }

  /**
   * Moves the cursor. It may go beyond the end: a write there fills the gap with zeros.
   *
   * @param offset In bytes; negative moves towards the start.
   * @param whence What the offset counts from; `"start"` if omitted.
   * @returns The new position.
   * @throws {RangeError} If the position would lie before the start; the cursor then stays where it was.
   */
  async seek(offset: number, whence: Whence = "start"): Promise<number> {
    checkSeek(offset, whence);
    return await this.#file.async((io) => seek(io, this.#file, offset, whence));
  }

  /** Synchronous version of {@linkcode TemporaryFile.seek}. */
  seekSync(offset: number, whence: Whence = "start"): number {
    checkSeek(offset, whence);
    return this.#file.sync((io) => seek(io, this.#file, offset, whence));
  }

  /** Returns the size in bytes, including buffered data. */
  size(): Promise<number> {
    return this.#file.async((io) => this.#file.size(io));
  }

  /** Synchronous version of {@linkcode TemporaryFile.size}. */
  sizeSync(): number {
    return this.#file.sync((io) => this.#file.size(io));
  }

  /**
   * Truncates the file, or extends it with zeros. The cursor does not move.
   *
   * @param size The new size in bytes; the cursor's position if omitted.
   * @throws {TempfileError} `EFBIG` beyond `maxSize`.
   */
  async truncate(size?: number): Promise<void> {
    const wanted = size === undefined ? undefined : checkSize(size, "size");
    return await this.#file.async((io) => this.#file.truncate(io, wanted));
  }

  /** Synchronous version of {@linkcode TemporaryFile.truncate}. */
  truncateSync(size?: number): void {
    const wanted = size === undefined ? undefined : checkSize(size, "size");
    return this.#file.sync((io) => this.#file.truncate(io, wanted));
  }

  /** Writes buffered data to the system, where other programs can read it. */
  flush(): Promise<void> {
    return this.#file.async((io) => this.#file.flush(io));
  }

  /** Synchronous version of {@linkcode TemporaryFile.flush}. */
  flushSync(): void {
    return this.#file.sync((io) => this.#file.flush(io));
  }

  /** Waits until the contents are on disk (`fsync`). */
  sync(): Promise<void> {
    return this.#file.async((io) => this.#file.synchronize(io));
  }

  /** Synchronous version of {@linkcode TemporaryFile.sync}. */
  syncSync(): void {
    return this.#file.sync((io) => this.#file.synchronize(io));
  }

  /**
   * Moves the file to `destination` in one step, and closes it. From then on nothing removes it.
   *
   * A named file is renamed. An unnamed one, or one on another file system, is first linked or copied beside the
   * destination. On failure the destination is untouched and this file is still open and complete, so the call can be
   * repeated.
   *
   * @param destination A path or a `file:` URL.
   * @returns The absolute path, with symbolic links resolved.
   * @throws {TempfileError} `ENOENT` if the parent directory is missing; `EISDIR` if a directory is there; `EINVAL` if
   *   a device, a pipe or a socket is there, or a link in `/dev`; `EEXIST` with `overwrite: false`; `ENOSPC`, …
   *
   * @example A result that appears when it is ready
   * ```ts
   * import { temporaryDirectory, temporaryFile } from "mayfly";
   *
   * await using directory = await temporaryDirectory();
   * await using file = await temporaryFile();
   * await file.write("all of it");
   * console.log(await file.persist(directory.join("result.txt")));
   * ```
   */
  async persist(destination: string | URL, options?: PersistOptions): Promise<string> {
    const path = checkPath(destination, "destination"), checked = checkReplacing("file", options);
    const file = this.#file;
    file.moving++;
    try {
      const start = (): Promise<string> => file.async((io) => persistFile(io, file, path, checked));
      // Includes what is still being written from a source.
      return await (file.writing === undefined ? start() : abortable(file.writing, checked.signal, start));
    } finally {
      file.moving--;
    }
  }

  /** Synchronous version of {@linkcode TemporaryFile.persist}. */
  persistSync(destination: string | URL, options?: PersistOptions): string {
    const path = checkPath(destination, "destination"), checked = checkReplacing("file", options);
    return this.#file.sync((io) => persistFile(io, this.#file, path, checked));
  }

  /**
   * Acquires a lock that excludes other programs, waiting for it if necessary: `flock`, as taken by Python's
   * `fcntl.flock`, flock(1) and the other runtimes. The lock is advisory: it does not stop programs that do not ask for
   * it.
   *
   * Each call takes a lock of its own: two calls on one handle exclude each other as two programs do.
   *
   * @throws {TempfileError} `ETIMEDOUT` after `timeout`; `ERR_CLOSED` if the file is closed meanwhile;
   *   `ERR_UNSUPPORTED` where there are no such locks (Node needs the program flock(1), which Linux systems have).
   *
   * @example One at a time
   * ```ts
   * import { namedTemporaryFile } from "mayfly";
   *
   * await using file = await namedTemporaryFile();
   * {
   *   await using _lock = await file.lock({ timeout: 1000 });
   *   await file.write("nobody else writes now");
   * }
   * ```
   */
  async lock(options?: LockOptions): Promise<FileLock> {
    const { lock } = await import("./lock.ts").catch(notLoaded("locks"));
    return await lock(this.#file, this, options);
  }

  /**
   * Acquires the lock without waiting; see {@linkcode TemporaryFile.lock}.
   *
   * @returns `null` if a conflicting lock is held.
   */
  async tryLock(options?: Pick<LockOptions, "shared">): Promise<FileLock | null> {
    const { tryLock } = await import("./lock.ts").catch(notLoaded("locks"));
    return await tryLock(this.#file, this, options);
  }

  /**
   * Closes the file and, unless `deleteOnClose` is `false`, removes it. Closing again is a no-op.
   *
   * @throws {TempfileError} The error that kept buffered bytes from being written or the file from being removed; the
   *   file is closed all the same.
   */
  close(): Promise<void> {
    return this.#file.async((io) => this.#file.close(io, this.#file.options.deleteOnClose));
  }

  /** Synchronous version of {@linkcode TemporaryFile.close}. */
  closeSync(): void {
    return this.#file.sync((io) => this.#file.close(io, this.#file.options.deleteOnClose));
  }

  /** Closes and removes the file. A failure becomes a warning, so that it does not mask an error from the scope. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#file.async((io) => this.#file.close(io, true)).catch(warnOfDisposal);
  }

  /**
   * Synchronous version of `Symbol.asyncDispose`. If asynchronous calls are pending, the name is removed now and the
   * file is closed when they finish.
   */
  [Symbol.dispose](): void {
    if (this.#file.busy) return void this.#file.abandon(true).catch(warnOfDisposal);
    try {
      this.#file.sync((io) => this.#file.close(io, true));
    } catch (error) {
      warnOfDisposal(error);
    }
  }
}
