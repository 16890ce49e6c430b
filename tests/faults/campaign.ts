/**
 * What a run tries of all that `npm run faults` tries.
 *
 * @module
 */
import process from "node:process";

/** Whether to try everything. */
export const isCampaign: boolean = process.env.MAYFLY_FAULTS === "all";

/** Decides what else is tried. */
export const seed: number = Number(process.env.MAYFLY_SEED ?? Math.floor(Math.random() * 1e6));

/** Coverage must not depend on chance. */
const isWhole = isCampaign || process.env.NODE_V8_COVERAGE !== undefined;

/**
 * Returns one of each two neighbours, the first and the second in turns, since these are often the same for a file and for
 * a directory; the others with the next seed.
 */
export const everyOther = <T>(all: readonly T[]): T[] =>
  all.filter((_, at) => isWhole || (at ^ at >> 1 ^ seed) % 2 === 0);
