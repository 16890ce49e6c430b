/**
 * Every kind of open file, opened in a uniform way.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import {
  type FileOptions,
  namedTemporaryFile,
  namedTemporaryFileSync,
  type SpooledOptions,
  spooledTemporaryFile,
  type TemporaryFile,
  temporaryFile,
  temporaryFileSync,
} from "#mod";

/** Opens a file of some kind. */
export type Open = (options?: FileOptions) => TemporaryFile | Promise<TemporaryFile>;

/** The kinds of file; what all files have in common must hold for each of them. */
export const kinds: { readonly [name: string]: Open } = {
  "unnamed": temporaryFile,
  "unnamed, sync": temporaryFileSync,
  "named": namedTemporaryFile,
  "named, sync": namedTemporaryFileSync,
  "named, buffered": (options) => namedTemporaryFile({ bufferSize: 100, ...options }),
  "spooled, in memory": (options) => spooledTemporaryFile({ maxMemory: 2 ** 24, ...options }),
  "spooled, on disk": (options) => spooledTemporaryFile({ maxMemory: 0, ...options } as SpooledOptions),
  "spooled, between": (options) => spooledTemporaryFile({ maxMemory: 5, ...options }),
};

/** Opens one file of each kind, with its name for messages. */
export async function* eachKind(options?: FileOptions): AsyncGenerator<[string, TemporaryFile]> {
  for (const [kind, open] of Object.entries(kinds)) {
    await using file = await open(options);
    yield [kind, file];
  }
}

/** Every use of a file that requires it to be open, by the name of the member. */
export const usesOf = (file: TemporaryFile): { [name: string]: () => unknown } => ({
  write: () => file.write("x"),
  writeSync: () => file.writeSync("x"),
  read: () => file.read(),
  readSync: () => file.readSync(),
  readInto: () => file.readInto(new Uint8Array(1)),
  readIntoSync: () => file.readIntoSync(new Uint8Array(1)),
  readText: () => file.readText(),
  readTextSync: () => file.readTextSync(),
  bytes: () => file.bytes(),
  bytesSync: () => file.bytesSync(),
  text: () => file.text(),
  textSync: () => file.textSync(),
  json: () => file.json(),
  jsonSync: () => file.jsonSync(),
  blob: () => file.blob(),
  lines: () => file.lines().next(),
  stream: () => file.stream().getReader().read(),
  readable: () => file.readable.getReader().read(),
  writable: () => file.writable.getWriter().write("x"),
  seek: () => file.seek(0),
  seekSync: () => file.seekSync(0),
  size: () => file.size(),
  sizeSync: () => file.sizeSync(),
  truncate: () => file.truncate(),
  truncateSync: () => file.truncateSync(),
  flush: () => file.flush(),
  flushSync: () => file.flushSync(),
  sync: () => file.sync(),
  syncSync: () => file.syncSync(),
  fd: () => file.fd,
  lock: () => file.lock(),
  tryLock: () => file.tryLock(),
});

/** Returns the code of what a call throws, or its name if it has no code; "nothing" if it throws nothing. */
export async function failureOf(call: () => unknown): Promise<string> {
  try {
    await call();
    return "nothing";
  } catch (error) {
    const { code, name } = error as { code?: string; name: string };
    return code === "ERR_INVALID_OPTION" ? `${name} ${code}` : code ?? name;
  }
}

/** Returns bytes that differ from their neighbours, so that a mix-up shows. */
export function pattern(length: number, seed = 1): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let i = 0, state = seed; i < length; i++) {
    state = (state * 1_103_515_245 + 12_345) & 0x7fffffff;
    bytes[i] = state >> 16;
  }
  return bytes;
}

/** Whether two arrays have the same bytes; `deepEqual` takes seconds on long arrays. */
export function sameBytes(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(one, other) === 0;
}
