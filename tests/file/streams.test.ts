import assert from "node:assert/strict";
import { futimesSync, openSync, statSync, utimesSync } from "node:fs";
import { Readable, Transform, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { fromDescriptor, namedTemporaryFile, spooledTemporaryFile, temporaryFile } from "#mod";
import type { OpenFile } from "../../lib/file/open_file.ts";
import { spooledTemporaryFile as spooledOfSource } from "../../lib/file/spooled.ts";
import { temporaryFile as unnamedOfSource } from "../../lib/file/unnamed.ts";
import { held } from "../../lib/life/registry.ts";
import { runWithGc } from "../support/gc.ts";
import { eachKind, failureOf, pattern, sameBytes } from "../support/kinds.ts";
import { packageTest as test } from "../support/once.ts";
import { isBun, isNode, isWindows } from "../support/platform.ts";
import { scratch } from "../support/scratch.ts";
import { heldLease, substitute, systemError } from "../support/substitute.ts";

/** Kinds of files on disk that have no path. */
const NAMELESS = isWindows ? [] : ["unnamed", "unnamed, sync", "spooled, on disk", "spooled, between"];

async function gather(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const all: Uint8Array[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return new Uint8Array(await new Blob(all as BlobPart[]).arrayBuffer());
}

const textOf = async (chunks: AsyncIterable<Uint8Array>): Promise<string> =>
  new TextDecoder().decode(await gather(chunks));

const BIG = pattern(1_300_000);

test("stream() and readable give the contents from the start or an offset, and do not move the cursor", async () => {
  for await (const [kind, file] of eachKind()) {
    await file.write(BIG);
    await file.seek(5);
    assert.ok(sameBytes(await gather(file.stream()), BIG), kind);
    assert.ok(sameBytes(await gather(file.readable), BIG), kind);
    assert.ok(sameBytes(await gather(file.stream({ at: 1_000_001 })), BIG.subarray(1_000_001)), kind);
    assert.equal((await gather(file.stream({ at: 5_000_000 }))).length, 0, kind);
    assert.equal(file.position, 5, kind);
    assert.notEqual(file.readable, file.readable, "each access creates a new stream");
  }
});

test("asynchronous iteration yields the contents in chunks, and can be left early and restarted", async () => {
  for await (const [kind, file] of eachKind()) {
    await file.write(BIG);
    assert.ok(sameBytes(await gather(file), BIG), kind);
    let count = 0;
    for await (const chunk of file) {
      assert.ok(chunk.length > 0 && chunk.length < BIG.length, "the file is read in pieces");
      count++;
      break;
    }
    assert.equal(count, 1, kind);
    const iterator = file[Symbol.asyncIterator]();
    await iterator.return();
    assert.deepEqual(await iterator.next(), { done: true, value: undefined }, kind);
    await file.write("more");
    assert.equal((await gather(file)).length, BIG.length + 4, kind);
    assert.equal(file.position, BIG.length + 4, kind);
  }
});

test("concurrent streams of one file do not affect each other or reads at the cursor", async () => {
  for await (const [kind, file] of eachKind()) {
    await file.write(BIG);
    await file.seek(0);
    const all = await Promise.all([
      gather(file.stream()),
      gather(file.stream({ at: 7 })),
      file.read(),
      gather(file),
    ]);
    for (const [index, bytes] of all.entries()) {
      assert.ok(sameBytes(bytes, index === 1 ? BIG.subarray(7) : BIG), `${kind} ${index}`);
    }
  }
});

test("a stream fills the buffers of a BYOB reader exactly, up to the end of the file", async () => {
  for await (const [kind, file] of eachKind()) {
    await file.write(BIG.subarray(0, 100_000));
    const reader = file.stream({ at: 10 }).getReader({ mode: "byob" });
    const parts: Uint8Array[] = [];
    const sizes: number[] = [];
    for (let buffer = new ArrayBuffer(30_000);;) {
      const { done, value } = await reader.read(new Uint8Array(buffer, 100, 29_000));
      if (done) {
        assert.equal(value?.byteLength ?? 0, 0, kind);
        break;
      }
      assert.equal(value.byteOffset, 100, "at the offset of the view");
      sizes.push(value.byteLength);
      parts.push(value.slice());
      buffer = value.buffer;
    }
    await reader.closed;
    assert.deepEqual(sizes, [29_000, 29_000, 29_000, 12_990], kind);
    const whole = new Uint8Array(await new Blob(parts as BlobPart[]).arrayBuffer());
    assert.ok(sameBytes(whole, BIG.subarray(10, 100_000)), kind);
  }
});

test("a BYOB reader that replaces a default reader at any moment of its read is told of the end of the stream", async () => {
  for await (const [kind, file] of eachKind()) {
    await file.write("abc");
    // A read takes a few turns of the microtask queue.
    for (const [at, turns] of [0, 3].flatMap((at) => [0, 1, 2, 3, 4, 5].map((turns) => [at, turns]))) {
      const stream = file.stream({ at }), parts: (Uint8Array | undefined)[] = [];
      const first = stream.getReader();
      // Rejects if its reader is released first.
      first.read().then(({ value }) => parts.push(value), () => {});
      for (let i = 0; i < turns; i++) await undefined;
      first.releaseLock();
      const reader = stream.getReader({ mode: "byob" });
      for (;;) {
        const { done, value } = await reader.read(new Uint8Array(2));
        if (done) break;
        parts.push(value);
      }
      const text = parts.map((part) => new TextDecoder().decode(part)).join("");
      assert.equal(text, "abc".slice(at), `${kind} at ${at}, ${turns}`);
    }
  }
});

test("a stream reads only on demand, so it gives data written just before the read", async () => {
  for await (const [kind, file] of eachKind()) {
    const reader = file.stream().getReader();
    await new Promise((resolve) => setTimeout(resolve, 1));
    await file.write("first");
    assert.equal(new TextDecoder().decode((await reader.read()).value), "first", kind);
    await file.write("second");
    assert.equal(new TextDecoder().decode((await reader.read()).value), "second", kind);
    assert.equal((await reader.read()).done, true, kind);
    await file.write("third");
    assert.equal((await reader.read()).done, true, "a stream that has ended stays ended");
  }
});

test("a cancelled stream reads no more, and leaves the file open and unchanged", async () => {
  using runtime = substitute();
  await using file = await unnamedOfSource();
  runtime.calls.length = 0;
  await file.write(BIG);
  const stream = file.stream();
  const reader = stream.getReader();
  assert.ok((await reader.read()).value!.length < BIG.length);
  await reader.cancel(new Error("enough"));
  const reads = runtime.of("read").length;
  assert.equal((await reader.read()).done, true);
  assert.equal(runtime.of("read").length, reads);
  assert.equal(runtime.of("close").length, 0, "the descriptor stays open");
  await stream.cancel().catch(() => {});
  await file.readable.cancel();
  assert.ok(sameBytes(await file.bytes(), BIG));
  await file.write("more");
  assert.equal(await file.size(), BIG.length + 4);
});

test("streams, iterators, lines and blobs fail with the system's error when the file cannot be read", async () => {
  using _runtime = substitute({
    primitives: {
      read: () => {
        throw systemError("EIO");
      },
    },
  });
  await using file = await unnamedOfSource();
  await file.write("x");
  assert.equal(await failureOf(() => file.stream().getReader().read()), "EIO");
  assert.equal(
    await failureOf(() => file.stream().getReader({ mode: "byob" }).read(new Uint8Array(5))),
    "EIO",
  );
  assert.equal(await failureOf(() => gather(file)), "EIO");
  assert.equal(await failureOf(() => file.lines().next()), "EIO");
  assert.equal(await failureOf(async () => await (await file.blob()).text()), "EIO");
});

test("writable writes text and bytes at the cursor, and closing it leaves the file open", async () => {
  for await (const [kind, file] of eachKind()) {
    await file.write("start ");
    const writer = file.writable.getWriter();
    await writer.write("té");
    await writer.write(new Uint8Array([33]));
    await writer.write(new Uint8Array([63, 63]).buffer);
    await writer.close();
    assert.equal(await file.text(), "start té!??", kind);
    assert.equal(file.position, 12, kind);
    await file.write(".");
    assert.equal(await file.text(), "start té!??.", kind);
  }
});

test("closing a writable flushes the write buffer", async () => {
  using runtime = substitute();
  await using file = await unnamedOfSource();
  runtime.calls.length = 0;
  const writer = file.writable.getWriter();
  await writer.write("abc");
  assert.equal(runtime.of("write").length, 0);
  await writer.close();
  assert.equal(runtime.of("write").length, 1);
});

test("writable applies backpressure: it is ready again when the chunk is written", async () => {
  let goOn!: () => void, begin!: () => void;
  const gate = new Promise<void>((resolve) => goOn = resolve);
  const begun = new Promise<void>((resolve) => begin = resolve);
  using runtime = substitute({
    primitives: {
      write: async (real, ...args: unknown[]) => {
        begin();
        await gate;
        return real(...args);
      },
    },
  });
  await using file = await unnamedOfSource({ bufferSize: 0 });
  runtime.calls.length = 0;
  const writer = file.writable.getWriter();
  assert.equal(writer.desiredSize, 1);
  const written = writer.write("abc");
  assert.equal(writer.desiredSize, 0);
  let ready = false;
  writer.ready.then(() => ready = true);
  await begun;
  await new Promise((resolve) => setTimeout(resolve, 5));
  const before = { ready, writes: runtime.of("write").length };
  goOn();
  assert.deepEqual(before, { ready: false, writes: 1 });
  await written;
  await writer.ready;
  assert.equal(writer.desiredSize, 1);
  assert.equal(await file.text(), "abc");
});

test("aborting a writable keeps the data already written, and the file stays usable", async () => {
  for await (const [kind, file] of eachKind()) {
    const writer = file.writable.getWriter();
    await writer.write("abc");
    await writer.abort(new Error("changed my mind"));
    await assert.rejects(writer.write("def"), /changed my mind/, kind);
    assert.equal(await file.text(), "abc", kind);
    await file.write("ghi");
    assert.equal(await file.text(), "abcghi", kind);
  }
});

test("a writable fails with the error of the write, and so does a pipe into it, whose source is cancelled", async () => {
  for await (const [kind, file] of eachKind({ maxSize: 5 })) {
    const writer = file.writable.getWriter();
    assert.equal(await failureOf(() => writer.write("too long")), "EFBIG", kind);
    let cancelled: { code?: string } | undefined;
    const source = new ReadableStream({
      pull: (controller) => controller.enqueue("abc"),
      cancel: (reason) => void (cancelled = reason),
    });
    assert.equal(await failureOf(() => source.pipeTo(file.writable)), "EFBIG", kind);
    assert.equal(cancelled?.code, "EFBIG", kind);
    assert.equal(
      await failureOf(() => file.writable.getWriter().write(5 as never)),
      "TypeError ERR_INVALID_OPTION",
      kind,
    );
    assert.equal(await file.text(), "abc", kind);
  }
});

test("streams can be piped between files, through transforms and tee(), and an aborted pipe closes neither file", async () => {
  for await (const [kind, file] of eachKind()) {
    await file.write("hello ".repeat(10_000));
    await using copy = await temporaryFile();
    const upper = new TransformStream<string, string>({
      transform: (text, out) => out.enqueue(text.toUpperCase()),
    });
    await file.readable.pipeThrough(new TextDecoderStream() as never).pipeThrough(upper).pipeTo(
      copy.writable,
    );
    assert.ok(await copy.text() === "HELLO ".repeat(10_000), kind);
    const [one, other] = file.stream({ at: 59_990 }).tee();
    assert.deepEqual(
      await Promise.all([textOf(one), textOf(other)]),
      ["llo hello ".slice(0), "llo hello "],
      kind,
    );
    const abort = new AbortController();
    abort.abort(new Error("stop"));
    await assert.rejects(file.readable.pipeTo(copy.writable, { signal: abort.signal }), /stop/, kind);
    assert.equal(copy.closed || file.closed, false, kind);
  }
});

test("contents are unchanged after CompressionStream and DecompressionStream", async () => {
  await using file = await temporaryFile();
  await file.write("compress me ".repeat(50_000));
  await using packed = await namedTemporaryFile();
  await packed.write(
    file.readable.pipeThrough(new CompressionStream("gzip") as never) as ReadableStream<Uint8Array>,
  );
  assert.ok(await packed.size() < 10_000);
  assert.deepEqual([...(await packed.bytes()).subarray(0, 2)], [0x1f, 0x8b]);
  await using again = spooledTemporaryFile();
  await packed.readable.pipeThrough(new DecompressionStream("gzip") as never).pipeTo(again.writable);
  assert.ok(await again.text() === await file.text());
});

test("Response and Request read the file through readable and stream()", async () => {
  for await (const [kind, file] of eachKind()) {
    await file.write(`{"a":"é"}`);
    assert.deepEqual(await new Response(file.readable).json(), { a: "é" }, kind);
    const request = new Request(
      "http://localhost/",
      { method: "POST", body: file.stream({ at: 5 }), duplex: "half" } as RequestInit,
    );
    assert.equal(await request.text(), `"é"}`, kind);
  }
});

test("Node's pipeline() takes the file as an iterable source, and its streams through fromWeb() on both sides", async () => {
  for await (const [kind, file] of eachKind()) {
    await file.write(BIG.subarray(0, 400_000));
    await using copy = await temporaryFile();
    await pipeline(Readable.fromWeb(file.readable as never), Writable.fromWeb(copy.writable as never));
    assert.ok(sameBytes(await copy.bytes(), BIG.subarray(0, 400_000)), kind);
    let count = 0;
    const counting = new Transform({
      transform(chunk, _encoding, done) {
        count += chunk.length;
        done(null, chunk);
      },
    });
    await copy.truncate(0);
    await copy.seek(0);
    await pipeline(
      file,
      counting,
      async (chunks: AsyncIterable<Uint8Array>) => void await copy.write(chunks),
    );
    assert.equal(count, 400_000, kind);
    assert.ok(sameBytes(await copy.bytes(), BIG.subarray(0, 400_000)), kind);
    const broken = pipeline(
      Readable.fromWeb(file.readable as never),
      new Transform({ transform: (_chunk, _encoding, done) => done(new Error("broken")) }),
      Writable.fromWeb(copy.writable as never),
    );
    await assert.rejects(broken, /broken/, kind);
    assert.equal(await file.size(), 400_000, "a failed pipeline leaves the file unchanged");
  }
});

test("blob() has the size at the time of the call, and reads its range of the file on demand", async () => {
  for await (const [kind, file] of eachKind()) {
    await file.write("0123456789");
    const blob = await file.blob("application/x-test");
    assert.ok(blob instanceof Blob, kind);
    assert.equal(blob.size, 10, kind);
    assert.equal(blob.type, "application/x-test", kind);
    await file.write("AB", { at: 1 });
    await file.write("more");
    await file.flush();
    assert.equal(await blob.text(), "0AB3456789", "the contents at the time of the read");
    assert.deepEqual(new Uint8Array(await blob.arrayBuffer()), new TextEncoder().encode("0AB3456789"), kind);
    assert.equal(await textOf(blob.stream()), "0AB3456789", kind);
    const cases: [number | undefined, number | undefined, string][] = [
      [2, 5, "B34"],
      [undefined, 3, "0AB"],
      [7, undefined, "789"],
      [-3, undefined, "789"],
      [-3, -1, "78"],
      [5, 2, ""],
      [8, 100, "89"],
      [-100, 2, "0A"],
      [100, 200, ""],
      [1.2, 3.8, "AB3"],
      [-0.2, NaN, ""],
      ["2" as never, Infinity, "B3456789"],
    ];
    for (const [start, end, wanted] of cases) {
      const part = blob.slice(start, end);
      assert.equal(part.size, wanted.length, `${kind} ${start} ${end}`);
      assert.equal(await part.text(), wanted, `${kind} ${start} ${end}`);
      assert.equal(await textOf(part.stream()), wanted, `${kind} ${start} ${end}`);
    }
    assert.equal(await blob.slice(1, 8).slice(2, 4).text(), "34", "a slice of a slice");
    assert.equal(blob.slice(0, 1, "a/b").type, "a/b", kind);
    assert.equal(await textOf(blob.slice(2, 6).stream()), "B345", kind);
    await using copy = await temporaryFile();
    await copy.write(blob.slice(3, 6));
    assert.equal(await copy.text(), "345", "a blob can be written to another file");
    await file.close();
    assert.equal(await failureOf(() => blob.text()), "ERR_CLOSED", kind);
    assert.equal(await failureOf(() => blob.slice(1).arrayBuffer()), "ERR_CLOSED", kind);
    assert.equal(await failureOf(() => textOf(blob.stream())), "ERR_CLOSED", kind);
  }
});

/** Constructors that read a blob through the runtime's internals, not through its methods. */
const CONSUMERS: { readonly [name: string]: (blob: Blob) => Promise<string> } = {
  Blob: (blob) => new Blob([blob]).text(),
  File: (blob) => new File([blob], "name").text(),
  Response: (blob) => new Response(blob).text(),
  async FormData(blob) {
    const form = new FormData();
    form.append("part", blob, "name.txt");
    const sent = await new Response(form).formData();
    return await (sent.get("part") as File).text();
  },
};

test("a Blob, File, Response or FormData made of a blob() has its contents, or fails on Bun if the file has no path", async () => {
  for await (const [kind, file] of eachKind()) {
    await file.write("0123456789");
    const blob = await file.blob();
    // A second blob of the same file does not affect the first.
    await file.blob();
    const fails = isBun && NAMELESS.includes(kind);
    for (const [name, take] of Object.entries(CONSUMERS)) {
      for (const [part, wanted] of [[blob, "0123456789"], [blob.slice(2, -3), "23456"]] as const) {
        if (fails) await assert.rejects(take(part), /use bytes\(\)/, `${kind} ${name}`);
        else assert.equal(await take(part), wanted, `${kind} ${name}`);
      }
    }
  }
});

test(
  "a Blob made of a blob() fails when the file has changed or was closed, and never reads another file (Node)",
  {
    skip: !isNode,
  },
  async () => {
    for (const make of [temporaryFile, namedTemporaryFile]) {
      const file = await make();
      await file.write("secret");
      const blob = await file.blob();
      await file.write("more");
      await file.flush();
      await assert.rejects(new Blob([blob]).text(), { name: "NotReadableError" });
      // Neither size nor time tells the next file with this descriptor from it.
      futimesSync(file.fd, 1, 1);
      const later = await file.blob();
      await file.close();
      await using other = await make();
      await other.write("0123456789");
      await other.flush();
      futimesSync(other.fd, 1, 1);
      await assert.rejects(new Blob([later]).text(), { name: "NotReadableError" });
    }
  },
);

test("blob() of a file with a name does not change its modification time", async () => {
  await using named = await namedTemporaryFile();
  await named.write("0123456789");
  utimesSync(named.path, 1, 1);
  await using same = fromDescriptor(openSync(named.path, "r+"));
  assert.equal(await (await same.blob()).text(), "0123456789");
  assert.equal(await (await named.blob()).text(), "0123456789");
  assert.equal(statSync(named.path).mtimeMs, 1000);
});

test("a blob's stream fills the buffers of a BYOB reader, and stops at the end of the blob", async () => {
  await using file = await temporaryFile();
  await file.write(BIG);
  const reader = (await file.blob()).slice(100, 1000).stream().getReader({ mode: "byob" });
  const first = await reader.read(new Uint8Array(600));
  const second = await reader.read(new Uint8Array(600));
  const third = await reader.read(new Uint8Array(600));
  assert.ok(sameBytes(first.value!, BIG.subarray(100, 700)));
  assert.ok(sameBytes(second.value!, BIG.subarray(700, 1000)));
  assert.equal(third.done, true);
});

test("blob() reads nothing, and its stream does not read the whole file ahead of its reader", async () => {
  using runtime = substitute();
  await using file = await unnamedOfSource();
  await file.write(BIG);
  await file.flush();
  runtime.calls.length = 0;
  const blob = await file.blob();
  assert.equal(runtime.of("read").length, 0);
  const reader = blob.stream().getReader();
  await reader.read();
  const bytes = runtime.of("read").reduce((sum, [, into]) => sum + (into as Uint8Array).length, 0);
  assert.ok(bytes < BIG.length / 2, `${bytes} bytes were read`);
  await reader.cancel();
});

test("C198 streams, iterators, lines, blobs and writers opened before the move to disk see what is written after it", async () => {
  using runtime = substitute();
  using place = scratch();
  await using file = spooledOfSource({ dir: place.path, maxMemory: 10 });
  await file.write("one\n");
  const stream = file.stream().getReader();
  const started = file.stream().getReader();
  const chunks = file[Symbol.asyncIterator]();
  const lines = file.lines();
  const readable = file.readable.getReader();
  const blob = await file.blob(), part = blob.slice(1, 3), ofBlob = blob.stream().getReader();
  const writer = file.writable.getWriter();
  assert.equal(new TextDecoder().decode((await started.read()).value), "one\n");
  assert.equal((await lines.next()).value, "one");
  await writer.write("two\nthree\n");
  assert.equal(file.rolled, true);
  // On Windows the second is called.
  assert.ok(runtime.of("createUnnamed").length + runtime.of("createDescriptor").length > 0);
  assert.equal(new TextDecoder().decode((await started.read()).value), "two\nthree\n");
  assert.equal(new TextDecoder().decode((await stream.read()).value), "one\ntwo\nthree\n");
  assert.equal(new TextDecoder().decode((await chunks.next()).value!), "one\ntwo\nthree\n");
  assert.deepEqual([(await lines.next()).value, (await lines.next()).value], ["two", "three"]);
  await writer.write("four");
  assert.equal(await file.text(), "one\ntwo\nthree\nfour");
  // The size of a blob is fixed, its contents are not.
  await file.write("ONE", { at: 0 });
  assert.equal(new TextDecoder().decode((await readable.read()).value), "ONE\ntwo\nthree\nfour");
  assert.deepEqual([blob.size, await blob.text(), await part.text()], [4, "ONE\n", "NE"]);
  assert.equal(new TextDecoder().decode((await ofBlob.read()).value), "ONE\n");
});

test("C118 a bound method keeps the file usable after its handle has become unreachable", async () => {
  const { said, stderr } = await runWithGc(`
    let reads = [], writes = [];
    for (let i = 0; i < 20; i++) {
      const file = await m.namedTemporaryFile();
      await file.write("kept " + i);
      reads.push(file.text.bind(file));
      writes.push((data) => file.write(data));
    }
    await collect();
    for (const write of writes) await write("!");
    say(await Promise.all(reads.map((read) => read())));
    say(warnings);
    process.exit();`);
  assert.deepEqual(said[0], Array.from({ length: 20 }, (_, i) => `kept ${i}!`), stderr);
  assert.deepEqual(said[1], []);
});

test("C119 an iterator, stream, writer or blob keeps the file open after its handle has become unreachable", async () => {
  const { said, stderr } = await runWithGc(`
    const text = "line\\n".repeat(200000);
    const open = async (prefix) => { const file = await m.namedTemporaryFile({ prefix }); await file.write(text); return file; };
    const kept = {
      lines: (await open("lines-")).lines(),
      chunks: (await open())[Symbol.asyncIterator](),
      stream: (await open()).stream().getReader(),
      started: (await open()).stream().getReader(),
      blob: await (await open()).blob(),
      part: (await (await open()).blob()).slice(5, 14),
      writer: await open().then(async (file) => ({ writer: file.writable.getWriter(), read: file.stream() })),
    };
    const first = (await kept.started.read()).value.length;
    await kept.lines.next();
    await collect();
    let count = 1;
    for (;;) { if (count <= 2) await collect(); if ((await kept.lines.next()).done) break; count++; }
    // An iterator that has ended, like lines, need not keep its file open.
    const early = warnings.filter(({ message }) => !message.includes("lines-"));
    say(count);
    const rest = async (next) => { let size = 0; for (let step; !(step = await next()).done;) size += step.value.length; return size; };
    say(await rest(() => kept.chunks.next()));
    say(await rest(() => kept.stream.read()));
    say(first + await rest(() => kept.started.read()));
    say((await kept.blob.arrayBuffer()).byteLength);
    say(await kept.part.text());
    await kept.writer.writer.write("more");
    say(await rest(((reader) => () => reader.read())(kept.writer.read.getReader())));
    say(early);
    process.exit();`);
  assert.deepEqual(
    said,
    [200_000, 1_000_000, 1_000_000, 1_000_000, 1_000_000, "line\nline", 1_000_004, []],
    stderr,
  );
});

test("a spooled file whose handle is garbage-collected during the move to disk is closed after it", async () => {
  using _ = heldLease();
  let go!: () => void;
  const gate = new Promise<void>((resolve) => go = resolve);
  using runtime = substitute({
    primitives: {
      createUnnamed: async (real: (...args: unknown[]) => unknown, ...args: unknown[]) => {
        await gate;
        return await real(...args);
      },
    },
  });
  const before = new Set(held().contents);
  const file = spooledOfSource({ maxMemory: 2 });
  const written = file.write("more than two");
  const content = held().contents.find((one) => !before.has(one)) as OpenFile;
  // Called after garbage collection.
  assert.equal(content.reclaim(), "A temporary file");
  go();
  assert.equal(await written, 13);
  const closed = () => runtime.of("close").length > 0;
  for (let waits = 0; !closed() && waits < 1000; waits++) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  assert.ok(closed());
  assert.deepEqual(held().contents.filter((one) => !before.has(one)), []);
});

test("a named file that is garbage-collected while open causes a MAYFLY_NOT_CLOSED warning", {
  onOneNode: true,
}, async () => {
  const { said } = await runWithGc(`
    for (let i = 0; i < 20; i++) await (await m.namedTemporaryFile()).write("dropped");
    await collect(() => warnings.length >= 10);
    say(warnings.length >= 10);
    say([...new Set(warnings.map(({ name, code }) => name + " " + code))]);
    process.exit();`);
  assert.deepEqual(said, [true, ["TempfileWarning MAYFLY_NOT_CLOSED"]]);
});

test("pending calls complete on the file's own descriptor after its handle was garbage-collected", {
  onOneNode: true,
}, async () => {
  const { said, stderr } = await runWithGc(`
    const data = new Uint8Array(2_000_000).fill(7);
    const results = [];
    for (let i = 0; i < 30; i++) {
      const file = m.temporaryFileSync();
      results.push(file.write(data).then((count) => count));
      results.push(file.sync().then(() => "synced"));
    }
    for (let i = 0; i < 10; i++) { gc(); await new Promise((resolve) => setTimeout(resolve, 1)); }
    say([...new Set(await Promise.all(results))]);
    process.exit();`);
  assert.deepEqual(said, [[2_000_000, "synced"]], stderr);
});
