/**
 * A lock held on an open file. The code that acquires it is in another module, loaded on first use.
 *
 * @module
 */
import { printAs } from "../inspect.ts";
import { attempt, type Handle, runtime } from "../runtime/mod.ts";
import type { OpenFile } from "./open_file.ts";

/** Options of {@linkcode TemporaryFile.lock}. */
export interface LockOptions {
  /**
   * `true` for a shared lock, which others may hold at the same time if theirs is shared too.
   *
   * @default {false}
   */
  shared?: boolean | undefined;
  /** Milliseconds to wait before failing with `ETIMEDOUT`, at most 2³¹ − 1 (24 days); without it, waits indefinitely. */
  timeout?: number | undefined;
  /** Cancels the wait. Node 20 warns of a leak, wrongly, if more than ten calls wait with one signal. */
  signal?: AbortSignal | undefined;
}

/**
 * A held lock. Released by {@linkcode FileLock.release}, at the end of the scope, when the file is closed, and when the
 * process ends.
 *
 * Data written with a `bufferSize` and not yet flushed is not visible to others when they acquire the lock.
 */
export class FileLock implements AsyncDisposable, Disposable {
  /** Whether the lock is shared. */
  readonly shared: boolean;
  readonly #held: Held;
  /** The lock references the file's handle: if that were garbage-collected, the file would be closed. */
  readonly #owner: object;

  /** Internal: use {@linkcode TemporaryFile.lock}. */
  constructor(shared: boolean, internals: unknown, owner: object) {
    if (!(internals instanceof Held)) {
      throw new TypeError("Locks are made by lock() and tryLock(), not by a constructor");
    }
    this.shared = shared;
    this.#held = internals;
    this.#owner = owner;
    printAs(new.target, "FileLock", "shared", "released");
  }

  /** Whether the lock has been released. */
  get released(): boolean {
    return this.#held.handle === undefined;
  }

  /** Releases the lock. Releasing again is a no-op. */
  release(): void {
    this.#held.release();
  }

  /** Releases the lock. */
  [Symbol.dispose](): void {
    this.release();
  }

  /** Releases the lock. */
  [Symbol.asyncDispose](): Promise<void> {
    this.release();
    return Promise.resolve();
  }
}

/** The state behind a lock. It does not reference the file's handle, since the file references it. */
export class Held {
  /** Undefined once released. */
  handle: Handle | undefined;
  readonly #file: OpenFile;
  readonly #end = (): void => this.release();

  constructor(file: OpenFile, handle: Handle) {
    this.#file = file;
    this.handle = handle;
    file.onWritten.add(this.#end);
  }

  release(): void {
    const { handle } = this;
    if (handle === undefined) return;
    this.handle = undefined;
    this.#file.onWritten.delete(this.#end);
    // Nothing was written to it: no data can be lost.
    attempt(() => runtime.sync.close(handle));
  }
}
