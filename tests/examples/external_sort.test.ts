import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { chmodSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { externalSort, type SortOptions, type SortReport } from "../../examples/external_sort.ts";
import { type ChildResult, runChild } from "../support/child.ts";
import { example, run } from "../support/example.ts";
import { packageTest as test } from "../support/once.ts";
import { endedBy, isDeno, noLinks, noPrograms, noSignals } from "../support/platform.ts";
import { type Scratch, scratch } from "../support/scratch.ts";

const SORT = example("external_sort");

/** Returns what `LC_ALL=C sort` would, computed in another way than by the example. */
function sorted(content: Uint8Array): Buffer {
  const lines: Buffer[] = [];
  const bytes = Buffer.from(content);
  for (let start = 0; start < bytes.length;) {
    const found = bytes.indexOf(10, start);
    const end = found < 0 ? bytes.length : found;
    lines.push(bytes.subarray(start, end));
    start = end + 1;
  }
  return Buffer.concat(lines.sort(Buffer.compare).flatMap((line) => [line, Buffer.of(10)]));
}

/** Sorts `content`, and compares the result with that of the simple way. */
async function sortAndCheck(content: string | Uint8Array, options?: SortOptions): Promise<SortReport> {
  using place = scratch();
  const input = join(place.path, "in"), output = join(place.path, "out");
  writeFileSync(input, content);
  const report = await externalSort(input, output, options);
  const expected = sorted(readFileSync(input));
  assert.deepEqual(readFileSync(output), expected);
  assert.equal(report.bytes, expected.length);
  assert.deepEqual(place.list(), ["in", "out"]);
  return report;
}

/** Returns pseudo-random bytes, the same in each run, with about `lines` × `length` / 256 line ends. */
function randomLines(lines: number, length: number): Uint8Array {
  let state = 1;
  const bytes = new Uint8Array(lines * length);
  for (let i = 0; i < bytes.length; i++) {
    state = Math.imul(state, 1664525) + 1013904223 >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

test(
  "external sort of an empty file writes an empty file",
  async () => {
    assert.equal((await sortAndCheck("")).lines, 0);
  },
);

test("external sort of input that fits in memory creates no temporary file", async () => {
  const report = await sortAndCheck("pear\napple\nfig\n");
  assert.equal(report.lines, 3);
  assert.equal(report.temporaryFiles, 0);
});

test(
  "external sort adds a newline to a last line without one",
  async () => {
    assert.equal((await sortAndCheck("b\na")).lines, 2);
    assert.equal((await sortAndCheck("a")).lines, 1);
  },
);

test("external sort keeps empty lines, duplicates and carriage returns", async () => {
  assert.equal((await sortAndCheck("\n\nb\r\nb\na\r\n\r\nb\nb\r\n\n")).lines, 9);
});

test(
  "external sort compares bytes, also where the order of UTF-16 code units differs",
  async () => {
    // U+FFFF is before U+1F600 in UTF-8, and after its surrogates in UTF-16.
    await sortAndCheck("\u{1f600}\n\uffff\né\nz\nZ\n\0\n");
  },
);

test("external sort keeps bytes that are not UTF-8", async () => {
  await sortAndCheck(Uint8Array.of(0xff, 0xfe, 10, 0xc3, 10, 0xed, 0xa0, 0x80, 10, 0, 10, 0xc3, 0x28));
});

test("external sort merges more runs than its fan-in, in several passes", async () => {
  const report = await sortAndCheck(randomLines(20_000, 10), { memory: 1, fanIn: 3 });
  const runs = report.bytes / 4096;
  assert.ok(report.temporaryFiles > runs, `${report.temporaryFiles} files for ${runs} runs`);
  assert.ok(report.temporaryBytes > 2 * report.bytes, `${report.temporaryBytes} bytes written in passes`);
});

test(
  "external sort accepts a line longer than its memory",
  async () => {
    const long = "x".repeat(300_000);
    const report = await sortAndCheck(`${long}b\nz\n${long}a\na\n${long}`, { memory: 1000, fanIn: 2 });
    assert.equal(report.lines, 5);
    assert.ok(report.temporaryFiles > 0);
  },
);

test("external sort of many runs stays within 64 open files", {
  onOneNode: true,
  skip: noPrograms,
}, async () => {
  using place = scratch();
  const input = join(place.path, "in"), output = join(place.path, "out");
  writeFileSync(input, randomLines(100_000, 10));
  const limited = ["sh", "-c", 'ulimit -n 64 && exec "$@"', "sh"];
  const { said, stderr } = await sortInChild(
    `say(await externalSort(args[0], args[1], { memory: 1, fanIn: 4 }))`,
    [input, output],
    limited,
  );
  assert.equal(stderr, "");
  assert.ok(said[0].temporaryFiles > 200, `${said[0].temporaryFiles} temporary files`);
  assert.deepEqual(readFileSync(output), sorted(readFileSync(input)));
});

test(
  "external sort can replace its input through a symbolic link, and keeps its permissions",
  {
    skip: noLinks,
  },
  async () => {
    using place = scratch();
    const file = join(place.path, "file"), link = join(place.path, "link");
    writeFileSync(file, "b\na\n");
    chmodSync(file, 0o640);
    const { mode } = statSync(file);
    symlinkSync(file, link);
    await externalSort(file, link);
    assert.equal(readFileSync(file, "utf8"), "a\nb\n");
    assert.equal(statSync(file).mode, mode);
    assert.deepEqual(place.list(), ["file", "link"]);
  },
);

test(
  "external sort refuses to replace a directory",
  async () => {
    using place = scratch();
    const input = join(place.path, "in");
    writeFileSync(input, "a\n");
    await assert.rejects(externalSort(input, place.path), /Cannot replace .*: not a file/);
    assert.deepEqual(place.list(), ["in"]);
  },
);

/** Runs `code` with the example's functions in a process of its own. */
function sortInChild(code: string, args: string[], under: string[] = []): Promise<ChildResult> {
  const functions = `const { command, externalSort } = await import(${JSON.stringify(SORT.href)});`;
  const config = fileURLToPath(new URL("../../deno.json", import.meta.url));
  const flags = isDeno ? ["-A", "--config", config] : undefined;
  return runChild(`${functions}\n${code}`, { args, flags, under });
}

/** Sends itself a signal while the result is being written. */
const SIGNALS_ITSELF = `
  // As the program does.
  if (globalThis.Deno) (await import("mayfly")).configure({ signals: true });
  const [signal, input, output] = args;
  let sent = false;
  await command([input, output, "--memory", "64K"], ({ phase }) => {
    if (sent || phase !== "writing") return;
    sent = true;
    say(fs.readdirSync(path.dirname(output)).length);
    process.kill(process.pid, signal);
  });`;

/** Ends a sort by a signal while it writes its output; returns what is in the output's directory then. */
async function endBySignal(signal: NodeJS.Signals, place: Scratch): Promise<string[]> {
  const input = join(place.path, "in"), output = join(place.path, "out");
  writeFileSync(input, randomLines(300_000, 10));
  writeFileSync(output, "the old contents\n");
  const result = await sortInChild(SIGNALS_ITSELF, [signal, input, output]);
  assert.deepEqual({ status: result.status, signal: result.signal }, endedBy(signal), result.stderr);
  assert.deepEqual(result.said, [3], "the unfinished result was beside input and output");
  assert.equal(readFileSync(output, "utf8"), "the old contents\n");
  return place.list();
}

test(
  "external sort ended by SIGTERM leaves the old target and nothing else",
  { onOneNode: true, skip: noSignals },
  async () => {
    using place = scratch();
    assert.deepEqual(await endBySignal("SIGTERM", place), ["in", "out"]);
  },
);

test(
  "external sort ended by SIGINT leaves the old target and nothing else",
  { onOneNode: true, skip: noSignals },
  async () => {
    using place = scratch();
    assert.deepEqual(await endBySignal("SIGINT", place), ["in", "out"]);
  },
);

test(
  "external sort ended by SIGKILL leaves the old target, and the unfinished result beside it",
  { onOneNode: true },
  async () => {
    using place = scratch();
    // No program can prevent this. It also shows that the tests above would see what is left.
    assert.equal((await endBySignal("SIGKILL", place)).length, 3);
  },
);

test(
  "external sort as a program needs only read and write permission, and prints a summary",
  { onOneNode: true },
  async () => {
    using place = scratch();
    const input = join(place.path, "in"), output = join(place.path, "out");
    writeFileSync(input, randomLines(10_000, 10));
    const { status, stdout, stderr } = await run(SORT, [input, output, "--memory", "16k"]);
    assert.equal(stderr, "");
    assert.equal(status, 0);
    assert.match(
      stdout,
      /^Sorted \d+ lines \(0\.1 MB\) in \d+\.\d\d s with \d\d temporary files \(0\.\d MB\)\n$/,
    );
    assert.deepEqual(readFileSync(output), sorted(readFileSync(input)));
    assert.deepEqual(place.list(), ["in", "out"]);
  },
);

test(
  "external sort as a program prints its usage or the error, and exits with 2 or 1",
  { onOneNode: true },
  async () => {
    using place = scratch();
    const wrong = [[], ["in"], ["in", "out", "more"], ["in", "out", "--memory", "much"]];
    const statuses = await sortInChild(
      `for (const wrong of JSON.parse(args[0])) say(await command(wrong));`,
      [
        JSON.stringify(wrong),
      ],
    );
    assert.deepEqual(statuses.said, [2, 2, 2, 2]);
    assert.match(statuses.stderr, /^(Usage: external_sort\.ts INPUT OUTPUT .*\n){4}$/);
    const { status, stderr } = await run(SORT, ["in"]);
    assert.equal(status, 2);
    assert.match(stderr, /^Usage: external_sort\.ts INPUT OUTPUT/);
    const missing = await run(SORT, [join(place.path, "missing"), join(place.path, "out")]);
    assert.equal(missing.status, 1);
    assert.match(missing.stderr, /^external_sort: .*missing/);
  },
);
