/**
 * Validation of prefixes and suffixes.
 *
 * @module
 */
import { invalid, TempfileError } from "../errors.ts";
import { RANDOM_LENGTH, SESSION_LENGTH } from "../name.ts";
import { utf8 } from "../utf8.ts";

/** Text that is valid, unless it is a device name. */
const SAFE = /^[\w+=@,~-][\w.+=@,~-]*[\w+=@,~-]$/;
const SEPARATOR = /[/\\]/;
// deno-lint-ignore no-control-regex -- control characters are what it looks for
const FORBIDDEN = /[\u0000-\u001f\u007f-\u009f<>:"|?*]/;
/**
 * Windows device names, which stay devices with any extension. The random part follows the prefix, so only a dot ends
 * one.
 */
export const DEVICE: RegExp = /^(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³]) *\./i;

/** Refuses whatever any platform refuses, so that a name created here can be copied anywhere. */
export function checkNamePart(value: unknown, option: string): string {
  if (typeof value !== "string") throw invalid(option, "a string", value);
  const isPrefix = option === "prefix";
  const isDevice = isPrefix && DEVICE.test(value);
  if (SAFE.test(value) && !isDevice) return value;
  if (SEPARATOR.test(value)) throw invalid(option, "without path separators", value);
  if (FORBIDDEN.test(value)) throw invalid(option, 'without control characters and <>:"|?*', value);
  if (!value.isWellFormed()) throw invalid(option, "without lone surrogates", value);
  if (value === "." || value === "..") throw invalid(option, 'neither "." nor ".."', value);
  if (isDevice) throw invalid(option, "other than a Windows device name", value);
  if (!isPrefix && /[. ]$/.test(value)) throw invalid(option, "without a dot or space at the end", value);
  return value;
}

/** The longest file name in bytes on common file systems. */
const NAME_MAX = 255;

/** The bytes of a name that Mayfly uses: session and random part. */
const OWN_LENGTH = SESSION_LENGTH + RANDOM_LENGTH;

/** Checks that prefix and suffix fit into a name. */
export function checkNameLength(prefix: string, suffix: string): void {
  // A UTF-16 code unit takes at most three bytes.
  if ((prefix.length + suffix.length) * 3 + OWN_LENGTH <= NAME_MAX) return;
  const length = utf8.encode(prefix + suffix).length;
  const room = NAME_MAX - OWN_LENGTH;
  if (length <= room) return;
  const message = `Options "prefix" and "suffix" have ${length} bytes: a name has room for ${room}`;
  throw new TempfileError(message, { code: "ENAMETOOLONG" });
}
