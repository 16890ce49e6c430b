/**
 * Validation of single values.
 *
 * @module
 */
import { invalid, outOfRange } from "../errors.ts";

/** Checks an options object. An array is a mistake: it has no options. */
export function checkObject(value: unknown, option: string): void {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw invalid(option, "an object", value);
  }
}

/** Checks a boolean. */
export function checkBoolean(value: unknown, option: string): boolean {
  if (typeof value !== "boolean") throw invalid(option, "true or false", value);
  return value;
}

/** The longest delay of a timer; longer ones fire after a millisecond. */
export const MAX_TIMER = 0x7fff_ffff;

/** Checks a number of milliseconds that a timer can have. */
export function checkInterval(
  value: unknown,
  option: string,
  least: number,
  wanted = "a number of milliseconds",
): number {
  if (typeof value !== "number") throw invalid(option, wanted, value);
  if (value >= least && value <= MAX_TIMER) return value;
  throw outOfRange(option, `${least} to ${MAX_TIMER} milliseconds`, value);
}

/** Checks a number of bytes, characters or inodes. */
export function checkSize(value: unknown, option: string): number {
  if (typeof value !== "number") throw invalid(option, "a number", value);
  if (value !== Infinity && !Number.isSafeInteger(value) || value < 0) {
    throw outOfRange(option, "a whole number, 0 or more", value);
  }
  return fixZero(value);
}

/** Converts -0 to 0: -0 makes Node 20 and 22 abort. */
export const fixZero = (value: number): number => value + 0;

/** Checks permission bits. */
export function checkMode(value: unknown, option: string): number {
  if (typeof value !== "number") throw invalid(option, "a number of permission bits such as 0o600", value);
  if (!Number.isInteger(value) || value < 0 || value > 0o777) {
    throw outOfRange(option, "permission bits from 0 to 0o777", value);
  }
  return fixZero(value);
}

/** Checks an option that is one of several words. */
export function checkWord(value: unknown, option: string, words: readonly string[]): unknown {
  if (words.includes(value as string)) return value;
  const quoted = words.map((word) => JSON.stringify(word)), last = quoted.pop();
  throw invalid(option, `${quoted.join(", ")} or ${last}`, value);
}

/** Checks an abort signal by its shape, so that one of another realm works too. */
export function checkSignal(value: unknown, option: string): AbortSignal {
  if (!isSignal(value)) throw invalid(option, "an AbortSignal", value);
  return value;
}

function isSignal(value: unknown): value is AbortSignal {
  const signal = value as AbortSignal;
  try {
    return typeof signal.aborted === "boolean" && typeof signal.addEventListener === "function" &&
      typeof signal.throwIfAborted === "function";
  } catch {
    // Null, or an object that only inherits from AbortSignal, which throws when its properties are read.
    return false;
  }
}
