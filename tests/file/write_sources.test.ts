import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { test } from "node:test";
import { spooledTemporaryFile, temporaryFile, writeFileAtomic } from "#mod";
import { temporaryFile as unnamedOfSource } from "../../lib/file/unnamed.ts";
import { eachKind, failureOf, pattern, sameBytes } from "../support/kinds.ts";
import { scratch } from "../support/scratch.ts";
import { substitute, systemError } from "../support/substitute.ts";

const utf8 = new TextEncoder();

/** Resizable buffers, part of ES2024. */
const Resizable = ArrayBuffer as unknown as new (
  length: number,
  options: { maxByteLength: number },
) => ArrayBuffer & { resize(length: number): void };

/** A stream of chunks that records the reasons of its cancellation. */
function streamOf(
  ...chunks: (string | Uint8Array)[]
): { stream: ReadableStream<Uint8Array>; cancelled: unknown[] } {
  const cancelled: unknown[] = [];
  const rest = [...chunks];
  const stream = new ReadableStream<Uint8Array>({
    pull(controller) {
      const chunk = rest.shift();
      if (chunk === undefined) controller.close();
      else controller.enqueue(typeof chunk === "string" ? utf8.encode(chunk) : chunk);
    },
    cancel: (reason) => void cancelled.push(reason),
  }, { highWaterMark: 0 });
  return { stream, cancelled };
}

/** An iterator that counts the calls of `next()` and `return()`. */
function counted(chunks: unknown[], failure?: Error) {
  const seen = { asked: 0, returned: 0 };
  const iterator = {
    [Symbol.asyncIterator]: () => iterator,
    next() {
      if (seen.asked === chunks.length && failure !== undefined) return Promise.reject(failure);
      const value = chunks[seen.asked++];
      return Promise.resolve({ done: seen.asked > chunks.length, value });
    },
    return() {
      seen.returned++;
      return Promise.resolve({ done: true, value: undefined });
    },
  };
  return { source: iterator as unknown as AsyncIterable<string>, seen };
}

test("write() accepts text and every kind of buffer, and of a view only its range", async () => {
  const buffer = Uint8Array.from([1, 2, 3, 4, 5, 6, 7, 8]).buffer;
  const shared = new Uint8Array(new SharedArrayBuffer(3));
  shared.set([9, 8, 7]);
  const cases: [string | BufferSource, number[]][] = [
    ["aé", [97, 195, 169]],
    [new Uint8Array(buffer), [1, 2, 3, 4, 5, 6, 7, 8]],
    [new Uint8Array(buffer, 2, 3), [3, 4, 5]],
    [buffer, [1, 2, 3, 4, 5, 6, 7, 8]],
    [new DataView(buffer, 1, 2), [2, 3]],
    [new Uint16Array(buffer, 4, 1), [5, 6]],
    [new Float64Array(buffer), [1, 2, 3, 4, 5, 6, 7, 8]],
    [new Uint8ClampedArray([300]), [255]],
    [shared as never, [9, 8, 7]],
    [shared.buffer as never, [9, 8, 7]],
    [Buffer.from("node"), [110, 111, 100, 101]],
  ];
  for await (const [kind, file] of eachKind()) {
    for (const [data, bytes] of cases) {
      for (const write of [() => file.write(data), () => file.writeSync(data)]) {
        await file.truncate(0);
        await file.seek(0);
        assert.equal(await write(), bytes.length, kind);
        assert.deepEqual([...await file.bytes()], bytes, kind);
      }
    }
  }
});

test("write() accepts a Blob, a File, a Response, a Request, a stream, an iterable and an async iterable of text and bytes", async () => {
  const text = "one, zwölf, 🌍";
  const part = utf8.encode(text);
  const sources: { [name: string]: () => Parameters<Awaited<ReturnType<typeof temporaryFile>>["write"]>[0] } =
    {
      blob: () => new Blob([text]),
      slice: () => new Blob(["x", text, "y"]).slice(1, 1 + part.length),
      file: () => new File([text], "name.txt"),
      response: () => new Response(text),
      bytesResponse: () => new Response(part),
      request: () => new Request("http://localhost/", { method: "POST", body: text }),
      stream: () => streamOf("one, ", "zwölf, ", "🌍").stream,
      bytesStream: () => new Blob([part]).stream(),
      array: () => ["one, ", "", "zwölf, ", new Uint8Array(0), utf8.encode("🌍")],
      set: () => new Set(["one, ", "zwölf, ", "🌍"]),
      generator: () =>
        (function* () {
          yield "one, ";
          yield part.subarray(5).buffer.slice(5);
        })(),
      asyncGenerator: () =>
        (async function* () {
          yield "one, ";
          await new Promise((resolve) => setTimeout(resolve, 1));
          yield new DataView(part.buffer, 5);
        })(),
      nodeStream: () => Readable.from([text.slice(0, 6), text.slice(6)]),
      responseWithoutBody: () => new Response(null),
    };
  for await (const [kind, file] of eachKind()) {
    for (const [name, make] of Object.entries(sources)) {
      const wanted = name === "responseWithoutBody" ? "" : text;
      await file.truncate(0);
      await file.seek(0);
      assert.equal(await file.write(make()), utf8.encode(wanted).length, `${kind}: ${name}`);
      assert.equal(await file.text(), wanted, `${kind}: ${name}`);
      assert.equal(file.position, utf8.encode(wanted).length, `${kind}: ${name}`);
      await file.seek(2);
      await file.write(make(), { at: 1 });
      assert.equal(file.position, 2, `${kind}: ${name} at an offset`);
      assert.ok((await file.text()).endsWith(wanted), `${kind}: ${name} at an offset`);
    }
  }
});

test("a source of large chunks is written completely", async () => {
  const whole = pattern(3_000_000);
  const sizes = [1, 65_536, 300_000, 1_000_000, 64 * 1024 - 1, 1_569_928];
  for await (const [kind, file] of eachKind()) {
    let from = 0;
    const chunks = sizes.map((size) => whole.slice(from, from += size));
    assert.equal(await file.write(streamOf(...chunks).stream), whole.length, kind);
    assert.ok(sameBytes(await file.bytes(), whole), kind);
  }
});

test("write() refuses other values, and writeSync() sources too, with a TypeError; nothing is written", async () => {
  const wrong: unknown[] = [
    undefined,
    null,
    1,
    1n,
    true,
    Symbol("s"),
    {},
    () => "x",
    new Date(0),
    new Proxy({}, {}),
  ];
  for await (const [kind, file] of eachKind()) {
    for (const value of wrong) {
      assert.equal(await failureOf(() => file.write(value as never)), "TypeError ERR_INVALID_OPTION", kind);
      assert.equal(
        await failureOf(() => file.writeSync(value as never)),
        "TypeError ERR_INVALID_OPTION",
        kind,
      );
    }
    for (const source of [["x"], new Blob(["x"]), new Response("x")]) {
      assert.equal(
        await failureOf(() => file.writeSync(source as never)),
        "TypeError ERR_INVALID_OPTION",
        kind,
      );
    }
    assert.equal(await file.size(), 0, kind);
    assert.equal(file.position, 0, kind);
  }
});

test("a detached buffer is refused, not treated as an empty one", async () => {
  await using file = await temporaryFile();
  await file.write("abc");
  for (
    const make of [
      () => new ArrayBuffer(4),
      () => new Uint8Array(4),
      () => new DataView(new ArrayBuffer(4)),
      () => new Uint16Array(2),
    ]
  ) {
    const data = make();
    const buffer = ArrayBuffer.isView(data) ? data.buffer : data;
    structuredClone(buffer, { transfer: [buffer] });
    for (
      const call of [
        () => file.write(data),
        () => file.writeSync(data),
        () => file.readInto(data, { at: 0 }),
        () => file.readIntoSync(data, { at: 0 }),
      ]
    ) assert.equal(await failureOf(call), "TypeError ERR_INVALID_OPTION");
  }
});

test("a write fails if its buffer is detached or shrinks while the write is queued", async () => {
  for await (const [kind, file] of eachKind()) {
    let end!: (text: string) => void;
    const last = new Promise<string>((resolve) => end = resolve);
    const first = file.write(async function* () {
      yield await last;
    }());
    const transferred = new Uint8Array(100), shrunk = new Resizable(100, { maxByteLength: 100 });
    const writes = [transferred, shrunk].map((data) => failureOf(() => file.write(data)));
    structuredClone(transferred, { transfer: [transferred.buffer] });
    shrunk.resize(10);
    end("first");
    await first;
    const refused = "TypeError ERR_INVALID_OPTION";
    assert.deepEqual(await Promise.all(writes), [refused, refused], kind);
    assert.equal(await file.text(), "first", kind);
    assert.equal(file.position, 5, kind);
  }
});

test("write() accepts a response whose body is a Node stream, as in node-fetch", async () => {
  for await (const [kind, file] of eachKind()) {
    const response = { bodyUsed: false, body: Readable.from(["the ", Buffer.from("body")]) };
    assert.equal(await file.write(response as never), 8, kind);
    assert.equal(await file.text(), "the body", kind);
    const failing = { bodyUsed: false, body: "text" };
    assert.equal(await failureOf(() => file.write(failing as never)), "TypeError ERR_INVALID_OPTION", kind);
  }
});

test("readInto() fills the range of a view of any type, and no more", async () => {
  for await (const [kind, file] of eachKind()) {
    await file.write(new Uint8Array([1, 2, 3, 4, 5, 6]));
    const buffer = new ArrayBuffer(8);
    const all = new Uint8Array(buffer);
    assert.equal(await file.readInto(new DataView(buffer, 1, 3), { at: 0 }), 3, kind);
    assert.deepEqual([...all], [0, 1, 2, 3, 0, 0, 0, 0], kind);
    assert.equal(file.readIntoSync(new Uint16Array(buffer, 4, 1), { at: 4 }), 2, kind);
    assert.deepEqual([...all], [0, 1, 2, 3, 5, 6, 0, 0], kind);
    assert.equal(await file.readInto(buffer, { at: 1 }), 5, kind);
    assert.deepEqual([...all], [2, 3, 4, 5, 6, 6, 0, 0], kind);
    assert.equal(await failureOf(() => file.readInto([1] as never)), "TypeError ERR_INVALID_OPTION", kind);
  }
});

test("a source that fails midway rejects with its own error; its earlier chunks are written, the cursor after them", async () => {
  const failure = new Error("the source broke");
  for await (const [kind, file] of eachKind()) {
    await file.write("start ");
    const failing = {
      generator: () =>
        (async function* () {
          yield "abc";
          yield "def";
          throw failure;
        })(),
      iterable: () =>
        (function* () {
          yield "abc";
          yield "def";
          throw failure;
        })(),
      stream: () => {
        const rest = ["abc", "def"];
        return new ReadableStream<Uint8Array>({
          pull(controller) {
            const chunk = rest.shift();
            if (chunk === undefined) controller.error(failure);
            else controller.enqueue(utf8.encode(chunk));
          },
        }, { highWaterMark: 0 });
      },
    };
    for (const [name, make] of Object.entries(failing)) {
      await file.seek(6);
      await assert.rejects(file.write(make()), (error) => error === failure, `${kind}: ${name}`);
      assert.equal(file.position, 12, `${kind}: ${name}`);
      assert.equal(await file.write("!"), 1);
      assert.equal(await file.text(), "start abcdef!", `${kind}: ${name}`);
      await file.truncate(6);
    }
  }
});

test("an invalid chunk fails the write with a TypeError and cancels the source", async () => {
  for await (const [kind, file] of eachKind()) {
    const { source, seen } = counted(["abc", 5, "never"]);
    await assert.rejects(file.write(source), {
      name: "TypeError",
      code: "ERR_INVALID_OPTION",
      message: 'Option "data" must be an iterable of text or bytes: got 5',
    }, kind);
    assert.deepEqual(seen, { asked: 2, returned: 1 }, kind);
    assert.equal(file.position, 3, kind);

    const { stream, cancelled } = streamOf("def", "never");
    let error: unknown;
    const odd = stream.pipeThrough(
      new TransformStream({ transform: (_chunk, out) => out.enqueue(["no chunk"]) }),
    );
    await file.write(odd as never).catch((reason) => error = reason);
    assert.ok(error instanceof TypeError, kind);
    assert.deepEqual(cancelled, [error], `${kind}: the stream gets the reason`);
    assert.equal(await file.text(), "abc", kind);
  }
});

test("return() is not called on an iterator that failed or ended, as in a for await loop", async () => {
  await using file = await temporaryFile();
  const failed = counted(["a"], new Error("broke"));
  await assert.rejects(file.write(failed.source), /broke/);
  assert.deepEqual(failed.seen, { asked: 1, returned: 0 });
  const ended = counted(["b"]);
  await file.write(ended.source);
  assert.deepEqual(ended.seen, { asked: 2, returned: 0 });
  assert.equal(await file.text(), "ab");
  using place = scratch();
  const target = join(place.path, "target"), late = counted([]);
  // Appears while the source is read, so that the call fails after its end.
  const next = late.source[Symbol.asyncIterator]().next;
  Object.assign(late.source, { next: () => (writeFileSync(target, "theirs"), next()) });
  await assert.rejects(writeFileAtomic(target, late.source, { overwrite: false }), { code: "EEXIST" });
  assert.deepEqual(late.seen, { asked: 1, returned: 0 });
});

test("a source is cancelled before its chunk that would exceed maxSize is written", async () => {
  for await (const [kind, file] of eachKind({ maxSize: 8 })) {
    const { stream, cancelled } = streamOf("12345", "678", "9", "never");
    const error = await file.write(stream).catch((reason) => reason);
    assert.equal(error.code, "EFBIG", kind);
    assert.deepEqual(cancelled, [error], kind);
    assert.equal(file.position, 8, kind);
    assert.equal(await file.text(), "12345678", kind);
    const { source, seen } = counted(["a", "too long a chunk", "never"]);
    await file.seek(0);
    assert.equal(await failureOf(() => file.write(source)), "EFBIG", kind);
    assert.deepEqual(seen, { asked: 2, returned: 1 }, kind);
    assert.equal(await file.text(), "a2345678", kind);
  }
});

test("a source is cancelled when the disk is full, and the cursor stays after its last complete chunk", async () => {
  let room = 10;
  using _runtime = substitute({
    primitives: {
      write: (real, handle: unknown, data: Uint8Array, at: number) => {
        if (at >= room) throw systemError("ENOSPC");
        return real(handle, data.subarray(0, room - at), at);
      },
    },
  });
  await using file = await unnamedOfSource({ bufferSize: 0 });
  const { stream, cancelled } = streamOf("1234", "5678", "9abc", "never");
  const error = await file.write(stream).catch((reason) => reason);
  assert.equal(error.code, "ENOSPC");
  assert.deepEqual(cancelled, [error]);
  assert.equal(file.position, 8);
  room = 100;
  assert.equal(await file.write("9ABC"), 4, "the handle can continue at the cursor");
  assert.equal(await file.text(), "123456789ABC");
});

test("a locked stream and a Response that was read are refused, and nothing is written", async () => {
  await using file = await temporaryFile();
  const { stream } = streamOf("x");
  const reader = stream.getReader();
  await assert.rejects(file.write(stream), TypeError);
  reader.releaseLock();
  assert.equal(await file.write(stream), 1, "the stream was not read");
  const response = new Response("y");
  await response.text();
  assert.equal(await failureOf(() => file.write(response)), "TypeError ERR_INVALID_OPTION");
  assert.equal(await file.text(), "x");
});

test("an invalid offset is refused before the source is read", async () => {
  await using file = await temporaryFile();
  const { stream } = streamOf("abc");
  assert.equal(await failureOf(() => file.write(stream, { at: -1 })), "RangeError ERR_INVALID_OPTION");
  assert.equal(stream.locked, false);
  assert.equal(await file.write(stream), 3);
});

test("write() to a closed file reads nothing from its source, and cancels it", async () => {
  for await (const [kind, file] of eachKind()) {
    await file.close();
    const { source, seen } = counted(["a"]);
    assert.equal(await failureOf(() => file.write(source)), "ERR_CLOSED", kind);
    assert.deepEqual(seen, { asked: 0, returned: 1 }, kind);
    const { stream, cancelled } = streamOf("a");
    const error = await file.write(stream).catch((reason) => reason);
    assert.equal(error.code, "ERR_CLOSED", kind);
    assert.deepEqual(cancelled, [error], kind);
  }
});

test("close() ends a write from a stalled stream, and the writes after it, with ERR_CLOSED, and cancels the stream", async () => {
  for await (const [kind, file] of eachKind()) {
    let cancelled: { code?: string } | undefined;
    const silent = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(utf8.encode("abc")),
      cancel: (reason) => void (cancelled = reason),
    });
    const written = failureOf(() => file.write(silent));
    const waiting = failureOf(() => file.write("after it"));
    while (file.position === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    await file.close();
    assert.equal(await written, "ERR_CLOSED", kind);
    assert.equal(await waiting, "ERR_CLOSED", kind);
    assert.equal(cancelled?.code, "ERR_CLOSED", kind);
  }
});

test("close() and disposal end a write from a stalled generator, and the writes after it, with ERR_CLOSED", async () => {
  async function* silent() {
    yield "abc";
    await new Promise(() => {});
  }
  for (const close of ["close", Symbol.asyncDispose, Symbol.dispose] as const) {
    for await (const [kind, file] of eachKind()) {
      const written = failureOf(() => file.write(silent()));
      const waiting = failureOf(() => file.write("after it"));
      while (file.position === 0) await new Promise((resolve) => setTimeout(resolve, 1));
      await file[close]();
      assert.equal(await written, "ERR_CLOSED", kind);
      assert.equal(await waiting, "ERR_CLOSED", kind);
    }
  }
});

test("C208 a write queued behind a source comes before a write made when the source has ended", async () => {
  for await (const [kind, file] of eachKind()) {
    // The continuation may run a few turns of the microtask queue later.
    for (let turns = 0; turns < 5; turns++) {
      await file.truncate(0);
      await file.seek(0);
      let ended: Promise<unknown> = file.write(["source ", "is written, "]);
      const waiting = file.write("then what waits, ");
      for (let i = 0; i < turns; i++) ended = ended.then(() => {});
      await Promise.all([waiting, ended.then(() => file.write("then the next"))]);
      assert.equal(
        await file.text(),
        "source is written, then what waits, then the next",
        `${kind}, ${turns}`,
      );
    }
  }
});

test("C208 overlapping writes from sources do not mix their chunks with each other or with other writes", async () => {
  const slow = async function* (letter: string) {
    for (let i = 0; i < 3; i++) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      yield letter;
    }
  };
  for await (const [kind, file] of eachKind()) {
    const counts = await Promise.all([
      file.write(slow("a")),
      file.write("1"),
      file.write(slow("b")),
      file.write(new Blob(["22"])),
      file.write("3"),
      file.write(slow("X"), { at: 11 }),
    ]);
    assert.deepEqual(counts, [3, 1, 3, 2, 1, 3], kind);
    assert.equal(await file.text(), "aaa1bbb223\0XXX", kind);
    assert.equal(file.position, 10, kind);
  }
});

test("chunks of one source are written contiguously, wherever the cursor is moved meanwhile", async () => {
  for await (const [kind, file] of eachKind()) {
    await file.write("0123456789");
    await file.seek(2);
    await file.write((async function* () {
      yield "ab";
      await file.seek(9);
      yield "cd";
      await file.read(1);
      yield "ef";
    })());
    assert.equal(await file.text(), "01abcdef89", kind);
    assert.equal(file.position, 8, kind);
  }
});

test("a source may read from the file that it is written to", async () => {
  for await (const [kind, file] of eachKind()) {
    await file.write("abc\ndef\n");
    await file.write(await file.blob());
    assert.equal(await file.text(), "abc\ndef\nabc\ndef\n", kind);
    await file.seek(0);
    await file.write((async function* () {
      for (let i = 0; i < 2; i++) yield (await file.text()).slice(0, 3).toUpperCase();
    })());
    assert.equal(await file.text(), "ABCABCf\nabc\ndef\n", kind);
  }
});

test("a source is asked for a chunk only after the previous one is written", async () => {
  for await (const [kind, file] of eachKind()) {
    const chunk = pattern(100_000);
    let asked = 0;
    await file.write((async function* () {
      for (; asked < 20; asked++) {
        assert.equal(await file.size(), asked * chunk.length, kind);
        yield chunk;
      }
    })());
    assert.equal(await file.size(), 20 * chunk.length, kind);
  }
});

test("C180 an endless source fails at maxSize, moves the file to disk, and is not read ahead of the writes", async () => {
  let asked = 0;
  await using file = spooledTemporaryFile({ maxMemory: 100_000, maxSize: 50_000_000 });
  const endless = (async function* () {
    for (;; asked++) {
      assert.equal(file.position, asked * 65_536);
      yield new Uint8Array(65_536).fill(asked);
    }
  })();
  assert.equal(await failureOf(() => file.write(endless)), "EFBIG");
  assert.equal(asked, 762);
  assert.equal(await file.size(), 762 * 65_536);
  assert.equal(file.rolled, true);
});

test("a generator, sync or async, that closes the file it is written to is ended and runs its finally block", async () => {
  for await (const [kind, file] of eachKind()) {
    let ended = false;
    const source = function* () {
      try {
        yield "a";
        void file.close();
        yield "b";
        yield "c";
      } finally {
        ended = true;
      }
    };
    assert.equal(await failureOf(() => file.write(source())), "ERR_CLOSED", kind);
    assert.equal(ended, true, kind);
  }
  for await (const [kind, file] of eachKind()) {
    let end!: () => void;
    const ended = new Promise<void>((resolve) => end = resolve);
    const source = async function* () {
      try {
        yield "a";
        await file.close();
        yield "b";
      } finally {
        end();
      }
    };
    assert.equal(await failureOf(() => file.write(source())), "ERR_CLOSED", kind);
    // The write does not wait for that, since a generator may never end.
    await ended;
  }
});

test("write() refuses the file itself as a source, and writes nothing", async () => {
  const refused = {
    name: "TypeError",
    code: "ERR_INVALID_OPTION",
    message: /something other than the file itself/,
  };
  for await (const [kind, file] of eachKind()) {
    await file.write("some");
    await assert.rejects(file.write(file), refused, kind);
    await assert.rejects(file.write(file, { at: 0 }), refused, kind);
    assert.equal(await file.text(), "some", kind);
  }
});
