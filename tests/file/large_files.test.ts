import assert from "node:assert/strict";
import { test } from "node:test";
import { fstatSync } from "node:fs";
import { temporaryFile } from "#mod";
import { spooledTemporaryFile as spooledOfSource } from "../../lib/file/spooled.ts";
import { temporaryFile as unnamedOfSource } from "../../lib/file/unnamed.ts";
import { eachKind, failureOf } from "../support/kinds.ts";
import { onceInAll } from "../support/once.ts";
import { substitute } from "../support/substitute.ts";

const GiB = 1024 ** 3;

test("writes, reads, seeks and size() are exact in a sparse file of more than 4 GiB", async () => {
  for await (const [kind, file] of eachKind()) {
    if (kind === "spooled, in memory") continue;
    await file.write("start");
    await file.seek(5 * GiB + 1);
    assert.equal(await file.write("at five"), 7, kind);
    assert.equal(file.position, 5 * GiB + 8, kind);
    assert.equal(file.writeSync("at six", { at: 6 * GiB - 3 }), 6, kind);
    assert.equal(await file.size(), 6 * GiB + 3, kind);
    const into = new Uint8Array(9);
    assert.equal(await file.readInto(into, { at: 5 * GiB }), 9, kind);
    assert.equal(new TextDecoder().decode(into), "\0at five\0", kind);
    assert.equal(file.readIntoSync(into, { at: 6 * GiB - 3 }), 6, kind);
    assert.equal(new TextDecoder().decode(into.subarray(0, 6)), "at six", kind);
    await file.seek(-4, "end");
    assert.equal(file.position, 6 * GiB - 1, kind);
    assert.equal(await file.readText(), " six", kind);
    assert.equal(file.seekSync(5 * GiB + 4), 5 * GiB + 4, kind);
    assert.equal(new TextDecoder().decode(await file.read(4)), "five", kind);
    assert.equal(await file.readInto(into, { at: 2 ** 32 }), 9, kind);
    assert.deepEqual([...into], Array(9).fill(0), kind);
    await file.seek(0);
    assert.equal(await file.readText(5), "start", kind);
  }
});

test("streams, lines and blobs work beyond 4 GiB", async () => {
  for await (const [kind, file] of eachKind()) {
    if (kind === "spooled, in memory") continue;
    const at = 4 * GiB + 10;
    await file.write("one\ntwo\n", { at });
    assert.equal(await new Response(file.stream({ at })).text(), "one\ntwo\n", kind);
    const lines: string[] = [];
    for await (const line of file.lines({ at })) lines.push(line);
    assert.deepEqual(lines, ["one", "two"], kind);
    const blob = await file.blob();
    assert.equal(blob.size, at + 8, kind);
    assert.equal(await blob.slice(-4).text(), "two\n", kind);
    assert.equal(await blob.slice(at, at + 3).text(), "one", kind);
    await file.seek(at);
    await file.write(new Blob(["ONE"]));
    assert.equal(file.position, at + 3, kind);
    assert.equal(await blob.slice(at).text(), "ONE\ntwo\n", kind);
  }
});

test(
  "lines() fails with EFBIG at a line longer than a string can be (once in all)",
  { skip: onceInAll },
  async () => {
    await using file = await temporaryFile();
    await file.write("short\n");
    await file.truncate(2 ** 29 + 6);
    const lengths: number[] = [];
    const all = async (): Promise<void> => {
      for await (const line of file.lines()) lengths.push(line.length);
    };
    await assert.rejects(all(), { name: "TempfileError", code: "EFBIG" });
    assert.deepEqual(lengths, [5]);
  },
);

test("truncate() extends and shortens files beyond 4 GiB", async () => {
  for await (const [kind, file] of eachKind()) {
    if (kind === "spooled, in memory") continue;
    await file.truncate(5 * GiB + 3);
    assert.equal(await file.size(), 5 * GiB + 3, kind);
    assert.equal(fstatSync(file.fd).size, 5 * GiB + 3, kind);
    file.truncateSync(4 * GiB + 1);
    assert.equal(file.sizeSync(), 4 * GiB + 1, kind);
    await file.truncate(1);
    assert.equal(await file.size(), 1, kind);
  }
});

test("maxSize beyond 4 GiB is exact to the byte", async () => {
  for await (const [kind, file] of eachKind({ maxSize: 5 * GiB })) {
    if (kind === "spooled, in memory") continue;
    assert.equal(await failureOf(() => file.write("ab", { at: 5 * GiB - 1 })), "EFBIG", kind);
    assert.equal(await failureOf(() => file.truncate(5 * GiB + 1)), "EFBIG", kind);
    await file.write("a", { at: 5 * GiB - 1 });
    assert.equal(await file.size(), 5 * GiB, kind);
  }
});

test("writes and reads of more than 2 GiB are split into system calls of 1 GiB", async () => {
  // The calls only pretend to succeed, so that the memory is never touched.
  const sizes: number[] = [];
  const pretend = (_real: unknown, _handle: unknown, bytes: Uint8Array, at: number): number => {
    if (bytes.byteLength > GiB) throw new RangeError("too much at once");
    assert.equal(at, sizes.reduce((one, other) => one + other, 0));
    sizes.push(bytes.byteLength);
    return bytes.byteLength;
  };
  for (const open of [() => unnamedOfSource(), () => spooledOfSource({ maxMemory: 0 })]) {
    await using file = await open();
    await file.write("x", { at: 0 });
    await file.flush();
    using _runtime = substitute({ primitives: { write: pretend, read: pretend } });
    const large = new Uint8Array(2.5 * GiB);
    sizes.length = 0;
    assert.equal(file.writeSync(large), 2.5 * GiB);
    assert.deepEqual(sizes, [GiB, GiB, GiB / 2]);
    assert.equal(file.position, 2.5 * GiB);
    sizes.length = 0;
    assert.equal(file.readIntoSync(large, { at: 0 }), 2.5 * GiB);
    assert.deepEqual(sizes, [GiB, GiB, GiB / 2]);
  }
});
