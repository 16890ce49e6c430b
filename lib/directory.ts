/**
 * Temporary directories.
 *
 * @module
 */
import { makeDirectory } from "./create/make_directory.ts";
import { OwnedTree } from "./create/owned_tree.ts";
import { place, usualPlace } from "./create/place.ts";
import { warnOfDisposal } from "./disposal.ts";
import { invalid, type Leftover, TempfileError } from "./errors.ts";
import { createNamed, type NamedTemporaryFile } from "./file/named.ts";
import { printAs } from "./inspect.ts";
import { protect } from "./life/keep_alive.ts";
import { watchLeak } from "./life/leaks.ts";
import { recordKeptDirectory, sessionFor } from "./life/lease.ts";
import { guardOf } from "./operation/devices.ts";
import { asyncIo, type Io, syncIo } from "./operation/io.ts";
import { type Op, runAsync, runSync } from "./operation/op.ts";
import { checkOptions } from "./options/checked.ts";
import { checkPath } from "./options/paths.ts";
import type { DirectoryOptions, NamedFileOptions } from "./options/types.ts";
import { componentsInside, isAbsolute, joinPath } from "./path.ts";
import { checkReplacing, type PersistDirectoryOptions } from "./persist/options.ts";
import { persistTree } from "./persist/persist_tree.ts";
import { type DirectoryUsage, usageOf } from "./tree/usage.ts";

/** Options for creating inside a directory, where `dir` is already determined. */
export type Inside<Options> = Omit<Options, "dir">;

/**
 * A temporary directory, removed with its contents by {@linkcode TemporaryDirectory.remove}, at the end of the scope,
 * and when the process ends.
 *
 * Removal never follows a symbolic link and never leaves the device; a directory that has been replaced by another is
 * left alone. On Linux this holds even if someone swaps directories for links during the removal, and directories
 * without permissions are made accessible. On other systems, and where `/proc` is not permitted (Deno without
 * `--allow-all`, Node with `--permission` unless it allows all files), it holds on Deno and Bun as long as everything can
 * be removed; otherwise it requires that only this user can write to the directory, as with the default mode.
 */
export class TemporaryDirectory implements AsyncDisposable, Disposable {
  readonly #tree: OwnedTree;
  readonly #ignoreErrors: boolean;

  /** Internal: use {@linkcode temporaryDirectory}. */
  constructor(internals: unknown, ignoreErrors: boolean) {
    if (!(internals instanceof OwnedTree)) {
      throw new TypeError("Temporary directories are made by temporaryDirectory(), not by a constructor");
    }
    this.#tree = internals;
    this.#ignoreErrors = ignoreErrors;
    watchLeak(this, internals);
    printAs(new.target, "TemporaryDirectory", "path", "removed");
  }

  /** The absolute path, with symbolic links resolved. Still readable after the directory is removed. */
  get path(): string {
    this.#tree.pathSeen = true;
    return this.#tree.path!;
  }

  /** Whether the directory has been removed. */
  get removed(): boolean {
    return this.#tree.removed;
  }

  /** Returns the path. */
  toString(): string {
    return this.path;
  }

  /**
   * Returns the path of an entry inside the directory.
   *
   * Purely lexical: does not check whether a component is a symbolic link.
   *
   * @throws {TypeError} `ERR_INVALID_OPTION` if the path would lead outside the directory.
   *
   * @example A file with a name of its own
   * ```ts
   * import { temporaryDirectory } from "mayfly";
   *
   * await using directory = await temporaryDirectory();
   * console.log(directory.join("logs", "today.txt")); // "/tmp/tmp…/logs/today.txt"
   * ```
   */
  join(...segments: string[]): string {
    for (const segment of segments) {
      if (typeof segment !== "string") throw invalid("segments", "strings", segment);
      if (segment.includes("\0")) throw invalid("segments", "without NUL characters", segment);
      if (isAbsolute(segment)) throw invalid("segments", "relative paths", segment);
    }
    const components = componentsInside(segments.join("/"));
    if (components === undefined) {
      throw invalid("segments", "a path inside the directory", segments.join("/"));
    }
    return components.reduce(joinPath, this.path);
  }

  /**
   * Creates a named file inside the directory; see {@linkcode namedTemporaryFile}. Removing the directory does not close
   * it.
   *
   * @throws {TempfileError} Also `ENOENT` if someone else has removed the directory, `ERR_REPLACED` if something else
   *   has taken its place, `ERR_CLOSED` after `remove()`.
   */
  namedTemporaryFile(options?: Inside<NamedFileOptions>): Promise<NamedTemporaryFile> {
    return this.#tree.use(createNamed(asyncIo(), options, this.#tree));
  }

  /** Synchronous version of {@linkcode TemporaryDirectory.namedTemporaryFile}. */
  namedTemporaryFileSync(options?: Inside<NamedFileOptions>): NamedTemporaryFile {
    return runSync(createNamed(syncIo(), options, this.#tree));
  }

  /**
   * Creates a directory inside the directory; see {@linkcode temporaryDirectory}.
   *
   * @throws {TempfileError} Also `ENOENT` if someone else has removed the directory, `ERR_REPLACED` if something else
   *   has taken its place, `ERR_CLOSED` after `remove()`.
   */
  temporaryDirectory(options?: Inside<DirectoryOptions>): Promise<TemporaryDirectory> {
    return this.#tree.use(create(asyncIo(), options, this.#tree));
  }

  /** Synchronous version of {@linkcode TemporaryDirectory.temporaryDirectory}. */
  temporaryDirectorySync(options?: Inside<DirectoryOptions>): TemporaryDirectory {
    return runSync(create(syncIo(), options, this.#tree));
  }

  /**
   * Counts the contents. Entries that vanish meanwhile or may not be inspected are not counted.
   *
   * @throws {TempfileError} `ENOENT` if someone else has removed the directory, `ERR_REPLACED` if something else has
   *   taken its place, `ERR_CLOSED` after `remove()`.
   */
  usage(): Promise<DirectoryUsage> {
    return this.#tree.use(this.#usage(asyncIo(this.#tree.guard)));
  }

  /** Synchronous version of {@linkcode TemporaryDirectory.usage}. */
  usageSync(): DirectoryUsage {
    return runSync(this.#usage(syncIo()));
  }

  *#usage(io: Io): Op<DirectoryUsage> {
    yield* this.#tree.requireSettled(io, "measure");
    return yield* usageOf(io, this.#tree.path!);
  }

  /**
   * Hands the directory over to the caller: Mayfly forgets it and never removes it. Files and directories that Mayfly
   * has created inside are still removed in their turn.
   *
   * @returns The path.
   * @throws {TempfileError} `ERR_CLOSED` after `remove()`; `EBUSY` while `persist()` is pending; `ENOSPC` if this
   *   cannot be recorded for other processes, in which case Mayfly still owns the directory.
   */
  keep(): string {
    this.#tree.requireUsable("keep");
    recordKeptDirectory(this.path);
    this.#tree.release();
    return this.path;
  }

  /**
   * Moves the directory with its contents to `destination` in one step. From then on nothing removes it.
   *
   * An empty directory at the destination is replaced, anything else is not. On another file system the tree is first
   * copied beside the destination: files, directories and links, with their modes where the file system has any. If the
   * directory was kept or persisted before, and so no longer belongs to Mayfly, the original stays as well.
   *
   * The permission bits do not change: others can enter the result only if the directory was created with a `mode` that
   * lets them, such as `0o755`.
   *
   * Overlapping calls run in the order they were made, as do `usage()` and the functions that create in the directory.
   * `remove()` waits as well, and synchronous calls meanwhile fail with `EBUSY`.
   *
   * @param destination A path or a `file:` URL.
   * @returns The absolute path, with symbolic links resolved.
   * @throws {TempfileError} `ENOTEMPTY` or `EEXIST` if something is there, `ENOENT` if the parent is missing, …; this
   *   directory is then still in place, complete. `ERR_CLOSED` during or after `remove()`.
   */
  async persist(destination: string | URL, options?: PersistDirectoryOptions): Promise<string> {
    const path = checkPath(destination, "destination"), checked = checkReplacing("directory", options);
    return await this.#tree.move((io) => persistTree(io, this.#tree, path, checked));
  }

  /**
   * Synchronous version of {@linkcode TemporaryDirectory.persist}. Also fails with `EBUSY` while `usage()` or a function
   * that creates in the directory is pending.
   */
  persistSync(destination: string | URL, options?: PersistDirectoryOptions): string {
    const path = checkPath(destination, "destination"), checked = checkReplacing("directory", options);
    this.#tree.requireUnused("persist");
    return runSync(persistTree(syncIo(), this.#tree, path, checked));
  }

  /**
   * Removes the directory and its contents. Removing again is a no-op; after a failure it retries.
   *
   * @returns What is left: always empty, unless `ignoreCleanupErrors` asks for a report instead of an error.
   * @throws {TempfileError} With the code of the only entry left, otherwise `ERR_LEFTOVER`; `leftovers` lists each with
   *   its reason.
   */
  async remove(): Promise<Leftover[]> {
    return this.#report(await this.#tree.removeOnce());
  }

  /** Synchronous version of {@linkcode TemporaryDirectory.remove}. */
  removeSync(): Leftover[] {
    this.#tree.requireNotMoving("remove");
    return this.#report(runSync(this.#tree.remove(syncIo())));
  }

  #report(leftovers: Leftover[]): Leftover[] {
    if (leftovers.length > 0 && !this.#ignoreErrors) throw leftoverError(this.path, leftovers);
    return leftovers;
  }

  /** Removes the directory. A failure becomes a warning, so that it does not mask an error from the scope. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.remove();
    } catch (error) {
      warnOfDisposal(error);
    }
  }

  /**
   * Synchronous version of `Symbol.asyncDispose`. If `persist()` is pending, whatever remains is removed when it
   * finishes.
   */
  [Symbol.dispose](): void {
    if (this.#tree.moving) return void this[Symbol.asyncDispose]();
    try {
      this.removeSync();
    } catch (error) {
      warnOfDisposal(error);
    }
  }
}

/** The number of paths in a message; the error's `leftovers` has them all. */
const SHOWN = 5;

function leftoverError(path: string, leftovers: readonly Leftover[]): TempfileError {
  const list = leftovers.slice(0, SHOWN).map((leftover) => `"${leftover.path}" (${leftover.code})`).join(
    ", ",
  );
  const more = leftovers.length > SHOWN ? ` and ${leftovers.length - SHOWN} more` : "";
  const code = leftovers.length === 1 ? leftovers[0].code : "ERR_LEFTOVER";
  return new TempfileError(`Cannot remove "${path}": still there: ${list}${more}`, { code, path, leftovers });
}

/**
 * Creates a directory that only its owner can enter, with an unguessable name.
 *
 * @param options Where and how to create it, and when to remove it; see {@linkcode DirectoryOptions}.
 * @throws {TempfileError} The system's error (`ENOENT`, `EACCES`, `ENOSPC`, …), with the parent as `path`; nothing is
 *   left behind.
 * @throws {TypeError} `ERR_INVALID_OPTION` for an invalid option, a `RangeError` for a number out of range; before
 *   anything is done.
 *
 * @example Room for several files
 * ```ts
 * import { temporaryDirectory } from "mayfly";
 *
 * await using directory = await temporaryDirectory();
 * await using file = await directory.namedTemporaryFile({ suffix: ".csv" });
 * await file.write("a,b\n");
 * console.log((await directory.usage()).bytes); // 4
 * ```
 */
export function temporaryDirectory(options?: DirectoryOptions): Promise<TemporaryDirectory> {
  return runAsync(create(asyncIo(), options));
}

/** Synchronous version of {@linkcode temporaryDirectory}. */
export function temporaryDirectorySync(options?: DirectoryOptions): TemporaryDirectory {
  return runSync(create(syncIo(), options));
}

/** @param inside The directory of ours in which it is created, if any. */
function* create(
  io: Io,
  given: DirectoryOptions | undefined,
  inside?: OwnedTree,
): Op<TemporaryDirectory> {
  const options = checkOptions("directory", given);
  const directory = usualPlace(options, inside) ?? (yield* place(io, options, inside));
  const tree = new OwnedTree(options.delete);
  tree.guard = guardOf(directory);
  try {
    const session = options.delete ? sessionFor(directory, options) : "";
    yield* makeDirectory(io, directory, options, session, tree);
  } catch (error) {
    yield* tree.remove(io);
    throw error;
  }
  if (options.delete) protect(tree);
  return new TemporaryDirectory(tree, options.ignoreCleanupErrors);
}
