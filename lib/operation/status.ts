/**
 * Checking whether something exists.
 *
 * @module
 */
import type { Status } from "../runtime/mod.ts";
import type { Io } from "./io.ts";
import type { Op } from "./op.ts";
import { tried } from "./tried.ts";

/** The status of a path, with a link there not followed; undefined if nothing exists. */
export const statusIfThere = (io: Io, path: string): Op<Status | undefined> =>
  tried(() => io.status(path), "ENOENT");
