import assert from "node:assert/strict";
import { fstatSync, mkdirSync, readSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  type SpooledOptions,
  SpooledTemporaryFile,
  spooledTemporaryFile,
  TemporaryFile,
  temporaryFile,
} from "#mod";
import { namedTemporaryFileSync as namedOfSource } from "../../lib/file/named.ts";
import { spooledTemporaryFile as spooledOfSource } from "../../lib/file/spooled.ts";
import { configure } from "../../lib/settings.ts";
import { runWithGc } from "../support/gc.ts";
import { failureOf, pattern, sameBytes, usesOf } from "../support/kinds.ts";
import { packageTest } from "../support/once.ts";
import { noMounts, runOnSmallDisk } from "../support/places.ts";
import { isWindows, namesStay, shownMode } from "../support/platform.ts";
import { scratch } from "../support/scratch.ts";
import {
  type Call,
  type Changes,
  heldLease,
  type Stub,
  substitute,
  systemError,
} from "../support/substitute.ts";

const LETTERS = "abcdefghijklmnopqrstuvwxyz";

/** Matches the primitives that create a file, with or without a name. */
const isCreation = ({ name }: Call): boolean => /^create/.test(name);

/** Runs a test on a file in memory and on one that has moved to disk. */
async function onBoth(body: (file: SpooledTemporaryFile, storage: string) => Promise<void>): Promise<void> {
  for (const [storage, maxMemory] of [["in memory", 1000], ["on disk", 1]] as const) {
    await using file = spooledTemporaryFile({ maxMemory });
    if (storage === "on disk") {
      await file.write("xx");
      assert.equal(file.rolled, true, "the file is on disk");
      await file.truncate(0);
      await file.seek(0);
    }
    await body(file, storage);
    assert.equal(file.rolled, storage === "on disk");
  }
}

test("C169 a new spooled file is not rolled, at position 0, and empty", async () => {
  await using file = spooledTemporaryFile();
  assert.equal(file.rolled, false);
  assert.equal(file.position, 0);
  assert.equal((await file.read()).length, 0);
  assert.equal(file.readTextSync(), "");
  assert.equal(await file.size(), 0);
});

test("C170 a spooled file has the methods of other files, in memory and on disk", async () => {
  await using file = spooledTemporaryFile();
  assert.ok(file instanceof TemporaryFile);
  assert.ok(file instanceof SpooledTemporaryFile);
  for (const storage of ["memory", "disk"]) {
    await file.truncate(0);
    await file.seek(0);
    await file.write("[1,\n");
    file.writeSync("2]");
    assert.deepEqual(await file.json(), [1, 2], storage);
    assert.deepEqual(file.jsonSync(), [1, 2], storage);
    assert.equal(await file.text(), "[1,\n2]", storage);
    assert.equal(file.bytesSync().length, 6, storage);
    assert.equal(await (await file.blob()).text(), "[1,\n2]", storage);
    assert.equal(await new Response(file.readable).text(), "[1,\n2]", storage);
    const lines: string[] = [];
    for await (const line of file.lines()) lines.push(line);
    assert.deepEqual(lines, ["[1,", "2]"], storage);
    for await (const chunk of file) assert.equal(chunk.length, 6, storage);
    const writer = file.writable.getWriter();
    await writer.write("!");
    await writer.close();
    assert.equal(file.seekSync(-1, "end"), 6, storage);
    assert.equal(await file.readText(), "!", storage);
    assert.equal(file.readIntoSync(new Uint8Array(9), { at: 4 }), 3, storage);
    file.flushSync();
    await file.rollover();
  }
  assert.equal(file.rolled, true);
  await file.sync();
  assert.equal(typeof file.fd, "number");
});

test("C170 every method of an unnamed file has the same outcome on a spooled one, in memory and on disk", async () => {
  await using any = await temporaryFile();
  const uses = Object.keys(usesOf(any));
  const others = ["constructor", "closed", "position", "persist", "persistSync", "close", "closeSync"];
  assert.deepEqual(
    uses.toSorted(),
    Object.getOwnPropertyNames(TemporaryFile.prototype).filter((name) => !others.includes(name)).sort(),
  );
  for (const name of uses) {
    const outcomes: string[] = [];
    for (
      const open of [
        () => temporaryFile(),
        () => spooledTemporaryFile(),
        () => spooledTemporaryFile({ maxMemory: 0 }),
      ]
    ) {
      await using file = await open();
      await file.write("[1]");
      await file.seek(0);
      outcomes.push(await failureOf(usesOf(file)[name]) + ` ${await file.size()} ${file.position}`);
    }
    assert.equal(new Set(outcomes).size, 1, `${name}: ${outcomes}`);
    if (!/lock/i.test(name)) assert.match(outcomes[0], /^nothing /, name);
  }
});

test("C171 rewriting the first 20 bytes repeatedly stays in memory with maxMemory 30", async () => {
  await using file = spooledTemporaryFile({ maxMemory: 30 });
  for (let i = 0; i < 5; i++) {
    await file.seek(0);
    await file.write("a".repeat(20));
  }
  assert.equal(file.rolled, false);
  assert.equal(await file.text(), "a".repeat(20));
});

test("C172 20 and 10 bytes stay in memory with maxMemory 30; one more moves the file to disk", async () => {
  await using file = spooledTemporaryFile({ maxMemory: 30 });
  await file.write("a".repeat(20));
  await file.write("b".repeat(10));
  assert.equal(file.rolled, false);
  await file.write("c");
  assert.equal(file.rolled, true);
  assert.equal(await file.text(), "a".repeat(20) + "b".repeat(10) + "c");
});

test("C173 C174 a write that would exceed maxMemory moves the file to disk first, and keeps position and contents", async () => {
  // Otherwise the first write would go to the lease where a file on disk has a name (Windows).
  using _lease = heldLease();
  using place = scratch();
  using runtime = substitute();
  await using file = spooledOfSource({ dir: place.path, maxMemory: 10 });
  await file.write("abcde");
  assert.equal(runtime.calls.some(isCreation), false);
  await file.write("0123456789");
  assert.equal(file.rolled, true);
  assert.equal(file.position, 15);
  assert.equal(await file.text(), "abcde0123456789");
  const created = runtime.calls.findIndex(isCreation);
  const first = runtime.calls.slice(created).find(({ name }) => name === "write")!;
  assert.equal((first.args[1] as Uint8Array).length, 5, "memory held only the earlier write");
});

test("C175 maxMemory 0 moves the file to disk at the first byte, and Infinity never does", async () => {
  await using none = spooledTemporaryFile({ maxMemory: 0 });
  assert.equal(none.rolled, false, "nothing is written yet");
  await none.write("");
  assert.equal(none.rolled, false);
  await none.write("a");
  assert.equal(none.rolled, true);
  await using all = spooledTemporaryFile({ maxMemory: Infinity });
  for (let i = 0; i < 20; i++) await all.write(new Uint8Array(200_000));
  assert.equal(all.rolled, false);
  assert.equal(await all.size(), 4_000_000);
});

test("C176 a chunk far larger than maxMemory is written to disk without a copy in memory", async () => {
  using place = scratch();
  using runtime = substitute();
  await using file = spooledOfSource({ dir: place.path, maxMemory: 1000 });
  await using waiting = spooledOfSource({ dir: place.path, maxMemory: 1000 });
  const large = pattern(200_000);
  for (const [of, write] of [[file, "writeSync"], [waiting, "write"]] as const) {
    runtime.calls.length = 0;
    await of[write](large);
    const created = runtime.calls.findIndex(isCreation);
    const writes = runtime.calls.slice(created).filter(({ name }) => name === "write");
    assert.equal(writes.length, 1, write);
    assert.equal((writes[0].args[1] as Uint8Array).buffer, large.buffer, write);
    assert.ok(sameBytes(await of.bytes(), large), write);
  }
});

test("C177 a write from an async iterable moves the file to disk at the chunk that exceeds maxMemory", async () => {
  await using file = spooledTemporaryFile({ maxMemory: 2 });
  const seen: boolean[] = [];
  await file.write((async function* () {
    yield "xy";
    seen.push(file.rolled);
    yield "z";
    seen.push(file.rolled);
  })());
  assert.deepEqual(seen, [false, true]);
  assert.equal(await file.text(), "xyz");
});

test("C178 C179 chunks of 20, 10 and 5 bytes stay in memory with maxMemory 35; one more moves to disk, where more are appended", async () => {
  await using file = spooledTemporaryFile({ maxMemory: 35 });
  await file.write(["a".repeat(20), "b".repeat(10), "c".repeat(5)]);
  assert.equal(file.rolled, false);
  await file.write(["d"]);
  assert.equal(file.rolled, true);
  await file.write(["e".repeat(20), "f"]);
  assert.equal(
    await file.text(),
    "a".repeat(20) + "b".repeat(10) + "c".repeat(5) + "d" + "e".repeat(20) + "f",
  );
});

test("C181 a seek beyond maxMemory stays in memory; a write there moves the file to disk, with zeros before it", async () => {
  await using file = spooledTemporaryFile({ maxMemory: 30 });
  await file.seek(100);
  assert.equal(file.rolled, false);
  await file.write("x");
  assert.equal(file.rolled, true);
  assert.equal(await file.text(), "\0".repeat(100) + "x");
});

test("C182 a gap left by a seek reads as zeros, in memory and on disk", async () => {
  await onBoth(async (file, storage) => {
    await file.write("abcde");
    await file.seek(5, "current");
    await file.write("klmno");
    assert.equal(await file.text(), "abcde\0\0\0\0\0klmno", storage);
    await file.truncate(7);
    await file.truncate(12);
    assert.equal(await file.text(), "abcde\0\0\0\0\0\0\0", "truncated bytes read as zeros");
  });
});

test("gaps of many pages read as zeros in memory, on disk and after the move to disk", async () => {
  for (const maxMemory of [0, 2 ** 22]) {
    await using file = spooledTemporaryFile({ maxMemory });
    await file.write("a");
    await file.write("b", { at: 3_000_000 });
    await file.write("c", { at: 100 });
    const wanted = new Uint8Array(3_000_001);
    wanted.set([97]);
    wanted.set([99], 100);
    wanted.set([98], 3_000_000);
    for (const when of ["before", "after"]) {
      const dirty = new Uint8Array(3_000_001).fill(255);
      assert.equal(await file.readInto(dirty, { at: 0 }), dirty.length);
      assert.ok(sameBytes(dirty, wanted), `${maxMemory} ${when} rollover()`);
      assert.equal(file.rolled, maxMemory === 0 || when === "after");
      await file.rollover();
    }
  }
});

test(
  "a gap of ten terabytes costs the move to disk neither time nor space (skipped on Windows, which fills gaps)",
  {
    skip: isWindows,
  },
  async () => {
    using place = scratch();
    const end = 10 ** 13;
    await using file = spooledTemporaryFile({ dir: place.path, maxMemory: Infinity });
    await file.write("last", { at: end });
    await file.write("first", { at: 0 });
    // Page by page, it would take a hundred and fifty million steps.
    await file.rollover();
    assert.equal(await file.size(), end + 4);
    const bytes = new Uint8Array(5);
    await file.readInto(bytes, { at: 0 });
    assert.equal(String.fromCharCode(...bytes), "first");
    assert.equal(await file.readInto(bytes, { at: end }), 4);
    assert.equal(String.fromCharCode(...bytes.subarray(0, 4)), "last");
  },
);

test("C183 a write after a gap that exceeds maxMemory moves the file to disk with the same contents", async () => {
  await using file = spooledTemporaryFile({ maxMemory: 10 });
  await file.write("abcde");
  await file.seek(5, "current");
  assert.equal(file.rolled, false);
  await file.write("klmno");
  assert.equal(file.rolled, true);
  assert.equal(await file.text(), "abcde\0\0\0\0\0klmno");
  assert.equal(file.position, 15);
});

test("C184 C193 overwriting the middle of a file gives the same contents in memory and on disk", async () => {
  await onBoth(async (file, storage) => {
    await file.write(LETTERS);
    await file.seek(10);
    await file.write("0123456789");
    assert.equal(file.position, 20, storage);
    assert.equal(await file.text(), "abcdefghij0123456789uvwxyz", storage);
  });
  const large = pattern(100_000);
  using file = spooledTemporaryFile({ maxMemory: large.length });
  file.writeSync(large.subarray(0, 5000));
  file.writeSync("middle", { at: 1000 });
  file.writeSync(large.subarray(5000));
  file.writeSync("middle", { at: 70_000 });
  for (const at of [1000, 70_000]) large.set(new TextEncoder().encode("middle"), at);
  assert.ok(sameBytes(file.bytesSync(), large));
  assert.equal(file.rolled, false);
});

test("C185 overwriting and extending the end stays in memory within maxMemory, and moves the file to disk beyond it", async () => {
  for (const [maxMemory, rolled] of [[100, false], [20, true]] as const) {
    await using file = spooledTemporaryFile({ maxMemory });
    await file.write("abcdefghijklmnopqrst");
    assert.equal(file.rolled, false);
    await file.write("uvwxyz");
    await file.seek(-5, "end");
    await file.write("0123456789");
    assert.equal(file.rolled, rolled);
    assert.equal(file.position, 31);
    assert.equal(await file.text(), "abcdefghijklmnopqrstu0123456789");
    await file.seek(30);
    assert.equal(await file.readText(), "9");
  }
});

test("C188 rollover() keeps the position and the contents, and a second call does nothing", async () => {
  for (const roll of ["rollover", "rolloverSync"] as const) {
    await using file = spooledTemporaryFile();
    await file.write(LETTERS);
    await file[roll]();
    assert.equal(file.rolled, true);
    assert.equal(file.position, 26);
    assert.equal(await file.text(), LETTERS);
    const { fd } = file;
    await file[roll]();
    assert.equal(file.fd, fd);
    await file.write("!");
    assert.equal(await file.text(), `${LETTERS}!`);
  }
});

test("C189 C207 reading fd moves the file to disk, and the descriptor has the contents from memory", async () => {
  await using file = spooledTemporaryFile();
  await file.write("in memory");
  assert.equal(file.rolled, false);
  const { fd } = file;
  assert.equal(file.rolled, true);
  const into = new Uint8Array(20);
  assert.equal(readSync(fd, into, 0, 20, 0), 9);
  assert.equal(new TextDecoder().decode(into.subarray(0, 9)), "in memory");
  await file.write(" and on");
  assert.equal(file.fd, fd, "the descriptor stays the same");
  assert.equal(readSync(fd, into, 0, 20, 0), 16);
});

test("C190 truncate() to 4 bytes and to 0 stays in memory", async () => {
  await using file = spooledTemporaryFile({ maxMemory: 30 });
  await file.write("abcdefg\n");
  await file.truncate(4);
  assert.equal(await file.text(), "abcd");
  await file.truncate(0);
  assert.equal(await file.text(), "");
  assert.equal(file.rolled, false);
  assert.equal(file.position, 8);
});

test("C191 truncate(20) with maxMemory 10 moves the file to disk, extends it with zeros and keeps the position", async () => {
  await using file = spooledTemporaryFile({ maxMemory: 10 });
  await file.write("abcdefg");
  await file.truncate(10);
  assert.equal(file.rolled, false);
  await file.truncate(20);
  assert.equal(file.rolled, true);
  assert.equal(await file.size(), 20);
  assert.equal(fstatSync(file.fd).size, 20);
  assert.equal(file.position, 7);
  assert.equal(await file.text(), "abcdefg" + "\0".repeat(13));
});

test("C192 truncate(10) leaves the position at 26, where a read returns nothing", async () => {
  await onBoth(async (file, storage) => {
    await file.write(LETTERS);
    await file.truncate(10);
    assert.equal(file.position, 26, storage);
    assert.equal((await file.read()).length, 0, storage);
    assert.equal(await file.text(), "abcdefghij", storage);
  });
});

test("C194 a write at the largest offset fails with EFBIG, in memory and on disk", async () => {
  await onBoth(async (file, storage) => {
    await file.write("abc");
    await file.seek(Number.MAX_SAFE_INTEGER);
    assert.equal(await failureOf(() => file.write("x")), "EFBIG", storage);
    assert.equal(await failureOf(() => file.writeSync("x")), "EFBIG", storage);
    assert.equal(await file.text(), "abc", storage);
  });
});

test("C195 truncate() sets a size over 2^32 exactly, and refuses 2^53 and finite sizes above with a RangeError", async () => {
  for (const maxMemory of [0, 100, Infinity]) {
    await using file = spooledTemporaryFile({ maxMemory });
    await file.write("abc");
    await file.truncate(2 ** 32 + 5);
    assert.equal(await file.size(), 2 ** 32 + 5);
    assert.equal(file.rolled, maxMemory !== Infinity);
    await file.write("z", { at: 2 ** 32 + 4 });
    const into = new Uint8Array(5);
    assert.equal(await file.readInto(into, { at: 2 ** 32 }), 5);
    assert.deepEqual([...into], [0, 0, 0, 0, 122]);
    assert.equal(await file.readInto(into, { at: 0 }), 5);
    assert.deepEqual([...into], [97, 98, 99, 0, 0]);
    for (const size of [2 ** 53, 2 ** 64, 1e300, -1]) {
      assert.equal(await failureOf(() => file.truncate(size)), "RangeError ERR_INVALID_OPTION");
      assert.equal(await failureOf(() => file.truncateSync(size)), "RangeError ERR_INVALID_OPTION");
    }
    assert.equal(await failureOf(() => file.truncate(Infinity)), "EFBIG");
    assert.equal(await file.size(), 2 ** 32 + 5);
  }
});

test("C196 repeated close() succeeds in memory and on disk, and rolled keeps its value", async () => {
  for (const rolled of [false, true]) {
    const file = spooledTemporaryFile({ maxMemory: 5 });
    await file.write(rolled ? "too much" : "fits");
    await file.close();
    await file.close();
    file.closeSync();
    assert.equal(file.rolled, rolled);
    assert.equal(await failureOf(() => file.rollover()), "ERR_CLOSED");
    assert.equal(await failureOf(() => file.rolloverSync()), "ERR_CLOSED");
  }
});

test("C197 methods bound before the move to disk work after it", async () => {
  await using file = spooledTemporaryFile({ maxMemory: 10 });
  const names = Object.getOwnPropertyNames(TemporaryFile.prototype) as (keyof SpooledTemporaryFile)[];
  const members = names.map((name) => [name, file[name === "fd" ? "position" : name]] as const);
  const bound = Object.fromEntries(
    members.filter(([, value]) => typeof value === "function").map(([name, value]) => [
      name,
      (value as (...args: unknown[]) => unknown).bind(file),
    ]),
  ) as unknown as SpooledTemporaryFile;
  await bound.write("abc");
  await bound.write("d".repeat(20));
  assert.equal(file.rolled, true);
  await bound.write("e");
  bound.writeSync("nd");
  const wanted = "abc" + "d".repeat(20) + "end";
  await bound.seek(0);
  assert.equal(await bound.readText(3), "abc");
  bound.seekSync(-3, "end");
  assert.equal(bound.readTextSync(), "end");
  assert.deepEqual([await bound.text(), bound.textSync()], [wanted, wanted]);
  assert.deepEqual([await bound.size(), bound.sizeSync()], [26, 26]);
  await bound.truncate(2);
  bound.truncateSync(1);
  assert.equal(new TextDecoder().decode(await bound.bytes()), "a");
  assert.equal((await bound.lines().next()).value, "a");
  for (const name of ["flush", "sync", "close"] as const) await bound[name]();
  assert.equal(file.closed, true);
});

test("C199 encoding, newline and mode apply before and after the move to disk, and the file has no name", async () => {
  await using file = spooledTemporaryFile({
    maxMemory: 4,
    encoding: "utf-16le",
    newline: "\r\n",
    mode: 0o640,
  });
  await file.write("\n");
  assert.deepEqual([file.rolled, "path" in file, [...await file.bytes()]], [false, false, [13, 0, 10, 0]]);
  await file.write("é");
  assert.equal(file.rolled, true);
  assert.deepEqual([...await file.bytes()], [13, 0, 10, 0, 0xe9, 0]);
  assert.equal(await file.text(), "\r\né");
  assert.equal("path" in file, false);
  const { mode, nlink } = fstatSync(file.fd);
  assert.equal(mode & 0o777, shownMode(0o640));
  assert.equal(nlink, isWindows ? 1 : 0);
});

test("C201 a character whose bytes are written before and after the move to disk is not corrupted", async () => {
  const bytes = new TextEncoder().encode("a€b😀c");
  for (let maxMemory = 0; maxMemory <= bytes.length; maxMemory++) {
    await using file = spooledTemporaryFile({ maxMemory });
    for (const byte of bytes) await file.write(new Uint8Array([byte]));
    assert.equal(file.rolled, maxMemory < bytes.length);
    assert.equal(await file.text(), "a€b😀c");
    await file.seek(0);
    for (const character of "a€b😀c") assert.equal(await file.readText(1), character, String(maxMemory));
  }
});

test("C202 the end of a scope closes the file before, during and after its move to disk, and leaves nothing", async () => {
  using place = scratch();
  const files: SpooledTemporaryFile[] = [];
  let during: Promise<string>;
  {
    await using before = spooledTemporaryFile({ dir: place.path });
    using beforeSync = spooledTemporaryFile({ dir: place.path });
    await using after = spooledTemporaryFile({ dir: place.path, maxMemory: 1 });
    using afterSync = spooledTemporaryFile({ dir: place.path, maxMemory: 1 });
    using rolling = spooledTemporaryFile({ dir: place.path, maxMemory: 4_000_000 });
    files.push(before, beforeSync, after, afterSync, rolling);
    await rolling.write(new Uint8Array(4_000_000));
    for (const file of [before, beforeSync, after, afterSync]) await file.write("text");
    during = failureOf(() => rolling.rollover());
  }
  assert.ok(["nothing", "ERR_CLOSED"].includes(await during));
  for (const file of files) {
    assert.equal(file.closed, true);
    assert.equal(await failureOf(() => file.text()), "ERR_CLOSED");
  }
  // The descriptor is closed, and on Windows the name removed, only after the pending call.
  while (place.list().length > 0) await new Promise((resolve) => setTimeout(resolve, 10));
});

test("C203 a missing directory fails the move to disk with ENOENT; the contents stay readable, and a retry works", async () => {
  using place = scratch();
  const dir = join(place.path, "later");
  await using file = spooledTemporaryFile({ dir, maxMemory: 10 });
  await file.write("kept");
  const calls: (() => unknown)[] = [
    () => file.write("0123456789"),
    () => file.writeSync("0123456789"),
    () => file.rollover(),
    () => file.rolloverSync(),
    () => file.truncate(100),
    () => file.sync(),
    () => file.fd,
  ];
  for (const call of calls) assert.equal(await failureOf(call), "ENOENT", String(call));
  assert.equal(file.rolled, false);
  assert.equal(file.position, 4);
  assert.equal(await file.text(), "kept");
  await file.write(" on");
  mkdirSync(dir);
  await file.write("0123456789");
  assert.equal(file.rolled, true);
  assert.equal(await file.text(), "kept on0123456789");
});

test("C203 the file moves to disk in the directory given as dir", async () => {
  // Otherwise the lease would be created first where a file on disk has a name (Windows).
  using _lease = heldLease();
  using place = scratch();
  using runtime = substitute();
  await using file = spooledOfSource({ dir: place.path, maxMemory: 1 });
  await file.write("abc");
  const [path] = runtime.calls.find(isCreation)!.args as [string];
  assert.ok(path.startsWith(place.path), path);
});

/** Where a move to disk can fail, in order: creating the file, writing the pages of memory, setting the size. */
const STEPS = [
  ...isWindows ? [] : ["createUnnamed"],
  "createDescriptor",
  "write 1",
  "write 3",
  ...isWindows ? [] : ["statusOf"],
  "truncate",
];

/** Primitives of a disk on which this step fails while `disk.broken` is set; a number counts `disk.writes`. */
function failingAt(
  step: string,
): { disk: { broken: boolean; writes: number }; primitives: Changes["primitives"] } {
  const disk = { broken: false, writes: 0 };
  const [name, count = "1"] = step.split(" ");
  const fail: Stub = (real, ...args) => {
    if (disk.broken && (name !== "write" || ++disk.writes === Number(count))) throw systemError("ENOSPC");
    return real(...args);
  };
  // Without O_TMPFILE the file has a name for a moment.
  const refuse: Stub = (real, ...args) => {
    if (disk.broken) throw systemError("EOPNOTSUPP");
    return real(...args);
  };
  return { disk, primitives: { ...name === "createDescriptor" && { createUnnamed: refuse }, [name]: fail } };
}

test("C204 a move to disk that fails at any step keeps the contents in memory, leaves nothing open and can be retried", async () => {
  // Files that the library opens for itself are not counted.
  using _lease = heldLease();
  configure({ reclaim: false });
  const contents = pattern(200_000);
  for (const step of STEPS) {
    const { disk, primitives } = failingAt(step);
    using runtime = substitute({ primitives });
    using place = scratch();
    // Otherwise the first write would go to the lease where a file on disk has a name (Windows).
    namedOfSource({ dir: place.path }).closeSync();
    await using file = spooledOfSource({ dir: place.path, maxMemory: 300_000, mode: 0o600 });
    await file.write(contents);
    if (step === "truncate") await file.truncate(290_000);
    disk.broken = true;
    runtime.calls.length = 0;
    for (
      const call of [
        () => file.rollover(),
        () => file.rolloverSync(),
        () => file.write(new Uint8Array(200_000)),
      ]
    ) {
      disk.writes = 0;
      assert.equal(await failureOf(call), "ENOSPC", step);
      assert.equal(file.rolled, false, step);
      assert.equal(file.position, 200_000, step);
    }
    const opened = runtime.calls.filter(isCreation).length;
    const closed = runtime.of("close").length;
    if (!step.startsWith("create")) assert.equal(closed, opened, `${step}: every file opened is closed`);
    assert.deepEqual(place.list(), [], step);
    assert.ok(sameBytes((await file.bytes()).subarray(0, 200_000), contents), step);
    disk.broken = false;
    await file.write("!");
    await file.rollover();
    assert.equal(file.rolled, true, step);
    assert.ok(sameBytes((await file.bytes()).subarray(0, 200_000), contents), step);
    assert.equal((await file.bytes())[200_000], 33, step);
  }
  configure({ reclaim: undefined });
});

test(
  "C204 C285 a move to a full disk throws ENOSPC, keeps the contents and works once there is room [needs a mount of its own]",
  { skip: noMounts },
  async () => {
    const { said, stderr } = await runOnSmallDisk(`
    const code = async (call) => { try { await call(); return "nothing"; } catch (error) { return error.code + " " + error.name; } };
    fs.writeFileSync(disk + "/ballast", new Uint8Array(40000));
    const file = m.spooledTemporaryFile({ dir: disk, maxMemory: 50000 });
    await file.write("a".repeat(50000));
    say(await code(() => file.write("b")));
    say(await code(() => file.writeSync("b")));
    say(await code(() => file.rollover()));
    say([file.rolled, file.position, (await file.text()) === "a".repeat(50000)]);
    fs.unlinkSync(disk + "/ballast");
    say(await file.write("b"));
    say([file.rolled, file.position, (await file.text()) === "a".repeat(50000) + "b"]);
    say(await code(() => file.write(new Uint8Array(100000))));
    await file.truncate(1);
    say(await file.text());
    await file.close();
    say(fs.readdirSync(disk));`);
    const full = "ENOSPC TempfileError";
    assert.deepEqual(
      said,
      [full, full, full, [false, 50_000, true], 1, [true, 50_001, true], full, "a", []],
      stderr,
    );
  },
);

test(
  "C205 a file that has moved to disk has no name: its directory stays empty",
  { skip: namesStay },
  async () => {
    using place = scratch();
    await using file = spooledTemporaryFile({ dir: place.path, maxMemory: 1 });
    await file.write("abc");
    await file.flush();
    assert.equal(file.rolled, true);
    assert.equal(fstatSync(file.fd).size, 3);
    assert.deepEqual(place.list(), []);
  },
);

packageTest(
  "C206 a spooled file that is garbage-collected while open causes a warning if it is on disk, and none in memory",
  async () => {
    for (const [maxMemory, warned] of [[1000, false], [0, true]] as const) {
      const { said, stderr } = await runWithGc(`
      const drop = async () => { const file = m.spooledTemporaryFile({ maxMemory: ${maxMemory} }); await file.write("dropped"); };
      for (let i = 0; i < 20; i++) await drop();
      await collect(${warned ? "() => warnings.length >= 5" : ""});
      say(warnings.length >= 5);
      say([...new Set(warnings.map(({ code }) => code))]);
      process.exit();`);
      assert.deepEqual(said, [warned, warned ? ["MAYFLY_NOT_CLOSED"] : []], stderr);
    }
  },
);

test("C208 overlapping writes are carried out in order, with a single move to disk", async () => {
  using place = scratch();
  using runtime = substitute();
  await using file = spooledOfSource({ dir: place.path, maxMemory: 1000 });
  const parts = Array.from({ length: 50 }, (_, i) => String.fromCharCode(65 + i).repeat(100 + i));
  const counts = await Promise.all(parts.map((part) => file.write(part)));
  assert.deepEqual(counts, parts.map((part) => part.length));
  assert.equal(await file.text(), parts.join(""));
  assert.equal(file.rolled, true);
  assert.equal(runtime.of("createUnnamed").length, process.platform === "linux" ? 1 : 0);
  assert.ok(
    runtime.calls.filter(({ name }) => name === "createDescriptor" || name === "createFile").length <= 2,
  );
});

test("spooledTemporaryFile() refuses invalid options at once, although it creates nothing yet", () => {
  const wrong: [object, string][] = [
    [{ maxMemory: -1 }, "RangeError"],
    [{ maxMemory: 0.5 }, "RangeError"],
    [{ maxMemory: "1" }, "TypeError"],
    [{ dir: 5 }, "TypeError"],
    [{ prefix: "a/b" }, "TypeError"],
    [{ encoding: "utf-7" }, "TypeError"],
  ];
  for (const [options, name] of wrong) {
    assert.throws(() => spooledTemporaryFile(options as SpooledOptions), {
      name,
      code: "ERR_INVALID_OPTION",
    });
  }
});

test("a file in memory keeps its contents while it grows in small and large steps, is truncated and moves to disk", async () => {
  await using file = spooledTemporaryFile({ maxMemory: 2 ** 26 });
  const whole = pattern(5_000_000);
  for (let at = 0, length = 1; at < whole.length; at += length, length = (length * 7 + 3) % 100_003 + 1) {
    file.writeSync(whole.subarray(at, at + length));
  }
  assert.equal(file.rolled, false);
  assert.ok(sameBytes(file.bytesSync(), whole));
  file.truncateSync(65_536 * 3 + 7);
  file.truncateSync(65_536 * 5);
  const wanted = new Uint8Array(65_536 * 5);
  wanted.set(whole.subarray(0, 65_536 * 3 + 7));
  assert.ok(sameBytes(file.bytesSync(), wanted));
  file.rolloverSync();
  assert.ok(sameBytes(file.bytesSync(), wanted));
});
