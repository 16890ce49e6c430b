import assert from "node:assert/strict";
import fc from "fast-check";
import { namedTemporaryFile, spooledTemporaryFile, type TemporaryFile, temporaryFile } from "#mod";
import { spooledTemporaryFile as spooledOfSource } from "../../lib/file/spooled.ts";
import { temporaryFile as unnamedOfSource } from "../../lib/file/unnamed.ts";
import { Model, operation, outcome } from "../support/model.ts";
import { packageTest as test } from "../support/once.ts";
import { memory, scratch } from "../support/scratch.ts";
import { substitute } from "../support/substitute.ts";

/** Sequences per kind of file and seed: four kinds and two seeds make more than a thousand in all. */
const RUNS = 200;
const SEED = 20_251_124;

const settings = fc.record({
  bufferSize: fc.constantFrom(0, 7, 65_536),
  maxSize: fc.constantFrom(undefined, 60),
  maxMemory: fc.constantFrom(0, 10, 50, 100_000),
  encoding: fc.constantFrom("utf-8", "utf-8", "utf-16le", "latin1"),
  newline: fc.constantFrom(undefined, undefined, "\n", "\r\n"),
  fatal: fc.boolean(),
});

type Settings = typeof settings extends fc.Arbitrary<infer S> ? S : never;

/** How an operation is called: awaited, as its synchronous twin, or together with those that follow. */
const steps = fc.array(
  fc.tuple(operation, fc.constantFrom("await", "sync", "together")),
  { minLength: 1, maxLength: 25, size: "max" },
);

/** Compares a kind of file with the model, over sequences of a fixed seed and of a random one. */
async function compareWithModel(
  open: (dir: string, options: Settings) => TemporaryFile | Promise<TemporaryFile>,
): Promise<void> {
  using place = scratch(memory);
  const property = fc.asyncProperty(settings, steps, async (options, calls) => {
    const model = new Model(options);
    const file = await open(place.path, options);
    const pending: Promise<void>[] = [];
    for (const [call, way] of calls) {
      const title = `${call.text} ${way}`;
      const together = way === "together" && call.overlaps;
      if (!together) await Promise.all(pending.splice(0));
      const useSync = way === "sync" && call.sync !== undefined;
      const got = outcome(() => useSync ? call.sync!(file) : call.async(file));
      const position = together ? undefined : await got.then(() => file.position);
      const wanted = await outcome(() => call.model(model));
      pending.push(got.then((value) => assert.deepEqual(value, wanted, title)));
      if (!together) {
        await Promise.all(pending.splice(0));
        assert.equal(position, model.position, `position after ${title}`);
      }
    }
    await Promise.all(pending);
    assert.equal(file.position, model.position);
    assert.deepEqual([...await file.bytes()], model.bytes);
    await file.close();
    assert.deepEqual(await outcome(() => file.bytes()), { error: "ERR_CLOSED" });
  });
  await fc.assert(property, { numRuns: RUNS, seed: SEED });
  await fc.assert(property, { numRuns: RUNS });
  assert.deepEqual(place.list(), [], "the directory is empty");
}

test("an unnamed file behaves like the in-memory model over random operations", async () => {
  await compareWithModel((dir, options) => temporaryFile({ dir, ...options }));
});

test("a named file behaves like the in-memory model over random operations", async () => {
  await compareWithModel((dir, options) => namedTemporaryFile({ dir, ...options }));
});

test("a spooled file behaves like the in-memory model over random operations, across its move to disk", async () => {
  await compareWithModel((dir, options) => spooledTemporaryFile({ dir, ...options }));
});

test("files behave like the in-memory model when the system's reads and writes are short", async () => {
  let call = 0;
  const some = (bytes: Uint8Array): Uint8Array =>
    bytes.subarray(0, Math.max(1, Math.ceil(bytes.length * (++call % 4) / 3)));
  const short = (
    real: (...args: unknown[]) => unknown,
    handle: unknown,
    bytes: Uint8Array,
    at: number,
  ): unknown => real(handle, bytes.length === 0 ? bytes : some(bytes), at);
  using runtime = substitute({ primitives: { read: short, write: short } });
  let turn = 0;
  await compareWithModel((dir, options) =>
    ++turn % 2 === 0 ? unnamedOfSource({ dir, ...options }) : spooledOfSource({ dir, ...options })
  );
  assert.ok(runtime.of("write").length > 1000, "the writes were intercepted");
});
