/**
 * Where the bytes of an open file are.
 *
 * @module
 */
import { closeRead } from "../close.ts";
import { sameFile } from "../identity.ts";
import type { Io } from "../io.ts";
import { type Op, run } from "../op.ts";
import { type Handle, runtime, type Status } from "../runtime/mod.ts";
import { readAll, writeAll } from "../transfer.ts";
import { replaced } from "./open_same.ts";

/** Bytes by offset. Each operation is complete: what cannot be done in full throws. */
export interface Storage {
  /** Whether the bytes are in memory, so that gathering them before a write gains nothing. */
  readonly inMemory: boolean;
  /** Takes a write if that needs no call of the system. */
  take(data: Uint8Array, at: number): boolean;
  /** Fills `into` from `at` on; returns fewer bytes only where the contents end. */
  read(io: Io, into: Uint8Array, at: number): Op<number>;
  /** Writes all of `data`. Where it fails, a part may have been written; writing it again does no harm. */
  write(io: Io, data: Uint8Array, at: number): Op<void>;
  size(io: Io): Op<number>;
  /** Bytes from an offset to the end. */
  left(io: Io, start: number): Op<number>;
  truncate(io: Io, size: number): Op<void>;
  /** Waits until the contents are on the disk. */
  synchronize(io: Io): Op<void>;
  /** What it is on disk. */
  status(io: Io): Op<Status>;
  /** A descriptor that a child process can inherit. */
  descriptor(io: Io): Op<number>;
  /** Answers as a primitive does: most have one call to make, and an operation would cost as much as a fiftieth of a file. */
  close(io: Io): void | Promise<void>;
}

/** For what is not of interest. */
const ONE_BYTE = new Uint8Array(1);

/** Bytes in a file of the operating system. */
export class DiskStorage implements Storage {
  readonly inMemory = false;
  readonly handle: Handle;
  readonly #path: string | undefined;
  /** Whether nothing can follow what is known: it never had a name, a descriptor was not asked for, no gap was left. */
  #alone: boolean;
  /** Bytes that it has for what was written here without a gap; where that failed, it may have fewer. */
  #known = 0;
  #descriptor: number | undefined;

  /**
   * @param path The file's name, by which a descriptor is opened where the handle is none.
   * @param nameless Whether it is new and never had a name.
   */
  constructor(handle: Handle, path?: string, nameless = false) {
    this.handle = handle;
    this.#path = path;
    this.#alone = nameless;
  }

  take(): boolean {
    return false;
  }

  read(io: Io, into: Uint8Array, at: number): Op<number> {
    return readAll(io, this.handle, into, at);
  }

  write(io: Io, data: Uint8Array, at: number): Op<void> {
    // Behind a gap there may be nothing for long, should it fail: then the system is asked.
    if (at > this.#known) this.#alone = false;
    else this.#known = Math.max(this.#known, at + data.byteLength);
    return writeAll(io, this.handle, data, at);
  }

  *size(io: Io): Op<number> {
    return (yield* this.status(io)).size;
  }

  *left(io: Io, start: number): Op<number> {
    const known = this.#known;
    // To see that nothing follows costs less than to ask for the size, on Deno a tenth.
    const isAll = this.#alone || (known > start && (yield* this.read(io, ONE_BYTE, known)) === 0);
    return Math.max(0, (isAll ? known : yield* this.size(io)) - start);
  }

  *status(io: Io): Op<Status> {
    return yield io.statusOf(this.handle);
  }

  *truncate(io: Io, size: number): Op<void> {
    yield io.truncate(this.handle, size);
    this.#known = size;
  }

  *synchronize(io: Io): Op<void> {
    yield io.synchronize(this.handle);
  }

  *descriptor(io: Io): Op<number> {
    this.#alone = false;
    return this.#descriptor ??= runtime.descriptor(this.handle) ?? (yield* this.#open(io));
  }

  *#open(io: Io): Op<number> {
    const descriptor: number = yield io.openDescriptor(this.#path!, "write");
    let same = false;
    try {
      same = sameFile(yield io.statusOf(descriptor), yield io.statusOf(this.handle));
    } finally {
      if (!same) yield* closeRead(io, descriptor);
    }
    if (same) return descriptor;
    throw replaced(this.#path!);
  }

  close(io: Io): void | Promise<void> {
    const descriptor = this.#descriptor;
    if (descriptor === undefined || descriptor === this.handle) return io.close(this.handle);
    return run(closeBoth(io, descriptor, this.handle));
  }
}

function* closeBoth(io: Io, descriptor: number, handle: Handle): Op<void> {
  try {
    yield io.close(descriptor);
  } finally {
    yield io.close(handle);
  }
}
