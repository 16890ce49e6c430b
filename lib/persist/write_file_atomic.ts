/**
 * Replacing a file in one step: the contents are written to a staged file, which then gets the target's name.
 *
 * @module
 */
import { type Data, requireBytes, requireLength, toBytes } from "../file/data.ts";
import { type Chunks, chunksOf, type Source } from "../file/source.ts";
import type { DiskStorage } from "../file/storage.ts";
import { asyncIo, type Io, syncIo } from "../operation/io.ts";
import { type Op, runAsync, runSync } from "../operation/op.ts";
import { checkPath } from "../options/paths.ts";
import { parentOf } from "../path.ts";
import { abortable } from "./abort.ts";
import { synchronizeName } from "./commit.ts";
import { checkWriting, type WriteFileAtomicOptions, type Writing } from "./options.ts";
import { placeNew } from "./place_new.ts";
import { enqueue } from "./queue.ts";
import { placingFailure, refusal, type Target, targetOf } from "./target.ts";

/**
 * Writes a file so that its path leads to the old contents or to all of the new ones, at every moment and after a
 * crash, a full disk or a power cut. On failure the old file is untouched, and nothing of the attempt is left beside
 * it, unless the error says that the new file is in place: then its directory could not be synchronized.
 *
 * Calls for the same path in one process run one after the other: a source that waits for a later call never ends. The
 * result is a new file: hard links to the old one keep the old contents, and extended attributes and access control
 * lists are not carried over. If the old file has such a list, its group bits are the most that the list grants anyone
 * on it, and the group of the new file gets them unless `mode` says otherwise. Devices, pipes and sockets, links to
 * them, and links in `/dev` are refused.
 *
 * @param path The file to create or replace.
 * @param data As for {@linkcode TemporaryFile.write}; streams are not gathered in memory.
 * @param options How; see {@linkcode WriteFileAtomicOptions}.
 * @throws {TempfileError} `ENOENT` if the directory is missing, `EISDIR` if a directory is there, `EEXIST` with
 *   `overwrite: false`, `ENOSPC` on a full disk, …
 *
 * @example State that is always whole
 * ```ts
 * import { temporaryDirectory, writeFileAtomic } from "mayfly";
 *
 * await using directory = await temporaryDirectory();
 * await writeFileAtomic(directory.join("state.json"), JSON.stringify({ count: 1 }));
 * ```
 */
export async function writeFileAtomic(
  path: string | URL,
  data: Data | Source,
  options?: WriteFileAtomicOptions,
): Promise<void> {
  const place = checkPath(path, "path");
  const checked = checkWriting(options);
  const bytes = toBytes(data, checked.content);
  const contents = bytes === undefined ? chunksOf(data) : sized(bytes);
  const { signal } = checked;
  try {
    signal?.throwIfAborted();
    const io = asyncIo().at(parentOf(place));
    await enqueue(io, place, signal, () => runAsync(replace(io, place, contents, checked)));
  } catch (error) {
    const cancelled = "bytes" in contents ? undefined : contents.cancel(error);
    // A source that yields nothing may not even confirm that it was cancelled.
    if (!signal?.aborted) await cancelled;
    throw error;
  }
}

/**
 * Synchronous version of {@linkcode writeFileAtomic}, for text and bytes. It does not wait for asynchronous calls for
 * the same path: one that is under way replaces its result.
 */
export function writeFileAtomicSync(
  path: string | URL,
  data: Data,
  options?: WriteFileAtomicOptions,
): void {
  const place = checkPath(path, "path");
  const checked = checkWriting(options);
  runSync(replace(syncIo(), place, sized(requireBytes(data, checked.content)), checked));
}

/** Bytes, and their number when the call was made. */
interface Sized {
  bytes: Uint8Array;
  length: number;
}

const sized = (bytes: Uint8Array): Sized => ({ bytes, length: bytes.length });

type Contents = Sized | Chunks;

function* replace(given: Io, path: string, contents: Contents, options: Writing): Op<void> {
  const target = yield* targetOf(given, path, options);
  const io = given.at(target.directory);
  try {
    yield* placeNew(io, target, options, undefined, (file) => fill(io, file, contents, options, target));
  } catch (error) {
    throw placingFailure(target.path, error);
  }
  yield* synchronizeName(io, target, options);
}

/** Writes everything. Returns how many bytes that is. */
function* fill(
  io: Io,
  file: DiskStorage,
  contents: Contents,
  options: Writing,
  target: Target,
): Op<number> {
  if ("bytes" in contents) {
    yield* writeAt(io, file, contents, 0, options, target);
    return contents.length;
  }
  let size = 0;
  for (;;) {
    const step: IteratorResult<unknown, unknown> = yield abortable(contents.next(), options.signal);
    if (step.done) return size;
    const chunk = sized(requireBytes(step.value, options.content, "an iterable of text or bytes"));
    yield* writeAt(io, file, chunk, size, options, target);
    size += chunk.length;
  }
}

function* writeAt(
  io: Io,
  file: DiskStorage,
  { bytes, length }: Sized,
  at: number,
  { content, signal }: Writing,
  { path }: Target,
): Op<void> {
  signal?.throwIfAborted();
  requireLength(bytes, length);
  if (at + length > content.maxSize) {
    throw refusal(path, "EFBIG", `it would exceed ${content.maxSize} bytes`);
  }
  if (length > 0) yield* file.write(io, bytes, at);
  requireLength(bytes, length);
}
