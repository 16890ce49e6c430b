import assert from "node:assert/strict";
import fc from "fast-check";
import { namedTemporaryFileSync } from "../../lib/file/named.ts";
import { spooledTemporaryFile } from "../../lib/file/spooled.ts";
import type { TemporaryFile } from "../../lib/file/file.ts";
import { temporaryFileSync } from "../../lib/file/unnamed.ts";
import { Model, type Operation, operation, outcome } from "../support/model.ts";
import { packageTest as test } from "../support/once.ts";
import { memory, scratch } from "../support/scratch.ts";
import { changed, type Stub, substitute, systemError } from "../support/substitute.ts";

/** Sequences per kind of file. */
const RUNS = 300;
/** The code of a fault. */
const FAULT = "EIO";

/** What happens to a call: it may fail, also after it was carried out, or be carried out in part. */
type Fate = "succeeds" | "fails" | "fails afterwards" | "is short";

const fates = fc.array(
  fc.constantFrom<Fate>("succeeds", "succeeds", "succeeds", "fails", "fails afterwards", "is short"),
  { minLength: 10, maxLength: 30, size: "max" },
);
const settings = fc.record({
  bufferSize: fc.constantFrom(0, 7, 65_536),
  maxMemory: fc.constantFrom(0, 10, 50, 100_000),
});
const steps = fc.array(fc.tuple(operation, fc.boolean()), { minLength: 1, maxLength: 25, size: "max" });

/** Gives the calls of primitives their fates, one after the other, over and over. */
class Fates {
  active = false;
  failures = 0;
  #fates: Fate[] = [];
  #next = 0;

  start(fates: Fate[]): void {
    this.#fates = fates;
    this.#next = 0;
  }

  next(): Fate {
    return this.active ? this.#fates[this.#next++ % this.#fates.length] : "succeeds";
  }

  fail(): never {
    this.failures++;
    throw systemError(FAULT);
  }

  /** A call that fails instead of being carried out. */
  readonly refused: Stub = (real, ...args) => this.next() === "succeeds" ? real(...args) : this.fail();

  /** A read or a write. */
  readonly transfer: Stub = (real, handle: unknown, bytes: Uint8Array, at: number) => {
    const fate = this.next();
    if (fate === "fails") this.fail();
    const count = real(
      handle,
      fate === "is short" ? bytes.subarray(0, Math.ceil(bytes.length / 2)) : bytes,
      at,
    );
    return fate === "fails afterwards" ? changed(count, () => this.fail()) : count;
  };
}

/** Checks that a failed operation changed nothing, but for the bytes that it was to write, any of which may be new. */
function requireIntact(
  file: TemporaryFile,
  { text, overlaps }: Operation,
  before: Model,
  after: Model,
): void {
  const found = [...file.bytesSync()];
  if (!text.startsWith("write(")) {
    assert.deepEqual([found, file.position], [before.bytes, before.position], text);
    return;
  }
  assert.ok(found.length >= before.bytes.length, `${text}: nothing is cut off`);
  for (const [index, byte] of found.entries()) {
    const allowed = [before.bytes[index] ?? 0, after.bytes[index]];
    assert.ok(allowed.includes(byte), `${text}: ${byte} at ${index} is none of ${allowed}`);
  }
  // A source is written chunk by chunk.
  if (overlaps) assert.equal(file.position, before.position, `${text}: position`);
}

async function compareWithModel(
  open: (options: { dir: string; bufferSize: number; maxMemory: number }) => TemporaryFile,
): Promise<void> {
  using place = scratch(memory);
  const calls = new Fates();
  const { transfer, refused } = calls;
  using _substitute = substitute({
    primitives: {
      read: transfer,
      write: transfer,
      truncate: refused,
      statusOf: refused,
      createUnnamed: refused,
    },
  });
  const property = fc.asyncProperty(settings, fates, steps, async (options, fates, steps) => {
    calls.start(fates);
    const model = new Model({ maxSize: undefined, encoding: "utf-8", newline: undefined, fatal: false });
    await using file = open({ dir: place.path, ...options });
    for (const [step, sync] of steps) {
      const before = Object.assign(new Model(model.options), model, { bytes: [...model.bytes] });
      calls.active = true;
      const got = await outcome(() => sync && step.sync !== undefined ? step.sync(file) : step.async(file));
      calls.active = false;
      const wanted = await outcome(() => step.model(model));
      if ((got as { error?: string }).error === FAULT) {
        requireIntact(file, step, before, model);
        Object.assign(model, { bytes: [...file.bytesSync()], position: file.position });
      } else assert.deepEqual([got, file.position], [wanted, model.position], step.text);
    }
    assert.deepEqual([...file.bytesSync()], model.bytes);
  });
  await fc.assert(property, { numRuns: RUNS });
  assert.ok(calls.failures > RUNS, `${calls.failures} calls failed`);
  assert.deepEqual(place.list(), [], "the directory is empty");
}

test("a call on an unnamed file that fails changes nothing but what it was to write", async () => {
  await compareWithModel((options) => temporaryFileSync(options));
});

test("a call on a named file that fails changes nothing but what it was to write", async () => {
  await compareWithModel((options) => namedTemporaryFileSync(options));
});

test("C204 a call on a spooled file that fails changes nothing but what it was to write, in memory and on disk", async () => {
  await compareWithModel((options) => spooledTemporaryFile(options));
});
