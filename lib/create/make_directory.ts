/**
 * Creating a directory and recording its identity.
 *
 * @module
 */
import { failure } from "../errors.ts";
import type { Io } from "../operation/io.ts";
import type { Op } from "../operation/op.ts";
import { tried } from "../operation/tried.ts";
import type { Checked } from "../options/checked.ts";
import { isWindows, type Status } from "../runtime/mod.ts";
import { setMode } from "../tree/dir_ref.ts";
import { createExclusively, hasMode } from "./exclusively.ts";
import type { OwnedTree } from "./owned_tree.ts";

const MODE = 0o700;

/**
 * Creates a directory and records its identity. If that fails, or the signal is aborted, the directory is removed
 * again.
 */
export function* makeDirectory(
  given: Io,
  parent: string,
  options: Checked,
  session: string,
  tree: OwnedTree,
): Op<void> {
  const io = given.at(parent);
  const mode = options.mode ?? MODE;
  yield* createExclusively("directory", parent, options, session, (path) => {
    tree.path = path;
    return io.makeDirectory(path, mode);
  });
  try {
    yield* identify(io, parent, options.mode, tree);
    options.signal?.throwIfAborted();
  } catch (error) {
    yield* tried(() => io.removeDirectory(tree.path!));
    throw error;
  }
}

function* identify(io: Io, parent: string, mode: number | undefined, tree: OwnedTree): Op<void> {
  try {
    const status: Status = yield io.status(tree.path!);
    tree.identity = status;
    if (isWindows() || hasMode(status.mode, mode, MODE)) return;
    // Restores the permission bits that the umask removed.
    yield* setMode(io, tree.path!, status, (status.mode & 0o7000) | (mode ?? MODE));
  } catch (error) {
    throw failure(`create a temporary directory in "${parent}"`, error, parent);
  }
}
