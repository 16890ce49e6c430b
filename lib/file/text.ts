/**
 * Text as bytes and back.
 *
 * @module
 */
import { TempfileError } from "../errors.ts";
import type { Checked, Encoding } from "../options.ts";

const utf8 = new TextEncoder();

/** The bytes of a string in the file's encoding, with its ends of lines. */
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

/** Each unit of the string in `width` bytes, the low one first. */
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

/** The text of bytes in the file's encoding. */
export function decode(bytes: Uint8Array, { encoding, fatal }: Checked): string {
  if (encoding === "latin1") return fromLatin1(bytes);
  try {
    // A byte order mark is content: what was written comes back.
    return new TextDecoder(encoding, { fatal, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new TempfileError(`Cannot read the file as ${encoding}: malformed text (EILSEQ)`, {
      code: "EILSEQ",
      cause,
    });
  }
}

/** Characters made in one call; more arguments would overflow the stack. */
const SLICE = 8192;

/** `TextDecoder` takes "latin1" for windows-1252, which differs in 32 characters. */
function fromLatin1(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.byteLength; at += SLICE) {
    text += String.fromCharCode(...bytes.subarray(at, at + SLICE));
  }
  return text;
}
