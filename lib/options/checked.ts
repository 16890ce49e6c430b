/**
 * Options, checked in full before the first system call. Each is read once, so that a getter cannot show one value to
 * the check and another to the use.
 *
 * @module
 */
import { checkNameLength, checkNamePart } from "./names.ts";
import { checkPath } from "./paths.ts";
import type { Encoding } from "./types.ts";
import {
  checkBoolean,
  checkEncoding,
  checkMode,
  checkNewline,
  checkObject,
  checkSignal,
  checkSize,
} from "./values.ts";

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
  dir: checkPath,
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
