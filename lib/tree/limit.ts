/**
 * Limiting how many trees are removed at once: eight walks at a time, the others after them, first come, first served.
 *
 * @module
 */
import type { Io } from "../operation/io.ts";
import type { Op } from "../operation/op.ts";

/** Trees walked at once, each with up to twenty file descriptors: for more there may be none left. */
const MAX_WALKS = 8;

let walks = 0;

/** Callbacks that begin the waiting walks. */
const waiting: (() => void)[] = [];

/** Removes a tree, after others if too many are under way. A blocking removal never waits. */
export function* withLimit<T>(io: Io, removal: Op<T>): Op<T> {
  if (io.blocking) return yield* removal;
  if (walks < MAX_WALKS) walks++;
  else yield new Promise<void>((resolve) => waiting.push(resolve));
  try {
    return yield* removal;
  } finally {
    const next = waiting.shift();
    if (next === undefined) walks--;
    else next();
  }
}
