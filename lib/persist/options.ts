/**
 * Options for putting a file in its place.
 *
 * @module
 */
import { invalid } from "../errors.ts";
import { type Checked, checkOptions, type Checks, readOptions } from "../options/checked.ts";
import type { ContentOptions } from "../options/types.ts";
import { checkBoolean, checkMode, checkSignal, checkWord } from "../options/values.ts";

/**
 * The permission bits of the result: a number for exact ones; `"private"` for the owner's only (0600); `"existing"` for
 * those of the file that is replaced, and its owner where that is permitted, but without its access control list
 * and extended attributes; `"umask"` for 0666 less the umask, as any program creates files.
 */
export type ModePolicy = number | "private" | "existing" | "umask";

/** Options of `persist`. */
export interface PersistOptions {
  /**
   * With `false`, fails with `EEXIST` if something is there, which is checked in the same step that creates it. For a
   * file this needs hard links: on a file system without them, such as FAT, it fails with `EPERM`.
   *
   * @default {true}
   */
  overwrite?: boolean | undefined;
  /**
   * Whether to wait until the contents are on the disk before they get their name, and the name before returning: two
   * waits of some milliseconds on most disks. Without it, a power cut can leave the old file or an empty one.
   *
   * @default {true}
   */
  durable?: boolean | undefined;
  /**
   * The permission bits of the result.
   *
   * @default {"existing", and the temporary file's own where nothing is replaced}
   */
  mode?: ModePolicy | undefined;
  /**
   * Whether to replace a symbolic link at the destination, or the file it leads to. A dangling link is never followed.
   *
   * @default {"replace"}
   */
  links?: "replace" | "follow" | undefined;
  /** Aborts an asynchronous call; the destination then is unchanged. */
  signal?: AbortSignal | undefined;
}

/** Options of a directory's `persist`. */
export type PersistDirectoryOptions = Pick<PersistOptions, "overwrite" | "durable" | "signal">;

/** Options of {@linkcode writeFileAtomic}. */
export interface WriteFileAtomicOptions
  extends Omit<PersistOptions, "mode">, Pick<ContentOptions, "encoding" | "newline" | "maxSize"> {
  /**
   * The permission bits of the result.
   *
   * @default {"existing", and "umask" where nothing is replaced}
   */
  mode?: ModePolicy | undefined;
}

/** Checked options. */
export interface Replacing {
  overwrite: boolean;
  durable: boolean;
  mode: ModePolicy;
  links: "replace" | "follow";
  signal: AbortSignal | undefined;
}

/** Checked options for contents that are yet to be written. */
export interface Writing extends Replacing {
  content: Checked;
}

const DEFAULTS: Replacing = {
  overwrite: true,
  durable: true,
  mode: "existing",
  links: "replace",
  signal: undefined,
};

const CHECKS: Checks<Replacing> = {
  overwrite: checkBoolean,
  durable: checkBoolean,
  mode: checkPolicy,
  links: (value, option) => checkWord(value, option, ["replace", "follow"]),
  signal: checkSignal,
};

/** The options for what is put in place. */
const DIRECTORY = ["overwrite", "durable", "signal"] as const;
const FIELDS = { directory: DIRECTORY, file: [...DIRECTORY, "mode", "links"] } as const;

const POLICIES: readonly unknown[] = ["private", "existing", "umask"];

function checkPolicy(value: unknown): ModePolicy {
  if (typeof value === "number") return checkMode(value, "mode");
  if (!POLICIES.includes(value)) {
    throw invalid("mode", 'permission bits, "private", "existing" or "umask"', value);
  }
  return value as ModePolicy;
}

/** Checks the options for putting something in place that exists. */
export function checkReplacing(of: "directory" | "file", given: PersistOptions | undefined): Replacing {
  return readOptions(FIELDS[of], given, CHECKS, DEFAULTS);
}

/** Checks the options for putting new contents in place. */
export function checkWriting(given: WriteFileAtomicOptions | undefined): Writing {
  return { ...checkReplacing("file", given), content: checkOptions("written", given) };
}
