/**
 * An open file: cursor, write buffer, and the order of what is done with it.
 *
 * @module
 */
import { cannot, closedError, failure, which } from "../errors.ts";
import type { Guard } from "../guard.ts";
import { asyncIo, type Io, syncIo } from "../io.ts";
import { type Leakable, unwatchLeak, type Young } from "../life/leaks.ts";
import { type Content, letGo } from "../life/registry.ts";
import { isPromise, nothing, type Op, run, runSync } from "../op.ts";
import type { Checked } from "../options/checked.ts";
import type { Status } from "../runtime/mod.ts";
import { requireStill } from "./data.ts";
import type { OwnedName } from "./owned.ts";
import { isPlain, WIDEST } from "./text.ts";
import type { Storage } from "./storage.ts";
import { WriteBuffer } from "./write_buffer.ts";

const ignore = (): void => {};

/** The state behind a handle. It does not know the handle, so the handle can be collected as garbage. */
export class OpenFile implements Leakable, Content {
  readonly options: Checked;
  storage: Storage;
  young: Young | undefined;
  slot: number | undefined;
  /** Where the next read or write starts. */
  position = 0;
  closed = false;
  /** Whether it was closed for good: the name has gone with it, or is about to. */
  ended = false;
  /** What is known of the device it is on. */
  guard: Guard | undefined;
  /** The name it is to be removed by, if it has one. */
  owned: OwnedName | undefined;
  /** For messages. */
  path: string | undefined;
  /** Whether `path` is a name that this handle may move elsewhere. */
  movable = false;
  /** Whether the caller may still use the path when the handle is gone. */
  pathSeen = false;
  /** No byte may come to lie beyond it. */
  readonly #limit: number;
  /** Whether text can be encoded right into the buffer. */
  readonly #plain: boolean;
  readonly #buffer: WriteBuffer;
  /** The last call that is writing chunks from a source; what is written after it waits for its end. */
  writing: Promise<unknown> | undefined;
  /** Calls under way that put it elsewhere. */
  moving = 0;
  /** The last of the asynchronous calls that are still under way; each waits for the one before. */
  #tail: Promise<unknown> | undefined;
  #onClose: Set<() => void> | undefined;
  #onWritten: Set<() => void> | undefined;

  constructor(storage: Storage, options: Checked, bufferSize: number) {
    this.storage = storage;
    this.options = options;
    this.#limit = Math.min(options.maxSize, LARGEST);
    this.#plain = isPlain(options);
    this.#buffer = new WriteBuffer(options.bufferSize ?? bufferSize);
  }

  /** What else ends when the file is closed, before the last bytes are written. Most files have nothing, and pay nothing. */
  get onClose(): Set<() => void> {
    return this.#onClose ??= new Set();
  }

  /** What ends after they are written: the locks held for them. */
  get onWritten(): Set<() => void> {
    return this.#onWritten ??= new Set();
  }

  /** Whether asynchronous calls are under way. */
  get busy(): boolean {
    return this.#tail !== undefined || this.writing !== undefined;
  }

  /** Runs an operation after those called before, at once if there are none. */
  async<T>(op: (io: Io) => Op<T>): Promise<T> {
    let result: T | Promise<T>;
    try {
      const start = (): T | Promise<T> => run(op(asyncIo(this.guard)));
      result = this.#tail === undefined ? start() : this.#tail.then(start);
    } catch (error) {
      return Promise.reject(error);
    }
    return isPromise(result) ? this.#underWay(result) : Promise.resolve(result);
  }

  /** Keeps others waiting until there is a result. Only this waits for it, so that engines find the caller when it fails. */
  async #underWay<T>(result: Promise<T>): Promise<T> {
    let end!: () => void;
    const tail = this.#tail = new Promise<void>((resolve) => end = resolve);
    try {
      return await result;
    } finally {
      if (this.#tail === tail) this.#tail = undefined;
      end();
    }
  }

  /**
   * Runs an operation now. Refused while others are under way: it would overtake them, and wait for none. What the operation
   * says of a closed file is true at once.
   */
  sync<T>(op: (io: Io) => Op<T>): T {
    if (this.busy && !this.closed) {
      const why = "an asynchronous one on this file is under way";
      throw cannot("make a synchronous call", why, "EBUSY", this.path);
    }
    return runSync(op(syncIo()));
  }

  /** Throws if the file is closed. */
  require(action: string): void {
    if (this.closed) throw closedError(action, this.path);
  }

  /**
   * Takes a write at the cursor into the buffer if that is all there is to do. This is the path of small writes, so it is
   * no operation: it costs a tenth of a microsecond.
   *
   * @returns Bytes written; undefined if there is more to do, or to say against it.
   */
  buffered(data: unknown): number | undefined {
    if (this.closed || this.busy) return undefined;
    const count = typeof data === "string"
      ? this.#bufferedText(data)
      : ArrayBuffer.isView(data) && data instanceof Uint8Array && data.byteLength > 0
      ? this.#bufferedBytes(data)
      : undefined;
    if (count !== undefined) this.position += count;
    return count;
  }

  #bufferedBytes(data: Uint8Array): number | undefined {
    const count = data.byteLength;
    return this.position + count <= this.#limit && this.#take(data, this.position) ? count : undefined;
  }

  /** Text is encoded where it is to be. */
  #bufferedText(text: string): number | undefined {
    if (!this.#plain || this.storage.inMemory) return undefined;
    if (this.position + text.length * WIDEST > this.#limit) return undefined;
    return this.#buffer.appendText(text, this.position);
  }

  /** Takes a write if no call of the system is due. */
  #take(data: Uint8Array, at: number): boolean {
    return this.storage.inMemory ? this.storage.take(data, at) : this.#buffer.append(data, at);
  }

  /**
   * Writes all of `data`, at the cursor, which then moves, or at an offset, which leaves the cursor alone.
   *
   * @param length The bytes it had when it was given.
   */
  *write(io: Io, data: Uint8Array, length: number, at?: number): Op<number> {
    this.require("write to");
    requireStill(data, length);
    // Nothing is written nowhere: the file does not grow up to there.
    if (length === 0) return 0;
    const start = at ?? this.position;
    const end = start + length;
    this.#requireRoom(end);
    try {
      if (!this.#take(data, start)) yield* this.#writeThrough(io, data, start);
    } catch (error) {
      throw this.#failure("write to", error);
    }
    requireStill(data, length);
    if (at === undefined) this.position = end;
    return length;
  }

  *#writeThrough(io: Io, data: Uint8Array, start: number): Op<void> {
    yield* this.#flush(io);
    if (!this.#take(data, start)) yield* this.storage.write(io, data, start);
  }

  #requireRoom(end: number): void {
    if (end <= this.#limit) return;
    const why = `it would have ${end} bytes, ${this.#limit} are allowed`;
    throw cannot(`write to ${which(this.path)}`, why, "EFBIG", this.path);
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
    const left = length <= SMALL ? length : yield* this.#left(io, start);
    const into = this.#newBytes(Math.min(length, left));
    const count = yield* this.read(io, into, at);
    return count === into.byteLength ? into : into.slice(0, count);
  }

  #newBytes(length: number): Uint8Array<ArrayBuffer> {
    try {
      return new Uint8Array(length);
    } catch (cause) {
      const why = `${length} bytes are more than memory holds`;
      throw cannot(`read from ${which(this.path)}`, why, "ENOMEM", this.path, cause);
    }
  }

  /** Bytes from an offset to the end. */
  #left(io: Io, start: number): Op<number> {
    return this.#flushed(io, "read from", () => this.storage.left(io, start));
  }

  size(io: Io): Op<number> {
    return this.#flushed(io, "ask for the size of", () => this.storage.size(io));
  }

  /**
   * Sets the size; the cursor stays where it is. Nothing that is buffered is written for it: on a full disk that could not
   * be done, and this is the call that makes room.
   */
  *truncate(io: Io, size: number): Op<void> {
    this.require("truncate");
    this.#requireRoom(size);
    try {
      yield* this.storage.truncate(io, size);
      this.#buffer.cut(size);
    } catch (error) {
      throw this.#failure("truncate", error);
    }
  }

  /** Hands the buffer to the storage. A failure leaves all of it in the buffer, for another try. */
  flush(io: Io): Op<void> {
    return this.#flushed(io, "flush", () => nothing);
  }

  /** Does with the open file what needs all that was written to be there. */
  *#flushed<T>(io: Io, action: string, op: () => Op<T>): Op<T> {
    this.require(action);
    try {
      yield* this.#flush(io);
      return yield* op();
    } catch (error) {
      throw this.#failure(action, error);
    }
  }

  *#flush(io: Io): Op<void> {
    const { pending, start } = this.#buffer;
    if (pending === undefined) return;
    yield* this.storage.write(io, pending, start);
    this.#buffer.clear();
  }

  /** A descriptor that a child process can inherit and in which it finds all that was written. */
  descriptor(io: Io): Op<number> {
    return this.#flushed(io, "pass on the descriptor of", () => this.storage.descriptor(io));
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

  /** Waits until the contents are on the disk. */
  synchronize(io: Io): Op<void> {
    return this.#flushed(io, "sync", () => this.storage.synchronize(io));
  }

  /**
   * Flushes, closes and, where asked to, removes the name. Each step is done whatever became of the one before; then
   * the first failure is thrown.
   */
  close(io: Io, remove: boolean): Op<void> {
    return this.#finish(io, this.#end(remove), remove);
  }

  /** One operation, not one for each step: those that there is nothing to do for would cost a fortieth of a file. */
  *#finish(io: Io, close: boolean, remove: boolean): Op<void> {
    const failures: unknown[] = [];
    if (close) {
      try {
        if (this.#onWritten === undefined && this.#buffer.pending === undefined) this.#buffer.release();
        else yield* this.#lastFlush(io);
      } catch (error) {
        failures.push(error);
      }
      try {
        yield this.storage.close(io);
      } catch (error) {
        // Some file systems say only now that they have no room for what was written.
        failures.push(error);
      }
    }
    try {
      if (remove && this.owned !== undefined) yield* this.owned.remove(io);
    } catch (error) {
      failures.push(error);
    }
    if (failures.length > 0) throw this.#failure("close", failures[0]);
  }

  /** From now on it counts as closed. Returns whether it is yet to be closed. */
  #end(remove: boolean): boolean {
    const open = !this.closed;
    if (open) {
      this.closed = true;
      unwatchLeak(this);
      letGo(this);
      this.#onClose?.forEach((end) => end());
    }
    if (remove) this.ended = true;
    return open;
  }

  *#lastFlush(io: Io): Op<void> {
    try {
      yield* this.#flush(io);
    } catch (error) {
      throw this.#failure("write the last bytes of", error);
    } finally {
      this.#buffer.release();
      this.#onWritten?.forEach((end) => end());
    }
  }

  /**
   * Closes while asynchronous calls are under way. The name goes now. The handle goes when they have ended: its number
   * may belong to another file as soon as it is closed.
   */
  async abandon(remove: boolean): Promise<void> {
    const open = this.#end(remove);
    // What fails is tried again when the handle is closed.
    if (remove && this.owned !== undefined) runSync(this.owned.takeBack(syncIo()));
    await this.#tail;
    await this.async((io) => this.#finish(io, open, remove));
  }

  reclaim(): string | undefined {
    // Memory alone is no leak: the collector has it back already. But calls under way may be moving it to disk.
    if (this.storage.inMemory && !this.busy) {
      letGo(this);
      return undefined;
    }
    const what = this.path === undefined ? "A temporary file" : `The temporary file "${this.path}"`;
    try {
      // The handle may be gone before the last of its calls has ended.
      if (this.busy) this.abandon(!this.pathSeen).catch(ignore);
      else runSync(this.close(syncIo(), !this.pathSeen));
    } catch {
      // The warning that follows is all that can be done.
    }
    return what;
  }

  measure(): { bytes: number; inMemory: boolean } {
    const { storage } = this;
    const size = runSync(storage.size(syncIo()));
    return { bytes: Math.max(size, this.#buffer.end), inMemory: storage.inMemory };
  }

  #failure(action: string, error: unknown): unknown {
    return failure(`${action} ${which(this.path)}`, error, this.path);
  }
}

/** Bytes beyond which some runtime cannot express an offset (Bun). No disk is as large. */
const LARGEST = 2 ** 52 - 1;

/** Bytes up to which a read allocates what was asked for without looking at the size first. */
export const SMALL: number = 64 * 1024;
