import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import {
  NamedTemporaryFile,
  namedTemporaryFile,
  namedTemporaryFileSync,
  spooledTemporaryFile,
  type TempfileError,
  temporaryFile,
  temporaryFileSync,
} from "#mod";
import { namedTemporaryFile as namedOfSource } from "../../lib/file/named.ts";
import { spooledTemporaryFile as spooledOfSource } from "../../lib/file/spooled.ts";
import { temporaryFile as unnamedOfSource } from "../../lib/file/unnamed.ts";
import { eachKind, failureOf, kinds, pattern, sameBytes, usesOf } from "../support/kinds.ts";
import { scratch } from "../support/scratch.ts";
import { changed, substitute, systemError } from "../support/substitute.ts";

/** The alphabet, in which offsets are easy to recognize. */
const LETTERS = "abcdefghijklmnopqrstuvwxyz";

test("C89 a file of each kind can be written, read back and closed", async () => {
  for (const [kind, open] of Object.entries(kinds)) {
    const file = await open();
    assert.equal(await file.write("hello"), 5, kind);
    assert.equal(file.writeSync(new Uint8Array([33, 10])), 2, kind);
    assert.equal(await file.text(), "hello!\n", kind);
    assert.equal(file.position, 7, kind);
    assert.equal(file.closed, false, kind);
    await file.close();
    assert.equal(file.closed, true, kind);
  }
});

test("C94 C110 C196 C302 closing or disposing a file of any kind that is already closed does nothing", async () => {
  for await (const [kind, file] of openAll()) {
    await file.write("some bytes");
    await file.close();
    await file.close();
    file.closeSync();
    file[Symbol.dispose]();
    await file[Symbol.asyncDispose]();
    assert.equal(file.closed, true, kind);
  }
});

test("two overlapping close() calls both succeed", async () => {
  for await (const [kind, file] of openAll()) {
    await file.write("x");
    const both = await Promise.allSettled([file.close(), file.close()]);
    assert.deepEqual(both.map(({ status }) => status), ["fulfilled", "fulfilled"], kind);
  }
});

/** Opens a file of each kind, for tests that close it themselves. */
async function* openAll() {
  for (const [kind, open] of Object.entries(kinds)) yield [kind, await open()] as const;
}

test("C112 C127 every call on a closed file fails with ERR_CLOSED and its path, recreates nothing, and disposing it is silent", async () => {
  for await (const [kind, file] of openAll()) {
    const blob = await file.blob();
    const path = file instanceof NamedTemporaryFile ? file.path : undefined;
    const { readable, writable } = file;
    await file.close();
    {
      await using _again = file;
      using _andAgain = file;
      const calls: { [name: string]: () => unknown } = {
        ...usesOf(file),
        writeNothing: () => file.write(""),
        writeAt: () => file.write("x", { at: 0 }),
        writeSource: () => file.write(["x"]),
        writeNoChunks: () => file.write([]),
        readSome: () => file.read(1),
        readSomeText: () => file.readTextSync(1),
        readNothing: () => file.readInto(new Uint8Array(0)),
        seekEnd: () => file.seekSync(0, "end"),
        truncateTo: () => file.truncate(0),
        earlierBlob: () => blob.arrayBuffer(),
        chunks: () => file[Symbol.asyncIterator]().next(),
        earlierStream: () => readable.getReader().read(),
        earlierWritable: () => writable.getWriter().write("x"),
      };
      for (const [name, call] of Object.entries(calls)) {
        await assert.rejects(async () => await call(), (error: TempfileError) => {
          const { name, code, message } = error;
          const expected = { name: "TempfileError", code: "ERR_CLOSED", path };
          assert.deepEqual({ name, code, path: error.path }, expected, `${kind}: ${message}`);
          assert.match(message, /^Cannot .+: it is closed$/);
          return true;
        }, `${kind}: ${name}`);
      }
      if (path !== undefined) assert.equal(existsSync(path), false, kind);
    }
  }
});

test("C96 C97 C120 C121 every creator refuses an invalid mode, encoding, newline or size, and creates nothing", async () => {
  using place = scratch();
  const wrong: { [name: string]: unknown }[] = [
    { mode: "wr" },
    { mode: "w+b" },
    { mode: 0o1000 },
    { mode: -1 },
    { mode: 1.5 },
    { encoding: "utf-17" },
    { encoding: "bad-encoding" },
    { encoding: "UTF-8" },
    { encoding: 8 },
    { encoding: null },
    { newline: "\r" },
    { newline: true },
    { bufferSize: -1 },
    { bufferSize: "64" },
    { maxSize: 0.5 },
    { maxSize: NaN },
    { fatal: 1 },
  ];
  for (const options of wrong) {
    for (const [kind, open] of Object.entries(kinds)) {
      const title = `${kind} ${JSON.stringify(options)}`;
      const [name] = Object.keys(options);
      // Synchronous creators throw, the others reject.
      const refused = async () => await open({ dir: place.path, ...options });
      await assert.rejects(refused, (error: Error & { code: string }) => {
        assert.ok(error instanceof TypeError || error instanceof RangeError, title);
        assert.equal(error.code, "ERR_INVALID_OPTION", title);
        assert.ok(error.message.includes(`"${name}"`), title);
        return true;
      });
    }
  }
  await assert.rejects(
    temporaryFile({ encoding: "utf-16" as never }),
    /"utf-8", "utf-16le" or "latin1"/,
    "the message lists the valid values",
  );
  assert.deepEqual(place.list(), []);
});

test("overlapping writes each have their own range, in the order of the calls", async () => {
  for await (const [kind, file] of eachKind()) {
    const parts = Array.from({ length: 60 }, (_, i) => pattern(i % 20 === 19 ? 300_000 : i * 97, i + 1));
    const whole = new Uint8Array(await new Blob(parts).arrayBuffer());
    const counts = await Promise.all(parts.map((part) => file.write(part)));
    assert.deepEqual(counts, parts.map((part) => part.length), kind);
    assert.equal(file.position, whole.length, kind);
    assert.ok(sameBytes(await file.bytes(), whole), kind);
  }
});

test("overlapping reads each have their own range, in the order of the calls", async () => {
  for await (const [kind, file] of eachKind()) {
    const whole = pattern(900_000);
    await file.write(whole);
    await file.seek(0);
    const lengths = [10, 0, 400_000, 1, 70_000, 1_000_000, 5];
    const into = new Uint8Array(100);
    const [parts, count] = await Promise.all([
      Promise.all(lengths.map((length) => file.read(length))),
      file.readInto(into, { at: 3 }),
    ]);
    assert.deepEqual(parts.map((part) => part.length), [10, 0, 400_000, 1, 70_000, 429_989, 0], kind);
    assert.ok(sameBytes(new Uint8Array(await new Blob(parts).arrayBuffer()), whole), kind);
    assert.equal(count, 100, kind);
    assert.ok(sameBytes(into, whole.subarray(3, 103)), kind);
  }
});

test("overlapping reads, writes, seeks and truncations are carried out in the order of the calls", async () => {
  for await (const [kind, file] of eachKind()) {
    const results = await Promise.all([
      file.write(LETTERS),
      file.seek(-3, "end"),
      file.read(2),
      file.truncate(10),
      file.size(),
      file.seek(0),
      file.readText(3),
      file.write("DEF"),
      file.text(),
    ]);
    assert.deepEqual(
      results,
      [26, 23, new Uint8Array([120, 121]), undefined, 10, 0, "abc", 3, "abcDEFghij"],
      kind,
    );
    assert.equal(file.position, 6, kind);
  }
});

test("write and readInto with { at } neither use nor move the cursor", async () => {
  for await (const [kind, file] of eachKind()) {
    await file.write(LETTERS);
    await file.seek(4);
    assert.equal(await file.write("XY", { at: 10 }), 2, kind);
    assert.equal(file.writeSync("Z", { at: 30 }), 1, kind);
    const into = new Uint8Array(4);
    assert.equal(await file.readInto(into, { at: 9 }), 4, kind);
    assert.equal(new TextDecoder().decode(into), "jXYm", kind);
    assert.equal(file.readIntoSync(into, { at: 29 }), 2, kind);
    assert.deepEqual([...into.subarray(0, 2)], [0, 90], kind);
    assert.equal(await file.readInto(into, { at: 31 }), 0, kind);
    assert.equal(file.position, 4, kind);
    assert.equal(await file.readText(3), "efg", kind);
    assert.equal(await file.write("12", {}), 2, kind);
    assert.equal(file.position, 9, "without an offset the cursor is used");
  }
});

test("an offset, length or size that is not a non-negative safe integer is refused, and nothing is done", async () => {
  for await (const [kind, file] of eachKind()) {
    await file.write("abc");
    const wrong: [unknown, string][] = [
      [-1, "RangeError"],
      [1.5, "RangeError"],
      [NaN, "RangeError"],
      [2 ** 53, "RangeError"],
      ["1", "TypeError"],
      [1n, "TypeError"],
      [null, "TypeError"],
    ];
    for (const [value, type] of wrong) {
      const number = value as number;
      const calls = [
        () => file.write("x", { at: number }),
        () => file.write(["x"], { at: number }),
        () => file.writeSync("x", { at: number }),
        () => file.readInto(new Uint8Array(1), { at: number }),
        () => file.readIntoSync(new Uint8Array(1), { at: number }),
        () => file.stream({ at: number }),
        () => file.lines({ at: number }),
        () => file.read(number),
        () => file.readSync(number),
        () => file.readText(number),
        () => file.readTextSync(number),
        () => file.truncate(number),
        () => file.truncateSync(number),
      ];
      for (const call of calls) {
        assert.equal(
          await failureOf(call),
          `${type} ERR_INVALID_OPTION`,
          `${kind}: ${call} ${String(value)}`,
        );
      }
    }
    assert.equal(
      await failureOf(() => file.write("x", { at: Infinity })),
      "RangeError ERR_INVALID_OPTION",
      kind,
    );
    assert.equal(await failureOf(() => file.write("x", 5 as never)), "TypeError ERR_INVALID_OPTION", kind);
    assert.equal(await file.text(), "abc", kind);
    assert.equal(file.position, 3, kind);
  }
});

test("C186 seek() counts from the start, the cursor or the end; a negative result throws and moves nothing", async () => {
  for await (const [kind, file] of eachKind()) {
    await file.write(LETTERS);
    assert.equal(await file.seek(10), 10, kind);
    assert.equal(await file.seek(5, "current"), 15, kind);
    assert.equal(await file.seek(-3, "current"), 12, kind);
    assert.equal(file.seekSync(-1, "end"), 25, kind);
    assert.equal(file.seekSync(4, "end"), 30, "seeking beyond the end is allowed");
    assert.equal(file.seekSync(2, "start"), 2, kind);
    const wrong: (() => unknown)[] = [
      () => file.seek(-1),
      () => file.seek(-3, "current"),
      () => file.seek(-27, "end"),
      () => file.seekSync(-1, "start"),
      () => file.seek(0.5),
      () => file.seek(Infinity),
      () => file.seek(Number.MAX_SAFE_INTEGER, "end"),
    ];
    for (const call of wrong) {
      assert.equal(await failureOf(call), "RangeError ERR_INVALID_OPTION", `${kind}: ${call}`);
    }
    assert.equal(await failureOf(() => file.seek("1" as never)), "TypeError ERR_INVALID_OPTION", kind);
    assert.equal(
      await failureOf(() => file.seekSync(1, "middle" as never)),
      "TypeError ERR_INVALID_OPTION",
      kind,
    );
    assert.equal(file.position, 2, kind);
    assert.equal(await file.size(), 26, "seeking does not change the size");
  }
});

test("C187 a read at the end returns 0 bytes, and after a seek before the end the rest", async () => {
  for await (const [kind, file] of eachKind()) {
    await file.write(LETTERS);
    assert.equal((await file.read()).length, 0, kind);
    assert.equal((await file.read(5)).length, 0, kind);
    assert.equal(file.readIntoSync(new Uint8Array(5)), 0, kind);
    assert.equal(await file.readText(), "", kind);
    await file.seek(20);
    assert.equal(new TextDecoder().decode(await file.read()), "uvwxyz", kind);
    await file.seek(23);
    assert.equal(new TextDecoder().decode(file.readSync(100)), "xyz", kind);
    assert.equal(file.position, 26, kind);
    await file.seek(50);
    assert.equal((await file.read()).length, 0, kind);
    assert.equal(file.position, 50, "a read beyond the end leaves the cursor there");
  }
});

test("C182 a write beyond the end fills the gap with zeros", async () => {
  for await (const [kind, file] of eachKind()) {
    await file.write("abcde");
    await file.seek(5, "current");
    await file.write("klmno");
    assert.equal(await file.text(), "abcde\0\0\0\0\0klmno", kind);
    await file.write("z", { at: 20 });
    assert.equal(await file.text(), "abcde\0\0\0\0\0klmno\0\0\0\0\0z", kind);
  }
});

test("an empty write beyond the end or beyond maxSize neither extends the file nor fails", async () => {
  for await (const [kind, file] of eachKind({ maxSize: 10 })) {
    await file.write("abc");
    await file.seek(100);
    for (const nothing of ["", new Uint8Array(0), [], [""], new Blob([])]) {
      assert.equal(await file.write(nothing), 0, kind);
      assert.equal(await file.write(nothing, { at: 50 }), 0, kind);
    }
    assert.equal(file.writeSync(""), 0, kind);
    assert.equal(await file.size(), 3, kind);
    assert.equal(file.position, 100, kind);
  }
});

test("truncate() shortens or extends with zeros, at the cursor if no size is given, and does not move the cursor", async () => {
  for await (const [kind, file] of eachKind()) {
    await file.write(LETTERS);
    await file.truncate(10);
    assert.equal(await file.text(), "abcdefghij", kind);
    assert.equal(file.position, 26, kind);
    await file.truncate(13);
    assert.equal(await file.text(), "abcdefghij\0\0\0", "truncated bytes read as zeros");
    await file.seek(4);
    file.truncateSync();
    assert.equal(await file.text(), "abcd", kind);
    await file.write("XY");
    assert.equal(await file.text(), "abcdXY", kind);
    file.truncateSync(0);
    assert.equal(await file.size(), 0, kind);
    await file.write("Z");
    assert.equal(await file.text(), "\0\0\0\0\0\0Z", kind);
  }
});

test("C287 a write or truncate() that would exceed maxSize fails with EFBIG and both sizes, and changes nothing", async () => {
  for await (const [kind, file] of eachKind({ maxSize: 10 })) {
    await file.write("12345678");
    const tooMuch: (() => unknown)[] = [
      () => file.write("abc"),
      () => file.write(new Uint8Array(100_000)),
      () => file.writeSync("abc"),
      () => file.write("x", { at: 10 }),
      () => file.writeSync(new Uint8Array(4), { at: 7 }),
      () => file.truncate(11),
      () => file.truncateSync(11),
    ];
    for (const call of tooMuch) assert.equal(await failureOf(call), "EFBIG", `${kind}: ${call}`);
    const numbers = { name: "TempfileError", message: /: it would have 12 bytes, 10 are allowed \(EFBIG\)$/ };
    await assert.rejects(file.write("abcd"), numbers, kind);
    assert.throws(() => file.writeSync("abcd"), numbers, kind);
    await assert.rejects(file.truncate(12), numbers, kind);
    assert.equal(file.position, 8, kind);
    assert.equal(await file.text(), "12345678", kind);
    await file.write("90");
    await file.write("A", { at: 0 });
    await file.truncate(10);
    assert.equal(await file.text(), "A234567890", "calls up to the limit succeed");
  }
});

test("C194 a write that would end beyond the largest offset fails with EFBIG, and the file stays usable", async () => {
  for await (const [kind, file] of eachKind()) {
    await file.write("abc");
    await file.seek(Number.MAX_SAFE_INTEGER);
    assert.equal(await failureOf(() => file.write("x")), "EFBIG", kind);
    assert.equal(await failureOf(() => file.writeSync(new Uint8Array(2))), "EFBIG", kind);
    assert.equal(await failureOf(() => file.write("xy", { at: Number.MAX_SAFE_INTEGER - 1 })), "EFBIG", kind);
    assert.equal(file.position, Number.MAX_SAFE_INTEGER, kind);
    await file.flush();
    assert.equal(await file.text(), "abc", kind);
    await file.seek(0);
    await file.write("X");
    assert.equal(await file.text(), "Xbc", kind);
  }
});

test("minFree fails with ENOSPC before anything is created", async () => {
  using place = scratch();
  using runtime = substitute();
  const options = { dir: place.path, minFree: Number.MAX_SAFE_INTEGER };
  const made = /^(create|make|open)/;
  assert.equal(await failureOf(() => unnamedOfSource(options)), "ENOSPC");
  assert.equal(await failureOf(() => namedOfSource(options)), "ENOSPC");
  const spooled = spooledOfSource({ ...options, maxMemory: 2 });
  await spooled.write("ab");
  assert.equal(await failureOf(() => spooled.write("c")), "ENOSPC");
  assert.equal(await spooled.text(), "ab");
  assert.deepEqual(runtime.calls.filter(({ name }) => made.test(name)), []);
  assert.deepEqual(place.list(), []);
  spooled.closeSync();
  await using fits = await unnamedOfSource({ dir: place.path, minFree: 1 });
  await fits.write("x");
  assert.notDeepEqual(
    runtime.calls.filter(({ name }) => made.test(name)),
    [],
    "creating calls are recorded",
  );
});

test("minFree fails with ENOSPC before anything is created if the file system has no free inode", async () => {
  using place = scratch();
  for (const [free, expected] of [[0, 1], [1, 0]] as const) {
    using _ = substitute({
      primitives: {
        fileSystem: (real, path: string) =>
          changed<object>(real(path), (status: object) => ({ ...status, inodes: 9, freeInodes: free })),
      },
    });
    const failure = await namedOfSource({ dir: place.path, minFree: 1 }).then((file) => file.close(), String);
    assert.equal(Number(/: no free inodes \(ENOSPC\)$/.test(failure ?? "")), expected);
  }
  assert.deepEqual(place.list(), []);
});

test("minFree fails with ENOSPC in every creator, in a given directory and in the default one", async () => {
  using place = scratch();
  const minFree = Number.MAX_SAFE_INTEGER;
  for (const options of [{ dir: place.path, minFree }, { minFree }]) {
    assert.equal(await failureOf(() => temporaryFile(options)), "ENOSPC");
    assert.equal(await failureOf(() => temporaryFileSync(options)), "ENOSPC");
    assert.equal(await failureOf(() => namedTemporaryFile(options)), "ENOSPC");
    assert.equal(await failureOf(() => namedTemporaryFileSync(options)), "ENOSPC");
    using spooled = spooledTemporaryFile(options);
    assert.equal(await failureOf(() => spooled.rollover()), "ENOSPC");
    assert.equal(await failureOf(() => spooled.rolloverSync()), "ENOSPC");
  }
  assert.deepEqual(place.list(), []);
});

test("a synchronous call fails with EBUSY while asynchronous calls are pending, and succeeds after them", async () => {
  for await (const [kind, file] of eachKind()) {
    await file.write("abc");
    let goOn!: () => void;
    const waits = new Promise<void>((resolve) => goOn = resolve);
    const writing = file.write((async function* () {
      await waits;
      yield "def";
    })());
    const calls: (() => unknown)[] = [
      () => file.writeSync("x"),
      () => file.writeSync("x", { at: 0 }),
      () => file.readSync(),
      () => file.readIntoSync(new Uint8Array(1)),
      () => file.textSync(),
      () => file.seekSync(0),
      () => file.sizeSync(),
      () => file.truncateSync(0),
      () => file.flushSync(),
      () => file.closeSync(),
      () => file.fd,
    ];
    for (const call of calls) assert.equal(await failureOf(call), "EBUSY", `${kind}: ${call}`);
    goOn();
    await writing;
    assert.equal(file.textSync(), "abcdef", kind);
    const syncing = file.sync();
    assert.equal(await failureOf(() => file.readSync(1)), "EBUSY", kind);
    await syncing;
    assert.equal(file.seekSync(0), 0, "it succeeds right after the pending call");
    assert.equal(file.closed, false, kind);
  }
});

test("short writes and reads are continued, and a write of 0 bytes fails with EIO", async () => {
  let most = 3;
  using _runtime = substitute({
    primitives: {
      write: (real, handle: unknown, data: Uint8Array, at: number) =>
        most && real(handle, data.subarray(0, most), at),
      read: (real, handle: unknown, into: Uint8Array, at: number) => real(handle, into.subarray(0, 2), at),
    },
  });
  for (const open of [unnamedOfSource, namedOfSource]) {
    await using file = await open({ bufferSize: 0 });
    assert.equal(await file.write(LETTERS), 26);
    assert.equal(file.writeSync("!"), 1);
    assert.equal(await file.text(), `${LETTERS}!`);
    await file.seek(3);
    assert.equal((await file.read(10)).length, 10);
    most = 0;
    assert.equal(await failureOf(() => file.write("more")), "EIO");
    assert.equal(file.position, 13);
    most = 3;
  }
});

test("a system error has the system's code, and its message names the action that failed", async () => {
  using _runtime = substitute({
    primitives: {
      read: () => {
        throw systemError("EIO");
      },
      truncate: () => {
        throw systemError("EPERM");
      },
    },
  });
  await using file = await namedOfSource();
  await file.write("x");
  const message = (action: string, phrase: string, code: string) =>
    `Cannot ${action} "${file.path}": ${phrase} (${code})`;
  await assert.rejects(file.bytes(), {
    code: "EIO",
    path: file.path,
    message: message("read from", "input/output error", "EIO"),
  });
  assert.throws(() => file.truncateSync(0), {
    code: "EPERM",
    message: message("truncate", "operation not permitted", "EPERM"),
  });
});

test("the constructors of TemporaryFile and NamedTemporaryFile throw a TypeError", () => {
  for (
    const Kind of [temporaryFileSync, namedTemporaryFileSync].map((open) => {
      using file = open();
      return file.constructor as new (internals: unknown) => unknown;
    })
  ) {
    assert.throws(() => new Kind({}), TypeError);
    assert.throws(() => new Kind(undefined), TypeError);
  }
});
