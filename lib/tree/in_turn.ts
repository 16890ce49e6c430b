/**
 * Many trees that are removed at once: some walks at a time, the others after them.
 *
 * @module
 */
import type { Leftover } from "../errors.ts";
import type { Identity } from "../identity.ts";
import type { Io } from "../io.ts";
import type { Op } from "../op.ts";
import { removeFull } from "./remove.ts";

/** Trees that are walked at once, with twenty descriptors each at most: there may be none for more. */
const AT_ONCE = 8;

let walks = 0;

/** What begins the walks that wait. */
const waiting: (() => void)[] = [];

/** As {@linkcode removeFull}, after others where many are at it. */
export function* removeInTurn(io: Io, path: string, identity: Identity): Op<Leftover[]> {
  if (io.blocking) return yield* removeFull(io, path, identity);
  if (walks < AT_ONCE) walks++;
  else yield new Promise<void>((resolve) => waiting.push(resolve));
  try {
    return yield* removeFull(io, path, identity);
  } finally {
    const next = waiting.shift();
    if (next === undefined) walks--;
    else next();
  }
}
