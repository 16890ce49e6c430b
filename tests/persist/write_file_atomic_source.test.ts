/**
 * `writeFileAtomic()` and its source: streams and iterables that are slow, fail, or yield too much.
 *
 * @module
 */
import assert from "node:assert/strict";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { writeFileAtomic } from "#mod";
import { writeFileAtomic as sourceAtomic } from "../../lib/persist/write_file_atomic.ts";
import { variants } from "../support/atomic_writes.ts";
import { failureOf, pattern } from "../support/kinds.ts";
import { packageTest as test } from "../support/once.ts";
import { scratch } from "../support/scratch.ts";
import { substitute } from "../support/substitute.ts";

test("writeFileAtomic() reads its source chunk by chunk, and asks for the next one only after writing the last", async () => {
  using place = scratch();
  const path = join(place.path, "file");
  let asked = 0, behind = 0;
  using watched = substitute();
  await sourceAtomic(path, {
    async *[Symbol.asyncIterator]() {
      for (; asked < 20; asked++) {
        behind = Math.max(behind, asked - watched.of("write").length);
        yield pattern(200_000);
      }
    },
  });
  assert.deepEqual([statSync(path).size, behind], [4_000_000, 0]);
});

test("writeFileAtomic() fails with EFBIG beyond maxSize, leaves the old file, and cancels a stream that exceeds it", async () => {
  using place = scratch();
  const path = join(place.path, "file");
  for (const write of Object.values(variants)) {
    await write(path, "12345", { maxSize: 5 });
    assert.equal(await failureOf(() => write(path, "123456", { maxSize: 5 })), "EFBIG");
  }
  let cancelled: unknown;
  const endless = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(pattern(1000)),
    cancel: (reason) => void (cancelled = reason),
  });
  assert.equal(await failureOf(() => writeFileAtomic(path, endless, { maxSize: 100_000 })), "EFBIG");
  assert.equal((cancelled as { code?: string }).code, "EFBIG");
  assert.equal(readFileSync(path, "utf8"), "12345");
  assert.deepEqual(place.list(), ["file"]);
});

test("writeFileAtomic() whose source fails or yields invalid data leaves the old file; the source of invalid data is closed", async () => {
  using place = scratch();
  const path = join(place.path, "file");
  writeFileSync(path, "old");
  async function* failing(): AsyncGenerator<string> {
    yield "part";
    await Promise.resolve();
    throw new RangeError("broken source");
  }
  await assert.rejects(writeFileAtomic(path, failing()), { name: "RangeError", message: "broken source" });
  let returned = false;
  const wrong = {
    async *[Symbol.asyncIterator]() {
      try {
        yield "good";
        yield 5 as unknown as string;
      } finally {
        returned = true;
      }
    },
  };
  assert.equal(await failureOf(() => writeFileAtomic(path, wrong)), "TypeError ERR_INVALID_OPTION");
  assert.ok(returned);
  const errored = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.error(new Error("torn")),
  });
  await assert.rejects(writeFileAtomic(path, errored), /torn/);
  assert.equal(readFileSync(path, "utf8"), "old");
  assert.deepEqual(place.list(), ["file"]);
});

test("writeFileAtomic() cancels its stream if the target is unusable or the signal is already aborted", async () => {
  using place = scratch();
  let cancelled = 0;
  const stream = (): ReadableStream<Uint8Array> => new ReadableStream({ cancel: () => void cancelled++ });
  assert.equal(
    await failureOf(() => writeFileAtomic(join(place.path, "missing", "file"), stream())),
    "ENOENT",
  );
  assert.equal(await failureOf(() => writeFileAtomic(place.path, stream())), "EISDIR");
  const signal = AbortSignal.abort(new Error("never mind"));
  await assert.rejects(writeFileAtomic(join(place.path, "file"), stream(), { signal }), /never mind/);
  assert.equal(cancelled, 3);
});

test("writeFileAtomic() aborted by its signal while the source is stalled leaves the old file, and frees its path", async () => {
  using place = scratch();
  const path = join(place.path, "file");
  writeFileSync(path, "old");
  const silent: { [name: string]: () => ReadableStream<Uint8Array> | AsyncIterable<string> } = {
    "stream": () =>
      new ReadableStream<Uint8Array>({ start: (controller) => controller.enqueue(pattern(10)) }),
    "generator": async function* () {
      yield "part";
      await new Promise(() => {});
    },
  };
  for (const [name, source] of Object.entries(silent)) {
    const controller = new AbortController();
    const written = writeFileAtomic(path, source(), { signal: controller.signal });
    setTimeout(() => controller.abort(new Error(`stop the ${name}`)), 20);
    await assert.rejects(written, new RegExp(`stop the ${name}`));
    assert.equal(readFileSync(path, "utf8"), "old");
    assert.deepEqual(place.list(), ["file"]);
  }
  // The aborted call no longer blocks its path.
  await writeFileAtomic(path, "new");
  assert.equal(readFileSync(path, "utf8"), "new");
});

test("writeFileAtomic() aborted by its own source does not wait for the source's next chunk", async () => {
  using place = scratch();
  const path = join(place.path, "file");
  writeFileSync(path, "old");
  const controller = new AbortController(), reason = new Error("enough");
  let asked = 0;
  const source: AsyncIterable<string> = {
    [Symbol.asyncIterator]: () => ({
      next() {
        if (asked++ === 0) return Promise.resolve({ value: "new", done: false });
        controller.abort(reason);
        return new Promise(() => {});
      },
    }),
  };
  await assert.rejects(writeFileAtomic(path, source, { signal: controller.signal }), reason);
  assert.deepEqual([asked, readFileSync(path, "utf8"), place.list()], [2, "old", ["file"]]);
});
