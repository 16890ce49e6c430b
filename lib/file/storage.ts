/**
 * Where the bytes of an open file are stored.
 *
 * @module
 */
import { sameFile } from "../identity.ts";
import type { Io } from "../operation/io.ts";
import { type Op, run } from "../operation/op.ts";
import { readAll, writeAll } from "../operation/transfer.ts";
import { closeRead } from "../operation/tried.ts";
import { type Handle, runtime, type Status } from "../runtime/mod.ts";
import { replaced } from "./open_same.ts";

/** Bytes by offset. An operation completes in full or throws. */
export interface Storage {
  /** Whether the bytes are in memory, so that buffering writes gains nothing. */
  readonly inMemory: boolean;
  /** Takes a write if that needs no system call. */
  take(data: Uint8Array, at: number): boolean;
  /** Fills `into` from offset `at`; returns fewer bytes only at the end of the contents. */
  read(io: Io, into: Uint8Array, at: number): Op<number>;
  /** Writes all of `data`. After a failure, part of it may have been written; writing it again is harmless. */
  write(io: Io, data: Uint8Array, at: number): Op<void>;
  size(io: Io): Op<number>;
  /** The number of bytes from an offset to the end. */
  left(io: Io, start: number): Op<number>;
  truncate(io: Io, size: number): Op<void>;
  /** Waits until the contents are on disk. */
  synchronize(io: Io): Op<void>;
  /** The status of the file on disk. */
  status(io: Io): Op<Status>;
  /** A descriptor that a child process can inherit. */
  descriptor(io: Io): Op<number>;
  /** Answers like a primitive: most storages make one call, and an operation would cost a fiftieth of a file. */
  close(io: Io): void | Promise<void>;
}

/** The target of a read whose content is of no interest. */
const ONE_BYTE = new Uint8Array(1);

/** Bytes in a file of the operating system. */
export class DiskStorage implements Storage {
  readonly inMemory = false;
  readonly handle: Handle;
  readonly #path: string | undefined;
  /** Whether nothing can follow the known bytes: it never had a name, no descriptor was given out, no gap was left. */
  #exact: boolean;
  /** How far the file reaches by what was written here without a gap; after a failed write it may be shorter. */
  #known = 0;
  #descriptor: number | undefined;

  /**
   * @param path The file's name, used to open a descriptor where the handle is not one.
   * @param nameless Whether the file is new and never had a name.
   */
  constructor(handle: Handle, path?: string, nameless = false) {
    this.handle = handle;
    this.#path = path;
    this.#exact = nameless;
  }

  take(): boolean {
    return false;
  }

  read(io: Io, into: Uint8Array, at: number): Op<number> {
    return readAll(io, this.handle, into, at);
  }

  write(io: Io, data: Uint8Array, at: number): Op<void> {
    // A write beyond a gap may fail, and the size is then no longer known: the system is asked.
    if (at > this.#known) this.#exact = false;
    else this.#known = Math.max(this.#known, at + data.length);
    return writeAll(io, this.handle, data, at);
  }

  *size(io: Io): Op<number> {
    return (yield* this.status(io)).size;
  }

  *left(io: Io, start: number): Op<number> {
    const known = this.#known;
    // Reading past the known bytes is cheaper than asking for the size, by a factor of ten on Deno.
    const isAll = this.#exact || (known > start && (yield* this.read(io, ONE_BYTE, known)) === 0);
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
    this.#exact = false;
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
