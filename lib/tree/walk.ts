/**
 * The walk that empties a tree.
 *
 * It never follows a link and never leaves the device or the mount. It needs a fixed stack depth, however deep the tree,
 * and a fixed number of descriptors: directories below a certain level are first moved to the top. One that cannot be
 * moved, as from a lower layer of an overlay, is entered where it is, and takes two more descriptors. Contents go before
 * their directories, so that a crash leaves a smaller tree. What cannot be removed is listed, and the walk continues
 * with the rest.
 *
 * @module
 */
import { codeOf, type Leftover, outOfDescriptors } from "../errors.ts";
import { hasMounts, mountIdOf } from "../location/mounts.ts";
import { randomName } from "../name.ts";
import type { Io } from "../operation/io.ts";
import { isPromise, type Op } from "../operation/op.ts";
import {
  coded,
  type DirectoryEntry,
  isWindows,
  type Listing,
  type Path,
  runtime,
  type Status,
} from "../runtime/mod.ts";
import { type DirRef, enter, grant, leave, nativeRemoval, shownWithin, verify, within } from "./dir_ref.ts";

/** Levels entered at once, each with two descriptors. Deeper directories are moved up first. */
const MAX_DEPTH = 10;

/** A directory that is being emptied. */
interface Level {
  dir: DirRef;
  /** The level it was entered from; undefined for the top. */
  above: Level | undefined;
  /** 1 for the top. */
  depth: number;
  /** Its name there. */
  name: Path;
  listing: Listing | undefined;
  batch: DirectoryEntry[];
  /** Names listed so far. */
  count: number;
  /** Whether all its names have been listed. */
  listed: boolean;
  /** Whether something in it stays. */
  blocked: boolean;
  /** Whether its owner was granted access to it. */
  granted: boolean;
  /** Whether it has names that the runtime cannot express. */
  undecodable: boolean;
}

const levelOf = (dir: DirRef, name: Path, above?: Level): Level => ({
  dir,
  above,
  depth: (above?.depth ?? 0) + 1,
  name,
  listing: undefined,
  batch: [],
  count: 0,
  listed: false,
  blocked: false,
  granted: false,
  undecodable: false,
});

/**
 * Number of names that makes a directory large: to see that it is empty, the system reads it to its end, however many
 * names have been removed. With 100,000 that takes 50 ms.
 */
const LARGE = 5000;

/**
 * Links of a directory without subdirectories: its own name, and its dot. On file systems that do not count this way,
 * no directory has two.
 */
const LEAF_LINKS = 2;

/** Size in bytes of a directory with a few hundred names at most, which are removed in 1 to 3 ms. */
const SMALL = 4096;

/** One pass over a tree. */
export class Walk {
  readonly #io: Io;
  readonly #parent: DirRef;
  readonly #top: Level;
  #level: Level | undefined;
  /** The codes of what is left, by path. */
  readonly #leftovers = new Map<string, string>();
  /** Whether anything is mounted inside, and if so the mount of the tree itself. */
  #hasMounts = false;
  #mount: string | undefined;
  /** Directories moved to the top and not yet removed. */
  #moved: DirectoryEntry[] = [];

  /** @param name The name of `top` in `parent`. Both stay open until the caller, or the walk, is done. */
  constructor(io: Io, parent: DirRef, name: string, top: DirRef) {
    this.#io = io;
    this.#parent = parent;
    this.#level = this.#top = levelOf(top, name);
  }

  /** Removes what it can and returns what is left. Never throws. */
  *remove(): Op<Leftover[]> {
    try {
      this.#hasMounts = yield* hasMounts(this.#io, this.#top.dir.shown);
      if (this.#hasMounts) this.#mount = yield* mountIdOf(this.#io, this.#top.dir.descriptor);
      while (this.#level !== undefined) yield* this.#step(this.#level);
    } catch (error) {
      this.#leftovers.set(this.#top.dir.shown, codeOf(error));
      while (this.#level !== undefined) yield* this.#goUp(this.#level);
    }
    return Array.from(this.#leftovers, ([path, code]) => ({ path, code }));
  }

  /** Removes the listed names of a level until it enters another, or leaves the level if none is left. */
  *#step(level: Level): Op<void> {
    try {
      if (level.batch.length === 0 && !level.listed) yield* this.#list(level);
    } catch (error) {
      return yield* this.#onListError(level, error);
    }
    if (level.batch.length > 0) return yield* this.#removeListed(level);
    if (level === this.#top && this.#moved.length > 0) {
      level.batch = this.#moved;
      this.#moved = [];
      return;
    }
    yield* this.#goUp(level);
    yield* this.#removeEmptied(level);
  }

  *#goUp(level: Level): Op<void> {
    this.#level = level.above;
    level.listing?.close();
    yield* leave(this.#io, level.dir);
  }

  /** Lists the next names. */
  *#list(level: Level): Op<void> {
    level.listing ??= yield* this.#withAccess(level, () => this.#io.list(within(level.dir, ".")));
    level.batch = yield level.listing.next();
    level.count += level.batch.length;
    if (level.batch.length > 0) return;
    level.listed = true;
    level.listing.close();
    level.listing = undefined;
  }

  /** Makes a call in a directory; if it fails because the owner lacks access, grants that and makes it again. */
  *#withAccess<T>(level: Level | undefined, call: () => T | Promise<T>): Op<T> {
    try {
      return yield call();
    } catch (error) {
      if (!(yield* this.#grant(level, error))) throw error;
      return yield call();
    }
  }

  /** Grants the owner access to a directory in which a call failed without it. Returns whether to make the call again. */
  *#grant(level: Level | undefined, error: unknown): Op<boolean> {
    if (codeOf(error) !== "EACCES" || level === undefined || level.granted || isWindows()) return false;
    level.granted = true;
    yield* grant(this.#io, level.dir);
    return true;
  }

  *#onListError(level: Level, error: unknown): Op<void> {
    const code = codeOf(error), { above } = level;
    yield* this.#goUp(level);
    // Somebody else has removed it, and perhaps made another.
    if (code === "ENOENT") return yield* this.#removeEmptied(level);
    // A directory in the top is already there: it would be moved again for ever.
    const isUp = above === undefined || above === this.#top;
    if (!isUp && outOfDescriptors(error)) return yield* this.#tryMoveUp(above, level.name, error);
    this.#recordLeft(above, level.dir.shown, code);
  }

  /** Removes the listed names, until one is a directory that it enters. */
  *#removeListed(level: Level): Op<void> {
    for (let entry; this.#level === level && (entry = level.batch.pop()) !== undefined;) {
      const { name, directory } = entry;
      const undecodable = typeof name === "string" && name.includes("\uFFFD");
      level.undecodable ||= undecodable;
      try {
        if (directory && ((yield* this.#removeLeaf(level, name)) || (yield* this.#enter(level, name)))) {
          continue;
        }
        const path = within(level.dir, name);
        try {
          const removal = this.#io.unlink(path);
          // A step passes through the eight operations around this one, in a tenth of the time of a file. Blocking calls
          // are steps all the same: between them the end of the process acts on signals.
          if (isPromise(removal) || this.#io.blocking) yield removal;
        } catch (error) {
          if (!(yield* this.#unlinkAgain(level, path, error))) yield* this.#enter(level, name);
        }
      } catch (error) {
        const code = codeOf(error);
        // The replacement character is longer than the byte it stands for.
        if (code === "ENOENT" || (undecodable && code === "ENAMETOOLONG")) continue;
        this.#recordLeft(level, shownWithin(level.dir, name), code);
      }
    }
  }

  /**
   * Leaves a directory without subdirectories to the runtime's own walk, if it has one, which takes half the time: it
   * names entries by descriptor, where we need a path through `/proc`. If that fails, continuing name by name shows
   * why. Deeper trees are not left to it: it may need a descriptor and stack for each level.
   */
  *#removeLeaf(level: Level, name: Path): Op<boolean> {
    const { removeSmallTree, blocking } = this.#io, path = within(level.dir, name);
    // It would empty what is mounted inside.
    if (removeSmallTree === undefined || this.#hasMounts || typeof path !== "string") return false;
    try {
      const { device, links, size }: Status = yield this.#io.status(path);
      if (device !== this.#top.dir.status.device || links !== LEAF_LINKS) return false;
      if (size > SMALL && !blocking) return false;
      yield removeSmallTree(path);
      return true;
    } catch {
      return false;
    }
  }

  /** After a name could not be removed, grants access and tries again. Returns `false` if it is a directory. */
  *#unlinkAgain(level: Level, path: Path, failed: unknown): Op<boolean> {
    const code = codeOf(failed);
    if (code === "EISDIR" || code === "ENOTEMPTY") return false;
    // Some systems report this for unlinking a directory, but also for other reasons.
    if (code === "EPERM" && (yield this.#io.status(path)).kind === "directory") return false;
    if (!(yield* this.#grant(level, failed))) throw failed;
    try {
      yield this.#io.unlink(path);
      return true;
    } catch (error) {
      return yield* this.#unlinkAgain(level, path, error);
    }
  }

  /** Enters a directory, or moves it to the top if this level is too deep. Returns `false` if it is not a directory. */
  *#enter(level: Level, name: Path): Op<boolean> {
    let dir: DirRef | undefined;
    try {
      dir = yield* enter(this.#io, level.dir, name, (dir) => this.#checkMount(dir));
    } catch (error) {
      if (yield* this.#grant(level, error)) return yield* this.#enter(level, name);
      if (!outOfDescriptors(error) || level === this.#top) throw error;
      yield* this.#tryMoveUp(level, name, error);
      return true;
    }
    if (dir === undefined) return false;
    if (level.depth >= MAX_DEPTH && (yield* this.#moveEntered(level, name, dir))) return true;
    this.#level = levelOf(dir, name, level);
    return true;
  }

  /** Refuses a directory on another device or mount. */
  *#checkMount(dir: DirRef): Op<void> {
    const isHere = dir.status.device === this.#top.dir.status.device &&
      (!this.#hasMounts || (yield* mountIdOf(this.#io, dir.descriptor)) === this.#mount);
    if (!isHere) throw coded("EXDEV", "another file system is mounted there");
  }

  /**
   * Moves a directory up and leaves it. Returns `false` if it cannot be moved, as from a lower layer of an overlay, or on
   * Windows while a file in it is open.
   */
  *#moveEntered(level: Level, name: Path, dir: DirRef): Op<boolean> {
    try {
      // Moving a directory changes its entry "..", which requires the permission to write to it.
      if ((dir.status.mode & 0o200) === 0) yield* grant(this.#io, dir);
      yield* this.#moveUp(level, name);
    } catch {
      return false;
    }
    yield* leave(this.#io, dir);
    return true;
  }

  /** Moves a directory to the top of the tree, to be removed later: so depth costs neither stack nor descriptors. */
  *#moveUp(level: Level, name: Path): Op<void> {
    const moved = `deep-${randomName()}`;
    const from = within(level.dir, name), to = within(this.#top.dir, moved);
    yield* this.#withAccess(level, () => this.#io.rename(from, to));
    this.#moved.push({ name: moved, directory: true });
  }

  /**
   * Moves up a directory that could not be entered or listed because descriptors ran out. If it stays, that is reported
   * as the reason.
   */
  *#tryMoveUp(level: Level, name: Path, reason: unknown): Op<void> {
    try {
      yield* this.#moveUp(level, name);
    } catch {
      this.#recordLeft(level, shownWithin(level.dir, name), codeOf(reason));
    }
  }

  *#removeEmptied(level: Level): Op<void> {
    const { above } = level;
    if (level.blocked) {
      if (above !== undefined) above.blocked = true;
      return;
    }
    try {
      yield* this.#removeName(level, above?.dir ?? this.#parent);
    } catch (error) {
      const code = codeOf(error);
      if (code !== "ENOENT") this.#recordLeft(above, level.dir.shown, code);
    }
  }

  *#removeName(level: Level, from: DirRef): Op<void> {
    const path = within(from, level.name), { above } = level;
    if (above === undefined) {
      yield* verify(level.dir.status, { status: yield this.#io.status(path) });
    }
    try {
      const { removeDirectory } = level.count >= LARGE && !this.#io.blocking ? runtime.pooled : this.#io;
      // The directory that holds the top is not ours to repair.
      yield* this.#withAccess(above, () => removeDirectory(path));
    } catch (error) {
      if (!level.undecodable || codeOf(error) !== "ENOTEMPTY") throw error;
      yield* this.#removeUndecodable(path as string, error);
    }
  }

  /** Names that the runtime cannot express are left to its own walk, which would empty what is mounted inside. */
  *#removeUndecodable(path: string, error: unknown): Op<void> {
    const remove = this.#hasMounts ? undefined : nativeRemoval(this.#io);
    if (remove === undefined) throw error;
    yield remove(path);
  }

  #recordLeft(level: Level | undefined, shown: string, code: string): void {
    if (level !== undefined) level.blocked = true;
    this.#leftovers.set(shown, code);
  }
}
