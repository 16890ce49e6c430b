/**
 * Sorts the lines of a text file that may be larger than memory, like `LC_ALL=C sort`.
 *
 *     external_sort.ts INPUT OUTPUT [--memory 32M]
 *
 * Lines are collected until the memory limit is reached, then sorted and written to a temporary file: a run. When there
 * are as many runs as can be merged at once, they are merged into one. At the end the remaining runs and the lines still
 * in memory are merged into a file beside OUTPUT, which replaces OUTPUT in one step: nobody ever sees half a result.
 *
 * The runs have no name: no other user can read them, and none is left behind however the process ends.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { open, stat } from "node:fs/promises";
import process from "node:process";
import { parseArgs } from "node:util";
import { type TemporaryFile, temporaryFile, writeFileAtomic } from "mayfly";
import { runAsProgram } from "./program.ts";

/** Options of {@linkcode externalSort}. */
export interface SortOptions {
  /** Approximate bytes of memory to use. A longer line is still held as a whole. */
  memory?: number;
  /** How many runs to merge at once. */
  fanIn?: number;
  /** Called from time to time. */
  onProgress?: OnProgress;
}

/** How far the sort has come, in bytes. */
export interface Progress {
  phase: "reading" | "writing";
  done: number;
  total: number;
}

/** Receives the progress. */
export type OnProgress = (progress: Progress) => void;

/** The result of a sort. */
export interface SortReport {
  lines: number;
  bytes: number;
  temporaryFiles: number;
  temporaryBytes: number;
}

const MEMORY = 32 * 1024 ** 2;
const FAN_IN = 64;

/** Sorts the lines of the file `input` into the file `output`, which may be the same file. */
export async function externalSort(
  input: string,
  output: string,
  { memory = MEMORY, fanIn = FAN_IN, onProgress = () => {} }: SortOptions = {},
): Promise<SortReport> {
  await using runs = new Runs(memory, fanIn);
  await requireFile(output);
  const { size } = await stat(input);
  let done = 0;
  for await (const batch of linesOfFile(input, chunkSize(memory / 8))) {
    await runs.add(batch);
    done += bytesOf(batch);
    onProgress({ phase: "reading", done: Math.min(done, size), total: size });
  }
  let lines = 0, bytes = 0;
  const chunks = encode(await runs.merged(), (batch, chunk) => {
    lines += batch.length;
    bytes += chunk.byteLength;
    onProgress({ phase: "writing", done: bytes, total: done });
  });
  await writeFileAtomic(output, chunks, { links: "follow" });
  return { lines, bytes, temporaryFiles: runs.files, temporaryBytes: runs.bytes };
}

/** Refuses to replace a device or a pipe. */
async function requireFile(path: string): Promise<void> {
  const there = await stat(path).catch(() => undefined);
  if (there !== undefined && !there.isFile()) throw new Error(`Cannot replace "${path}": not a file`);
}

/** The memory overhead of a line: the string object and its slots in arrays. */
const LINE_COST = 64;

/** Lines in memory and sorted runs in temporary files. */
class Runs implements AsyncDisposable {
  /** Temporary files created so far. */
  files = 0;
  /** Bytes written to them. */
  bytes = 0;
  readonly #memory: number;
  readonly #fanIn: number;
  #lines: string[] = [];
  #cost = 0;
  /** `#levels[n]` holds the runs that went through n merges, so each line is merged only a few times. */
  readonly #levels: TemporaryFile[][] = [];
  readonly #open = new Set<TemporaryFile>();

  constructor(memory: number, fanIn: number) {
    this.#memory = memory;
    this.#fanIn = Math.max(2, fanIn);
  }

  /** Adds lines in any order. */
  async add(lines: string[]): Promise<void> {
    for (const line of lines) this.#lines.push(line);
    this.#cost += bytesOf(lines) + lines.length * LINE_COST;
    // The other half is reserved for merging.
    if (this.#cost > this.#memory / 2) await this.#place(await this.#write(merge([this.#sorted()])), 0);
  }

  /** Returns all lines in order. */
  async merged(): Promise<AsyncIterable<string[]>> {
    const runs = this.#levels.flat();
    while (runs.length > this.#fanIn) runs.push(await this.#join(runs.splice(0, this.#fanIn)));
    return merge([...runs.map((run) => this.#read(run)), this.#sorted()]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const run of this.#open) await run[Symbol.asyncDispose]();
  }

  async *#sorted(): AsyncGenerator<string[]> {
    const lines = this.#lines;
    this.#lines = [];
    this.#cost = 0;
    yield lines.sort();
  }

  /** Adds a run to its level. A full level is merged into one run of the next, which bounds the number of open files. */
  async #place(run: TemporaryFile, level: number): Promise<void> {
    const runs = this.#levels[level] ??= [];
    runs.push(run);
    if (runs.length < this.#fanIn) return;
    this.#levels[level] = [];
    await this.#place(await this.#join(runs), level + 1);
  }

  async #join(runs: TemporaryFile[]): Promise<TemporaryFile> {
    const joined = await this.#write(merge(runs.map((run) => this.#read(run))));
    for (const run of runs) await run.close();
    for (const run of runs) this.#open.delete(run);
    return joined;
  }

  async #write(batches: AsyncIterable<string[]>): Promise<TemporaryFile> {
    const run = await temporaryFile();
    this.#open.add(run);
    this.files++;
    this.bytes += await run.write(encode(batches));
    return run;
  }

  async *#read(run: TemporaryFile): AsyncGenerator<string[]> {
    await run.seek(0);
    yield* linesOf((chunk) => run.readInto(chunk), chunkSize(this.#memory / 8 / this.#fanIn));
  }
}

/** The largest and the smallest read or write, in bytes; larger ones gain nothing. */
const CHUNK = 128 * 1024;
const MIN_CHUNK = 4 * 1024;

const chunkSize = (share: number): number => Math.max(MIN_CHUNK, Math.min(share, CHUNK));

async function* linesOfFile(path: string, size: number): AsyncGenerator<string[]> {
  await using file = await open(path);
  yield* linesOf(async (chunk) => (await file.read(chunk)).bytesRead, size);
}

/**
 * Yields the lines that `read` reads, in batches, without line terminators. The last line needs no terminator.
 *
 * Latin-1 maps each byte to the character with the same number. So every byte is preserved, valid UTF-8 or not, and
 * strings compare as their bytes do, unlike strings decoded from UTF-8.
 */
async function* linesOf(
  read: (chunk: Uint8Array) => Promise<number>,
  chunkSize: number,
): AsyncGenerator<string[]> {
  const chunk = Buffer.alloc(chunkSize);
  let rest = "";
  for (let count = await read(chunk); count > 0; count = await read(chunk)) {
    const lines = chunk.toString("latin1", 0, count).split("\n");
    lines[0] = rest + lines[0];
    rest = lines.pop()!;
    if (lines.length > 0) yield lines;
  }
  if (rest !== "") yield [rest];
}

/** Yields the bytes of lines, each with its terminator. */
async function* encode(
  batches: AsyncIterable<string[]>,
  onBatch: (batch: string[], chunk: Uint8Array) => void = () => {},
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  for await (const batch of batches) {
    const chunk = Buffer.from(`${batch.join("\n")}\n`, "latin1");
    yield chunk;
    onBatch(batch, chunk);
  }
}

function bytesOf(lines: string[]): number {
  let bytes = lines.length;
  for (const line of lines) bytes += line.length;
  return bytes;
}

/** Merges sorted sources. The cursors form a binary min-heap, ordered by their current lines. */
async function* merge(sources: AsyncIterable<string[]>[]): AsyncGenerator<string[]> {
  const heap: Cursor[] = [];
  for (const source of sources) {
    const cursor = new Cursor(source);
    if (await cursor.load()) heap.push(cursor);
  }
  heap.sort((a, b) => a.line < b.line ? -1 : 1);
  let batch: string[] = [], size = 0;
  while (heap.length > 0) {
    const first = heap[0];
    batch.push(first.line);
    size += first.line.length;
    if (size + batch.length >= CHUNK) {
      yield batch;
      batch = [], size = 0;
    }
    if (!first.step() && !await first.load()) removeFirst(heap);
    sink(heap);
  }
  if (batch.length > 0) yield batch;
}

/** A position in a sorted source. */
class Cursor {
  /** The current line. */
  line = "";
  readonly #batches: AsyncIterator<string[]>;
  #batch: string[] = [];
  #next = 0;

  constructor(source: AsyncIterable<string[]>) {
    this.#batches = source[Symbol.asyncIterator]();
  }

  /** Moves to the next line; returns false if it must be loaded first. */
  step(): boolean {
    if (this.#next === this.#batch.length) return false;
    this.line = this.#batch[this.#next++];
    return true;
  }

  /** Loads the next batch and moves to its first line; returns false at the end. */
  async load(): Promise<boolean> {
    do {
      const { done, value } = await this.#batches.next();
      if (done) return false;
      this.#batch = value;
      this.#next = 0;
    } while (!this.step());
    return true;
  }
}

function removeFirst(heap: Cursor[]): void {
  const last = heap.pop()!;
  if (heap.length > 0) heap[0] = last;
}

/** Restores the heap order after the first cursor has moved. */
function sink(heap: Cursor[]): void {
  const sinking = heap[0];
  let at = 0;
  for (let child = 1; child < heap.length; child = 2 * at + 1) {
    if (child + 1 < heap.length && heap[child + 1].line < heap[child].line) child++;
    if (sinking.line <= heap[child].line) break;
    heap[at] = heap[child];
    at = child;
  }
  if (heap.length > 0) heap[at] = sinking;
}

const USAGE = "Usage: external_sort.ts INPUT OUTPUT [--memory 32M]";

/** Runs as a program, and returns the exit status. */
export async function command(
  args: string[],
  onProgress: OnProgress = progressLine(),
): Promise<number | void> {
  const { positionals: [input, output, ...more], values } = parse(args);
  const memory = bytesIn(values.memory);
  if (input === undefined || output === undefined || more.length > 0 || memory === undefined) {
    console.error(USAGE);
    return 2;
  }
  const started = performance.now();
  const report = await externalSort(input, output, { memory, onProgress });
  console.log(summary(report, (performance.now() - started) / 1000));
}

function parse(args: string[]) {
  const memory = { type: "string", default: "32M" } as const;
  return parseArgs({ args, allowPositionals: true, options: { memory } });
}

/** Parses a size such as "32M". */
function bytesIn(text: string): number | undefined {
  const [, number, unit] = /^(\d+)([KMG]?)$/i.exec(text) ?? [];
  return number === undefined
    ? undefined
    : Number(number) * 1024 ** " KMG".indexOf(unit.toUpperCase() || " ");
}

/** Shows progress on a terminal, ten times a second. */
function progressLine(): OnProgress {
  if (!process.stderr.isTTY) return () => {};
  let due = 0;
  return ({ phase, done, total }) => {
    const isLast = phase === "writing" && done >= total;
    if (!isLast && performance.now() < due) return;
    due = performance.now() + 100;
    process.stderr.write(isLast ? "\r\x1b[K" : `\r\x1b[K${phase} ${megabytes(done)} of ${megabytes(total)}`);
  };
}

function summary({ lines, bytes, temporaryFiles, temporaryBytes }: SortReport, seconds: number): string {
  const sorted = `Sorted ${lines.toLocaleString("en")} lines (${megabytes(bytes)}) in ${
    seconds.toFixed(2)
  } s`;
  const files = temporaryFiles === 1 ? "file" : "files";
  return `${sorted} with ${temporaryFiles} temporary ${files} (${megabytes(temporaryBytes)})`;
}

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;

await runAsProgram(import.meta, command);
