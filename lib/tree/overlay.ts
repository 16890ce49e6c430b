/**
 * Directories of overlay file systems, such as containers have.
 *
 * What comes from a lower layer is copied to the upper one by its first change, and has another time of birth from then on,
 * though it is the same for all who use it.
 *
 * @module
 */
import type { Io } from "../io.ts";
import { mountType } from "../mounts.ts";
import type { Op } from "../op.ts";
import type { Status } from "../runtime/mod.ts";
import { setMode } from "./spot.ts";

/** What a directory will be as long as it exists: on an overlay it is changed for that, to the mode that it has. */
export function* lasting(io: Io, path: string, status: Status): Op<Status> {
  try {
    if ((yield* mountType(io, path)) === "overlay") return yield* setMode(io, path, status, status.mode);
  } catch {
    // Gone or replaced, which its next use says.
  }
  return status;
}
