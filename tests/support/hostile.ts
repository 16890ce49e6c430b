/**
 * Values that callers are not expected to pass, and which of them are valid nevertheless.
 *
 * @module
 */
import type { Input } from "./surface.ts";

/** A value, created anew for each use: some are used up. */
export interface Hostile {
  title: string;
  make(): unknown;
}

const hostile = (title: string, make: () => unknown): Hostile => ({ title, make });

/** A path that exists in no test, so that a call that takes it for a path finds nothing. */
const NOWHERE = "no-such-parent/";

const trap = (): never => {
  throw new Error("the caller's own code ran");
};

/** Throws on any access except being distinguished from a primitive. */
const bomb = (target: object = {}): object =>
  new Proxy(target, {
    get: trap,
    has: trap,
    getPrototypeOf: trap,
    ownKeys: trap,
    getOwnPropertyDescriptor: trap,
  });

function detached(): ArrayBuffer {
  const buffer = new ArrayBuffer(8);
  structuredClone(buffer, { transfer: [buffer] });
  return buffer;
}

/** TypeScript's types are older than what every runtime has. */
type Resizable = ArrayBuffer & { resize(length: number): void };

const resizable = (length: number): Resizable =>
  new (ArrayBuffer as unknown as new (length: number, options: object) => Resizable)(length, {
    maxByteLength: 16,
  });

/** A view for which its buffer has become too short. */
function stranded(view: new (buffer: ArrayBuffer, at: number, length: number) => ArrayBufferView): unknown {
  const buffer = resizable(16);
  const stranded = new view(buffer, 8, 1);
  buffer.resize(4);
  return stranded;
}

/** A signal of another realm or a polyfill: valid by its shape. */
const duckSignal = (): object => ({
  aborted: false,
  reason: undefined,
  throwIfAborted() {},
  addEventListener() {},
  removeEventListener() {},
});

/** Strings that some option nearly accepts. */
const ALMOST = ["utf8", "UTF-8", "\r", "START", "umask "];

const STRINGS: Hostile[] = [
  "",
  "\0",
  `${NOWHERE}\0`,
  `${NOWHERE}\ud800`,
  `${NOWHERE}\udc00x`,
  `${NOWHERE}${"x".repeat(300)}`,
  `${NOWHERE}CON`,
  `${NOWHERE}../x`,
  ...ALMOST,
].map((text) => hostile(JSON.stringify(text), () => text));

const NUMBERS: Hostile[] = [
  NaN,
  -0,
  -1,
  1.5,
  Infinity,
  -Infinity,
  2 ** 31,
  2 ** 32,
  2 ** 53 - 1,
  2 ** 53,
  1e300,
  0o777,
  0o1000,
  0o4755,
  Number.MIN_VALUE,
].map((number) => hostile(Object.is(number, -0) ? "-0" : String(number), () => number));

const PRIMITIVES: Hostile[] = [null, true, false, 0n, 1n, 2n ** 64n].map((value) =>
  hostile(typeof value === "bigint" ? `${value}n` : String(value), () => value)
);

const OBJECTS: Hostile[] = [
  hostile("a symbol", () => Symbol("x")),
  hostile("[]", () => []),
  hostile("['../x']", () => ["../x"]),
  hostile("[1]", () => [1]),
  hostile("{}", () => ({})),
  hostile("Object.create(null)", () => Object.create(null)),
  hostile("new String", () => new String("x")),
  hostile("new Number", () => new Number(1)),
  hostile("new Boolean", () => new Boolean(true)),
  hostile("new Date", () => new Date(0)),
  hostile("new Map", () => new Map([["a", "b"]])),
  hostile("a Buffer", () => Buffer.from("../x")),
  hostile("toString", () => ({ toString: () => "../x" })),
  hostile("Symbol.toPrimitive", () => ({ [Symbol.toPrimitive]: () => "x" })),
  hostile("a function", () => () => "x"),
  hostile("a class", () => class {}),
  hostile("a promise", () => Promise.resolve("x")),
  hostile("a Proxy of String", () => new Proxy(new String("x"), {})),
  hostile("a Proxy of a function", () => new Proxy(() => "x", {})),
  hostile("a Proxy of an array", () => new Proxy(["x"], {})),
  hostile("a revoked Proxy", () => {
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    return proxy;
  }),
  hostile("a bomb", () => bomb()),
  hostile("a bomb of a function", () => bomb(() => {})),
];

const FOREIGN: Hostile[] = [
  hostile("a duck of a signal", duckSignal),
  hostile("an aborted signal", () => AbortSignal.abort()),
  hostile("an AbortController", () => new AbortController()),
  hostile("an EventTarget", () => new EventTarget()),
  hostile("what only has a signal's prototype", () => Object.create(AbortSignal.prototype)),
  hostile("half a signal", () => ({ aborted: false, addEventListener() {} })),
  hostile("a file: URL", () => new URL("file:///no-such-parent/x")),
  hostile("an http: URL", () => new URL("http://localhost/tmp")),
  hostile("a URL of another machine", () => new URL("file://elsewhere/tmp")),
  hostile("a URL with a slash", () => new URL("file:///no-such-parent%2Fx")),
  hostile("a URL with NUL", () => new URL("file:///no-such-parent/%00")),
  hostile("a URL not in UTF-8", () => new URL("file:///no-such-parent/%FF")),
  hostile("a Proxy of a URL", () => new Proxy(new URL("file:///tmp"), {})),
  hostile("what only has a URL's prototype", () => Object.create(URL.prototype)),
];

const BUFFERS: Hostile[] = [
  hostile("an ArrayBuffer", () => new ArrayBuffer(3)),
  hostile("a SharedArrayBuffer", () => new SharedArrayBuffer(3)),
  hostile("a view of shared memory", () => new Uint8Array(new SharedArrayBuffer(3), 1)),
  hostile("a resizable buffer", () => resizable(3)),
  hostile("a view of a resizable buffer", () => new Uint8Array(resizable(3), 1)),
  hostile("a detached buffer", detached),
  hostile("a view of a detached buffer", () => {
    const bytes = new Uint8Array(8);
    structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
    return bytes;
  }),
  hostile("a DataView of a detached buffer", () => {
    const view = new DataView(new ArrayBuffer(8));
    structuredClone(view.buffer, { transfer: [view.buffer as ArrayBuffer] });
    return view;
  }),
  hostile("a view beyond its buffer", () => stranded(Uint8Array)),
  hostile("floats beyond their buffer", () => stranded(Float64Array)),
  hostile("a DataView beyond its buffer", () => stranded(DataView)),
  hostile("what calls itself an ArrayBuffer", () => ({ [Symbol.toStringTag]: "ArrayBuffer" })),
  hostile("a Proxy of a view", () => new Proxy(new Uint8Array(3), {})),
  hostile("what only has a view's prototype", () => Object.create(Uint8Array.prototype)),
  hostile("a Blob", () => new Blob(["x"])),
  hostile("a Response", () => new Response("x")),
  hostile("a stream", () => new Response("x").body),
  hostile("a stream that is locked", () => {
    const stream = new Response("x").body!;
    stream.getReader();
    return stream;
  }),
  hostile("what only has a Blob's prototype", () => Object.create(Blob.prototype)),
];

/** Objects that throw when asked for an option or iterated: that error is passed on. */
export const SELF_WILLED: readonly string[] = [
  "a bomb",
  "a revoked Proxy",
  "a Proxy of String",
  "a Proxy of a view",
  "what only has a view's prototype",
];

/** Iterables of what is neither text nor bytes: that shows only when they are iterated. */
export const LATE: readonly string[] = ["[1]", "new Map"];

/** Strings that could name something in the working directory. */
const WORDS: readonly string[] = ALMOST.map((word) => JSON.stringify(word));

const PLAIN: readonly Hostile[] = [...STRINGS, ...NUMBERS, ...PRIMITIVES, ...OBJECTS];

/** All values. */
export const VALUES: readonly Hostile[] = [...PLAIN, ...FOREIGN, ...BUFFERS];

/** Returns the values to pass to an input. */
export function valuesFor(input: Input): readonly Hostile[] {
  // Any object can hold options.
  if (holdsOptions(input)) return PLAIN;
  // A path without a directory is in the working directory, where nothing should be created.
  return input.type === "string | URL" ? VALUES.filter(({ title }) => !WORDS.includes(title)) : VALUES;
}

/** Whether a value is valid for an input, by its documentation. */
export type Right = (value: unknown, title: string) => boolean;

const isText = (value: unknown): value is string => typeof value === "string";
const oneOf = (...values: unknown[]): Right => (value) => values.includes(value);
const whole = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const size: Right = (value) => whole(value) || value === Infinity;
const flag: Right = (value) => typeof value === "boolean";
const bits: Right = (value) => whole(value) && value <= 0o777;
const call: Right = (value) => typeof value === "function";
const path: Right = (value, title) =>
  title === "a file: URL" ||
  isText(value) && value !== "" && !/[\0]|\p{Surrogate}/u.test(value);
const prefix: Right = (value) => isText(value) && !/[/\\\p{Cc}<>:"|?*]|\p{Surrogate}|^\.+$/u.test(value);
const suffix: Right = (value, title) => prefix(value, title) && !/[. ]$/.test(value as string);
const policy: Right = (value, title) =>
  bits(value, title) || oneOf("private", "existing", "umask")(value, title);
const time: Right = (value) => typeof value === "number" && value >= 0;
/** Timers turn larger values into one millisecond. */
const timer = 2 ** 31 - 1;
const limit: Right = (value) =>
  value === Infinity || typeof value === "number" && value >= 0 && value <= timer;
const signal: Right = (_, title) => ["a duck of a signal", "an aborted signal"].includes(title);
/** A function is not an options object, and an array is a mistake. */
const options: Right = (value, title) =>
  SELF_WILLED.includes(title) || typeof value === "object" && value !== null && !Array.isArray(value);
const bytes: Right = (_, title) =>
  [
    "a Buffer",
    "an ArrayBuffer",
    "a SharedArrayBuffer",
    "a view of shared memory",
    "a resizable buffer",
    "a view of a resizable buffer",
  ].includes(title);
const data: Right = (value, title) => isText(value) || bytes(value, title);
/** Of text, or empty, whatever else they are. */
const ITERABLE = [
  "[]",
  "['../x']",
  "new String",
  "a Proxy of String",
  "a Proxy of an array",
  "a Proxy of a view",
  "what only has a view's prototype",
];
const source: Right = (value, title) =>
  data(value, title) || ITERABLE.includes(title) || ["a Blob", "a Response", "a stream"].includes(title);

/** Which values are valid for an input, by its name and type; a missing input has not been considered yet. */
export const RIGHT: { readonly [nameAndType: string]: Right } = {
  "at: number": whole,
  "buffer: ArrayBufferLike | ArrayBufferView<ArrayBufferLike>": bytes,
  "bufferSize: number": size,
  "data: Data": data,
  "data: Data | Source": source,
  "delete: boolean": flag,
  "deleteOnClose: boolean": flag,
  "destination: string | URL": path,
  "dir: string | URL": path,
  "disk: boolean": flag,
  "dryRun: boolean": flag,
  "durable: boolean": flag,
  "encoding: Encoding": oneOf("utf-8", "utf-16le", "latin1"),
  "exec: boolean": flag,
  "fatal: boolean": flag,
  "fd: number": (value) => whole(value) && value < 2 ** 31,
  "ignoreCleanupErrors: boolean": flag,
  "inline: boolean": flag,
  "interval: number": (value) => typeof value === "number" && value >= 10 && value <= timer,
  "keepAlive: number | boolean": (value, title) =>
    flag(value, title) || typeof value === "number" && value >= 1 && value <= timer,
  "length: number": size,
  'links: "replace" | "follow"': oneOf("replace", "follow"),
  "maxMemory: number": size,
  "maxSize: number": size,
  "minFree: number": size,
  "minInodes: number": size,
  "mode: ModePolicy": policy,
  "mode: number": bits,
  'newline: "\\n" | "\\r\\n"': oneOf("\n", "\r\n"),
  "offset: number": whole,
  "olderThan: number": time,
  "onLow: (space: DiskSpace) => unknown": call,
  "onProgress: (path: string) => unknown": call,
  "overwrite: boolean": flag,
  "path: string | URL": path,
  "prefix: string": prefix,
  "reaper: boolean": flag,
  "reclaim: boolean": flag,
  "sameDeviceAs: string | URL": path,
  "segments: string[]": (value) => isText(value) && !value.includes("\0"),
  "shared: boolean": flag,
  "signal: AbortSignal": signal,
  "signals: boolean": flag,
  "size: number": size,
  "suffix: string": suffix,
  "timeout: number": limit,
  "tmpdir: string | URL": path,
  "type: string": isText,
  "whence: Whence": oneOf("start", "current", "end"),
};

/** Returns what is valid for an input; undefined if it has not been considered. */
export function rightFor(input: Input): Right | undefined {
  return holdsOptions(input) ? options : RIGHT[`${input.name}: ${input.type}`];
}

const holdsOptions = ({ name, isOption }: Input): boolean =>
  !isOption && (name === "options" || name === "requirements");
