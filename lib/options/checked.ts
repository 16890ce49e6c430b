/**
 * Validation of options, completed before the first system call. Each option is read once, so that a getter cannot
 * return one value for the check and another for use.
 *
 * @module
 */
import { checkNameLength, checkNamePart } from "./names.ts";
import { checkPath } from "./paths.ts";
import type { Encoding } from "./types.ts";
import { checkBoolean, checkMode, checkObject, checkSignal, checkSize, checkWord } from "./values.ts";

/** Checked options, with defaults in place. */
export interface Checked {
  dir: string | undefined;
  minFree: number;
  signal: AbortSignal | undefined;
  prefix: string;
  suffix: string;
  /** Undefined if the caller gave none. */
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

/** The default values. */
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

/** The check of each option. Its return value is the one used. */
export type Checks<Options> = { readonly [K in keyof Options]: (value: unknown, option: string) => unknown };

const CHECKS: Checks<Checked> = {
  dir: checkPath,
  minFree: checkSize,
  signal: checkSignal,
  prefix: checkNamePart,
  suffix: checkNamePart,
  mode: checkMode,
  encoding: (value, option) => checkWord(value, option, ["utf-8", "utf-16le", "latin1"]),
  newline: (value, option) => checkWord(value, option, ["\n", "\r\n"]),
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

/** The functions, or groups of them, that take options. */
type OptionSet =
  | "make"
  | "file"
  | "named"
  | "spooled"
  | "directory"
  | "adoptedFile"
  | "adoptedDirectory"
  | "descriptor"
  | "written";

/** The options of each. */
const FIELDS: { readonly [of in OptionSet]: readonly (keyof Checked)[] } = {
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

/** Checks the given options and fills in the defaults. Unknown options are ignored, as in the platform's own APIs. */
export function checkOptions(of: OptionSet, given: object | undefined): Checked {
  const checked = readOptions(FIELDS[of], given, CHECKS, DEFAULTS);
  checkNameLength(checked.prefix, checked.suffix);
  return checked;
}

/** Reads the named options, and no others, once each. */
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
