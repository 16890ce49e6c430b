import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { namedTemporaryFile, spooledTemporaryFile, type TemporaryFile, temporaryFile } from "#mod";
import { eachKind, failureOf } from "../support/kinds.ts";
import { oncePerKind, oncePerRuntime } from "../support/once.ts";
import { underWine } from "../support/platform.ts";

/** Characters of one to four bytes, with both kinds of line endings. */
const MIXED = "añ€😀\nzweite Zeile\r\n第三行\r\n\n🏳️‍🌈 end";

async function linesOf(file: TemporaryFile, options?: { at: number }): Promise<string[]> {
  const all: string[] = [];
  for await (const line of file.lines(options)) all.push(line);
  return all;
}

/** A file that holds just these bytes, with the cursor at the start. */
async function fileOf(bytes: Iterable<number>, options = {}): Promise<TemporaryFile> {
  const file = await temporaryFile(options);
  await file.write(Uint8Array.from(bytes));
  await file.seek(0);
  return file;
}

test("C95 text is read back unchanged in every encoding, and is stored as the bytes of that encoding", async () => {
  // Longer than what is decoded in one call.
  const latin = "aÿ\u0080\u009f\0é\n" + "bcdefghi".repeat(3000);
  const cases = [
    ["utf-8", MIXED, [...new TextEncoder().encode(MIXED)]],
    ["utf-16le", MIXED, [...Buffer.from(MIXED, "utf16le")]],
    ["latin1", latin, [0x61, 0xff, 0x80, 0x9f, 0, 0xe9, 0x0a, ...Buffer.from(latin.slice(7))]],
  ] as const;
  for (const [encoding, text, bytes] of cases) {
    for await (const [kind, file] of eachKind({ encoding })) {
      assert.equal(await file.write(text), bytes.length, `${kind} ${encoding}`);
      assert.equal(file.writeSync(text), bytes.length, `${kind} ${encoding}`);
      assert.deepEqual([...await file.bytes()], [...bytes, ...bytes], `${kind} ${encoding}`);
      assert.equal(await file.text(), text + text, `${kind} ${encoding}`);
      assert.equal(file.textSync(), text + text, `${kind} ${encoding}`);
      await file.seek(0);
      assert.equal(await file.readText(), text + text, `${kind} ${encoding}`);
      assert.equal(
        (await linesOf(file)).join("|"),
        (text + text).split(/\r?\n/).join("|").replace(/\|$/, ""),
        kind,
      );
    }
  }
});

test("a byte order mark is kept as content", async () => {
  for (const encoding of ["utf-8", "utf-16le"] as const) {
    await using file = await temporaryFile({ encoding });
    await file.write("\uFEFFa\uFEFF");
    assert.equal(await file.text(), "\uFEFFa\uFEFF");
    await file.seek(0);
    assert.equal(await file.readText(1), "\uFEFF");
    assert.deepEqual(await linesOf(file), ["\uFEFFa\uFEFF"]);
  }
});

test("writing a character that latin1 cannot encode fails with EILSEQ, and nothing is written", async () => {
  for await (const [kind, file] of eachKind({ encoding: "latin1" })) {
    await file.write("ok");
    for (const text of ["€", "a😀", "\u0100", "\ud800"]) {
      await assert.rejects(file.write(text), { code: "EILSEQ", name: "TempfileError" }, kind);
      assert.equal(await failureOf(() => file.writeSync(text)), "EILSEQ", kind);
    }
    await assert.rejects(file.write("😀"), /U\+1F600 as latin1/, "the message names the character");
    assert.equal(await file.text(), "ok", kind);
    assert.equal(file.position, 2, kind);
  }
});

test("the newline option converts both kinds of line endings in written text, and leaves bytes alone", async () => {
  const bytes = new TextEncoder().encode("raw\n");
  for await (const [kind, file] of eachKind({ newline: "\r\n" })) {
    await file.write("a\nb\r\nc\r");
    await file.write(["\n", "d\n"]);
    await file.write(bytes);
    assert.equal(await file.text(), "a\r\nb\r\nc\r\r\nd\r\nraw\n", kind);
  }
  for await (const [kind, file] of eachKind({ newline: "\n" })) {
    assert.equal(await file.write("a\r\nb\nc\rd\r\n"), 8, kind);
    assert.equal(file.writeSync("\r\n"), 1, kind);
    assert.equal(await file.text(), "a\nb\nc\rd\n\n", kind);
  }
  await using wide = await temporaryFile({ newline: "\r\n", encoding: "utf-16le" });
  assert.equal(await wide.write("\n"), 4);
  assert.equal(await wide.text(), "\r\n");
  await using plain = await temporaryFile();
  await plain.write("a\r\nb\n");
  assert.equal(await plain.text(), "a\r\nb\n", "without the option text is unchanged");
});

test("C201 readText(n) counts characters and splits none, for any length and position", async () => {
  const text = "añ€😀".repeat(75);
  const characters = [...text];
  for (const encoding of ["utf-8", "utf-16le"] as const) {
    for await (const [kind, file] of eachKind({ encoding })) {
      await file.write(text);
      for (const length of [1, 3, 7, 64, 65, 200, 5000]) {
        await file.seek(0);
        let position = 0;
        for (let at = 0; at < characters.length; at += length) {
          const wanted = characters.slice(at, at + length).join("");
          const got = at % 2 === 0 ? await file.readText(length) : file.readTextSync(length);
          assert.equal(got, wanted, `${kind} ${encoding} ${length} from ${at}`);
          position += encoding === "utf-8" ? new TextEncoder().encode(wanted).length : wanted.length * 2;
          assert.equal(file.position, position, `${kind} ${encoding} ${length} from ${at}`);
        }
        assert.equal(await file.readText(length), "", "nothing is left at the end");
      }
      assert.equal(await file.readText(0), "", kind);
    }
  }
});

test("readText(n) of a long text returns n characters, or all that are left", async () => {
  const text = "abcdé€😀\n".repeat(60_000);
  const characters = [...text];
  await using file = await temporaryFile();
  await file.write(text);
  await file.seek(0);
  assert.ok(await file.readText(300_001) === characters.slice(0, 300_001).join(""));
  assert.ok(await file.readText(2 ** 40) === characters.slice(300_001).join(""));
  assert.equal(file.position, await file.size());
});

test("readText() after a read, a write or a seek continues at the cursor", async () => {
  for await (const [kind, file] of eachKind()) {
    await file.write("é1€2😀3");
    await file.seek(2);
    assert.equal(await file.readText(2), "1€", kind);
    assert.deepEqual([...await file.read(1)], [50], kind);
    assert.equal(await file.readText(1), "😀", kind);
    await file.write("x");
    await file.seek(-1, "current");
    assert.equal(await file.readText(), "x", kind);
  }
});

test("malformed text is read as U+FFFD, at once or by character, or fails with EILSEQ if fatal is set", async () => {
  const cases: [string, "utf-8" | "utf-16le", number[], string][] = [
    ["a lone follower", "utf-8", [0x61, 0x80, 0x62], "a\uFFFDb"],
    ["a character cut short", "utf-8", [0xe2, 0x82, 0x41], "\uFFFDA"],
    ["a character cut off by the end", "utf-8", [0x41, 0xf0, 0x9f, 0x98], "A\uFFFD"],
    ["an overlong form", "utf-8", [0xc0, 0x80, 0x41], "\uFFFD\uFFFDA"],
    ["a longer overlong form", "utf-8", [0xe0, 0x80, 0x80], "\uFFFD\uFFFD\uFFFD"],
    ["a surrogate", "utf-8", [0xed, 0xa0, 0x80, 0x41], "\uFFFD\uFFFD\uFFFDA"],
    ["a character beyond Unicode", "utf-8", [0xf4, 0x90, 0x80, 0x80], "\uFFFD\uFFFD\uFFFD\uFFFD"],
    ["a lone high surrogate", "utf-16le", [0x00, 0xd8, 0x41, 0x00], "\uFFFDA"],
    ["a lone low surrogate", "utf-16le", [0x00, 0xdc, 0x41, 0x00], "\uFFFDA"],
    ["half a unit", "utf-16le", [0x41, 0x00, 0x42], "A\uFFFD"],
  ];
  for (const [name, encoding, bytes, text] of cases) {
    await using file = await fileOf(bytes, { encoding });
    assert.equal(await file.text(), text, name);
    assert.equal(await file.readText(), text, name);
    assert.deepEqual(await linesOf(file), [text], name);
    await file.seek(0);
    const each = [];
    for (let next = await file.readText(1); next !== ""; next = await file.readText(1)) each.push(next);
    assert.deepEqual(each, [...text], name);

    await using strict = await fileOf(bytes, { encoding, fatal: true });
    assert.equal(await failureOf(() => strict.text()), "EILSEQ", name);
    assert.equal(await failureOf(() => strict.textSync()), "EILSEQ", name);
    assert.equal(await failureOf(() => strict.readText()), "EILSEQ", name);
    assert.equal(strict.position, 0, "a failed read does not move the cursor");
    assert.equal(await failureOf(() => linesOf(strict)), "EILSEQ", name);
    assert.equal(await failureOf(() => strict.json()), "EILSEQ", name);
    assert.deepEqual([...await strict.bytes()], bytes, "bytes() still works");
    await strict.truncate(0);
    await strict.write("fine €");
    assert.equal(await strict.text(), "fine €", "later calls are not affected");
  }
});

test("pieces read with readText(n) add up to text(), for arbitrary bytes", async () => {
  const byte = fc.oneof(
    fc.nat({ max: 255 }),
    fc.constantFrom(0xe0, 0xed, 0xf0, 0xf4, 0x80, 0x9f, 0xa0, 0xbf, 0xc2, 0xd8, 0xdc),
  );
  const property = fc.asyncProperty(
    fc.array(byte, { maxLength: 30 }),
    fc.integer({ min: 1, max: 5 }),
    fc.constantFrom("utf-8" as const, "utf-16le" as const, "latin1" as const),
    async (bytes, length, encoding) => {
      await using file = await fileOf(bytes, { encoding });
      const whole = await file.text();
      let joined = "";
      for (let next = await file.readText(length); next !== ""; next = await file.readText(length)) {
        if (joined.length + next.length < whole.length) assert.equal([...next].length, length);
        joined += next;
      }
      assert.equal(joined, whole);
      assert.equal(file.position, bytes.length);
    },
  );
  await fc.assert(property, { numRuns: 300 });
});

test("lone surrogates in a string become U+FFFD, in UTF-8 when written and in UTF-16 when read", async () => {
  await using utf8 = await temporaryFile();
  assert.equal(await utf8.write("a\ud800b"), 5);
  assert.deepEqual([...await utf8.bytes()], [0x61, 0xef, 0xbf, 0xbd, 0x62]);
  await using utf16 = await temporaryFile({ encoding: "utf-16le" });
  await utf16.write("a\ud800b");
  assert.deepEqual([...await utf16.bytes()], [0x61, 0, 0, 0xd8, 0x62, 0]);
  assert.equal(await utf16.text(), "a\uFFFDb");
  await using parts = await temporaryFile({ encoding: "utf-16le" });
  await parts.write(["😀"[0], "😀"[1]]);
  assert.equal(await parts.text(), "😀", "two halves written in sequence make one character");
});

test("lines() strips line endings, yields an unterminated last line, and no empty line after a final line ending", async () => {
  const cases: [string, string[]][] = [
    ["", []],
    ["\n", [""]],
    ["a", ["a"]],
    ["a\n", ["a"]],
    ["a\n\n", ["a", ""]],
    ["a\r\nb\nc", ["a", "b", "c"]],
    ["\r\n\r\n", ["", ""]],
    ["a\rb\r\n\rc", ["a\rb", "\rc"]],
    ["a\r\r\n", ["a\r"]],
    ["end\r", ["end\r"]],
    ["sep\u2028arator\u0085s\n", ["sep\u2028arator\u0085s"]],
  ];
  for await (const [kind, file] of eachKind()) {
    for (const [text, lines] of cases) {
      await file.truncate(0);
      await file.write(text, { at: 0 });
      assert.deepEqual(await linesOf(file), lines, `${kind} ${JSON.stringify(text)}`);
    }
    assert.equal(file.position, 0, "the cursor is not moved");
  }
});

test("lines() decodes characters and line endings that span two reads", async () => {
  for (const encoding of ["utf-8", "utf-16le"] as const) {
    for (let shift = 0; shift < 5; shift++) {
      await using file = await temporaryFile({ encoding });
      const first = "x".repeat((encoding === "utf-8" ? 1 : 0.5) * 256 * 1024 - shift);
      await file.write(`${first}€😀\r\n😀€\r\nend`);
      assert.deepEqual(
        (await linesOf(file)).map((line) => line.slice(-3)),
        ["x€😀", "😀€", "end"].map((l) => l.slice(-3)),
      );
    }
  }
});

test("lines() reads lines longer than a chunk, and many lines per chunk", async () => {
  await using file = await temporaryFile();
  const long = "0123456789".repeat(50_000);
  const many = Array.from({ length: 20_000 }, (_, i) => `line ${i}`);
  await file.write(`${long}\n${many.join("\r\n")}\n${long}`);
  const lines = await linesOf(file);
  assert.equal(lines.length, 20_002);
  assert.ok(lines[0] === long && lines[20_001] === long);
  assert.deepEqual(lines.slice(1, 20_001), many);
});

test("lines({ at }) starts at an offset; lines() left early can be restarted, and sees data written meanwhile", async () => {
  for await (const [kind, file] of eachKind()) {
    await file.write("one\ntwo\nthree\n");
    assert.deepEqual(await linesOf(file, { at: 5 }), ["wo", "three"], kind);
    assert.deepEqual(await linesOf(file, { at: 100 }), [], kind);
    for await (const line of file.lines()) {
      assert.equal(line, "one", kind);
      break;
    }
    await file.write("four");
    assert.deepEqual(await linesOf(file), ["one", "two", "three", "four"], kind);
    assert.equal(await file.text(), "one\ntwo\nthree\nfour", "the file stays usable");
  }
});

test("json() and jsonSync() parse the whole contents, and throw a SyntaxError for invalid JSON", async () => {
  const value = { list: [1, 2.5, null, true], text: "ü\n😀", nested: { a: {} } };
  for await (const [kind, file] of eachKind()) {
    await file.write(JSON.stringify(value));
    await file.seek(3);
    assert.deepEqual(await file.json(), value, kind);
    assert.deepEqual(file.jsonSync(), value, kind);
    assert.equal(file.position, 3, kind);
    await file.truncate(5);
    await assert.rejects(file.json(), SyntaxError, kind);
    assert.throws(() => file.jsonSync(), SyntaxError, kind);
  }
});

test("text() and bytes() return the whole contents and do not move the cursor", async () => {
  for await (const [kind, file] of eachKind()) {
    assert.equal(await file.text(), "", kind);
    await file.write(MIXED);
    await file.seek(7);
    assert.equal(await file.text(), MIXED, kind);
    assert.equal(file.textSync(), MIXED, kind);
    assert.deepEqual(await file.bytes(), new TextEncoder().encode(MIXED), kind);
    assert.deepEqual(file.bytesSync(), new TextEncoder().encode(MIXED), kind);
    assert.equal(file.position, 7, kind);
  }
});

test("C200 UTF-8 text is intact after the move to disk, and the cursor stays where it was", async () => {
  await using file = spooledTemporaryFile({ maxMemory: 12 });
  await file.write("été €");
  assert.equal(file.rolled, false);
  await file.seek(0);
  assert.equal(await file.readText(2), "ét");
  const position = file.position;
  await file.write("😀", { at: 9 });
  assert.equal(file.rolled, true);
  assert.equal(file.position, position);
  assert.equal(await file.readText(3), "é €");
  assert.equal(await file.readText(), "😀");
  assert.equal(await file.text(), "été €😀");
});

test("strings of any length are written completely, whether or not they fit in the buffer", async () => {
  for (const bufferSize of [0, 10, 1000, 65_536]) {
    await using file = await namedTemporaryFile({ bufferSize });
    let wanted = "";
    for (const length of [1, 2, 3, 4, 30, 333, 334, 1000, 5, 21_845, 21_846, 70_000, 1]) {
      const text = "a€".repeat(length).slice(0, length);
      const count = new TextEncoder().encode(text).length;
      assert.equal(length % 2 === 0 ? await file.write(text) : file.writeSync(text), count);
      wanted += text;
    }
    assert.equal(file.position, new TextEncoder().encode(wanted).length);
    assert.ok(await file.text() === wanted, `bufferSize ${bufferSize}`);
  }
});

const noLimit = process.versions.bun !== undefined && "Bun has room for any that fit in memory";

test("contents too long for a string fail with EFBIG, not EILSEQ (once on Node and Deno)", {
  skip: oncePerKind || noLimit,
}, async () => {
  await using file = spooledTemporaryFile({ maxMemory: Infinity, fatal: true });
  await file.truncate(2 ** 29);
  assert.equal(await failureOf(() => file.textSync()), "EFBIG");
});

test("contents too long for an array fail with ENOMEM (once a runtime)", {
  skip: oncePerRuntime || noLimit || underWine("refusing so much memory takes minutes"),
}, async () => {
  await using file = spooledTemporaryFile({ maxMemory: Infinity });
  await file.truncate(2 ** 46);
  assert.equal(await failureOf(() => file.bytes()), "ENOMEM");
});
