/**
 * An open file: cursor, write buffer, and the order of what is done with it.
 *
 * @module
 */
import { closedError, failure, TempfileError } from "../errors.ts";
import { asyncIo, type Io, syncIo } from "../io.ts";
import { type Leakable, unwatchLeak } from "../life/leaks.ts";
import { isPromise, type Op, run, runSync } from "../op.ts";
import type { Checked } from "../options.ts";
import type { Status } from "../runtime/mod.ts";
import type { OwnedName } from "./owned.ts";
import { decode, measure } from "./text.ts";
import type { SpoolStorage } from "./spool.ts";
import type { Storage } from "./storage.ts";

const ignore = (): void => {};

/** The state behind a handle. It does not know the handle, so the handle can be collected as garbage. */
export class OpenFile implements Leakable {
  readonly options: Checked;
  storage: Storage;
  /** Where the next read or write starts. */
  position = 0;
  closed = false;
  /** The name it is to be removed by, if it has one. */
  owned: OwnedName | undefined;
  /** For messages. */
  path: string | undefined;
  /** Whether `path` is a name that this handle may move elsewhere. */
  movable = false;
  /** What else ends when the file is closed, before the last bytes are written. */
  readonly onClose: Set<() => void> = new Set();
  /** What ends after they are written: the locks held for them. */
  readonly onWritten: Set<() => void> = new Set();
  /** Whether the caller may still use the path when the handle is gone. */
  pathSeen = false;
  readonly #buffer: WriteBuffer;
  /** The last call that is writing chunks from a source; what is written after it waits for its end. */
  writing: Promise<unknown> | undefined;
  /** The last of the asynchronous calls that are still under way; each waits for the one before. */
  #tail: Promise<unknown> | undefined;

  constructor(storage: Storage, options: Checked, bufferSize: number) {
    this.storage = storage;
    this.options = options;
    this.#buffer = new WriteBuffer(options.bufferSize ?? bufferSize);
  }

  /** Whether asynchronous calls are under way. */
  get busy(): boolean {
    return this.#tail !== undefined || this.writing !== undefined;
  }

  /** Runs an operation after those called before, at once if there are none. */
  async<T>(op: (io: Io) => Op<T>): Promise<T> {
    let result: T | Promise<T>;
    try {
      const start = (): T | Promise<T> => run(op(asyncIo()));
      result = this.#tail === undefined ? start() : this.#tail.then(start);
    } catch (error) {
      return Promise.reject(error);
    }
    if (!isPromise(result)) return Promise.resolve(result);
    const settled = result.then(ignore, ignore).then(() => {
      if (this.#tail === settled) this.#tail = undefined;
    });
    this.#tail = settled;
    return result;
  }

  /** Runs an operation now. */
  sync<T>(op: (io: Io) => Op<T>): T {
    if (this.#tail !== undefined) {
      const message = "Cannot make a synchronous call: an asynchronous one on this file is under way (EBUSY)";
      throw new TempfileError(message, { code: "EBUSY", path: this.path });
    }
    return runSync(op(syncIo()));
  }

  /** Resolves when all calls under way have ended. */
  settled(): Promise<unknown> {
    return this.#tail ?? Promise.resolve();
  }

  /** Throws if the file is closed. */
  require(action: string): void {
    if (this.closed) throw this.closedError(action);
  }

  /** The error of a call after the file was closed. */
  closedError(action: string): TempfileError {
    return closedError(action, this.path);
  }

  /**
   * Takes a write into the buffer if that is all there is to do. This is the path of small writes, so it is no
   * operation: it costs a tenth of a microsecond.
   */
  buffered(data: Uint8Array): boolean {
    if (this.closed || this.#tail !== undefined) return false;
    if (this.position + data.byteLength > this.options.maxSize) return false;
    if (!this.#take(data, this.position)) return false;
    this.position += data.byteLength;
    return true;
  }

  /** Takes a write if no call of the system is due. */
  #take(data: Uint8Array, at: number): boolean {
    return this.storage.inMemory ? this.storage.take(data, at) : this.#buffer.append(data, at);
  }

  /** Writes all of `data`, at the cursor, which then moves, or at an offset, which leaves the cursor alone. */
  *write(io: Io, data: Uint8Array, at?: number): Op<number> {
    this.require("write to");
    const start = at ?? this.position;
    const end = start + data.byteLength;
    this.#requireRoom(end);
    try {
      if (!this.#take(data, start)) yield* this.#writeThrough(io, data, start);
    } catch (error) {
      throw this.#failure("write to", error);
    }
    if (at === undefined) this.position = end;
    return data.byteLength;
  }

  *#writeThrough(io: Io, data: Uint8Array, start: number): Op<void> {
    yield* this.#flush(io);
    if (!this.#take(data, start)) yield* this.storage.write(io, data, start);
  }

  #requireRoom(end: number): void {
    const { maxSize } = this.options;
    if (end <= maxSize && Number.isSafeInteger(end)) return;
    const limit = Math.min(maxSize, Number.MAX_SAFE_INTEGER);
    throw new TempfileError(
      `Cannot write to ${this.which()}: it would have ${end} bytes, ${limit} are allowed (EFBIG)`,
      { code: "EFBIG", path: this.path },
    );
  }

  /**
   * Writes one of several chunks that follow each other wherever the cursor is moved meanwhile. The cursor moves to the
   * end of each, unless an offset was given for the first.
   */
  *writeChunk(io: Io, data: Uint8Array, series: Series): Op<number> {
    const start = series.next ?? this.position;
    yield* this.write(io, data, start);
    series.next = start + data.byteLength;
    if (series.moves) this.position = series.next;
    return data.byteLength;
  }

  /** Reads into all of `into`; fewer bytes only where the file ends. */
  *read(io: Io, into: Uint8Array, at?: number): Op<number> {
    this.require("read from");
    const start = at ?? this.position;
    try {
      yield* this.#flush(io);
      const count: number = into.byteLength === 0 ? 0 : yield* this.storage.read(io, into, start);
      if (at === undefined) this.position = start + count;
      return count;
    } catch (error) {
      throw this.#failure("read from", error);
    }
  }

  /** Reads `length` bytes, or to the end, into an array of just that size. */
  *readBytes(io: Io, length: number, at?: number): Op<Uint8Array<ArrayBuffer>> {
    this.require("read from");
    const start = at ?? this.position;
    const left = length <= SMALL ? length : Math.max(0, (yield* this.size(io)) - start);
    const into = new Uint8Array(Math.min(length, left));
    const count = yield* this.read(io, into, at);
    return count === into.byteLength ? into : into.slice(0, count);
  }

  /** Reads `count` characters from the cursor on, which moves behind the last of them. */
  *readText(io: Io, count: number): Op<string> {
    this.require("read from");
    const start = this.position;
    const bytes = count === Infinity
      ? yield* this.readBytes(io, Infinity, start)
      : yield* this.#readCharacters(io, count, start);
    const text = decode(bytes, this.options);
    this.position = start + bytes.byteLength;
    return text;
  }

  /** The bytes of the next `count` characters. */
  *#readCharacters(io: Io, count: number, start: number): Op<Uint8Array> {
    const { encoding } = this.options;
    let bytes: Uint8Array = new Uint8Array(0);
    let length = 0;
    for (let left = count, ended = false; left > 0;) {
      const found = measure(bytes.subarray(length), left, encoding, ended);
      length += found.length;
      left -= found.characters;
      if (left === 0 || ended) break;
      // A character has at least one byte: no more are needed now than characters are missing.
      const step = Math.min(Math.max(left, MIN_STEP), SMALL);
      const more = yield* this.readBytes(io, step, start + bytes.byteLength);
      if (more.byteLength === 0) ended = true;
      else bytes = concat(bytes, more);
    }
    return bytes.subarray(0, length);
  }

  *size(io: Io): Op<number> {
    this.require("ask for the size of");
    try {
      yield* this.#flush(io);
      return yield* this.storage.size(io);
    } catch (error) {
      throw this.#failure("ask for the size of", error);
    }
  }

  /** Sets the size; the cursor stays where it is. */
  *truncate(io: Io, size: number): Op<void> {
    this.require("truncate");
    this.#requireRoom(size);
    try {
      yield* this.#flush(io);
      yield* this.storage.truncate(io, size);
    } catch (error) {
      throw this.#failure("truncate", error);
    }
  }

  /** Hands the buffer to the storage. A failure leaves all of it in the buffer, for another try. */
  *flush(io: Io): Op<void> {
    this.require("flush");
    try {
      yield* this.#flush(io);
    } catch (error) {
      throw this.#failure("flush", error);
    }
  }

  *#flush(io: Io): Op<void> {
    const { pending, start } = this.#buffer;
    if (pending === undefined) return;
    yield* this.storage.write(io, pending, start);
    this.#buffer.clear();
  }

  /** A descriptor that a child process can inherit and in which it finds all that was written. */
  *descriptor(io: Io): Op<number> {
    this.require("pass on the descriptor of");
    try {
      yield* this.#flush(io);
      return yield* this.storage.descriptor(io);
    } catch (error) {
      throw this.#failure("pass on the descriptor of", error);
    }
  }

  /** What the file is on disk. */
  *status(io: Io): Op<Status> {
    this.require("look at");
    try {
      return yield* this.storage.status(io);
    } catch (error) {
      throw this.#failure("look at", error);
    }
  }

  /** Moves a spool to disk. */
  *roll(io: Io, spool: SpoolStorage): Op<void> {
    this.require("move to disk");
    try {
      yield* spool.roll(io);
    } catch (error) {
      throw this.#failure("move to disk", error);
    }
  }

  /** Waits until the contents are on the disk. */
  *synchronize(io: Io): Op<void> {
    this.require("sync");
    try {
      yield* this.#flush(io);
      yield* this.storage.synchronize(io);
    } catch (error) {
      throw this.#failure("sync", error);
    }
  }

  /**
   * Flushes, closes and, where asked to, removes the name. Each step is done whatever became of the one before; then
   * the first failure is thrown.
   */
  *close(io: Io, remove: boolean): Op<void> {
    const failures: unknown[] = [];
    if (!this.closed) {
      this.#end();
      yield* attempt(failures, this.#lastFlush(io));
      for (const end of this.onWritten) end();
      yield* attempt(failures, this.storage.close(io));
    }
    if (remove && this.owned !== undefined) yield* attempt(failures, this.owned.remove(io));
    if (failures.length > 0) throw failures[0];
  }

  #end(): void {
    this.closed = true;
    unwatchLeak(this);
    for (const end of this.onClose) end();
  }

  *#lastFlush(io: Io): Op<void> {
    try {
      yield* this.#flush(io);
    } catch (error) {
      throw this.#failure("write the last bytes of", error);
    } finally {
      this.#buffer.release();
    }
  }

  /** Closes while asynchronous calls are under way: the name goes now, the handle when they have ended. */
  abandon(remove: boolean): void {
    this.#end();
    if (remove) this.owned?.discard();
    if (remove) this.owned?.release();
    this.settled().then(() => {
      for (const end of this.onWritten) end();
      return run(this.storage.close(asyncIo()));
    }).catch(ignore);
  }

  reclaim(): string | undefined {
    // Memory alone is no leak: the collector has it back already.
    if (this.storage.inMemory) return undefined;
    const what = this.owned?.path === undefined
      ? "A temporary file"
      : `The temporary file "${this.owned.path}"`;
    try {
      runSync(this.close(syncIo(), !this.pathSeen));
    } catch {
      // The warning that follows is all that can be done.
    }
    return what;
  }

  /** The file, for messages. */
  which(): string {
    return this.path === undefined ? "the temporary file" : `"${this.path}"`;
  }

  #failure(action: string, error: unknown): unknown {
    return failure(`${action} ${this.which()}`, error, this.path);
  }
}

/** Runs one of several steps that must all be tried. */
function* attempt(failures: unknown[], op: Op<void>): Op<void> {
  try {
    yield* op;
  } catch (error) {
    failures.push(error);
  }
}

/** Where the chunks of one call go. */
export interface Series {
  /** Undefined until the first chunk is written. */
  next: number | undefined;
  readonly moves: boolean;
}

/** Bytes read at least for characters: the longest one has four. */
const MIN_STEP = 64;

function concat(one: Uint8Array, other: Uint8Array): Uint8Array {
  const both = new Uint8Array(one.byteLength + other.byteLength);
  both.set(one);
  both.set(other, one.byteLength);
  return both;
}

/** Bytes up to which a read allocates what was asked for without looking at the size first. */
const SMALL = 64 * 1024;

/** Bytes that follow each other, gathered before they are written. */
class WriteBuffer {
  readonly #capacity: number;
  #bytes: Uint8Array | undefined;
  #length = 0;
  /** Where in the file the first gathered byte belongs. */
  start = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** What is gathered, undefined if nothing is. */
  get pending(): Uint8Array | undefined {
    return this.#length === 0 ? undefined : this.#bytes!.subarray(0, this.#length);
  }

  /** Gathers `data` if it follows what is there and fits. */
  append(data: Uint8Array, at: number): boolean {
    const length = this.#length;
    if (length === 0) {
      // What fills the buffer alone is better written as it is.
      if (data.byteLength >= this.#capacity) return false;
      this.start = at;
    } else if (at !== this.start + length || length + data.byteLength > this.#capacity) return false;
    (this.#bytes ??= new Uint8Array(this.#capacity)).set(data, length);
    this.#length = length + data.byteLength;
    return true;
  }

  clear(): void {
    this.#length = 0;
  }

  release(): void {
    this.#length = 0;
    this.#bytes = undefined;
  }
}
