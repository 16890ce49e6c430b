/**
 * Options, checked in full before the first system call. Each is read once, so that a getter cannot show one value to
 * the check and another to the use.
 *
 * @module
 */
import { invalid, outOfRange, TempfileError } from "./errors.ts";
import { RANDOM_LENGTH, SESSION_LENGTH } from "./name.ts";
import { runtime } from "./runtime/mod.ts";

/** Where to create, and until when to try. */
export interface PlaceOptions {
  /**
   * The parent directory, as a path or a `file:` URL. Links in it are resolved.
   *
   * @default {tmpdir()}
   */
  dir?: string | URL;
  /** Creation fails with `ENOSPC` if the file system has fewer bytes available. */
  minFree?: number;
  /** Aborts an asynchronous call; nothing is left behind. */
  signal?: AbortSignal;
}

/** How to name. */
export interface NameOptions {
  /**
   * The beginning of the name: one path component's worth of text.
   *
   * @default {"tmp"}
   */
  prefix?: string;
  /**
   * The end of the name, such as `".txt"`.
   *
   * @default {""}
   */
  suffix?: string;
  /**
   * Permission bits, set in the creating call. Given, they are exact: bits that the umask took are put back.
   *
   * @default {0o600 for files, 0o700 for directories}
   */
  mode?: number;
}

/** Encodings of strings in files. */
export type Encoding = "utf-8" | "utf-16le" | "latin1";

/** How a file is written and read. */
export interface ContentOptions {
  /**
   * How strings are written and read.
   *
   * @default {"utf-8"}
   */
  encoding?: Encoding;
  /** Rewrites the ends of lines in strings as they are written. */
  newline?: "\n" | "\r\n";
  /**
   * Bytes gathered before a system call.
   *
   * @default {64 KiB for files without a name, 0 for files with one}
   */
  bufferSize?: number;
  /** A write that would make the file larger fails with `EFBIG`, and nothing of it is written. */
  maxSize?: number;
  /**
   * Whether malformed text throws on reading rather than being replaced by U+FFFD.
   *
   * @default {false}
   */
  fatal?: boolean;
}

/** Options of {@linkcode temporaryFile}. */
export interface FileOptions extends PlaceOptions, NameOptions, ContentOptions {}

/** Options of {@linkcode namedTemporaryFile}. */
export interface NamedFileOptions extends FileOptions {
  /**
   * `false`: Mayfly never removes it.
   *
   * @default {true}
   */
  delete?: boolean;
  /**
   * `false`: `close()` only closes, the end of the scope removes.
   *
   * @default {true}
   */
  deleteOnClose?: boolean;
}

/** Options of {@linkcode spooledTemporaryFile}. */
export interface SpooledOptions extends Omit<FileOptions, "signal"> {
  /**
   * Bytes kept in memory: a write that would pass it moves everything to disk first. 0: on disk from the first byte.
   *
   * @default {1 MiB}
   */
  maxMemory?: number;
}

/** Options of {@linkcode temporaryDirectory}. */
export interface DirectoryOptions extends PlaceOptions, NameOptions {
  /**
   * `false`: Mayfly never removes it.
   *
   * @default {true}
   */
  delete?: boolean;
  /**
   * `remove()` returns what it could not remove instead of throwing.
   *
   * @default {false}
   */
  ignoreCleanupErrors?: boolean;
}

/** Options of {@linkcode mkstemp} and {@linkcode mkdtemp}. */
export interface MakeOptions extends PlaceOptions, NameOptions {}

/** Checked options, with defaults in place. */
export interface Checked {
  dir: string | undefined;
  minFree: number;
  signal: AbortSignal | undefined;
  prefix: string;
  suffix: string;
  /** Undefined where the caller left it to us. */
  mode: number | undefined;
  encoding: Encoding;
  newline: "\n" | "\r\n" | undefined;
  bufferSize: number | undefined;
  maxSize: number;
  fatal: boolean;
  maxMemory: number;
  delete: boolean;
  deleteOnClose: boolean;
  ignoreCleanupErrors: boolean;
}

/** What holds where the caller says nothing. */
export const DEFAULTS: Checked = Object.freeze({
  dir: undefined,
  minFree: 0,
  signal: undefined,
  prefix: "tmp",
  suffix: "",
  mode: undefined,
  encoding: "utf-8",
  newline: undefined,
  bufferSize: undefined,
  maxSize: Infinity,
  fatal: false,
  maxMemory: 1024 * 1024,
  delete: true,
  deleteOnClose: true,
  ignoreCleanupErrors: false,
});

/** How each option is checked. What a check returns is what counts. */
export type Checks<Options> = { readonly [K in keyof Options]: (value: unknown, option: string) => unknown };

const CHECKS: Checks<Checked> = {
  dir: checkDirectory,
  minFree: checkSize,
  signal: checkSignal,
  prefix: checkNamePart,
  suffix: checkNamePart,
  mode: checkMode,
  encoding: checkEncoding,
  newline: checkNewline,
  bufferSize: checkSize,
  maxSize: checkSize,
  fatal: checkBoolean,
  maxMemory: checkSize,
  delete: checkBoolean,
  deleteOnClose: checkBoolean,
  ignoreCleanupErrors: checkBoolean,
};

const NAME = ["dir", "minFree", "prefix", "suffix", "mode"] as const;
const CONTENT = ["encoding", "newline", "bufferSize", "maxSize", "fatal"] as const;

/** What has options. */
type Taker =
  | "make"
  | "file"
  | "named"
  | "spooled"
  | "directory"
  | "adoptedFile"
  | "adoptedDirectory"
  | "descriptor"
  | "written";

/** The options each function has. */
const FIELDS: { readonly [of in Taker]: readonly (keyof Checked)[] } = {
  make: [...NAME, "signal"],
  file: [...NAME, "signal", ...CONTENT],
  named: [...NAME, "signal", ...CONTENT, "delete", "deleteOnClose"],
  spooled: [...NAME, ...CONTENT, "maxMemory"],
  directory: [...NAME, "signal", "delete", "ignoreCleanupErrors"],
  adoptedFile: ["signal", ...CONTENT, "deleteOnClose"],
  adoptedDirectory: ["signal", "ignoreCleanupErrors"],
  descriptor: CONTENT,
  written: ["encoding", "newline", "maxSize"],
};

/** Checks what the caller gave and fills in the defaults. Unknown options are ignored, as the platform's own APIs do. */
export function checkOptions(of: Taker, given: object | undefined): Checked {
  const checked = readOptions(FIELDS[of], given, CHECKS, DEFAULTS);
  checkNameLength(checked.prefix, checked.suffix);
  return checked;
}

/** Reads the options that a function has, and no others, each once. */
export function readOptions<Options extends object>(
  names: readonly (keyof Options & string)[],
  given: object | undefined,
  checks: Checks<Options>,
  defaults: Options,
): Options {
  if (given === undefined) return defaults;
  checkObject(given, "options");
  const checked = { ...defaults };
  for (const name of names) {
    const value: unknown = (given as Partial<Options>)[name];
    if (value !== undefined) checked[name] = checks[name](value, name) as Options[typeof name];
  }
  return checked;
}

/** Checks what is to hold options. An array is a mistake: it has none. */
export function checkObject(value: unknown, option: string): void {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw invalid(option, "an object", value);
  }
}

/** Checks one option that stands for itself. */
export function checkOption<K extends keyof Checked>(name: K, value: unknown): Checked[K] {
  return CHECKS[name](value, name) as Checked[K];
}

/** Checks a flag. */
export function checkBoolean(value: unknown, option: string): boolean {
  if (typeof value !== "boolean") throw invalid(option, "true or false", value);
  return value;
}

/** The longest that timers take; they make one millisecond of more. */
export const LONGEST_TIMER: number = 2 ** 31 - 1;

/** Checks a number of bytes. */
export function checkSize(value: unknown, option: string): number {
  if (typeof value !== "number") throw invalid(option, "a number of bytes", value);
  if (value !== Infinity && !Number.isSafeInteger(value) || value < 0) {
    throw outOfRange(option, "a whole number of bytes, 0 or more", value);
  }
  return withoutSign(value);
}

/** Makes 0 of -0, which Node 20 and 22 end the process on. */
export const withoutSign = (value: number): number => value + 0;

function checkMode(value: unknown, option: string): number {
  if (typeof value !== "number") throw invalid(option, "a number of permission bits such as 0o600", value);
  if (!Number.isInteger(value) || value < 0 || value > 0o777) {
    throw outOfRange(option, "permission bits from 0 to 0o777", value);
  }
  return withoutSign(value);
}

const ENCODINGS: readonly unknown[] = ["utf-8", "utf-16le", "latin1"];

function checkEncoding(value: unknown, option: string): Encoding {
  if (!ENCODINGS.includes(value)) throw invalid(option, '"utf-8", "utf-16le" or "latin1"', value);
  return value as Encoding;
}

function checkNewline(value: unknown, option: string): string {
  if (value !== "\n" && value !== "\r\n") throw invalid(option, '"\\n" or "\\r\\n"', value);
  return value;
}

/** Checks an abort signal by its shape: one of another realm is as good. */
export function checkSignal(value: unknown, option: string): AbortSignal {
  if (!isSignal(value)) throw invalid(option, "an AbortSignal", value);
  return value;
}

function isSignal(value: unknown): value is AbortSignal {
  if (typeof value !== "object" || value === null) return false;
  const signal = value as AbortSignal;
  try {
    return typeof signal.aborted === "boolean" && typeof signal.addEventListener === "function" &&
      typeof signal.throwIfAborted === "function";
  } catch {
    // What only has the prototype of a signal throws when it is asked.
    return false;
  }
}

/** Checks a path: a non-empty string without NUL, or a `file:` URL, which is turned into a path. */
export function checkPath(value: unknown, option: string): string {
  const path = typeof value === "string" ? value : pathOfUrl(value, option);
  if (path === "") throw invalid(option, "a path, not an empty string", value);
  if (path.includes("\0")) throw invalid(option, "a path without NUL characters", value);
  if (SURROGATE.test(path)) throw invalid(option, "a path without lone surrogates", value);
  return path;
}

function checkDirectory(value: unknown, option: string): string {
  return checkPath(value, option);
}

function pathOfUrl(value: unknown, option: string): string {
  const { protocol, host, pathname } = partsOf(value, option);
  if (protocol !== "file:") throw invalid(option, "a file: URL", protocol);
  if (host !== "" && host !== "localhost") throw invalid(option, "a file: URL of this machine", host);
  if (/%2f/i.test(pathname)) throw invalid(option, "a file: URL without encoded slashes", pathname);
  const path = decode(pathname, option);
  return runtime.platform === "windows" && /^\/[a-z]:/i.test(path) ? path.slice(1) : path;
}

/** Read once. What only has the prototype of a URL, such as a Proxy, throws when it is asked. */
function partsOf(value: unknown, option: string): Pick<URL, "protocol" | "host" | "pathname"> {
  try {
    if (value instanceof URL) {
      const { protocol, host, pathname } = value;
      return { protocol, host, pathname };
    }
  } catch {
    // Neither is it a URL that can be used.
  }
  throw invalid(option, "a string or a file: URL", value);
}

function decode(text: string, option: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw invalid(option, "a file: URL in UTF-8", text);
  }
}

/** Text that needs no further look. */
const HARMLESS = /^[\w+=@,~-][\w.+=@,~-]*[\w+=@,~-]$/;
const SEPARATOR = /[/\\]/;
// deno-lint-ignore no-control-regex -- control characters are what it looks for
const FORBIDDEN = /[\u0000-\u001f\u007f-\u009f<>:"|?*]/;
// By its range: to look up the class by its name loads the tables of Unicode.
const SURROGATE = /[\ud800-\udfff]/u;
/** Devices of Windows, which any extension leaves devices. The random part follows the prefix, so only a dot can end it. */
const DEVICE = /^(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³]) *\./i;

/** Checks a part of a name by what is refused on any platform, so that a name made here can be copied anywhere. */
function checkNamePart(value: unknown, option: string): string {
  if (typeof value !== "string") throw invalid(option, "a string", value);
  const begins = option === "prefix";
  if (HARMLESS.test(value) && !(begins && DEVICE.test(value))) return value;
  if (SEPARATOR.test(value)) throw invalid(option, "without path separators", value);
  if (FORBIDDEN.test(value)) throw invalid(option, 'without control characters and <>:"|?*', value);
  if (SURROGATE.test(value)) throw invalid(option, "without lone surrogates", value);
  if (value === "." || value === "..") throw invalid(option, "a part of a name", value);
  if (begins && DEVICE.test(value)) throw invalid(option, "no device name of Windows", value);
  if (!begins && /[. ]$/.test(value)) throw invalid(option, "without a dot or space at the end", value);
  return value;
}

/** Bytes of the longest name that file systems have. */
const NAME_MAX = 255;

/** Bytes of a name that are ours: the session and the random part. */
const OWN_LENGTH = SESSION_LENGTH + RANDOM_LENGTH;

function checkNameLength(prefix: string, suffix: string): void {
  // A character takes three bytes at most for each of its units.
  if ((prefix.length + suffix.length) * 3 + OWN_LENGTH <= NAME_MAX) return;
  const length = new TextEncoder().encode(prefix + suffix).byteLength;
  const room = NAME_MAX - OWN_LENGTH;
  if (length <= room) return;
  const message = `Options "prefix" and "suffix" have ${length} bytes: a name has room for ${room}`;
  throw new TempfileError(message, { code: "ENAMETOOLONG" });
}
