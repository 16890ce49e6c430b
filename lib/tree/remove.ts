/**
 * Removing a directory with all that is in it.
 *
 * The walk never follows a link and never leaves the device, needs a fixed number of descriptors and a fixed depth of
 * stack for a tree of any depth, and removes contents before directories, so that what is left after a crash is a
 * smaller tree.
 *
 * @module
 */
import { codeOf, type Leftover } from "../errors.ts";
import { type Identity, sameFile } from "../identity.ts";
import type { Io } from "../io.ts";
import { randomName } from "../name.ts";
import type { Op } from "../op.ts";
import { baseName, parentOf } from "../path.ts";
import { delays, mayPass } from "../retry.ts";
import { type DirectoryEntry, type Listing, type Path, runtime, type Status } from "../runtime/mod.ts";
import { hasMounts, mountOf } from "./mounts.ts";
import { anchored, enter, grant, isAt, leave, locate, shownWithin, type Spot, within } from "./spot.ts";

/**
 * Removes the directory that `identity` was recorded of, and everything in it.
 *
 * @returns What is left and why: an empty list if all is gone.
 */
export function* removeDirectory(io: Io, path: string, identity: Identity): Op<Leftover[]> {
  try {
    const status: Status = yield io.status(path);
    if (!sameFile(status, identity)) return [{ path, code: "ERR_REPLACED" }];
    yield io.removeDirectory(path);
    return [];
  } catch (error) {
    const code = codeOf(error);
    if (code === "ENOENT") return [];
    return yield* removeFull(io, path, identity);
  }
}

function* removeFull(io: Io, path: string, identity: Identity): Op<Leftover[]> {
  if (!anchored() && (yield* removeNatively(io, path))) return [];
  let leftovers: Leftover[] = [];
  for (const delay of [...delays(), undefined]) {
    leftovers = yield* tryRemove(io, path, identity);
    if (delay === undefined || !leftovers.some(({ code }) => mayPass(code))) break;
    yield io.sleep(delay);
  }
  return leftovers;
}

/** Without anchors the runtime's own walk is the safer one, where it has one that no rename misleads. */
function* removeNatively(io: Io, path: string): Op<boolean> {
  const { removeTree } = runtime;
  if (removeTree === undefined) return false;
  try {
    yield io.blocking ? removeTree.sync(path) : removeTree.pooled(path);
    return true;
  } catch {
    // Our walk removes what it can and says what is left.
    return false;
  }
}

/** One pass over the tree. */
function* tryRemove(io: Io, path: string, identity: Identity): Op<Leftover[]> {
  let parent: Spot;
  try {
    parent = yield* locate(io, parentOf(path));
  } catch (error) {
    return codeOf(error) === "ENOENT" ? [] : [{ path, code: codeOf(error) }];
  }
  try {
    const top = yield* enter(io, parent, baseName(path));
    if (top === undefined || !isAt(top, identity)) {
      if (top !== undefined) yield* leave(io, top);
      return [{ path, code: "ERR_REPLACED" }];
    }
    return yield* new Walk(io, top, yield* hasMounts(io, path)).removeFrom(parent, baseName(path));
  } catch (error) {
    return codeOf(error) === "ENOENT" ? [] : [{ path, code: codeOf(error) }];
  } finally {
    yield* leave(io, parent);
  }
}

/** Levels entered at once, each with a descriptor. What lies deeper is moved up first. */
const DEPTH = 16;

/** A directory that is being emptied. */
interface Level {
  spot: Spot;
  /** Its name in the level above. */
  name: Path;
  listing: Listing | undefined;
  batch: DirectoryEntry[];
  /** Whether something in it stays. */
  blocked: boolean;
  /** Whether it was given its owner's rights. */
  granted: boolean;
  /** Whether it has names that the runtime cannot say. */
  unspeakable: boolean;
}

const levelOf = (spot: Spot, name: Path): Level => ({
  spot,
  name,
  listing: undefined,
  batch: [],
  blocked: false,
  granted: false,
  unspeakable: false,
});

class Walk {
  readonly #io: Io;
  readonly #levels: Level[];
  readonly #leftovers: Leftover[] = [];
  /** The mount of the tree; undefined if nothing is mounted inside. */
  #mount: string | undefined;
  readonly #checkMounts: boolean;
  /** Whether directories were moved to the top since it was last listed. */
  #moved = false;

  constructor(io: Io, top: Spot, checkMounts: boolean) {
    this.#io = io;
    this.#levels = [levelOf(top, "")];
    this.#checkMounts = checkMounts;
  }

  /** Empties the tree and removes its top from the directory above. */
  *removeFrom(parent: Spot, name: string): Op<Leftover[]> {
    const [top] = this.#levels;
    try {
      if (this.#checkMounts) this.#mount = yield* mountOf(this.#io, top.spot);
      while (this.#levels.length > 0) yield* this.#step(parent, name);
    } finally {
      for (const level of this.#levels) yield* this.#close(level);
    }
    return this.#leftovers;
  }

  /** Takes one name of the deepest level, or goes up if there is none. */
  *#step(parent: Spot, name: string): Op<void> {
    const level = this.#levels[this.#levels.length - 1];
    const entry = yield* this.#nextEntry(level);
    if (entry !== undefined) return yield* this.#removeEntry(level, entry);
    if (this.#levels.length === 1 && this.#moved) {
      this.#moved = false;
      return;
    }
    yield* this.#close(level);
    this.#levels.pop();
    const above = this.#levels[this.#levels.length - 1];
    yield* this.#removeEmptied(level, above?.spot ?? parent, above === undefined ? name : level.name, above);
  }

  *#nextEntry(level: Level): Op<DirectoryEntry | undefined> {
    if (level.batch.length === 0) {
      level.listing ??= yield this.#io.list(within(level.spot, "."));
      level.batch = yield level.listing!.next();
      if (level.batch.length === 0) {
        level.listing!.close();
        level.listing = undefined;
      }
    }
    return level.batch.pop();
  }

  *#removeEntry(level: Level, entry: DirectoryEntry): Op<void> {
    const { name } = entry;
    if (typeof name === "string" && name.includes("\uFFFD")) level.unspeakable = true;
    try {
      if (entry.directory && (yield* this.#enter(level, name))) return;
      if (yield* this.#unlink(level, name)) return;
      yield* this.#enter(level, name);
    } catch (error) {
      const code = codeOf(error);
      if (code !== "ENOENT") this.#leaveBehind(level, name, code);
    }
  }

  /** Removes what is not a directory. `false` if it is one after all. */
  *#unlink(level: Level, name: Path): Op<boolean> {
    for (;;) {
      try {
        yield this.#io.unlink(within(level.spot, name));
        return true;
      } catch (error) {
        const code = codeOf(error);
        if (code === "EISDIR" || code === "ENOTEMPTY") return false;
        if (code === "EACCES" && (yield* this.#grant(level))) continue;
        if (code === "EPERM" && (yield* this.#isDirectory(level, name))) return false;
        throw error;
      }
    }
  }

  /** Some systems say `EPERM` for unlinking a directory, and for other things. */
  *#isDirectory(level: Level, name: Path): Op<boolean> {
    return (yield this.#io.status(within(level.spot, name))).kind === "directory";
  }

  *#grant(level: Level): Op<boolean> {
    if (level.granted || level.spot.descriptor === undefined) return false;
    level.granted = true;
    yield* grant(this.#io, level.spot);
    return true;
  }

  /** Goes into a directory, or moves it to the top if this is deep enough. `false` if it is none. */
  *#enter(level: Level, name: Path): Op<boolean> {
    let spot: Spot | undefined;
    try {
      spot = yield* this.#tryEnter(level, name);
    } catch (error) {
      if (codeOf(error) !== "EMFILE" || this.#levels.length === 1) throw error;
      yield* this.#moveUp(level, name);
      return true;
    }
    if (spot === undefined) return false;
    if (yield* this.#isElsewhere(spot)) {
      yield* leave(this.#io, spot);
      this.#leaveBehind(level, name, "EXDEV");
    } else if (this.#levels.length < DEPTH) {
      this.#levels.push(levelOf(spot, name));
    } else {
      yield* this.#moveEntered(level, name, spot);
    }
    return true;
  }

  *#tryEnter(level: Level, name: Path): Op<Spot | undefined> {
    try {
      return yield* enter(this.#io, level.spot, name);
    } catch (error) {
      if (codeOf(error) !== "EACCES" || !(yield* this.#grant(level))) throw error;
      return yield* enter(this.#io, level.spot, name);
    }
  }

  *#isElsewhere(spot: Spot): Op<boolean> {
    if (spot.status.device !== this.#levels[0].spot.status.device) return true;
    return this.#mount !== undefined && (yield* mountOf(this.#io, spot)) !== this.#mount;
  }

  *#moveEntered(level: Level, name: Path, spot: Spot): Op<void> {
    try {
      // Moving a directory changes its entry "..", for which the system asks for the right to write into it.
      if ((spot.status.mode & 0o200) === 0) yield* grant(this.#io, spot);
    } finally {
      yield* leave(this.#io, spot);
    }
    yield* this.#moveUp(level, name);
  }

  /** Moves a directory to the top of the tree, where it is found again: so depth costs neither stack nor descriptors. */
  *#moveUp(level: Level, name: Path): Op<void> {
    const target = within(this.#levels[0].spot, `deep-${randomName()}`);
    for (;;) {
      try {
        yield this.#io.rename(within(level.spot, name), target);
        break;
      } catch (error) {
        if (codeOf(error) !== "EACCES" || !(yield* this.#grant(level))) throw error;
      }
    }
    this.#moved = true;
  }

  *#removeEmptied(level: Level, from: Spot, name: Path, above: Level | undefined): Op<void> {
    if (level.blocked) {
      if (above !== undefined) above.blocked = true;
      return;
    }
    try {
      yield* this.#removeName(level, from, name, above);
    } catch (error) {
      const code = codeOf(error);
      if (code === "ENOENT") return;
      if (above !== undefined) above.blocked = true;
      this.#leftovers.push({ path: shownWithin(from, name), code });
    }
  }

  *#removeName(level: Level, from: Spot, name: Path, above: Level | undefined): Op<void> {
    const path = within(from, name);
    if (above === undefined && !sameFile(yield this.#io.status(path), level.spot.status)) {
      throw Object.assign(new Error("another directory has taken its place"), { code: "ERR_REPLACED" });
    }
    try {
      yield this.#io.removeDirectory(path);
    } catch (error) {
      const code = codeOf(error);
      if (level.unspeakable && runtime.removeTree !== undefined) {
        yield this.#io.blocking
          ? runtime.removeTree.sync(path as string)
          : runtime.removeTree.pooled(path as string);
      } else if (code === "EACCES" && above !== undefined && (yield* this.#grant(above))) {
        yield this.#io.removeDirectory(path);
      } else throw error;
    }
  }

  #leaveBehind(level: Level, name: Path, code: string): void {
    level.blocked = true;
    this.#leftovers.push({ path: shownWithin(level.spot, name), code });
  }

  *#close(level: Level): Op<void> {
    level.listing?.close();
    level.listing = undefined;
    yield* leave(this.#io, level.spot);
  }
}
