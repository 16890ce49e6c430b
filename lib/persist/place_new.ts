/**
 * Putting a new file in place, by way of one that is staged beside it.
 *
 * @module
 */
import { discardFile } from "../file/owned.ts";
import { DiskStorage } from "../file/storage.ts";
import type { Io } from "../operation/io.ts";
import type { Op } from "../operation/op.ts";
import type { Status } from "../runtime/mod.ts";
import { apply, attributesFor, creationMode } from "./attributes.ts";
import { commit } from "./commit.ts";
import type { Replacing } from "./options.ts";
import { stage } from "./stage.ts";
import { refusal, type Target } from "./target.ts";

/**
 * Fills a staged file and puts it in place, in this order: contents, owner and mode, synchronization, name. On failure
 * nothing of it is left.
 *
 * @param defaultMode The mode if nothing is replaced; undefined if the umask decides.
 * @param fill Writes the contents and returns their size in bytes.
 */
export function* placeNew(
  io: Io,
  target: Target,
  options: Replacing,
  defaultMode: number | undefined,
  fill: (file: DiskStorage) => Op<number>,
): Op<void> {
  const attributes = attributesFor(target, options, defaultMode);
  const { handle, name } = yield* stage(io, target, creationMode(attributes));
  let closed = false;
  try {
    const size = yield* fill(new DiskStorage(handle));
    const status: Status = yield io.statusOf(handle);
    // Some file systems report a full disk late or not at all.
    if (status.size !== size) throw refusal(target.path, "EIO", `${status.size} of ${size} bytes arrived`);
    yield* apply(io, handle, name.path!, status, attributes);
    if (options.durable) yield io.synchronize(handle);
    options.signal?.throwIfAborted();
    closed = true;
    yield io.close(handle);
    yield* commit(io, name.path!, name, target, options);
  } catch (error) {
    yield* closed ? name.tryRemove(io) : discardFile(io, handle, name);
    throw error;
  }
}
