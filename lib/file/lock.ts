/**
 * Acquiring locks on an open file.
 *
 * @module
 */
import {
  cannot,
  closedError,
  codeOf,
  failure,
  invalid,
  label,
  notLoaded,
  outOfRange,
  TempfileError,
} from "../errors.ts";
import { sameFile } from "../identity.ts";
import { type Checks, readOptions } from "../options/checked.ts";
import { checkBoolean, checkSignal, MAX_TIMER } from "../options/values.ts";
import { type Handle, type Locks, runtime, type Status } from "../runtime/mod.ts";
import { FileLock, Held, type LockOptions } from "./file_lock.ts";
import type { OpenFile } from "./open_file.ts";
import { replaced } from "./open_same.ts";

/** Checked options. */
interface CheckedOptions {
  shared: boolean;
  timeout: number;
  signal: AbortSignal | undefined;
}

const DEFAULTS: CheckedOptions = { shared: false, timeout: Infinity, signal: undefined };

const CHECKS: Checks<CheckedOptions> = { shared: checkBoolean, timeout: checkTimeout, signal: checkSignal };

function checkTimeout(value: unknown): number {
  if (typeof value !== "number") throw invalid("timeout", "a number of milliseconds", value);
  if (value !== Infinity && !(value >= 0 && value <= MAX_TIMER)) {
    throw outOfRange("timeout", `0 to ${MAX_TIMER} milliseconds, or Infinity`, value);
  }
  return value;
}

/**
 * Waits for the lock.
 *
 * @param owner The handle, whose garbage collection would close the file.
 */
export async function lock(
  file: OpenFile,
  owner: object,
  options: LockOptions | undefined,
): Promise<FileLock> {
  const wanted = readOptions(["shared", "timeout", "signal"], options, CHECKS, DEFAULTS);
  const limit = new Limit(file, wanted);
  try {
    const held = await take(file, (locks, path) => {
      limit.start();
      return wait(locks, path, wanted, limit.signal);
    });
    return new FileLock(wanted.shared, held, owner);
  } catch (error) {
    throw limit.signal.aborted ? limit.signal.reason : error;
  } finally {
    limit.end();
  }
}

/** Acquires the lock if no conflicting one is held. */
export async function tryLock(
  file: OpenFile,
  owner: object,
  options: Pick<LockOptions, "shared"> | undefined,
): Promise<FileLock | null> {
  const { shared } = readOptions(["shared"], options, CHECKS, DEFAULTS);
  const held = await take(file, (locks, path) => locks.tryAcquire(path, shared));
  return held === undefined ? null : new FileLock(shared, held, owner);
}

async function take(
  file: OpenFile,
  acquire: (locks: Locks, path: string) => Promise<Handle | undefined>,
): Promise<Held | undefined> {
  file.require("lock");
  const { locks: load } = runtime;
  if (load === undefined) throw unsupported(file.path);
  // A spool must be on disk before it can be locked; a named file is locked by its path, without a descriptor.
  const path = file.path ?? runtime.anchor(await file.async((io) => file.descriptor(io)));
  if (path === undefined) throw unsupported(file.path);
  try {
    const locks = await load().catch(notLoaded("locks"));
    // Checked first, so as not to wait for a lock on whatever now has the name.
    await requireSame(file, () => runtime.sync.statusOfTarget(path));
    const handle = await acquire(locks, path);
    return handle === undefined ? undefined : await verify(file, handle);
  } catch (error) {
    // If it has been closed meanwhile, its name or descriptor is gone.
    file.require("lock");
    throw codeOf(error) === "ERR_UNSUPPORTED"
      ? unsupported(path, error as Error)
      : failure(`lock "${path}"`, error, path);
  }
}

/** Checks that what is locked, or about to be, is this file, and that it is still open. */
async function requireSame(file: OpenFile, found: () => Status): Promise<void> {
  const ours = await file.async((io) => file.status(io));
  // It may have been closed since.
  file.require("lock");
  if (sameFile(found(), ours)) return;
  throw replaced(file.path!, "lock");
}

async function verify(file: OpenFile, handle: Handle): Promise<Held> {
  // Created before anything is awaited, as the file may be closed meanwhile.
  const held = new Held(file, handle);
  try {
    await requireSame(file, () => runtime.sync.statusOf(handle));
  } catch (error) {
    held.release();
    throw error;
  }
  return held;
}

function unsupported(path: string | undefined, cause?: Error): TempfileError {
  const reason = cause?.message ?? "this platform or runtime offers no locks for it";
  return new TempfileError(`Cannot lock the file: ${reason}`, {
    code: "ERR_UNSUPPORTED",
    path,
    cause,
  });
}

/** Milliseconds between attempts where the kernel cannot wait for us: short at first, then cheap. */
const FIRST_PAUSE = 1;
const LONGEST_PAUSE = 25;

async function wait(
  locks: Locks,
  path: string,
  { shared, timeout }: CheckedOptions,
  signal: AbortSignal,
): Promise<Handle> {
  signal.throwIfAborted();
  if (locks.acquire !== undefined) {
    // A free lock is taken however short the timeout: starting to wait may itself take longer.
    const handle = timeout === Infinity ? undefined : await locks.tryAcquire(path, shared);
    if (handle !== undefined) return handle;
    signal.throwIfAborted();
    return await locks.acquire(path, shared, signal);
  }
  for (let pause = FIRST_PAUSE;; pause = Math.min(pause * 2, LONGEST_PAUSE)) {
    const handle = await locks.tryAcquire(path, shared);
    if (handle !== undefined) return handle;
    await sleep(pause, signal);
  }
}

function sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      cancel();
      reject(signal.reason);
    };
    const cancel = runtime.after(milliseconds, () => {
      signal.removeEventListener("abort", abort);
      resolve();
    });
    signal.addEventListener("abort", abort);
    if (signal.aborted) abort();
  });
}

/** Ends a wait: on timeout, on the caller's signal, or when the file is closed. */
class Limit {
  readonly #controller = new AbortController();
  readonly #undo: (() => void)[] = [];
  readonly #file: OpenFile;
  readonly #timeout: number;

  constructor(file: OpenFile, { timeout, signal }: CheckedOptions) {
    this.#file = file;
    this.#timeout = timeout;
    const abort = (reason: unknown): void => this.#controller.abort(reason);
    if (signal !== undefined) {
      const forward = (): void => abort(signal.reason);
      if (signal.aborted) forward();
      signal.addEventListener("abort", forward);
      this.#undo.push(() => signal.removeEventListener("abort", forward));
    }
    const closed = (): void => abort(closedError("lock", file.path));
    file.onClose.add(closed);
    this.#undo.push(() => file.onClose.delete(closed));
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Starts the timeout. It covers waiting for others, not the work before the first attempt. */
  start(): void {
    if (this.#timeout === Infinity) return;
    const file = this.#file;
    const why = `timed out after ${this.#timeout} milliseconds`;
    this.#undo.push(runtime.after(this.#timeout, () => {
      this.#controller.abort(cannot(`lock ${label(file.path)}`, why, "ETIMEDOUT", file.path));
    }));
  }

  end(): void {
    for (const undo of this.#undo) undo();
  }
}
