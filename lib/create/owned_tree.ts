/**
 * A directory that Mayfly has to remove.
 *
 * @module
 */
import { busyError, cannot, closedError, codeOf, failure, isGone, type Leftover } from "../errors.ts";
import { type Identity, sameFile } from "../identity.ts";
import { unprotect, unprotectInside } from "../life/keep_alive.ts";
import { type Fresh, type Leakable, unwatchLeak } from "../life/leaks.ts";
import { recordKept } from "../life/lease.ts";
import { type Entry, register, unregister } from "../life/registry.ts";
import type { Guard } from "../operation/guard.ts";
import { asyncIo, type Io, syncIo } from "../operation/io.ts";
import { isPromise, type Op, run, runAsync, runSync } from "../operation/op.ts";
import { movedAtExit, movingFrom, removeAtExit } from "../operation/pending.ts";
import { attempt, runtime, type Status } from "../runtime/mod.ts";
import { removeDirectory } from "../tree/remove.ts";

/** A directory in the registry. */
export class OwnedTree implements Entry, Leakable {
  /** Undefined until the first name is tried. */
  path: string | undefined;
  /** Undefined until it is created: a directory not known to be ours is not removed. */
  identity: Identity | undefined;
  /** Whether the caller may still use the path after the handle is gone. */
  pathSeen = false;
  removed = false;
  released: (() => void) | undefined;
  fresh: Fresh | undefined;
  slot: number | undefined;
  removing = false;
  /** The guard of its device, if known. */
  guard: Guard | undefined;
  #ours: boolean;
  #removing: Promise<Leftover[]> | undefined;
  /** The last pending call that moves the directory. */
  #moving: Promise<void> | undefined;
  /** The pending calls that need it in its place. Allocated on demand: most have none. */
  #uses: Set<Promise<unknown>> | undefined;

  /** @param ours Whether it is to be removed at all. */
  constructor(ours: boolean) {
    this.#ours = ours;
    if (ours) register(this);
  }

  get kind(): "directory" {
    return "directory";
  }

  /** Runs an operation that needs the tree in its place: calls that move it later wait for that. */
  async use<T>(op: Op<T>): Promise<T> {
    const result = run(op);
    if (!isPromise(result)) return result;
    const uses = this.#uses ??= new Set();
    uses.add(result);
    try {
      return await result;
    } finally {
      uses.delete(result);
    }
  }

  /**
   * Waits for the calls that move it and were made before, or refuses to if that would block, and then checks as
   * `require` does.
   */
  *requireSettled(io: Io, action: string): Op<void> {
    if (io.blocking) this.requireNotMoving(action);
    yield this.#moving;
    yield* this.require(io.at(this.path!), action);
  }

  /** Checks that the directory still exists and is the one created. The action completes "Cannot …". */
  *require(io: Io, action: string): Op<void> {
    const path = this.path!;
    if (this.removed) throw closedError(action, path);
    let found: Status | undefined;
    try {
      found = yield io.status(path);
    } catch (error) {
      if (!isGone(error)) throw failure(`${action} the temporary directory "${path}"`, error, path);
    }
    if (found !== undefined && sameFile(found, this.identity!)) return;
    const [code, why] = found === undefined
      ? ["ENOENT", "it was removed by somebody else"]
      : ["ERR_REPLACED", "something else has taken its place"];
    throw cannot(`${action} the temporary directory "${path}"`, why, code, path);
  }

  /** Checks that it is neither removed nor being removed or moved. The action completes "Cannot …". */
  requireUsable(action: string): void {
    this.#requirePresent(action);
    this.requireNotMoving(action);
  }

  #requirePresent(action: string): void {
    if (this.removed || this.#removing !== undefined) throw closedError(action, this.path);
  }

  /** Checks that no call is moving it. The action completes "Cannot …". */
  requireNotMoving(action: string): void {
    if (this.moving) throw busyError(action, this.path);
  }

  /** Checks that nothing needs it in its place, as `move` would wait for. The action completes "Cannot …". */
  requireUnused(action: string): void {
    this.requireUsable(action);
    if (this.#uses?.size) throw busyError(action, this.path, "usage() or a creation inside");
  }

  /** Settles after the last call that is moving it; undefined if there is none. */
  get moving(): Promise<void> | undefined {
    return this.#moving;
  }

  /** Runs an operation that moves the tree, after any pending ones and uses. A removal waits for it. */
  async move<T>(op: (io: Io) => Op<T>): Promise<T> {
    this.#requirePresent("persist");
    const before = [this.#moving, ...this.#uses ?? []];
    let end!: () => void;
    const moving = this.#moving = new Promise<void>((resolve) => end = resolve);
    try {
      await Promise.allSettled(before);
      return await runAsync(op(asyncIo()));
    } finally {
      if (this.#moving === moving) this.#moving = undefined;
      end();
    }
  }

  /** Removes the tree; overlapping calls share one removal. */
  removeOnce(): Leftover[] | Promise<Leftover[]> {
    if (this.#removing !== undefined) return this.#removing;
    const start = (): Leftover[] | Promise<Leftover[]> => run(this.remove(asyncIo(this.guard)));
    const result = this.#moving === undefined ? start() : this.#moving.then(start);
    if (!isPromise(result)) return result;
    return this.#removing = result.finally(() => this.#removing = undefined);
  }

  /**
   * Removes the tree, unless that is done or it was given away. Returns what is left; if that is anything, the tree
   * stays in the registry.
   */
  *remove(io: Io): Op<Leftover[]> {
    unwatchLeak(this);
    if (!this.#ours || this.removed) return [];
    const { path, identity } = this;
    let leftovers: Leftover[] = [];
    if (path !== undefined && identity !== undefined) {
      this.removing = true;
      try {
        leftovers = yield* removeDirectory(io, path, identity);
      } finally {
        this.removing = false;
      }
    }
    if (leftovers.length > 0) {
      // Whatever took its place has its name too, and a clean-up by name must not take it for ours. If the disk is too
      // full to record that, there are bigger problems.
      if (leftovers[0].code === "ERR_REPLACED") attempt(() => recordKept(path!));
      return leftovers;
    }
    this.removed = true;
    this.forget();
    return [];
  }

  /** Takes the tree out of the registry once it is gone from its place, and ends the protection of its contents. */
  forget(): void {
    if (this.path !== undefined) unprotectInside(this.path);
    this.release();
  }

  /** Takes the tree out of the registry without removing it. */
  release(): void {
    this.#ours = false;
    unwatchLeak(this);
    unregister(this);
    unprotect(this);
  }

  discard(between?: () => void): boolean {
    if (!this.#ours || this.removed) return true;
    // Between its creation and the recording of its identity it is empty. Anything else at its path is not ours.
    if (this.identity === undefined) {
      return this.path === undefined || removeAtExit(this.path, runtime.sync.removeDirectory);
    }
    // It may be on its way to its final place, where it must stay whole.
    if (movingFrom.has(this.path!)) return movedAtExit(this.path!);
    try {
      return runSync(this.remove(syncIo()), between).length === 0;
    } catch (error) {
      // The process is ending; the rest is left for the next one to sweep.
      return codeOf(error) === "ENOENT";
    }
  }

  reclaim(): string | undefined {
    if (this.#isGone()) return undefined;
    if (!this.pathSeen) this.discard();
    return `The temporary directory "${this.path}"`;
  }

  /** For example, because a parent directory was removed. */
  #isGone(): boolean {
    try {
      return !sameFile(runtime.sync.status(this.path!), this.identity!);
    } catch {
      this.release();
      return true;
    }
  }
}
