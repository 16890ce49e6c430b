/**
 * A new file in a place, through one that is staged beside it.
 *
 * @module
 */
import { DiskStorage } from "../file/storage.ts";
import type { Io } from "../io.ts";
import type { Op } from "../op.ts";
import { commit } from "./commit.ts";
import type { Replacing } from "./options.ts";
import { creationMode, requireSize, settle, stage, unstage } from "./stage.ts";
import type { Target } from "./target.ts";

/**
 * Fills a staged file and puts it in place: contents, mode, disk, name, in this order. On failure nothing of it is left.
 *
 * @param fill Writes the contents and returns how many bytes they are.
 */
export function* placeNew(
  io: Io,
  target: Target,
  options: Replacing,
  fill: (file: DiskStorage) => Op<number>,
): Op<void> {
  const mode = creationMode(target, options);
  const staged = yield* stage(io, target, mode);
  let closed = false;
  try {
    const size = yield* fill(new DiskStorage(staged.handle));
    yield* settle(io, staged.handle, mode, target, options);
    yield* requireSize(io, staged.handle, size, target.path);
    if (options.durable) yield io.synchronize(staged.handle);
    options.signal?.throwIfAborted();
    closed = true;
    yield io.close(staged.handle);
    yield* commit(io, staged.name.path!, staged.name, target, options);
  } catch (error) {
    yield* unstage(io, staged, closed);
    throw error;
  }
}
