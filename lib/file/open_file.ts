/**
 * An open file: cursor, write buffer, and the order of its operations.
 *
 * @module
 */
import { cannot, closedError, failure, label } from "../errors.ts";
import { type Fresh, type Leakable, unwatchLeak } from "../life/leaks.ts";
import { type Content, letGo } from "../life/registry.ts";
import type { Guard } from "../operation/guard.ts";
import { asyncIo, type Io, syncIo } from "../operation/io.ts";
import { isPromise, nothing, type Op, run, runSync } from "../operation/op.ts";
import type { Checked } from "../options/checked.ts";
import type { Status } from "../runtime/mod.ts";
import { requireLength } from "./data.ts";
import type { OwnedName } from "./owned.ts";
import type { Storage } from "./storage.ts";
import { isPlain, UTF8_MAX } from "./text.ts";
import { WriteBuffer } from "./write_buffer.ts";

const ignore = (): void => {};

/** The state behind a handle. It does not reference the handle, so the handle can be garbage-collected. */
export class OpenFile implements Leakable, Content {
  readonly options: Checked;
  readonly storage: Storage;
  fresh: Fresh | undefined;
  slot: number | undefined;
  /** Where the next read or write starts. */
  position = 0;
  closed = false;
  /** Whether it is closed for good: the name has been removed too, or is about to be. */
  ended = false;
  /** The guard of its device, if known. */
  guard: Guard | undefined;
  /** The name to remove, if it has one. */
  owned: OwnedName | undefined;
  /** For messages. */
  path: string | undefined;
  /** Whether `path` is a name that this handle may rename. */
  movable = false;
  /** Whether the caller may still use the path after the handle is gone. */
  pathSeen = false;
  /** The largest size allowed. */
  readonly #limit: number;
  /** Whether text can be encoded straight into the buffer. */
  readonly #plain: boolean;
  readonly #buffer: WriteBuffer;
  /** The last write from a source that is still running; later writes wait for it. */
  writing: Promise<unknown> | undefined;
  /** The number of pending calls that move the file. */
  moving = 0;
  /** The last pending asynchronous call; each waits for the one before. */
  #tail: Promise<unknown> | undefined;
  #onClose: Set<() => void> | undefined;
  #onWritten: Set<() => void> | undefined;

  constructor(storage: Storage, options: Checked, bufferSize: number) {
    this.storage = storage;
    this.options = options;
    this.#limit = Math.min(options.maxSize, MAX_OFFSET);
    this.#plain = isPlain(options);
    this.#buffer = new WriteBuffer(options.bufferSize ?? bufferSize);
  }

  /** Callbacks run on close, before the last bytes are written. Allocated on demand: most files have none. */
  get onClose(): Set<() => void> {
    return this.#onClose ??= new Set();
  }

  /** Callbacks run after the last bytes are written: they release the locks. */
  get onWritten(): Set<() => void> {
    return this.#onWritten ??= new Set();
  }

  /** Whether asynchronous calls are pending. */
  get busy(): boolean {
    return this.#tail !== undefined || this.writing !== undefined;
  }

  /** Runs an operation after all earlier ones, immediately if there are none. */
  async<T>(op: (io: Io) => Op<T>): Promise<T> {
    let result: T | Promise<T>;
    try {
      const start = (): T | Promise<T> => run(op(asyncIo(this.guard)));
      result = this.#tail === undefined ? start() : this.#tail.then(start);
    } catch (error) {
      return Promise.reject(error);
    }
    return isPromise(result) ? this.#enqueue(result) : Promise.resolve(result);
  }

  /**
   * Keeps later calls waiting until there is a result. Nothing else awaits it, so that engines can trace a failure to
   * its caller.
   */
  async #enqueue<T>(result: Promise<T>): Promise<T> {
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
   * Runs an operation now. Refused while others are pending, as it would overtake them; on a closed file it runs all
   * the same, as nothing can change there.
   */
  sync<T>(op: (io: Io) => Op<T>): T {
    if (this.busy && !this.closed) {
      const why = "an asynchronous call on this file is pending";
      throw cannot("make a synchronous call", why, "EBUSY", this.path);
    }
    return runSync(op(syncIo()));
  }

  /** Throws if the file is closed. */
  require(action: string): void {
    if (this.closed) throw closedError(action, this.path);
  }

  /**
   * Takes a write at the cursor into the buffer if nothing else is needed. This is the fast path of small writes, so it
   * is not an operation: it costs a tenth of a microsecond.
   *
   * @returns The number of bytes written; undefined if there is more to do, or an error to report.
   */
  buffered(data: unknown): number | undefined {
    if (this.closed || this.busy) return undefined;
    const count = typeof data === "string"
      ? this.#bufferedText(data)
      : ArrayBuffer.isView(data) && data instanceof Uint8Array && data.length > 0 &&
          this.position + data.length <= this.#limit && this.#take(data, this.position)
      ? data.length
      : undefined;
    if (count !== undefined) this.position += count;
    return count;
  }

  /** Encodes text directly into the buffer. */
  #bufferedText(text: string): number | undefined {
    if (!this.#plain || this.storage.inMemory) return undefined;
    if (this.position + text.length * UTF8_MAX > this.#limit) return undefined;
    return this.#buffer.appendText(text, this.position);
  }

  /** Takes a write if no system call is needed. */
  #take(data: Uint8Array, at: number): boolean {
    return this.storage.inMemory ? this.storage.take(data, at) : this.#buffer.append(data, at);
  }

  /**
   * Writes all of `data`: at the cursor, which then moves, or at an offset, leaving the cursor alone.
   *
   * @param length The length that the data had when it was given.
   */
  *write(io: Io, data: Uint8Array, length: number, at?: number): Op<number> {
    this.require("write to");
    requireLength(data, length);
    // An empty write beyond the end must not extend the file.
    if (length === 0) return 0;
    const start = at ?? this.position;
    const end = start + length;
    this.#requireRoom(end);
    try {
      if (!this.#take(data, start)) yield* this.#writeThrough(io, data, start);
    } catch (error) {
      throw this.#failure("write to", error);
    }
    requireLength(data, length);
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
    throw cannot(`write to ${label(this.path)}`, why, "EFBIG", this.path);
  }

  /** Fills `into`; returns fewer bytes only at the end of the file. */
  *read(io: Io, into: Uint8Array, at?: number): Op<number> {
    this.require("read from");
    const start = at ?? this.position;
    try {
      yield* this.#flush(io);
      const count = yield* this.storage.read(io, into, start);
      if (at === undefined) this.position = start + count;
      return count;
    } catch (error) {
      throw this.#failure("read from", error);
    }
  }

  /** Reads `length` bytes, or to the end, into an array of exactly that size. */
  *readBytes(io: Io, length: number, at?: number): Op<Uint8Array<ArrayBuffer>> {
    const left = length <= SMALL
      ? length
      : yield* this.during("read from", this.storage.left(io, at ?? this.position), io);
    const into = this.#newBytes(Math.min(length, left));
    const count = yield* this.read(io, into, at);
    return count === into.length ? into : into.slice(0, count);
  }

  #newBytes(length: number): Uint8Array<ArrayBuffer> {
    try {
      return new Uint8Array(length);
    } catch (cause) {
      const why = `${length} bytes do not fit in memory`;
      throw cannot(`read from ${label(this.path)}`, why, "ENOMEM", this.path, cause);
    }
  }

  size(io: Io): Op<number> {
    return this.during("get the size of", this.storage.size(io), io);
  }

  /**
   * Sets the size; the cursor does not move. The buffer is not flushed first: on a full disk that would fail, and this
   * is the call that makes room.
   */
  *truncate(io: Io, size: number = this.position): Op<void> {
    this.require("truncate");
    this.#requireRoom(size);
    yield* this.during("truncate", this.storage.truncate(io, size));
    this.#buffer.cut(size);
  }

  /** Writes the buffer to the storage. On failure all of it stays in the buffer, so that it can be retried. */
  flush(io: Io): Op<void> {
    return this.during("flush", nothing, io);
  }

  /** Runs an operation that needs the file open and, for `flushed`, the buffer written to the storage first. */
  *during<T>(action: string, op: Op<T>, flushed?: Io): Op<T> {
    this.require(action);
    try {
      if (flushed !== undefined) yield* this.#flush(flushed);
      return yield* op;
    } catch (error) {
      throw this.#failure(action, error);
    }
  }

  #flush(io: Io): Op<void> {
    const { pending } = this.#buffer;
    return pending === undefined ? nothing : this.#writeBuffer(io, pending);
  }

  *#writeBuffer(io: Io, pending: Uint8Array): Op<void> {
    yield* this.storage.write(io, pending, this.#buffer.start);
    this.#buffer.clear();
  }

  /** A descriptor that a child process can inherit, with everything written so far behind it. */
  descriptor(io: Io): Op<number> {
    return this.during("get the descriptor of", this.storage.descriptor(io), io);
  }

  /** The status of the file on disk. */
  status(io: Io): Op<Status> {
    return this.during("inspect", this.storage.status(io));
  }

  /** Waits until the contents are on disk. */
  synchronize(io: Io): Op<void> {
    return this.during("sync", this.storage.synchronize(io), io);
  }

  /**
   * Flushes, closes and, on request, removes the name. Each step runs even if an earlier one failed; then the first
   * failure is thrown.
   */
  close(io: Io, remove: boolean): Op<void> {
    return this.#finish(io, this.#end(remove), remove);
  }

  /** One operation instead of one per step: those with nothing to do would cost a fortieth of a file. */
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
        // Some file systems report only now that there was no space for the data.
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

  /** Marks it closed. Returns whether it was still open. */
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
   * Closes while asynchronous calls are pending. The name is removed now, the handle is closed when they finish: once
   * closed, its descriptor number may belong to another file.
   */
  async abandon(remove: boolean): Promise<void> {
    const open = this.#end(remove);
    // A failure is retried when the handle is closed.
    if (remove && this.owned !== undefined) runSync(this.owned.tryRemove(syncIo()));
    await this.#tail;
    await this.async((io) => this.#finish(io, open, remove));
  }

  reclaim(): string | undefined {
    // Memory alone is not a leak: the collector has already freed it. But a pending call may be moving it to disk.
    if (this.storage.inMemory && !this.busy) {
      letGo(this);
      return undefined;
    }
    const what = this.path === undefined ? "A temporary file" : `The temporary file "${this.path}"`;
    try {
      // The handle may be collected before its last call has finished.
      if (this.busy) this.abandon(!this.pathSeen).catch(ignore);
      else runSync(this.close(syncIo(), !this.pathSeen));
    } catch {
      // Nothing more can be done; the caller warns.
    }
    return what;
  }

  measure(): { bytes: number; inMemory: boolean } {
    const { storage } = this;
    const size = runSync(storage.size(syncIo()));
    return { bytes: Math.max(size, this.#buffer.end), inMemory: storage.inMemory };
  }

  #failure(action: string, error: unknown): unknown {
    return failure(`${action} ${label(this.path)}`, error, this.path);
  }
}

/** The largest offset that every runtime can express (Bun has the lowest limit). No disk is as large. */
const MAX_OFFSET = 2 ** 52 - 1;

/** Up to this many bytes, a read allocates the requested size without looking at the file size first. */
export const SMALL: number = 64 * 1024;
