/**
 * Lines of text out of chunks of bytes.
 *
 * @module
 */
import type { Checked } from "../options.ts";
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
    const lines = (rest + decode(chunk, true)).split("\n");
    rest = lines.pop()!;
    for (const line of lines) yield withoutReturn(line);
  }
  rest += decode(new Uint8Array(0), false);
  if (rest !== "") yield rest;
}

const withoutReturn = (line: string): string => line.endsWith("\r") ? line.slice(0, -1) : line;
