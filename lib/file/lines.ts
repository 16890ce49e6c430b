/**
 * Lines of text out of chunks of bytes.
 *
 * @module
 */
import { cannot } from "../errors.ts";
import type { Checked } from "../options/checked.ts";
import { decoderFor } from "./text.ts";

/**
 * The lines, without their ends (`\n` or `\r\n`). A character that lies across a border of chunks stays whole; so does
 * an end of line. The last line may lack its end; after an end, no empty line follows.
 */
export async function* linesOf(
  chunks: AsyncIterable<Uint8Array>,
  options: Checked,
): AsyncGenerator<string, void> {
  const decode = decoderFor(options);
  let rest = "";
  for await (const chunk of chunks) {
    const text = decode(chunk, true);
    let start = 0;
    // Only what is new is searched, or a line of many chunks would be searched once for each of them.
    for (let end = text.indexOf("\n"); end !== -1; end = text.indexOf("\n", start)) {
      yield withoutReturn(joined(rest, text.slice(start, end), options));
      rest = "";
      start = end + 1;
    }
    rest = joined(rest, text.slice(start), options);
  }
  rest = joined(rest, decode(new Uint8Array(0), false), options);
  if (rest !== "") yield rest;
}

const withoutReturn = (line: string): string => line.endsWith("\r") ? line.slice(0, -1) : line;

/** Fails where a line is longer than a string of the runtime's can be. */
function joined(line: string, more: string, { encoding }: Checked): string {
  try {
    return line + more;
  } catch (cause) {
    throw cannot(`read the file as ${encoding}`, "a line makes no string", "EFBIG", undefined, cause);
  }
}
