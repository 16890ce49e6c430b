/**
 * Many trees that are removed at once: some walks at a time, the others after them.
 *
 * @module
 */
import type { Io } from "../io.ts";
import type { Op } from "../op.ts";

/** Trees that are walked at once, with twenty descriptors each at most: there may be none for more. */
const AT_ONCE = 8;

let walks = 0;

/** What begins the walks that wait. */
const waiting: (() => void)[] = [];

/** Removes a tree after others, where many are at it. */
export function* inTurn<T>(io: Io, removal: Op<T>): Op<T> {
  if (io.blocking) return yield* removal;
  if (walks < AT_ONCE) walks++;
  else yield new Promise<void>((resolve) => waiting.push(resolve));
  try {
    return yield* removal;
  } finally {
    const next = waiting.shift();
    if (next === undefined) walks--;
    else next();
  }
}
