/**
 * Splitting chunks of bytes into lines of text.
 *
 * @module
 */
import { cannot } from "../errors.ts";
import type { Checked } from "../options/checked.ts";
import { decoderFor } from "./text.ts";

/**
 * Yields the lines without their endings (`\n` or `\r\n`). Characters and line endings split across chunks stay whole.
 * The last line may lack an ending; no empty line follows a final ending.
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
    // Searches only the new text: a line of many chunks would otherwise be searched once per chunk.
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

/** Fails if a line exceeds the runtime's longest string. */
function joined(line: string, more: string, { encoding }: Checked): string {
  try {
    return line + more;
  } catch (cause) {
    throw cannot(`read the file as ${encoding}`, "line too long for a string", "EFBIG", undefined, cause);
  }
}
