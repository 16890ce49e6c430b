/**
 * Storage that starts in memory and moves to disk as it grows.
 *
 * @module
 */
import type { Io } from "../operation/io.ts";
import type { Op } from "../operation/op.ts";
import type { Status } from "../runtime/mod.ts";
import { Memory, MEMORY_MAX } from "./memory.ts";
import type { Storage } from "./storage.ts";

/** Opens the storage used once memory is full, and discards the last one if filling it failed. */
export interface Disks {
  open(io: Io): Op<Storage>;
  discard(io: Io): Op<void>;
}

/** Storage that moves to disk before it would exceed `limit` bytes. */
export class SpoolStorage implements Storage {
  readonly #limit: number;
  readonly #disks: Disks;
  #memory: Memory | undefined = new Memory();
  #disk: Storage | undefined;

  constructor(limit: number, disks: Disks) {
    this.#limit = Math.min(limit, MEMORY_MAX);
    this.#disks = disks;
  }

  get inMemory(): boolean {
    return this.#memory !== undefined;
  }

  /** Whether it has moved to disk. */
  get onDisk(): boolean {
    return this.#disk !== undefined;
  }

  take(data: Uint8Array, at: number): boolean {
    const memory = this.#memory;
    if (memory === undefined || Math.max(memory.size, at + data.length) > this.#limit) return false;
    memory.write(data, at);
    return true;
  }

  *read(io: Io, into: Uint8Array, at: number): Op<number> {
    return this.#memory?.read(into, at) ?? (yield* this.#disk!.read(io, into, at));
  }

  *write(io: Io, data: Uint8Array, at: number): Op<void> {
    if (!this.take(data, at)) yield* (yield* this.roll(io)).write(io, data, at);
  }

  *size(io: Io): Op<number> {
    return this.#memory?.size ?? (yield* this.#disk!.size(io));
  }

  *left(io: Io, start: number): Op<number> {
    const memory = this.#memory;
    return memory === undefined ? yield* this.#disk!.left(io, start) : Math.max(0, memory.size - start);
  }

  *truncate(io: Io, size: number): Op<void> {
    if (this.#memory !== undefined && size <= this.#limit) this.#memory.truncate(size);
    else yield* (yield* this.roll(io)).truncate(io, size);
  }

  *synchronize(io: Io): Op<void> {
    yield* (yield* this.roll(io)).synchronize(io);
  }

  *status(io: Io): Op<Status> {
    return yield* (yield* this.roll(io)).status(io);
  }

  *descriptor(io: Io): Op<number> {
    return yield* (yield* this.roll(io)).descriptor(io);
  }

  close(io: Io): void | Promise<void> {
    this.#memory = undefined;
    return this.#disk?.close(io);
  }

  /** Moves everything to disk. The memory is released only once all of it has been written. */
  *roll(io: Io): Op<Storage> {
    const memory = this.#memory;
    if (memory === undefined) return this.#disk!;
    const disk = yield* this.#disks.open(io);
    try {
      for (const { data, at } of memory.pages()) yield* disk.write(io, data, at);
      if ((yield* disk.size(io)) !== memory.size) yield* disk.truncate(io, memory.size);
    } catch (error) {
      yield* this.#disks.discard(io);
      throw error;
    }
    this.#disk = disk;
    this.#memory = undefined;
    return disk;
  }
}
