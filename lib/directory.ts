/**
 * Temporary directories.
 *
 * @module
 */
import { warnOfDisposal } from "./disposal.ts";
import { invalid, type Leftover, TempfileError } from "./errors.ts";
import { createNamed, type NamedTemporaryFile } from "./file/named.ts";
import { printAs } from "./inspect.ts";
import { asyncIo, type Io, syncIo } from "./io.ts";
import { watchLeak } from "./life/leaks.ts";
import { keepYoung } from "./life/keep_alive.ts";
import { recordKeptDirectory, sessionFor } from "./life/lease.ts";
import { type Op, runAsync, runSync } from "./op.ts";
import { type Checked, checkOptions } from "./options/checked.ts";
import { checkPath } from "./options/paths.ts";
import type { DirectoryOptions, NamedFileOptions } from "./options/types.ts";
import { OwnedTree } from "./owned_tree.ts";
import { checkReplacing, type PersistDirectoryOptions } from "./persist/options.ts";
import { persistTree } from "./persist/persist_tree.ts";
import { makeDirectory } from "./make_directory.ts";
import { componentsInside, isAbsolute, joinPath } from "./path.ts";
import { place, placeInside, usualPlace } from "./place.ts";
import { type DirectoryUsage, usageOf } from "./tree/usage.ts";

/** Options of what is created inside a directory: where is known already. */
export type Inside<Options> = Omit<Options, "dir">;

/**
 * A temporary directory, removed with everything in it by {@linkcode TemporaryDirectory.remove}, by the end of the
 * scope, and by the end of the process.
 *
 * Removal never follows a link and never leaves the device; a directory that was replaced by another is left alone.
 * On Linux that holds against anybody who swaps directories for links meanwhile, and locked directories inside are
 * unlocked. On other systems, and where `/proc` is not permitted (Deno without `--allow-all`, Node with `--permission`),
 * it does so on Deno and Bun as long as everything can be removed; else it takes that nobody but this user may write
 * into the directory, as is the case with the default mode.
 */
export class TemporaryDirectory implements AsyncDisposable, Disposable {
  readonly #tree: OwnedTree;
  readonly #ignoreErrors: boolean;

  /** Not for use: call {@linkcode temporaryDirectory}. */
  constructor(internals: unknown, ignoreErrors: boolean) {
    if (!(internals instanceof OwnedTree)) {
      throw new TypeError("Temporary directories are made by temporaryDirectory(), not by a constructor");
    }
    this.#tree = internals;
    this.#ignoreErrors = ignoreErrors;
    watchLeak(this, internals);
    printAs(new.target, describe);
  }

  /** The absolute path without links. Stays readable after the directory is removed. */
  get path(): string {
    this.#tree.pathSeen = true;
    return this.#tree.path!;
  }

  /** Whether it was removed. */
  get removed(): boolean {
    return this.#tree.removed;
  }

  /** The path. */
  toString(): string {
    return this.path;
  }

  /**
   * The path of something inside.
   *
   * Works on the text alone: it does not look whether a component is a link.
   *
   * @throws {TypeError} `ERR_INVALID_OPTION` if it would lead outside.
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
   * Creates a named file inside; see {@linkcode namedTemporaryFile}.
   *
   * @throws {TempfileError} Also `ENOENT` if somebody else has removed the directory, `ERR_REPLACED` if something has taken
   *   its place, `ERR_CLOSED` after `remove()`.
   */
  namedTemporaryFile(options?: Inside<NamedFileOptions>): Promise<NamedTemporaryFile> {
    return runAsync(this.#createFile(asyncIo(), options));
  }

  /** As {@linkcode TemporaryDirectory.namedTemporaryFile}, blocking. */
  namedTemporaryFileSync(options?: Inside<NamedFileOptions>): NamedTemporaryFile {
    return runSync(this.#createFile(syncIo(), options));
  }

  *#createFile(io: Io, given: Inside<NamedFileOptions> | undefined): Op<NamedTemporaryFile> {
    const options = checkInside("named", given);
    return yield* createNamed(io, yield* placeInside(io, options, this.#tree), options);
  }

  /**
   * Creates a directory inside; see {@linkcode temporaryDirectory}.
   *
   * @throws {TempfileError} Also `ENOENT` if somebody else has removed the directory, `ERR_REPLACED` if something has taken
   *   its place, `ERR_CLOSED` after `remove()`.
   */
  temporaryDirectory(options?: Inside<DirectoryOptions>): Promise<TemporaryDirectory> {
    return runAsync(this.#createDirectory(asyncIo(), options));
  }

  /** As {@linkcode TemporaryDirectory.temporaryDirectory}, blocking. */
  temporaryDirectorySync(options?: Inside<DirectoryOptions>): TemporaryDirectory {
    return runSync(this.#createDirectory(syncIo(), options));
  }

  *#createDirectory(io: Io, given: Inside<DirectoryOptions> | undefined): Op<TemporaryDirectory> {
    const options = checkInside("directory", given);
    return yield* create(io, yield* placeInside(io, options, this.#tree), options);
  }

  /**
   * Counts what is inside. What vanishes meanwhile, or may not be looked at, is not counted.
   *
   * @throws {TempfileError} `ENOENT` if somebody else has removed the directory, `ERR_REPLACED` if something has taken its
   *   place, `ERR_CLOSED` after `remove()`.
   */
  usage(): Promise<DirectoryUsage> {
    return runAsync(this.#usage(asyncIo().at(this.#tree.path!)));
  }

  /** As {@linkcode TemporaryDirectory.usage}, blocking. */
  usageSync(): DirectoryUsage {
    return runSync(this.#usage(syncIo()));
  }

  *#usage(io: Io): Op<DirectoryUsage> {
    yield* this.#tree.require(io, "count what is in");
    return yield* usageOf(io, this.#tree.path!);
  }

  /**
   * Gives the directory to the caller: Mayfly forgets it and never removes it. What was made inside by functions of Mayfly
   * is still removed in its time.
   *
   * @returns The path.
   * @throws {TempfileError} `ERR_CLOSED` after `remove()`; `EBUSY` while `persist()` is under way; `ENOSPC` if that cannot be
   *   recorded for other processes; then it is ours as before.
   */
  keep(): string {
    this.#tree.requireLasting("keep");
    recordKeptDirectory(this.path);
    this.#tree.release();
    return this.path;
  }

  /**
   * Puts the directory with everything in it at `destination`, in one step. From then on nothing removes it.
   *
   * An empty directory at the destination is replaced, anything else is not. On another file system it is copied beside
   * the destination first: files, directories and links, with their modes where there are any; one that is not ours any more, since it was kept
   * or put in its place before, also stays where it was then.
   *
   * Calls that overlap are carried out in the order they were made, and so is `remove()`; synchronous calls fail with
   * `EBUSY` meanwhile.
   *
   * @param destination The path, or a `file:` URL.
   * @returns The absolute path without links.
   * @throws {TempfileError} `ENOTEMPTY` or `EEXIST` if something is there, `ENOENT` if the parent is missing, … Then this
   *   directory is where it was, whole. `ERR_CLOSED` after `remove()`, or while it is under way.
   */
  async persist(destination: string | URL, options?: PersistDirectoryOptions): Promise<string> {
    const path = checkPath(destination, "destination"), checked = checkReplacing("directory", options);
    return await this.#tree.move((io) => persistTree(io, this.#tree, path, checked));
  }

  /** As {@linkcode TemporaryDirectory.persist}, blocking. */
  persistSync(destination: string | URL, options?: Omit<PersistDirectoryOptions, "signal">): string {
    const path = checkPath(destination, "destination");
    const checked = checkReplacing("directorySync", options);
    this.#tree.requireLasting("persist");
    return runSync(persistTree(syncIo(), this.#tree, path, checked));
  }

  /**
   * Removes the directory and everything in it. Removing again does nothing; after a failure it tries again.
   *
   * @returns What is left: always empty, unless `ignoreCleanupErrors` asks for a report instead of an error.
   * @throws {TempfileError} With the code of the only thing left, else `ERR_LEFTOVER`; `leftovers` lists what is left and why.
   */
  async remove(): Promise<Leftover[]> {
    return this.#report(await this.#tree.removing());
  }

  /** As {@linkcode TemporaryDirectory.remove}, blocking. */
  removeSync(): Leftover[] {
    this.#tree.requireUnmoved("remove");
    return this.#report(runSync(this.#tree.remove(syncIo())));
  }

  #report(leftovers: Leftover[]): Leftover[] {
    if (leftovers.length > 0 && !this.#ignoreErrors) throw leftoverError(this.path, leftovers);
    return leftovers;
  }

  /** Removes the directory. What fails becomes a warning, so that it does not hide an error of the scope. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.remove();
    } catch (error) {
      warnOfDisposal(error);
    }
  }

  /** As the asynchronous one, blocking. If `persist()` is under way, what is left to remove goes when that has ended. */
  [Symbol.dispose](): void {
    if (this.#tree.moving) return void this[Symbol.asyncDispose]();
    try {
      this.removeSync();
    } catch (error) {
      warnOfDisposal(error);
    }
  }
}

const describe = ({ path, removed }: TemporaryDirectory): string =>
  `TemporaryDirectory { path: ${JSON.stringify(path)}, removed: ${removed} }`;

/** Paths that a message names; the error's `leftovers` has them all. */
const NAMED = 5;

function leftoverError(path: string, leftovers: readonly Leftover[]): TempfileError {
  const list = leftovers.slice(0, NAMED).map((leftover) => `"${leftover.path}" (${leftover.code})`).join(
    ", ",
  );
  const more = leftovers.length > NAMED ? ` and ${leftovers.length - NAMED} more` : "";
  const code = leftovers.length === 1 ? leftovers[0].code : "ERR_LEFTOVER";
  return new TempfileError(`Cannot remove "${path}": left are ${list}${more}`, { code, path, leftovers });
}

/**
 * Creates a directory with a name that nobody can guess, and that only its owner can enter.
 *
 * @param options Where, how, and when to remove it; see {@linkcode DirectoryOptions}.
 * @throws {TempfileError} What the system says (`ENOENT`, `EACCES`, `ENOSPC`, …), with the parent as `path`; nothing is left then.
 * @throws {TypeError} `ERR_INVALID_OPTION`, before anything is done.
 *
 * @example Room for several files
 * ```ts
 * import { temporaryDirectory } from "mayfly";
 *
 * await using directory = await temporaryDirectory();
 * const file = await directory.namedTemporaryFile({ suffix: ".csv" });
 * await file.write("a,b\n");
 * console.log((await directory.usage()).bytes); // 4
 * ```
 */
export function temporaryDirectory(options?: DirectoryOptions): Promise<TemporaryDirectory> {
  return runAsync(createSomewhere(asyncIo(), options));
}

/** As {@linkcode temporaryDirectory}, blocking. */
export function temporaryDirectorySync(options?: DirectoryOptions): TemporaryDirectory {
  return runSync(createSomewhere(syncIo(), options));
}

function* createSomewhere(io: Io, given: DirectoryOptions | undefined): Op<TemporaryDirectory> {
  const options = checkOptions("directory", given);
  return yield* create(io, usualPlace(options) ?? (yield* place(io, options)), options);
}

function checkInside(of: "named" | "directory", given: object | undefined): Checked {
  const options = checkOptions(of, given);
  if (options.dir === undefined) return options;
  throw invalid("dir", "left out: the directory is this one", options.dir);
}

function* create(io: Io, directory: string, options: Checked): Op<TemporaryDirectory> {
  const tree = new OwnedTree(options.delete);
  const session = options.delete ? sessionFor(directory, options) : "";
  try {
    yield* makeDirectory(io, directory, options, session, tree);
  } catch (error) {
    yield* tree.remove(io);
    throw error;
  }
  if (options.delete) keepYoung(tree);
  return new TemporaryDirectory(tree, options.ignoreCleanupErrors);
}
