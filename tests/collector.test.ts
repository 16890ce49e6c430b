import assert from "node:assert/strict";
import { test } from "node:test";
import { temporaryFile } from "../lib/file/unnamed.ts";
import { gcEvery } from "../lib/runtime/collector.ts";
import { nodeRuntime } from "../lib/runtime/node.ts";
import { fakeProcess } from "./support/fake_runtimes.ts";
import { substitute } from "./support/substitute.ts";

const MiB = 1024 * 1024;

/** Puts `allocate` in the place of what makes the array. */
function substituteBuffers(allocate: (bytes: number) => void): Disposable {
  const { ArrayBuffer } = globalThis;
  globalThis.ArrayBuffer = function (bytes: number) {
    allocate(bytes);
  } as never;
  return { [Symbol.dispose]: () => void (globalThis.ArrayBuffer = ArrayBuffer) };
}

test("the collector is hurried once for each so many bytes, whatever the pieces", () => {
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

test("where there is no room to hurry it, all goes on", () => {
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

test("only versions of Node whose collector comes late hurry it", () => {
  const of = (node: string) => nodeRuntime(fakeProcess({ versions: { node } }).process).allocated;
  assert.deepEqual([typeof of("22.1.0"), typeof of("24.0.0"), typeof of("26.1.0")], [
    "undefined",
    "function",
    "function",
  ]);
});

test("streams and iterators tell of each chunk that is new memory, and readers with buffers of their own of none", async () => {
  let told = 0;
  using _ = substitute({ runtime: { allocated: (bytes) => told += bytes } });
  await using file = await temporaryFile();
  await file.write(new Uint8Array(MiB));
  for await (const _chunk of file) assert.ok(told > 0);
  assert.equal(told, MiB);
  for await (const _chunk of file.stream()) assert.ok(told > MiB);
  assert.ok(told >= 2 * MiB);
  told = 0;
  const reader = file.stream().getReader({ mode: "byob" });
  while (!(await reader.read(new Uint8Array(MiB / 4))).done);
  assert.equal(told, 0);
});
