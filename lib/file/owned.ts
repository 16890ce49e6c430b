/**
 * The name of a file that Mayfly has to remove.
 *
 * @module
 */
import { failure, isGone } from "../errors.ts";
import { unprotect } from "../life/keep_alive.ts";
import { type Entry, register, unregister } from "../life/registry.ts";
import type { Io } from "../operation/io.ts";
import type { Op } from "../operation/op.ts";
import { removeAtExit } from "../operation/pending.ts";
import { retry } from "../operation/retry.ts";
import { tried } from "../operation/tried.ts";
import { type Handle, runtime } from "../runtime/mod.ts";

/** A file name in the registry. */
export class OwnedName implements Entry {
  /** Undefined until the first name is tried. */
  path: string | undefined;
  released: (() => void) | undefined;
  slot: number | undefined;
  removing = false;
  #ours = true;

  constructor() {
    register(this);
  }

  get kind(): "file" {
    return "file";
  }

  /** Removes the name, unless that is done or the name was given away. A name that is already gone counts as removed. */
  *remove(io: Io): Op<void> {
    const path = this.path;
    if (!this.#ours || path === undefined) return;
    this.removing = true;
    try {
      yield io.unlink(path);
    } catch (error) {
      yield* retryRemoval(io, path, error);
    } finally {
      this.removing = false;
    }
    this.release();
  }

  /** Removes the name after another failure, which is the one to report. */
  *tryRemove(io: Io): Op<void> {
    try {
      yield* this.remove(io);
    } catch {
      // It stays in the registry, so the end of the process retries.
    }
  }

  /** Takes the name out of the registry without removing it. */
  release(): void {
    this.#ours = false;
    unregister(this);
    unprotect(this);
  }

  discard(): boolean {
    if (!this.#ours || this.path === undefined) return true;
    this.#ours = false;
    return removeAtExit(this.path, runtime.sync.unlink);
  }
}

/** Closes a file and removes its name, if it has one, after a failure, which is the one to report. */
export function* discardFile(io: Io, handle: Handle, name: OwnedName | undefined): Op<void> {
  yield* tried(() => io.close(handle));
  if (name !== undefined) yield* name.tryRemove(io);
}

function* retryRemoval(io: Io, path: string, failed: unknown): Op<void> {
  try {
    yield* retry(io, () => io.unlink(path), failed);
  } catch (error) {
    // It stays in the registry, so the end of the process retries.
    if (!isGone(error)) throw failure(`remove "${path}"`, error, path);
  }
}
