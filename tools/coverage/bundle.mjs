import { eachMapping, TraceMap } from "@jridgewell/trace-mapping";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

/** Lines that `new Function` puts before the code it is given. */
const LINES_BEFORE = 2;

/**
 * Returns what ran of the library as the bundle of `tests/support/library.ts`, of which a process can have many
 * instances: file of `lib/` → `{ line, column }`, from 1 and from 0, of each token that ran.
 */
export function ranInBundle(directory, reports) {
  const path = join(directory, "library.js");
  const ran = new Map();
  if (!existsSync(path)) return ran;
  const text = readFileSync(path, "utf8");
  const countAt = counter(reports.get(pathToFileURL(path).href));
  const starts = lineStarts(text);
  eachMapping(mapOf(text), ({ generatedLine, generatedColumn, source, originalLine, originalColumn }) => {
    const file = /^lib\/(.+)$/.exec(source ?? "")?.[1];
    if (file === undefined || countAt(starts[generatedLine - 1 + LINES_BEFORE] + generatedColumn) === 0) {
      return;
    }
    if (!ran.has(file)) ran.set(file, []);
    ran.get(file).push({ line: originalLine, column: originalColumn });
  });
  return ran;
}

function mapOf(text) {
  const [, data] = /\/\/# sourceMappingURL=data:application\/json;base64,(\S+)/.exec(text);
  return new TraceMap(JSON.parse(Buffer.from(data, "base64").toString()));
}

/** Returns how often the code at an offset ran: as often as the smallest range around it. */
function counter(functions) {
  const ranges = functions.flatMap(({ ranges }) => ranges)
    .sort((one, other) => size(one) - size(other));
  return (offset) => ranges.find((range) => range.startOffset <= offset && offset < range.endOffset).count;
}

const size = ({ startOffset, endOffset }) => endOffset - startOffset;

/** Returns the offset at which each line of a text begins. */
export function lineStarts(text) {
  const starts = [0];
  for (const { index } of text.matchAll(/\n/g)) starts.push(index + 1);
  return starts;
}
