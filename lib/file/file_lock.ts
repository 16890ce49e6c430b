/**
 * A lock on an open file, once it is held. What takes it is another module, loaded by the first call that asks for one.
 *
 * @module
 */
import { closeReadNow } from "../close.ts";
import { printAs } from "../inspect.ts";
import type { Handle } from "../runtime/mod.ts";
import type { OpenFile } from "./open_file.ts";

/** Options of {@linkcode TemporaryFile.lock}. */
export interface LockOptions {
  /**
   * `true`: others may have the lock too, if they also share it.
   *
   * @default {false}
   */
  shared?: boolean;
  /** Milliseconds to wait, after which it fails with `ETIMEDOUT`: up to 2³¹ − 1 (24 days); for ever without it. */
  timeout?: number;
  /** Ends the waiting. Node 20 warns of a leak, which is none, where more than ten calls wait with one signal. */
  signal?: AbortSignal;
}

/**
 * A lock that is held. Released by {@linkcode FileLock.release}, by the end of the scope, by closing the file, and by the
 * end of the process.
 *
 * What was written with a `bufferSize` and is not flushed yet, others do not see when they get the lock.
 */
export class FileLock implements AsyncDisposable, Disposable {
  /** Whether others may share it. */
  readonly shared: boolean;
  readonly #held: Held;
  /** Who holds a lock holds the file: were that collected as garbage, it would be closed. */
  readonly #owner: object;

  /** Not for use: call {@linkcode TemporaryFile.lock}. */
  constructor(shared: boolean, internals: unknown, owner: object) {
    if (!(internals instanceof Held)) {
      throw new TypeError("Locks are made by lock() and tryLock(), not by a constructor");
    }
    this.shared = shared;
    this.#held = internals;
    this.#owner = owner;
    printAs(new.target, describe);
  }

  /** Whether it was released. */
  get released(): boolean {
    return this.#held.handle === undefined;
  }

  /** Gives the lock back. Doing so again does nothing. */
  release(): void {
    this.#held.release();
  }

  /** Gives the lock back. */
  [Symbol.dispose](): void {
    this.release();
  }

  /** Gives the lock back. */
  [Symbol.asyncDispose](): Promise<void> {
    this.release();
    return Promise.resolve();
  }
}

const describe = (lock: FileLock): string =>
  `FileLock { shared: ${lock.shared}, released: ${lock.released} }`;

/** What is behind a lock. It does not know the file's owner, since the file knows it. */
export class Held {
  /** Undefined when it is released. */
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
    closeReadNow(handle);
  }
}
