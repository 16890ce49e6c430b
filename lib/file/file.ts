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
import { orAborted } from "../persist/abort.ts";
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
 * An open temporary file. Bytes and text, reading and writing, each asynchronously and synchronously.
 *
 * The cursor belongs to the handle. Calls that overlap are carried out in the order they were made, so each has its own
 * range; a synchronous call while asynchronous ones are under way fails with `EBUSY`. Every call fails with `ERR_CLOSED`
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

  /** Not for use: call {@linkcode temporaryFile}, {@linkcode namedTemporaryFile} or {@linkcode spooledTemporaryFile}. */
  constructor(internals: unknown) {
    if (!(internals instanceof OpenFile)) {
      throw new TypeError("Temporary files are made by temporaryFile() and its like, not by a constructor");
    }
    this.#file = internals;
    watchLeak(this, internals);
    printAs(new.target, describe);
  }

  /** Whether the file is closed. */
  get closed(): boolean {
    return this.#file.closed;
  }

  /** The offset in bytes where the next read or write starts. */
  get position(): number {
    return this.#file.position;
  }

  /**
   * The descriptor, for the `stdio` of a child process. What is buffered is written first. It stays ours: it is closed
   * with the file.
   *
   * @throws {TempfileError} `ERR_CLOSED`; what the system says if the buffer cannot be written.
   */
  get fd(): number {
    return this.#file.sync((io) => this.#file.descriptor(io));
  }

  /**
   * Writes all of `data`, or throws.
   *
   * Streams and iterables are taken chunk by chunk, none before the one before it is written. Writes that overlap do not
   * mix their chunks; other calls are carried out between them, so that a source may itself be fed from this file. But a
   * source that waits for another write, or for `persist()`, of this file waits for its own end, for ever; and a stream of
   * this file grows with each chunk, so that it has none. The file itself is refused.
   *
   * @param data Text, which the file's encoding turns into bytes, each chunk by itself: of a surrogate pair that lies across
   *   two, UTF-8 makes two U+FFFD. Or bytes; not to be changed until the call settles.
   * @returns Bytes written.
   * @throws {TempfileError} `ENOSPC` on a full disk, where a part of that piece of data may lie behind the cursor. `EFBIG`
   *   if the file would pass `maxSize`, and nothing of that piece is written. The cursor stays behind the last chunk that
   *   was written in full, and a source is cancelled; so it is with `ERR_CLOSED` when the file is closed meanwhile.
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
    // Each chunk would make one more to come, until the disk is full.
    if (data as unknown === this) throw invalid("data", "something else than the file itself", data);
    if (bytes === undefined) return await writeSource(file, chunksOf(data), at);
    const { byteLength } = bytes;
    if (file.writing !== undefined) await file.writing;
    return await file.async((io) => file.write(io, bytes, byteLength, at));
  }

  /** As {@linkcode TemporaryFile.write}, blocking, for text and bytes. */
  writeSync(data: Data, options?: At): number {
    const file = this.#file;
    const count = options === undefined ? file.buffered(data) : undefined;
    if (count !== undefined) return count;
    const bytes = requireBytes(data, file.options);
    const at = checkAt(options);
    return file.sync((io) => file.write(io, bytes, bytes.byteLength, at));
  }

  /**
   * Reads from the cursor on, which moves.
   *
   * @param length Bytes to read; to the end without it.
   * @returns As many bytes, fewer only where the file ends.
   */
  async read(length?: number): Promise<Uint8Array<ArrayBuffer>> {
    const count = checkLength(length);
    return await this.#file.async((io) => this.#file.readBytes(io, count));
  }

  /** As {@linkcode TemporaryFile.read}, blocking. */
  readSync(length?: number): Uint8Array<ArrayBuffer> {
    const count = checkLength(length);
    return this.#file.sync((io) => this.#file.readBytes(io, count));
  }

  /**
   * Reads into a buffer of the caller's.
   *
   * @returns Bytes read: all that the buffer holds, fewer only where the file ends, 0 at the end.
   */
  async readInto(buffer: ArrayBufferLike | ArrayBufferView, options?: At): Promise<number> {
    const into = toTarget(buffer), at = checkAt(options);
    return await this.#file.async((io) => this.#file.read(io, into, at));
  }

  /** As {@linkcode TemporaryFile.readInto}, blocking. */
  readIntoSync(buffer: ArrayBufferLike | ArrayBufferView, options?: At): number {
    const into = toTarget(buffer), at = checkAt(options);
    return this.#file.sync((io) => this.#file.read(io, into, at));
  }

  /** The whole contents as bytes; the cursor stays. */
  async bytes(): Promise<Uint8Array<ArrayBuffer>> {
    return await this.#file.async((io) => this.#file.readBytes(io, Infinity, 0));
  }

  /** As {@linkcode TemporaryFile.bytes}, blocking. */
  bytesSync(): Uint8Array<ArrayBuffer> {
    return this.#file.sync((io) => this.#file.readBytes(io, Infinity, 0));
  }

  /**
   * The whole contents as text in the file's encoding; the cursor stays.
   *
   * @throws {TempfileError} `EFBIG` if they are more than a string of the runtime's can hold, half a gigabyte on some;
   *   `EILSEQ` for malformed text, if the file was opened with `fatal`.
   */
  async text(): Promise<string> {
    return decode(await this.bytes(), this.#file.options);
  }

  /** As {@linkcode TemporaryFile.text}, blocking. */
  textSync(): string {
    return decode(this.bytesSync(), this.#file.options);
  }

  /**
   * Reads text from the cursor on, which moves behind it. No character is split, whatever it takes in bytes.
   *
   * @param length Characters (code points) to read; to the end without it.
   * @throws {TempfileError} `EILSEQ` for malformed text, if the file was opened with `fatal`.
   */
  async readText(length?: number): Promise<string> {
    const count = checkLength(length);
    return await this.#file.async((io) => readText(io, this.#file, count));
  }

  /** As {@linkcode TemporaryFile.readText}, blocking. */
  readTextSync(length?: number): string {
    const count = checkLength(length);
    return this.#file.sync((io) => readText(io, this.#file, count));
  }

  /** The whole contents, parsed as JSON; the cursor stays. */
  // deno-lint-ignore no-explicit-any -- as JSON.parse and Response.json say
  async json(): Promise<any> {
    return JSON.parse(await this.text());
  }

  /** As {@linkcode TemporaryFile.json}, blocking. */
  // deno-lint-ignore no-explicit-any -- as JSON.parse and Response.json say
  jsonSync(): any {
    return JSON.parse(this.textSync());
  }

  /**
   * The contents as a `Blob` that reads when it is read: it has the size of now, and no bytes in memory. After the file
   * is closed its methods fail with `ERR_CLOSED`.
   *
   * `FormData`, `new File([blob])`, `new Blob([blob])` and `new Response(blob)` read the file as well, when they are read:
   * keep it open and as it is until then. On Node they fail if it has changed. On Bun they fail for a file on disk without
   * a name, and beside other parts `new Blob` leaves any file out, its own too: give them {@linkcode TemporaryFile.bytes}.
   * Of a spooled file in memory they have a copy. `structuredClone` on Deno finds nothing, nor does any of them on Node on
   * macOS in a file without a name.
   *
   * @param type The media type it says it has.
   */
  async blob(type = ""): Promise<Blob> {
    if (typeof type !== "string") throw invalid("type", "a string", type);
    const size = await this.size();
    const { FileBlob, nativeOf } = await import("./blob.ts").catch(notLoaded("blobs"));
    const native = await this.#file.async((io) => nativeOf(io, this.#file, size));
    return new FileBlob(native, this.#readAt(), 0, size, type);
  }

  /**
   * The lines from an offset on, without their ends (`\n` or `\r\n`).
   *
   * @param options Where to start: the beginning of the file without it. The cursor is neither used nor moved.
   * @throws {TempfileError} `EFBIG` if one is more than a string of the runtime's can hold; `EILSEQ` for malformed text, if
   *   the file was opened with `fatal`.
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

  /** The contents in chunks, from the beginning. The cursor is neither used nor moved. */
  [Symbol.asyncIterator](): AsyncGenerator<Uint8Array<ArrayBuffer>, void> {
    return this.#chunks(0);
  }

  async *#chunks(start: number): AsyncGenerator<Uint8Array<ArrayBuffer>, void> {
    for (let at = start;;) {
      const chunk = await this.#file.async((io) => this.#file.readBytes(io, CHUNK, at));
      if (chunk.byteLength === 0) return;
      at += chunk.byteLength;
      runtime.handedOut?.(chunk.byteLength);
      yield chunk;
    }
  }

  /** Who holds the function holds the handle, so that it is not collected while a stream is read. */
  #readAt(): ReadAt {
    return (into, at) => this.#file.async((io) => this.#file.read(io, into, at));
  }

  /**
   * A stream of bytes from an offset on. It reads only what is asked for, and ends where the file ends when it gets there.
   *
   * It can fill buffers of the reader's own (`getReader({ mode: "byob" })`), and then takes no memory however much flows
   * through. Otherwise each chunk is new memory, of which some 50 MiB gather before the runtime takes it back.
   *
   * @param options Where to start: the beginning of the file without it. The cursor is neither used nor moved.
   */
  stream(options?: At): ReadableStream<Uint8Array<ArrayBuffer>> {
    return readableFrom(this.#readAt(), checkAt(options) ?? 0);
  }

  /** A new stream of the whole contents; see {@linkcode TemporaryFile.stream}. */
  get readable(): ReadableStream<Uint8Array<ArrayBuffer>> {
    return this.stream();
  }

  /**
   * A new stream that writes text and bytes at the cursor, as {@linkcode TemporaryFile.write} does. Closing it flushes;
   * the file stays open.
   */
  get writable(): WritableStream<Data> {
    // Each chunk is written before the next is taken, which is all the backpressure there is to exert.
    return new WritableStream({
      write: async (chunk) => void await this.write(chunk),
      close: () => this.flush(),
    });
  }

  /**
   * Moves the cursor. Beyond the end is allowed: a write there leaves zeros before it.
   *
   * @param offset Bytes, negative towards the start.
   * @returns The new position.
   * @throws {RangeError} If it would come to lie before the start; then it stays.
   */
  async seek(offset: number, whence: Whence = "start"): Promise<number> {
    checkSeek(offset, whence);
    return await this.#file.async((io) => seek(io, this.#file, offset, whence));
  }

  /** As {@linkcode TemporaryFile.seek}, blocking. */
  seekSync(offset: number, whence: Whence = "start"): number {
    checkSeek(offset, whence);
    return this.#file.sync((io) => seek(io, this.#file, offset, whence));
  }

  /** The size in bytes, with what is buffered. */
  async size(): Promise<number> {
    return await this.#file.async((io) => this.#file.size(io));
  }

  /** As {@linkcode TemporaryFile.size}, blocking. */
  sizeSync(): number {
    return this.#file.sync((io) => this.#file.size(io));
  }

  /**
   * Cuts the file off, or extends it with zeros. The cursor stays.
   *
   * @param size Bytes it has afterwards; the position of the cursor without it.
   * @throws {TempfileError} `EFBIG` beyond `maxSize`.
   */
  async truncate(size?: number): Promise<void> {
    const wanted = size === undefined ? undefined : checkSize(size, "size");
    return await this.#file.async((io) => this.#file.truncate(io, wanted ?? this.#file.position));
  }

  /** As {@linkcode TemporaryFile.truncate}, blocking. */
  truncateSync(size?: number): void {
    const wanted = size === undefined ? undefined : checkSize(size, "size");
    return this.#file.sync((io) => this.#file.truncate(io, wanted ?? this.#file.position));
  }

  /** Hands what is buffered to the system, where other programs can read it. */
  async flush(): Promise<void> {
    return await this.#file.async((io) => this.#file.flush(io));
  }

  /** As {@linkcode TemporaryFile.flush}, blocking. */
  flushSync(): void {
    return this.#file.sync((io) => this.#file.flush(io));
  }

  /** Waits until the contents are on the disk (`fsync`). */
  async sync(): Promise<void> {
    return await this.#file.async((io) => this.#file.synchronize(io));
  }

  /** As {@linkcode TemporaryFile.sync}, blocking. */
  syncSync(): void {
    return this.#file.sync((io) => this.#file.synchronize(io));
  }

  /**
   * Puts the file at `destination` in one step, and closes it. From then on nothing removes it.
   *
   * A file with a name is renamed; one without is linked or copied beside the destination first, and so is one on another
   * file system. On failure the destination is untouched, and this file is open and whole: the call can be made again.
   *
   * @param destination The path, or a `file:` URL.
   * @returns The absolute path without links.
   * @throws {TempfileError} `ENOENT` if the directory is missing, `EISDIR` if a directory is there, `EINVAL` if a device, a
   *   pipe or a socket is, or a link in `/dev`, `EEXIST` with `overwrite: false`, `ENOSPC`, …
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
      // What is still being written from a source belongs to it.
      if (file.writing !== undefined) await orAborted(file.writing, checked.signal);
      return await file.async((io) => persistFile(io, file, path, checked));
    } finally {
      file.moving--;
    }
  }

  /** As {@linkcode TemporaryFile.persist}, blocking. */
  persistSync(destination: string | URL, options?: Omit<PersistOptions, "signal">): string {
    const path = checkPath(destination, "destination");
    const checked = checkReplacing("fileSync", options);
    return this.#file.sync((io) => persistFile(io, this.#file, path, checked));
  }

  /**
   * Waits for a lock on the file that excludes other programs: `flock`, as Python's `fcntl.flock`, flock(1) and the other
   * runtimes take it. It does not keep anybody from reading or writing who does not ask for a lock.
   *
   * Each call takes a lock of its own: two calls on one handle exclude each other like two programs.
   *
   * @throws {TempfileError} `ETIMEDOUT` after `timeout`, `ERR_CLOSED` if the file is closed meanwhile, `ERR_UNSUPPORTED`
   *   where there are no such locks (on Node the program flock(1) is needed, which Linux systems have).
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
   * Takes the lock if nobody has one that excludes it; see {@linkcode TemporaryFile.lock}.
   *
   * @returns `null` if somebody has.
   */
  async tryLock(options?: Pick<LockOptions, "shared">): Promise<FileLock | null> {
    const { tryLock } = await import("./lock.ts").catch(notLoaded("locks"));
    return await tryLock(this.#file, this, options);
  }

  /**
   * Closes the file, and with that removes it, unless `deleteOnClose` is `false`. Closing again does nothing.
   *
   * @throws {TempfileError} What kept buffered bytes from being written or the file from being removed; it is closed all the same.
   */
  close(): Promise<void> {
    return this.#file.async((io) => this.#file.close(io, this.#file.options.deleteOnClose));
  }

  /** As {@linkcode TemporaryFile.close}, blocking. */
  closeSync(): void {
    return this.#file.sync((io) => this.#file.close(io, this.#file.options.deleteOnClose));
  }

  /** Closes and removes the file. What fails becomes a warning, so that it does not hide an error of the scope. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.#file.async((io) => this.#file.close(io, true));
    } catch (error) {
      warnOfDisposal(error);
    }
  }

  /**
   * As the asynchronous one, blocking. If asynchronous calls are under way, the name goes now, and the file is closed
   * when they have ended.
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

const describe = (file: TemporaryFile): string => `TemporaryFile { closed: ${file.closed} }`;
