/**
 * Offsets: where in a file to read and write.
 *
 * @module
 */
import { invalid, outOfRange } from "../errors.ts";
import type { Io } from "../operation/io.ts";
import type { Op } from "../operation/op.ts";
import { checkObject, checkSize, checkWord } from "../options/values.ts";
import type { OpenFile } from "./open_file.ts";

/** What `seek` counts from. */
export type Whence = "start" | "current" | "end";

/** The offset at which to read or write. If given, the cursor is neither used nor moved. */
export interface At {
  /**
   * The offset in bytes from the start of the file.
   *
   * @default {the cursor, which then moves}
   */
  at?: number | undefined;
}

/** Checks an offset given by the caller. */
export function checkAt(options: At | undefined): number | undefined {
  if (options === undefined) return undefined;
  checkObject(options, "options");
  const { at } = options;
  if (at === undefined) return undefined;
  const offset = checkSize(at, "at");
  if (offset === Infinity) throw outOfRange("at", "a finite offset in bytes", offset);
  return offset;
}

/** Checks how many bytes or characters to read; to the end of the file if omitted. */
export function checkLength(length: number | undefined): number {
  return length === undefined ? Infinity : checkSize(length, "length");
}

const ORIGINS = ["start", "current", "end"];

/** Checks a new position for the cursor. */
export function checkSeek(offset: number, whence: Whence): void {
  if (typeof offset !== "number") throw invalid("offset", "a number of bytes", offset);
  if (!Number.isSafeInteger(offset)) throw outOfRange("offset", "a whole number of bytes", offset);
  checkWord(whence, "whence", ORIGINS);
}

/** Moves the cursor and returns its new position. */
export function* seek(io: Io, file: OpenFile, offset: number, whence: Whence): Op<number> {
  file.require("move the cursor of");
  const origin = whence === "start" ? 0 : whence === "current" ? file.position : yield* file.size(io);
  const position = origin + offset;
  if (!Number.isSafeInteger(position) || position < 0) {
    throw outOfRange("offset", `one that leads to a valid position (not ${position})`, offset);
  }
  return file.position = position;
}
