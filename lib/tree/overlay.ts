/**
 * Directories on overlay file systems, which containers use.
 *
 * The first change to a directory from a lower layer copies it to the upper one. It has another birth time from then
 * on, although it is the same directory to all who use it.
 *
 * @module
 */
import { mountType } from "../location/mounts.ts";
import type { Io } from "../operation/io.ts";
import type { Op } from "../operation/op.ts";
import type { Status } from "../runtime/mod.ts";
import { setMode } from "./dir_ref.ts";

/**
 * Returns a status that identifies a directory as long as it exists: on an overlay its mode is set to what it is, so
 * that it is copied up now.
 */
export function* lasting(io: Io, path: string, status: Status): Op<Status> {
  try {
    if ((yield* mountType(io, path)) === "overlay") return yield* setMode(io, path, status, status.mode);
  } catch {
    // Gone or replaced: its next use reports that.
  }
  return status;
}
