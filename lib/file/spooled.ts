/**
 * Files that are in memory first.
 *
 * @module
 */
import { failure, which } from "../errors.ts";
import { printAs } from "../inspect.ts";
import type { Io } from "../io.ts";
import { hold } from "../life/registry.ts";
import type { Op } from "../op.ts";
import { checkOptions } from "../options/checked.ts";
import type { SpooledOptions } from "../options/types.ts";
import { TemporaryFile } from "./file.ts";
import { OpenFile } from "./open_file.ts";
import { SpoolStorage } from "./spool.ts";
import { DiskStorage, type Storage } from "./storage.ts";
import { createUnnamed, type Made, unmake } from "./unnamed.ts";

/** Bytes gathered before a system call, once it is on disk. */
const BUFFER_SIZE = 64 * 1024;

/**
 * A temporary file that is in memory until it grows. Read and written like any other; on disk it has no name.
 *
 * Its options count when it moves to disk, so a directory that is missing or full shows then. What is in memory stays
 * there, whole, and the call that failed can be made again.
 */
export class SpooledTemporaryFile extends TemporaryFile {
  readonly #file: OpenFile;
  readonly #spool: SpoolStorage;

  /** Not for use: call {@linkcode spooledTemporaryFile}. */
  constructor(internals: unknown) {
    // Before the class above has it printed as one of its own.
    printAs(new.target, describe);
    super(internals);
    this.#file = internals as OpenFile;
    this.#spool = this.#file.storage as SpoolStorage;
  }

  /** Whether it has moved to disk. */
  get rolled(): boolean {
    return this.#spool.onDisk;
  }

  /** Moves it to disk now. */
  async rollover(): Promise<void> {
    await this.#file.async((io) => roll(io, this.#file, this.#spool));
  }

  /** As {@linkcode SpooledTemporaryFile.rollover}, blocking. */
  rolloverSync(): void {
    this.#file.sync((io) => roll(io, this.#file, this.#spool));
  }
}

function* roll(io: Io, file: OpenFile, spool: SpoolStorage): Op<void> {
  file.require("move to disk");
  try {
    yield* spool.roll(io);
  } catch (error) {
    throw failure(`move to disk ${which(file.path)}`, error, file.path);
  }
}

const describe = (file: SpooledTemporaryFile): string =>
  `SpooledTemporaryFile { rolled: ${file.rolled}, closed: ${file.closed} }`;

/**
 * Opens a file that is kept in memory until it would pass `maxMemory`, and then moves to disk.
 *
 * Nothing is done yet that could wait or fail, so there is no asynchronous twin.
 *
 * @throws {TypeError} `ERR_INVALID_OPTION`.
 *
 * @example An upload of unknown size
 * ```ts
 * import { spooledTemporaryFile } from "mayfly";
 *
 * await using file = spooledTemporaryFile({ maxMemory: 1024 });
 * await file.write(new Blob(["a small upload"]));
 * console.log(file.rolled); // false
 * await file.write("x".repeat(2000));
 * console.log(file.rolled); // true
 * ```
 */
export function spooledTemporaryFile(options?: SpooledOptions): SpooledTemporaryFile {
  const checked = checkOptions("spooled", options);
  const storage = new SpoolStorage(checked.maxMemory, { open, discard: (io) => unmake(io, made) });
  const file = new OpenFile(storage, checked, BUFFER_SIZE);
  hold(file);
  let made: Made;
  return new SpooledTemporaryFile(file);

  function* open(io: Io): Op<Storage> {
    const { handle, nameless, owned, guard } = made = yield* createUnnamed(io, checked);
    file.guard = guard;
    file.owned = owned;
    return new DiskStorage(handle, undefined, nameless);
  }
}
