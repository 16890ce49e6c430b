/**
 * The walk that empties a tree.
 *
 * It never follows a link and never leaves the device or the mount, needs a fixed number of descriptors and a fixed depth
 * of stack for a tree of any depth, and removes contents before directories, so that what is left after a crash is a
 * smaller tree. What it cannot remove it lists, and goes on with the rest.
 *
 * @module
 */
import { codeOf, type Leftover, outOfDescriptors } from "../errors.ts";
import type { Io } from "../io.ts";
import { hasMounts, mountOf } from "../mounts.ts";
import { randomName } from "../name.ts";
import type { Op } from "../op.ts";
import {
  coded,
  type DirectoryEntry,
  isWindows,
  type Listing,
  type Path,
  runtime,
  type Status,
} from "../runtime/mod.ts";
import { enter, grant, leave, mustBe, nativeRemoval, shownWithin, type Spot, within } from "./spot.ts";

/** Levels entered at once, each with two descriptors. What lies deeper is moved up first. */
const DEPTH = 10;

/** A directory that is being emptied. */
interface Level {
  spot: Spot;
  /** The level it was entered from; undefined for the top. */
  above: Level | undefined;
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
  /** Whether it was given its owner's rights. */
  granted: boolean;
  /** Whether it has names that the runtime cannot say. */
  unspeakable: boolean;
}

const levelOf = (spot: Spot, name: Path, above?: Level): Level => ({
  spot,
  above,
  name,
  listing: undefined,
  batch: [],
  count: 0,
  listed: false,
  blocked: false,
  granted: false,
  unspeakable: false,
});

/**
 * Names from which a directory is large: to see that it is empty, the system reads it to its end, however many names have
 * been removed. With 100,000 that takes 50 ms.
 */
const LARGE = 5000;

/**
 * Links of a directory that has no directories in it: its own name, and its dot. Where file systems do not count so, none
 * has two.
 */
const NO_DIRECTORIES = 2;

/** Bytes of a directory of a few hundred names at most, which are removed in 1 to 3 ms. */
const FEW = 4096;

/** One pass over a tree. */
export class Walk {
  readonly #io: Io;
  readonly #parent: Spot;
  readonly #top: Level;
  /** The level we are in, and how many levels down that is. */
  #level: Level | undefined;
  #depth = 1;
  /** Why what is left is left, by path. */
  readonly #leftovers = new Map<string, string>();
  /** Whether anything is mounted inside, and the mount of the tree itself then. */
  #hasMounts = false;
  #mount: string | undefined;
  /** Directories moved to the top, not yet removed. */
  #moved: DirectoryEntry[] = [];

  /** @param name What the directory `top` is called in `parent`. Both stay open until the caller, or the walk, is done. */
  constructor(io: Io, parent: Spot, name: string, top: Spot) {
    this.#io = io;
    this.#parent = parent;
    this.#level = this.#top = levelOf(top, name);
  }

  /** Removes what it can and returns what is left. Never throws. */
  *remove(): Op<Leftover[]> {
    try {
      this.#hasMounts = yield* hasMounts(this.#io, this.#top.spot.shown);
      if (this.#hasMounts) this.#mount = yield* mountOf(this.#io, this.#top.spot.descriptor);
      while (this.#level !== undefined) yield* this.#step(this.#level);
    } catch (error) {
      this.#leftovers.set(this.#top.spot.shown, codeOf(error));
      while (this.#level !== undefined) yield* this.#goUp(this.#level);
    }
    return Array.from(this.#leftovers, ([path, code]) => ({ path, code }));
  }

  /** Takes one name of the level, or leaves it if there is none. */
  *#step(level: Level): Op<void> {
    try {
      if (level.batch.length === 0 && !level.listed) yield* this.#list(level);
    } catch (error) {
      return yield* this.#failToList(level, error);
    }
    const entry = level.batch.pop();
    if (entry !== undefined) return yield* this.#removeEntry(level, entry);
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
    this.#depth--;
    level.listing?.close();
    yield* leave(this.#io, level.spot);
  }

  /** Lists the next names. */
  *#list(level: Level): Op<void> {
    level.listing ??= yield* this.#granting(level, () => this.#io.list(within(level.spot, ".")));
    level.batch = yield level.listing.next();
    level.count += level.batch.length;
    if (level.batch.length > 0) return;
    level.listed = true;
    level.listing.close();
    level.listing = undefined;
  }

  /** Makes a call in a directory, a second time if the directory has to be given its owner's rights for it. */
  *#granting<T>(level: Level | undefined, call: () => T | Promise<T>): Op<T> {
    try {
      return yield call();
    } catch (error) {
      if (!(yield* this.#grant(level, error))) throw error;
      return yield call();
    }
  }

  /** Gives a directory its owner's rights, if a call in it has failed for want of them: then it is worth a second try. */
  *#grant(level: Level | undefined, error: unknown): Op<boolean> {
    if (codeOf(error) !== "EACCES" || level === undefined || level.granted || isWindows()) return false;
    level.granted = true;
    yield* grant(this.#io, level.spot);
    return true;
  }

  *#failToList(level: Level, error: unknown): Op<void> {
    const code = codeOf(error), { above } = level;
    yield* this.#goUp(level);
    // Somebody else has removed it, and perhaps made another.
    if (code === "ENOENT") return yield* this.#removeEmptied(level);
    // What is in the top already would only be moved there for ever.
    const isUp = above === undefined || above === this.#top;
    if (!isUp && outOfDescriptors(error)) return yield* this.#tryMoveUp(above, level.name, error);
    this.#leaveBehind(above, level.spot.shown, code);
  }

  *#removeEntry(level: Level, { name, directory }: DirectoryEntry): Op<void> {
    const unspeakable = typeof name === "string" && name.includes("\uFFFD");
    level.unspeakable ||= unspeakable;
    try {
      if (directory && ((yield* this.#removeWhole(level, name)) || (yield* this.#enter(level, name)))) return;
      if (yield* this.#unlink(level, name)) return;
      yield* this.#enter(level, name);
    } catch (error) {
      const code = codeOf(error);
      // The replacement character is longer than the byte it stands for.
      if (code === "ENOENT" || (unspeakable && code === "ENAMETOOLONG")) return;
      this.#leaveBehind(level, shownWithin(level.spot, name), code);
    }
  }

  /**
   * Leaves a directory without directories to the runtime's own walk, if it has one, which takes half the time: it names
   * entries by descriptor, where we have to do so by a path through `/proc`. Where that fails, going on name by name will
   * show why. Deeper trees are not left to it: it may need a descriptor and stack for each level.
   */
  *#removeWhole(level: Level, name: Path): Op<boolean> {
    const { removeSmallTree, blocking } = this.#io, path = within(level.spot, name);
    // What is mounted inside it would empty.
    if (removeSmallTree === undefined || this.#hasMounts || typeof path !== "string") return false;
    try {
      const { device, links, size }: Status = yield this.#io.status(path);
      if (device !== this.#top.spot.status.device || links !== NO_DIRECTORIES) return false;
      if (size > FEW && !blocking) return false;
      yield removeSmallTree(path);
      return true;
    } catch {
      return false;
    }
  }

  /** Removes what is not a directory. `false` if it is one after all. */
  *#unlink(level: Level, name: Path): Op<boolean> {
    const path = within(level.spot, name);
    try {
      yield this.#io.unlink(path);
    } catch (error) {
      const code = codeOf(error);
      if (code === "EISDIR" || code === "ENOTEMPTY") return false;
      // Some systems say that for unlinking a directory, and for other things.
      if (code === "EPERM" && (yield this.#io.status(path)).kind === "directory") return false;
      if (!(yield* this.#grant(level, error))) throw error;
      return yield* this.#unlink(level, name);
    }
    return true;
  }

  /** Goes into a directory, or moves it to the top if this is deep enough. `false` if it is none. */
  *#enter(level: Level, name: Path): Op<boolean> {
    let spot: Spot | undefined;
    try {
      spot = yield* this.#tryEnter(level, name);
    } catch (error) {
      if (!outOfDescriptors(error) || level === this.#top) throw error;
      yield* this.#tryMoveUp(level, name, error);
      return true;
    }
    if (spot === undefined) return false;
    if (this.#depth >= DEPTH && (yield* this.#moveEntered(level, name, spot))) return true;
    this.#level = levelOf(spot, name, level);
    this.#depth++;
    return true;
  }

  *#tryEnter(level: Level, name: Path): Op<Spot | undefined> {
    const check = (spot: Spot): Op<void> => this.#mustBeHere(spot);
    try {
      return yield* enter(this.#io, level.spot, name, check);
    } catch (error) {
      if (!(yield* this.#grant(level, error))) throw error;
      return yield* enter(this.#io, level.spot, name, check);
    }
  }

  /** Refuses a directory of another device or mount. */
  *#mustBeHere(spot: Spot): Op<void> {
    const isHere = spot.status.device === this.#top.spot.status.device &&
      (!this.#hasMounts || (yield* mountOf(this.#io, spot.descriptor)) === this.#mount);
    if (!isHere) throw coded("EXDEV", "another file system is mounted there");
  }

  /** Leaves a spot and moves it up. `false` if nobody can, as with what comes from a lower layer of an overlay. */
  *#moveEntered(level: Level, name: Path, spot: Spot): Op<boolean> {
    let moved = true;
    try {
      // Moving a directory changes its entry "..", for which the system asks for the right to write into it.
      if ((spot.status.mode & 0o200) === 0) yield* grant(this.#io, spot);
      yield* this.#moveUp(level, name);
    } catch (error) {
      moved = codeOf(error) !== "EXDEV";
      if (moved) throw error;
    } finally {
      if (moved) yield* leave(this.#io, spot);
    }
    return moved;
  }

  /** Moves a directory to the top of the tree, where it is removed later: so depth costs neither stack nor descriptors. */
  *#moveUp(level: Level, name: Path): Op<void> {
    const moved = `deep-${randomName()}`;
    const from = within(level.spot, name), to = within(this.#top.spot, moved);
    yield* this.#granting(level, () => this.#io.rename(from, to));
    this.#moved.push({ name: moved, directory: true });
  }

  /** Moves up what could not be entered or listed for want of descriptors; that want is then what keeps it, if it stays. */
  *#tryMoveUp(level: Level, name: Path, reason: unknown): Op<void> {
    try {
      yield* this.#moveUp(level, name);
    } catch {
      this.#leaveBehind(level, shownWithin(level.spot, name), codeOf(reason));
    }
  }

  *#removeEmptied(level: Level): Op<void> {
    const { above } = level;
    if (level.blocked) {
      if (above !== undefined) above.blocked = true;
      return;
    }
    try {
      yield* this.#removeName(level, above?.spot ?? this.#parent);
    } catch (error) {
      const code = codeOf(error);
      if (code !== "ENOENT") this.#leaveBehind(above, level.spot.shown, code);
    }
  }

  *#removeName(level: Level, from: Spot): Op<void> {
    const path = within(from, level.name), { above } = level;
    if (above === undefined) {
      yield* mustBe(level.spot.status, { status: yield this.#io.status(path) });
    }
    try {
      const { removeDirectory } = level.count >= LARGE && !this.#io.blocking ? runtime.pooled : this.#io;
      // What is above the top is not ours to repair.
      yield* this.#granting(above, () => removeDirectory(path));
    } catch (error) {
      if (!level.unspeakable || codeOf(error) !== "ENOTEMPTY") throw error;
      yield* this.#removeUnspeakable(path as string, error);
    }
  }

  /** What the runtime cannot name goes by its own walk, which would empty what is mounted inside. */
  *#removeUnspeakable(path: string, error: unknown): Op<void> {
    const remove = this.#hasMounts ? undefined : nativeRemoval(this.#io);
    if (remove === undefined) throw error;
    yield remove(path);
  }

  #leaveBehind(level: Level | undefined, shown: string, code: string): void {
    if (level !== undefined) level.blocked = true;
    this.#leftovers.set(shown, code);
  }
}
