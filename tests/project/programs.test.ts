import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import fc from "fast-check";
import * as m from "#mod";
import { packageTest as test } from "../support/once.ts";
import { Model, programs, Real } from "../support/program.ts";
import { namesLinger } from "../support/platform.ts";
import { memory, scratch } from "../support/scratch.ts";

/** The same programs in each run. `MAYFLY_PROGRAMS=50000` runs so many random ones, to search for new failures. */
const { MAYFLY_PROGRAMS: wanted } = process.env;
const PARAMETERS = wanted === undefined ? { numRuns: 300, seed: 20_251_125 } : { numRuns: Number(wanted) };
const LENGTH = 25;

test(
  "random sequences of public calls leave on disk and in the registry what a model predicts, after each step",
  { skip: namesLinger, onOneNode: true },
  async () => {
    using place = scratch(memory);
    let count = 0;
    const property = fc.asyncProperty(programs(LENGTH), async (steps) => {
      const dir = join(place.path, String(count++));
      mkdirSync(dir);
      const model = new Model(), real = new Real(m, dir);
      try {
        await fc.asyncModelRun(() => ({ model, real }), steps);
      } finally {
        for (const handle of real.handles.slice(1)) await handle[Symbol.asyncDispose]();
      }
      assert.deepEqual([m.usageSync().files, m.usageSync().directories], [[], []], "the registry is empty");
    });
    await fc.assert(property, PARAMETERS);
  },
);
