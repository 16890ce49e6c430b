import assert from "node:assert/strict";
import { temporaryFile } from "../../lib/file/unnamed.ts";
import { gcEvery } from "../../lib/runtime/collector.ts";
import { nodeRuntime } from "../../lib/runtime/node.ts";
import { fakeProcess } from "../support/fake_runtimes.ts";
import { packageTest as test } from "../support/once.ts";
import { substitute } from "../support/substitute.ts";

const MiB = 1024 * 1024;

/** Replaces `ArrayBuffer` by a constructor that calls `allocate`. */
function substituteBuffers(allocate: (bytes: number) => void): Disposable {
  const { ArrayBuffer } = globalThis;
  globalThis.ArrayBuffer = function (bytes: number) {
    allocate(bytes);
  } as never;
  return { [Symbol.dispose]: () => void (globalThis.ArrayBuffer = ArrayBuffer) };
}

test("gcEvery() allocates a large buffer once per given number of bytes, whatever the sizes reported", () => {
  const allocated: number[] = [];
  const report = gcEvery(4 * MiB);
  using _ = substituteBuffers((bytes) => allocated.push(bytes));
  report(4 * MiB - 1);
  assert.deepEqual(allocated, []);
  report(1);
  assert.deepEqual(allocated, [64 * MiB]);
  for (let i = 0; i < 32; i++) report(MiB / 4);
  assert.deepEqual(allocated, [64 * MiB, 64 * MiB, 64 * MiB]);
});

test("gcEvery() ignores a failure to allocate its buffer, and tries again", () => {
  let tries = 0;
  const report = gcEvery(MiB);
  using _ = substituteBuffers(() => {
    tries++;
    throw new RangeError("Array buffer allocation failed");
  });
  report(MiB);
  report(MiB);
  assert.equal(tries, 2);
});

test("runtime.allocated exists only on Node versions whose garbage collector runs late", () => {
  const allocatedOn = (node: string) => nodeRuntime(fakeProcess({ versions: { node } }).process).allocated;
  assert.deepEqual(
    [typeof allocatedOn("22.1.0"), typeof allocatedOn("24.0.0"), typeof allocatedOn("26.1.0")],
    [
      "undefined",
      "function",
      "function",
    ],
  );
});

test("streams and iterators report each chunk that they allocate, and BYOB readers, which have their own buffers, none", async () => {
  let reported = 0;
  using _ = substitute({ runtime: { allocated: (bytes) => reported += bytes } });
  await using file = await temporaryFile();
  await file.write(new Uint8Array(MiB));
  for await (const _chunk of file) assert.ok(reported > 0);
  assert.equal(reported, MiB);
  for await (const _chunk of file.stream()) assert.ok(reported > MiB);
  assert.ok(reported >= 2 * MiB);
  reported = 0;
  const reader = file.stream().getReader({ mode: "byob" });
  while (!(await reader.read(new Uint8Array(MiB / 4))).done);
  assert.equal(reported, 0);
});
