import assert from "node:assert/strict";
import { appendFileSync, readFileSync, readSync, truncateSync, unlinkSync, writeSync } from "node:fs";
import { test } from "node:test";
import { namedTemporaryFile, spooledTemporaryFile, temporaryFile } from "#mod";
import { namedTemporaryFile as namedOfSource } from "../../lib/file/named.ts";
import { spooledTemporaryFile as spooledOfSource } from "../../lib/file/spooled.ts";
import { temporaryFile as unnamedOfSource } from "../../lib/file/unnamed.ts";
import { runChild } from "../support/child.ts";
import { failureOf, pattern, sameBytes } from "../support/kinds.ts";
import { packageTest } from "../support/once.ts";
import { noMounts, runOnSmallDisk } from "../support/places.ts";
import { namesLinger } from "../support/platform.ts";
import { type Changes, substitute, systemError } from "../support/substitute.ts";

/** A disk that is full while `full.now` is set. */
function fillable(): { full: { now: boolean }; primitives: Changes["primitives"] } {
  const full = { now: true };
  return {
    full,
    primitives: {
      write: (real, ...args: unknown[]) => {
        if (full.now) throw systemError("ENOSPC");
        return real(...args);
      },
    },
  };
}

test("writes to a file without a name are buffered, up to 64 KiB, and reach the system at flush()", async () => {
  using runtime = substitute();
  await using file = await unnamedOfSource();
  runtime.calls.length = 0;
  const lengths = () => runtime.of("write").map(([, data]) => (data as Uint8Array).length);
  for (let i = 0; i < 6000; i++) {
    if (i % 2 === 0) await file.write("0123456789");
    else file.writeSync("0123456789");
  }
  assert.deepEqual(lengths(), [], "60,000 bytes fit");
  for (let i = 0; i < 600; i++) await file.write("0123456789");
  assert.equal(lengths().length, 1);
  await file.flush();
  await file.flush();
  assert.equal(lengths().length, 2);
  assert.equal(lengths().reduce((one, other) => one + other), 66_000);
  assert.ok(lengths().every((length) => length <= 65_536));
  assert.equal(await file.text(), "0123456789".repeat(6600));
});

test("files opened after another was closed do not share data, although one reuses its write buffer", async () => {
  const closed = await temporaryFile();
  await closed.write("closed");
  await closed.close();
  await using one = await temporaryFile();
  await using other = await temporaryFile();
  await one.write("one");
  await other.write("other");
  await one.write(", and more");
  assert.deepEqual([await one.text(), await other.text()], ["one, and more", "other"]);
});

test("a write as large as the buffer goes to the system without a copy", async () => {
  using runtime = substitute();
  await using file = await unnamedOfSource();
  runtime.calls.length = 0;
  await file.write("before");
  const large = pattern(65_536);
  await file.write(large);
  const [first, second] = runtime.of("write").map(([, data]) => data as Uint8Array);
  assert.equal(first.length, 6);
  assert.equal(second.buffer, large.buffer);
  assert.equal(runtime.of("write").length, 2);
});

test("a named file is not buffered: each write is visible to others at once", async () => {
  await using file = await namedTemporaryFile();
  await file.write("one");
  assert.equal(readFileSync(file.path, "utf8"), "one");
  file.writeSync(" two");
  assert.equal(readFileSync(file.path, "utf8"), "one two");
});

test("a named file reads what others append after its own writes, and not what they truncate", async () => {
  for (const bufferSize of [0, 100]) {
    await using file = await namedTemporaryFile({ bufferSize });
    await file.write("hello");
    assert.equal(await file.text(), "hello");
    appendFileSync(file.path, " world");
    assert.equal(await file.text(), "hello world");
    truncateSync(file.path, 2);
    assert.equal(file.textSync(), "he");
    await file.write("!");
    assert.equal(await file.text(), "he\0\0\0!");
    await file.truncate(4);
    assert.equal(file.textSync(), "he\0\0");
    await file.seek(1);
    assert.equal((await file.read(100_000)).byteLength, 3);
  }
});

test("a file without a name reads its own writes, and through its fd what others write", async () => {
  for (const open of [() => temporaryFile(), () => spooledTemporaryFile({ maxMemory: 1 })]) {
    await using file = await open();
    await file.write("hello");
    assert.equal(await file.text(), "hello");
    await file.truncate(3);
    file.writeSync("p!", { at: 3 });
    assert.equal(file.textSync(), "help!");
    writeSync(file.fd, new TextEncoder().encode(" there"), 0, 6, 5);
    assert.equal(await file.text(), "help! there");
  }
});

test("the bytes that a failed write to a file without a name has written are read", async () => {
  using _runtime = substitute({
    primitives: {
      write(real, handle: unknown, bytes: Uint8Array, at: number) {
        if (at > 0) throw systemError("ENOSPC");
        return real(handle, bytes.subarray(0, 3), at);
      },
    },
  });
  await using file = await unnamedOfSource({ bufferSize: 0 });
  await assert.rejects(file.write("hello"), { code: "ENOSPC" });
  assert.equal(await file.text(), "hel");
});

test("a failed write far beyond the end leaves the whole file readable", async () => {
  using _runtime = substitute({
    primitives: {
      write(real, handle: unknown, bytes: Uint8Array, at: number) {
        if (at > 2 ** 40) throw systemError("EFBIG");
        return real(handle, bytes, at);
      },
    },
  });
  for (const open of [unnamedOfSource, namedOfSource]) {
    await using file = await open({ bufferSize: 0 });
    await file.write("hello");
    await assert.rejects(file.write("x", { at: 2 ** 50 }), { code: "EFBIG" });
    assert.equal(await file.text(), "hello");
    await file.write(" there");
    assert.equal(file.textSync(), "hello there");
  }
});

test("bufferSize sets how many bytes are buffered, and 0 disables the buffer", async () => {
  using runtime = substitute();
  const lengths = () => runtime.of("write").map(([, data]) => (data as Uint8Array).length);
  for (
    const open of [
      unnamedOfSource,
      namedOfSource,
      (options: object) => spooledOfSource({ maxMemory: 0, ...options }),
    ]
  ) {
    runtime.calls.length = 0;
    await using file = await open({ bufferSize: 10 });
    await file.write("1");
    await file.flush();
    runtime.calls.length = 0;
    for (let i = 0; i < 25; i++) file.writeSync("x");
    await file.flush();
    assert.deepEqual(lengths(), [10, 10, 5]);
    await using direct = await open({ bufferSize: 0 });
    await direct.write("");
    runtime.calls.length = 0;
    for (let i = 0; i < 5; i++) await direct.write("x");
    assert.deepEqual(lengths(), [1, 1, 1, 1, 1]);
  }
});

test("the buffer grows as needed and keeps its contents", async () => {
  using runtime = substitute();
  await using file = await unnamedOfSource();
  runtime.calls.length = 0;
  const whole = pattern(60_000);
  for (let at = 0, length = 1; at < whole.length; at += length, length = length * 2 + 1) {
    file.writeSync(whole.subarray(at, at + length));
  }
  assert.equal(runtime.of("write").length, 0);
  assert.ok(sameBytes(file.bytesSync(), whole));
  await using small = await unnamedOfSource();
  await small.write("ten bytes.");
  await small.flush();
  const { buffer } = runtime.of("write").at(-1)![1] as Uint8Array;
  assert.ok(buffer.byteLength <= 4096, "a small file has a small buffer");
});

test("reads, size() and truncate() see all earlier writes, buffered or not", async () => {
  for (const bufferSize of [0, 4, 65_536]) {
    await using file = await temporaryFile({ bufferSize });
    await file.write("abc");
    assert.equal(await file.size(), 3);
    await file.write("def");
    assert.equal(file.textSync(), "abcdef");
    await file.write("X", { at: 1 });
    const into = new Uint8Array(3);
    await file.readInto(into, { at: 0 });
    assert.deepEqual([...into], [97, 88, 99]);
    await file.write("ghi");
    await file.truncate(8);
    assert.equal(await file.text(), "aXcdefgh");
  }
});

test("writes at scattered offsets are applied at those offsets, in the order of the calls", async () => {
  for (const bufferSize of [0, 5, 65_536]) {
    await using file = await temporaryFile({ bufferSize });
    await file.write("0123456789");
    await file.write("ab", { at: 3 });
    await file.write("cd", { at: 5 });
    await file.write("EF", { at: 4 });
    await file.write("!");
    await file.seek(0);
    await file.write("<");
    await file.write(">");
    assert.equal(await file.text(), "<>2aEFd789!");
  }
});

test("reading fd flushes the write buffer first", async () => {
  await using file = await temporaryFile();
  await file.write("for a child");
  const into = new Uint8Array(20);
  assert.equal(readSync(file.fd, into, 0, 20, 0), 11);
});

test("sync() and syncSync() flush the write buffer, and then synchronize with the disk", async () => {
  using runtime = substitute();
  for (const open of [unnamedOfSource, () => namedOfSource({ bufferSize: 100 }), () => spooledOfSource()]) {
    await using file = await open();
    await file.write("abc");
    runtime.calls.length = 0;
    await file.sync();
    file.syncSync();
    const order = runtime.calls.map(({ name }) => name).filter((name) =>
      name === "write" || name === "synchronize"
    );
    assert.deepEqual(order, ["write", "synchronize", "synchronize"]);
  }
});

test("a failed flush throws and keeps the buffered data, and succeeds when there is room again", async () => {
  const { full, primitives } = fillable();
  using _runtime = substitute({ primitives });
  await using file = await unnamedOfSource();
  await file.write("kept in ");
  file.writeSync("the buffer");
  for (
    const call of [
      () => file.flush(),
      () => file.flushSync(),
      () => file.bytes(),
      () => file.fd,
      () => file.sync(),
    ]
  ) {
    assert.equal(await failureOf(call), "ENOSPC", String(call));
  }
  const large = new Uint8Array(70_000);
  assert.equal(await failureOf(() => file.write(large)), "ENOSPC", "a later write that needs a flush fails");
  assert.equal(file.position, 18, "and does not move the cursor");
  full.now = false;
  assert.equal(await file.text(), "kept in the buffer");
});

test("truncate() discards buffered data beyond the new end, which a full disk would refuse", async () => {
  const { primitives } = fillable();
  using _runtime = substitute({ primitives });
  await using file = await unnamedOfSource();
  await file.write("too much");
  assert.equal(await failureOf(() => file.flush()), "ENOSPC");
  await file.truncate(3);
  assert.equal(await failureOf(() => file.flush()), "ENOSPC", "the rest still has to be written");
  await file.truncate(0);
  await file.flush();
  assert.equal(await file.size(), 0);
  await file.seek(0);
});

test("close() throws the error of the last flush, and the file is closed and removed anyway", async () => {
  for (const close of ["close", "closeSync"] as const) {
    const { full, primitives } = fillable();
    full.now = false;
    using runtime = substitute({ primitives });
    const unnamed = await unnamedOfSource();
    const named = await namedOfSource({ bufferSize: 100 });
    full.now = true;
    runtime.calls.length = 0;
    for (const file of [unnamed, named]) {
      await file.write("lost?");
      const error = await (async () => await file[close]())().catch((error) => error);
      assert.equal(error.code, "ENOSPC");
      assert.match(error.message, /^Cannot write the last bytes of /);
      assert.equal(file.closed, true);
      await file.close();
    }
    assert.equal(runtime.of("close").length, 2);
    assert.throws(() => readFileSync(named.path), { code: "ENOENT" });
  }
});

test("disposal warns about a failed last flush, does not throw, and closes the file", async () => {
  const { full, primitives } = fillable();
  full.now = false;
  const warnings: { message: string; code: string }[] = [];
  const warn = (message: string, code: string): void => void warnings.push({ message, code });
  using runtime = substitute({ primitives, runtime: { warn } });
  {
    await using one = await unnamedOfSource();
    using other = await namedOfSource({ bufferSize: 100 });
    full.now = true;
    runtime.calls.length = 0;
    await one.write("lost?");
    await other.write("lost?");
  }
  assert.deepEqual(warnings.map(({ code }) => code), ["ENOSPC", "ENOSPC"]);
  for (const { message } of warnings) assert.match(message, /^Cannot write the last bytes of /);
  assert.equal(runtime.of("close").length, 2, "both are closed");
});

test("synchronous disposal closes the descriptor only after pending calls have ended", {
  skip: namesLinger,
}, async () => {
  let goOn!: () => void;
  const gate = new Promise<void>((resolve) => goOn = resolve);
  using runtime = substitute({
    primitives: {
      synchronize: async (real, ...args: unknown[]) => {
        await gate;
        return real(...args);
      },
    },
  });
  let path: string;
  let kept: string;
  const outcomes: Promise<string>[] = [];
  {
    using named = await namedOfSource();
    using keeping = await namedOfSource({ bufferSize: 100 });
    path = named.path;
    kept = keeping.keep();
    for (const file of [named, keeping]) {
      await file.write("before ");
      outcomes.push(failureOf(() => file.sync()), failureOf(() => file.write("queued")));
    }
  }
  assert.throws(() => readFileSync(path), { code: "ENOENT" }, "the name is removed at once");
  assert.equal(runtime.of("close").length, 0, "the pending call still has its descriptor");
  goOn();
  assert.deepEqual(await Promise.all(outcomes), ["nothing", "ERR_CLOSED", "nothing", "ERR_CLOSED"]);
  while (runtime.of("close").length < 2) await new Promise((resolve) => setTimeout(resolve, 1));
  assert.equal(readFileSync(kept, "utf8"), "before ");
  unlinkSync(kept);
});

test("repeated disposal, also while close() is pending, closes the descriptor once", async () => {
  let goOn!: () => void;
  const gate = new Promise<void>((resolve) => goOn = resolve);
  const warnings: string[] = [];
  const warn = (message: string): void => void warnings.push(message);
  const late = async (real: (...args: unknown[]) => unknown, ...args: unknown[]): Promise<unknown> => {
    await gate;
    return real(...args);
  };
  using _runtime = substitute({ primitives: { synchronize: late, close: late }, runtime: { warn } });
  const syncing = await namedOfSource(), closing = await namedOfSource();
  const synced = failureOf(() => syncing.sync());
  syncing[Symbol.dispose]();
  syncing[Symbol.dispose]();
  assert.equal(await failureOf(() => syncing.closeSync()), "nothing", "it is closed already");
  assert.equal(await failureOf(() => syncing.readSync()), "ERR_CLOSED");
  const closed = failureOf(() => closing.close());
  closing[Symbol.dispose]();
  closing[Symbol.dispose]();
  goOn();
  assert.deepEqual(await Promise.all([synced, closed]), ["nothing", "nothing"]);
  await syncing.close();
  await closing.close();
  // Closing a descriptor twice would be an error, unless another file has the number by then.
  assert.deepEqual(warnings, []);
});

test("synchronous disposal during a pending call flushes the buffer, and warns if it cannot", async () => {
  const { full, primitives } = fillable();
  const warnings: string[] = [];
  const warn = (_message: string, code: string): void => void warnings.push(code);
  using runtime = substitute({ primitives, runtime: { warn } });
  for (const [isFull, contents, warned] of [[false, "buffered", []], [true, "", ["ENOSPC"]]] as const) {
    full.now = false;
    let path: string;
    let written: Promise<string>;
    {
      using file = await namedOfSource({ bufferSize: 100 });
      path = file.keep();
      full.now = isFull;
      await file.write("buffered");
      written = failureOf(() => file.write(new ReadableStream()));
      assert.equal(await failureOf(() => file.flushSync()), "EBUSY");
      runtime.calls.length = 0;
    }
    assert.equal(await written, "ERR_CLOSED");
    while (runtime.of("close").length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    // It warns when closing has ended, which may take the thread pool a while.
    while (warnings.length < warned.length) await new Promise((resolve) => setTimeout(resolve, 1));
    assert.equal(readFileSync(path, "utf8"), contents);
    assert.deepEqual(warnings, warned);
    unlinkSync(path);
  }
});

test(
  "a write to a full disk throws ENOSPC instead of being short, and the handle stays usable [needs a mount of its own]",
  { skip: noMounts },
  async () => {
    const { said, stderr } = await runOnSmallDisk(`
    const code = async (call) => { try { await call(); return "nothing"; } catch (error) { return error.code; } };
    for (const open of [m.temporaryFile, m.namedTemporaryFile, m.temporaryFileSync, m.namedTemporaryFileSync]) {
      const file = await open({ dir: disk, bufferSize: 0 });
      await file.write("start ");
      const large = new Uint8Array(1_000_000).fill(120);
      say(await code(() => file.write(large)));
      say(await code(() => file.writeSync(large)));
      say(await code(() => file.write([large])));
      say(file.position);
      await file.truncate(6);
      await file.write("more");
      say(await file.text());
      await file.close();
    }
    const buffered = await m.temporaryFile({ dir: disk });
    await buffered.write(new Uint8Array(60_000));
    await buffered.write(new Uint8Array(60_000)).catch(() => {});
    say(await code(() => buffered.flush()));
    say(await code(() => buffered.close()));
    say(fs.readdirSync(disk));`);
    const each = ["ENOSPC", "ENOSPC", "ENOSPC", 6, "start more"];
    assert.deepEqual(said, [...each, ...each, ...each, ...each, "ENOSPC", "ENOSPC", []], stderr);
  },
);

packageTest(
  "flushed data is in the file when the process exits without close(), whatever was buffered later",
  async () => {
    const { said, stderr } = await runChild(`
    const file = await m.namedTemporaryFile({ delete: false, bufferSize: 100 });
    await file.write("flushed"); await file.flush(); await file.write(" perhaps");
    say(file.path);`);
    assert.ok(readFileSync(said[0], "utf8").startsWith("flushed"), stderr);
    unlinkSync(said[0]);
  },
);
