/**
 * Files that start in memory.
 *
 * @module
 */
import { printAs } from "../inspect.ts";
import { hold } from "../life/registry.ts";
import type { Io } from "../operation/io.ts";
import type { Op } from "../operation/op.ts";
import { checkOptions } from "../options/checked.ts";
import type { SpooledOptions } from "../options/types.ts";
import { TemporaryFile } from "./file.ts";
import { OpenFile } from "./open_file.ts";
import { discardFile } from "./owned.ts";
import { SpoolStorage } from "./spool.ts";
import { DiskStorage, type Storage } from "./storage.ts";
import { createUnnamed, type Unnamed } from "./unnamed.ts";

/** Size of the write buffer, once the file is on disk. */
const BUFFER_SIZE = 65_536;

/**
 * A temporary file kept in memory until it grows too large. Read and written like any other; on disk it has no name.
 * `fd`, `sync()` and locks also move it to disk.
 *
 * The options of its creation on disk (`dir`, `minFree`, `mode`, …) take effect only then, so that is when a missing
 * directory or a full disk shows. The contents then stay in memory, complete, and the failed call can be repeated.
 */
export class SpooledTemporaryFile extends TemporaryFile {
  readonly #file: OpenFile;

  /** Internal: use {@linkcode spooledTemporaryFile}. */
  constructor(internals: unknown) {
    // Before the base class installs its own description.
    printAs(new.target, "SpooledTemporaryFile", "rolled", "closed");
    super(internals);
    this.#file = internals as OpenFile;
  }

  /** Whether the file has moved to disk. */
  get rolled(): boolean {
    return spoolOf(this.#file).onDisk;
  }

  /** Moves the file to disk now. */
  async rollover(): Promise<void> {
    await this.#file.async((io) => roll(io, this.#file));
  }

  /** Synchronous version of {@linkcode SpooledTemporaryFile.rollover}. */
  rolloverSync(): void {
    this.#file.sync((io) => roll(io, this.#file));
  }
}

const spoolOf = (file: OpenFile): SpoolStorage => file.storage as SpoolStorage;

const roll = (io: Io, file: OpenFile): Op<unknown> => file.during("roll over", spoolOf(file).roll(io));

/**
 * Opens a file that is kept in memory until it would exceed `maxMemory`, and then moves to disk.
 *
 * Nothing happens yet that could block or fail, so there is no asynchronous version.
 *
 * @throws {TypeError} `ERR_INVALID_OPTION` for an invalid option, a `RangeError` for a number out of range.
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
  const storage = new SpoolStorage(checked.maxMemory, {
    open,
    discard: (io) => discardFile(io, made.handle, made.owned),
  });
  const file = new OpenFile(storage, checked, BUFFER_SIZE);
  hold(file);
  let made: Unnamed;
  return new SpooledTemporaryFile(file);

  function* open(io: Io): Op<Storage> {
    const { handle, nameless, owned, guard } = made = yield* createUnnamed(io, checked);
    file.guard = guard;
    file.owned = owned;
    return new DiskStorage(handle, undefined, nameless);
  }
}
