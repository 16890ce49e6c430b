/**
 * What an open file should do, modelled in memory in the simplest way, and operations that run on both.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import fc from "fast-check";
import type { SpooledTemporaryFile, TemporaryFile } from "#mod";

/** The options of a file that change what its methods do. */
export interface ModelOptions {
  maxSize: number | undefined;
  encoding: "utf-8" | "utf-16le" | "latin1";
  newline: "\n" | "\r\n" | undefined;
  fatal: boolean;
}

type Data = string | Uint8Array;

/** The file as an array: slow, and so simple that it needs no test of its own. */
export class Model {
  bytes: number[] = [];
  position = 0;
  readonly options: ModelOptions;

  constructor(options: ModelOptions) {
    this.options = options;
  }

  /** Returns what is written for text or bytes. */
  encode(data: Data): Uint8Array {
    if (typeof data !== "string") return data;
    const { encoding, newline } = this.options;
    const text = newline === undefined ? data : data.split(/\r?\n/).join(newline);
    if (encoding === "latin1" && /[^\0-\xff]/.test(text)) throw new Expected("EILSEQ");
    return new Uint8Array(Buffer.from(text, encoding));
  }

  /** Returns the text of some bytes. */
  decode(bytes: Uint8Array, fatal: boolean = this.options.fatal): string {
    const { encoding } = this.options;
    if (encoding === "latin1") return Buffer.from(bytes).toString(encoding);
    try {
      return new TextDecoder(encoding, { ignoreBOM: true, fatal }).decode(bytes);
    } catch {
      throw new Expected("EILSEQ");
    }
  }

  write(given: Data, at?: number): number {
    const data = this.encode(given);
    const start = at ?? this.position, end = start + data.length;
    if (data.length === 0) return 0;
    if (end > (this.options.maxSize ?? Infinity)) throw new Expected("EFBIG");
    while (this.bytes.length < start) this.bytes.push(0);
    this.bytes.splice(start, data.length, ...data);
    if (at === undefined) this.position = end;
    return data.length;
  }

  writeChunks(chunks: Data[], at?: number): number {
    let total = 0;
    for (const chunk of chunks) total += this.write(chunk, at === undefined ? undefined : at + total);
    return total;
  }

  read(length = Infinity, at?: number): Uint8Array {
    const start = at ?? this.position;
    const found = this.bytes.slice(start, start + length);
    if (at === undefined) this.position = start + found.length;
    return new Uint8Array(found);
  }

  readText(length = Infinity): string {
    const rest = new Uint8Array(this.bytes.slice(this.position));
    const end = this.#endOfCharacters(rest, length);
    const text = this.decode(rest.subarray(0, end));
    this.position += end;
    return text;
  }

  /** Returns where `count` characters end: where a cut yields that many and changes no character on either side. */
  #endOfCharacters(bytes: Uint8Array, count: number): number {
    const decode = (part: Uint8Array): string => this.decode(part, false);
    const whole = decode(bytes);
    if ([...whole].length <= count) return bytes.length;
    for (let end = 0;; end++) {
      const text = decode(bytes.subarray(0, end));
      if ([...text].length === count && text + decode(bytes.subarray(end)) === whole) return end;
    }
  }

  seek(offset: number, whence: "start" | "current" | "end"): number {
    const origin = { start: 0, current: this.position, end: this.bytes.length }[whence];
    if (origin + offset < 0) throw new Expected("RangeError");
    return this.position = origin + offset;
  }

  truncate(size = this.position): void {
    if (size > (this.options.maxSize ?? Infinity)) throw new Expected("EFBIG");
    this.bytes.length = Math.min(this.bytes.length, size);
    while (this.bytes.length < size) this.bytes.push(0);
  }

  lines(at = 0): string[] {
    const lines = this.decode(new Uint8Array(this.bytes.slice(at))).split("\n");
    const last = lines.pop()!;
    return [...lines.map((line) => line.replace(/\r$/, "")), ...last === "" ? [] : [last]];
  }
}

/** An error that both should throw, by its code or name. */
export class Expected extends Error {
  readonly code: string;
  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

/** One operation: on the model, and on a file in both ways. */
export interface Operation {
  text: string;
  model(model: Model): unknown;
  async(file: TemporaryFile): Promise<unknown>;
  /** Undefined if it exists only asynchronously. */
  sync?(file: TemporaryFile): unknown;
  /** Whether later calls may be made before this one has ended. */
  overlaps: boolean;
}

/** How an error is compared. */
// deno-lint-ignore no-explicit-any -- whatever was thrown
const nameOf = (error: any): string =>
  error?.code === "ERR_INVALID_OPTION" ? error.name : error?.code ?? String(error);

/** Returns the outcome of a call, in a form that can be compared. */
export async function outcome(call: () => unknown): Promise<unknown> {
  try {
    const value = await call();
    return value instanceof Uint8Array ? [...value] : value ?? "nothing";
  } catch (error) {
    return { error: nameOf(error) };
  }
}

const offset = fc.nat({ max: 90 });
const maybeAt = fc.option(offset, { nil: undefined, freq: 2 });
const bytes = fc.uint8Array({ maxLength: 24 });
/** Any code points, also halves of a pair. `fc.string` would first take a second to build a table of them all. */
const anyText = fc.array(fc.nat({ max: 0x10ffff }), { maxLength: 10 }).map((codes) =>
  String.fromCodePoint(...codes)
);
const text = fc.oneof(
  anyText,
  fc.constantFrom("", "\n", "a\r\nb", "line\n", "é", "€", "😀😀", "\r", "\uFEFFx", "x".repeat(30)),
);
const data = fc.oneof(bytes, text);
const show = (value: unknown): string =>
  value instanceof Uint8Array
    ? `bytes(${value})`
    : Array.isArray(value)
    ? `[${value.map(show)}]`
    : JSON.stringify(value) ?? "";
const options = (at: number | undefined): { at: number } | undefined => at === undefined ? undefined : { at };

const write = fc.tuple(data, maybeAt).map(([value, at]): Operation => ({
  text: `write(${show(value)}, ${at})`,
  model: (model) => model.write(value, at),
  async: (file) => file.write(value, options(at)),
  sync: (file) => file.writeSync(value, options(at)),
  overlaps: true,
}));

function source(chunks: Data[], form: string): Parameters<TemporaryFile["write"]>[0] {
  if (form === "iterable") return chunks;
  if (form === "generator") {
    return (async function* () {
      yield* chunks;
    })();
  }
  return new ReadableStream({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk);
      controller.close();
    },
  });
}

const writeSource = fc.tuple(
  fc.array(data, { maxLength: 4 }),
  fc.constantFrom("iterable", "generator", "stream"),
  maybeAt,
).map(([chunks, form, at]): Operation => ({
  text: `write(${form} ${show(chunks)}, ${at})`,
  model: (model) => model.writeChunks(chunks, at),
  async: (file) => file.write(source(chunks, form), options(at)),
  overlaps: false,
}));

const read = fc.option(fc.nat({ max: 40 }), { nil: undefined, freq: 5 }).map((length): Operation => ({
  text: `read(${length})`,
  model: (model) => model.read(length),
  async: (file) => file.read(length),
  sync: (file) => file.readSync(length),
  overlaps: true,
}));

const readInto = fc.tuple(fc.nat({ max: 40 }), maybeAt).map(([length, at]): Operation => {
  const filled = (into: Uint8Array, count: number): Uint8Array => into.subarray(0, count);
  return {
    text: `readInto(${length}, ${at})`,
    model: (model) => model.read(length, at),
    async: async (file) => {
      const into = new Uint8Array(length);
      return filled(into, await file.readInto(into, options(at)));
    },
    sync: (file) => {
      const into = new Uint8Array(length);
      return filled(into, file.readIntoSync(into, options(at)));
    },
    overlaps: true,
  };
});

const readText = fc.option(fc.nat({ max: 12 }), { nil: undefined, freq: 5 }).map((length): Operation => ({
  text: `readText(${length})`,
  model: (model) => model.readText(length),
  async: (file) => file.readText(length),
  sync: (file) => file.readTextSync(length),
  overlaps: true,
}));

const seek = fc.tuple(fc.integer({ min: -60, max: 90 }), fc.constantFrom("start", "current", "end")).map(
  ([by, whence]): Operation => ({
    text: `seek(${by}, ${whence})`,
    model: (model) => model.seek(by, whence),
    async: (file) => file.seek(by, whence),
    sync: (file) => file.seekSync(by, whence),
    overlaps: true,
  }),
);

const truncate = fc.option(offset, { nil: undefined }).map((size): Operation => ({
  text: `truncate(${size})`,
  model: (model) => model.truncate(size),
  async: (file) => file.truncate(size),
  sync: (file) => file.truncateSync(size),
  overlaps: true,
}));

/** Operations without arguments. */
const plain: Operation[] = [
  {
    text: "flush()",
    model: () => {},
    async: (file) => file.flush(),
    sync: (file) => file.flushSync(),
    overlaps: true,
  },
  {
    text: "size()",
    model: (model) => model.bytes.length,
    async: (file) => file.size(),
    sync: (file) => file.sizeSync(),
    overlaps: true,
  },
  {
    text: "bytes()",
    model: (model) => model.read(Infinity, 0),
    async: (file) => file.bytes(),
    sync: (file) => file.bytesSync(),
    overlaps: true,
  },
  {
    text: "text()",
    model: (model) => model.decode(new Uint8Array(model.bytes)),
    async: (file) => file.text(),
    sync: (file) => file.textSync(),
    overlaps: true,
  },
  {
    text: "[Symbol.asyncIterator]()",
    model: (model) => model.read(Infinity, 0),
    async: (file) => gather(file),
    overlaps: false,
  },
  {
    text: "blob()",
    model: (model) => model.read(Infinity, 0),
    async: async (file) => new Uint8Array(await (await file.blob()).arrayBuffer()),
    overlaps: false,
  },
  {
    text: "rollover()",
    model: () => {},
    async: (file) => (file as Partial<SpooledTemporaryFile>).rollover?.() ?? Promise.resolve(),
    sync: (file) => (file as Partial<SpooledTemporaryFile>).rolloverSync?.(),
    overlaps: true,
  },
];

const lines = maybeAt.map((at): Operation => ({
  text: `lines(${at})`,
  model: (model) => model.lines(at),
  async: async (file) => {
    const all: string[] = [];
    for await (const line of file.lines(options(at))) all.push(line);
    return all;
  },
  overlaps: false,
}));

const stream = maybeAt.map((at): Operation => ({
  text: `stream(${at})`,
  model: (model) => model.read(Infinity, at ?? 0),
  async: (file) => gather(file.stream(options(at))),
  overlaps: false,
}));

async function gather(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const all: number[] = [];
  for await (const chunk of chunks) all.push(...chunk);
  return new Uint8Array(all);
}

/** Any operation; those that write or move are more frequent. */
export const operation: fc.Arbitrary<Operation> = fc.oneof(
  { arbitrary: write, weight: 8 },
  { arbitrary: writeSource, weight: 2 },
  { arbitrary: read, weight: 3 },
  { arbitrary: readInto, weight: 3 },
  { arbitrary: readText, weight: 3 },
  { arbitrary: seek, weight: 4 },
  { arbitrary: truncate, weight: 3 },
  { arbitrary: lines, weight: 1 },
  { arbitrary: stream, weight: 1 },
  { arbitrary: fc.constantFrom(...plain), weight: 4 },
);
