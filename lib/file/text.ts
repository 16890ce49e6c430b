/**
 * Encoding and decoding text.
 *
 * @module
 */
import { cannot, TempfileError } from "../errors.ts";
import type { Checked } from "../options/checked.ts";
import type { Encoding } from "../options/types.ts";
import { utf8 } from "../utf8.ts";

/** The most UTF-8 bytes that one UTF-16 code unit takes. */
export const UTF8_MAX = 3;

/** Whether strings are written unchanged, in UTF-8. */
export const isPlain = ({ encoding, newline }: Checked): boolean =>
  encoding === "utf-8" && newline === undefined;

/** Encodes a string with the file's encoding and line endings. */
export function encode(text: string, { encoding, newline }: Checked): Uint8Array {
  return ENCODERS[encoding](newline === undefined ? text : text.replace(/\r\n|\n/g, newline));
}

const ENCODERS: { [E in Encoding]: (text: string) => Uint8Array } = {
  "utf-8": (text) => utf8.encode(text),
  "utf-16le": (text) => fromUnits(text, 2),
  "latin1": (text) => {
    // deno-lint-ignore no-control-regex -- the range of Latin-1 begins with the control characters
    const foreign = /[^\u0000-\u00ff]/u.exec(text);
    if (foreign !== null) throw unencodable(foreign[0]);
    return fromUnits(text, 1);
  },
};

/** Stores each code unit in `width` bytes, low byte first. */
function fromUnits(text: string, width: 1 | 2): Uint8Array {
  const bytes = new Uint8Array(text.length * width);
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    bytes[i * width] = unit;
    if (width === 2) bytes[i * 2 + 1] = unit >> 8;
  }
  return bytes;
}

function unencodable(character: string): TempfileError {
  const code = character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0");
  return new TempfileError(`Cannot write U+${code} as latin1 (EILSEQ)`, { code: "EILSEQ" });
}

/** Decodes bytes; with `more`, an incomplete character waits for the bytes that follow. */
export type Decode = (bytes: Uint8Array, more: boolean) => string;

/** A decoder for the file's encoding. */
export function decoderFor({ encoding, fatal }: Checked): Decode {
  // A byte order mark is content: what was written is what is read.
  const decoder = encoding === "latin1" ? undefined : new TextDecoder(encoding, { fatal, ignoreBOM: true });
  return (bytes, more) => {
    try {
      return decoder === undefined ? fromLatin1(bytes) : decoder.decode(bytes, { stream: more });
    } catch (cause) {
      throw undecodable(bytes, encoding, fatal, cause);
    }
  };
}

/** The most code units in a string on V8, whose limit is the lowest. */
const LONGEST_STRING = 2 ** 29 - 24;

/** Unless `fatal` is set, decoding fails only because there are too many bytes for a string. */
function undecodable(bytes: Uint8Array, encoding: Encoding, fatal: boolean, cause: unknown): TempfileError {
  const [code, why] = fatal && bytes.length <= LONGEST_STRING
    ? ["EILSEQ", "malformed text"]
    : ["EFBIG", `${bytes.length} bytes are too many for a string`];
  return cannot(`read the file as ${encoding}`, why, code, undefined, cause);
}

/** Decoders for reuse: creating one costs as much as reading a short text. */
const decoders: { [name: string]: Decode } = {};

/** Decodes bytes with the file's encoding. */
export function decode(bytes: Uint8Array, options: Checked): string {
  const name = options.fatal ? `${options.encoding} fatal` : options.encoding;
  return (decoders[name] ??= decoderFor(options))(bytes, false);
}

/**
 * Returns how many bytes the first `count` characters take, and how many characters there are. An incomplete character
 * counts only `atEnd`. Characters are code points, as in a `for…of` loop over a string.
 */
export function measure(
  bytes: Uint8Array,
  count: number,
  encoding: Encoding,
  atEnd: boolean,
): { length: number; characters: number } {
  let length = 0, characters = 0;
  while (characters < count && length < bytes.length) {
    const width = WIDTHS[encoding](bytes, length);
    if (length + width > bytes.length && !atEnd) break;
    length = Math.min(length + width, bytes.length);
    characters++;
  }
  return { length, characters };
}

/** The length of the character at an offset: as its first byte announces, as far as the following bytes continue it. */
const WIDTHS: { [E in Encoding]: (bytes: Uint8Array, at: number) => number } = {
  "latin1": () => 1,
  "utf-8": (bytes, at) => {
    const lead = bytes[at];
    if (lead < 0xc2 || lead > 0xf4) return 1;
    const promised = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (!mayFollow(lead, bytes[at + 1])) return 1;
    for (let width = 2; width < promised; width++) {
      const follower = bytes[at + width];
      if (follower !== undefined && (follower & 0xc0) !== 0x80) return width;
    }
    return promised;
  },
  "utf-16le": (bytes, at) => {
    if ((bytes[at + 1] & 0xfc) !== 0xd8) return 2;
    const low = bytes[at + 3];
    return low === undefined || (low & 0xfc) === 0xdc ? 4 : 2;
  },
};

/**
 * Whether the second byte of a UTF-8 character fits the first. It does not if the character would be overlong, a
 * surrogate, or beyond Unicode: the first byte then stands alone, and `TextDecoder` decodes each to U+FFFD.
 */
function mayFollow(lead: number, second: number | undefined): boolean {
  if (second === undefined) return true;
  const least = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
  const most = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
  return second >= least && second <= most;
}

/** Characters per call; more arguments would overflow the stack. */
const SLICE = 8192;

/** `TextDecoder` decodes "latin1" as windows-1252, which differs in 32 characters. */
function fromLatin1(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += SLICE) {
    text += String.fromCharCode(...bytes.subarray(at, at + SLICE));
  }
  return text;
}
