/**
 * How the file system that a path is on was mounted.
 *
 * @module
 */
import type { Io } from "./io.ts";
import type { Op } from "./op.ts";
import { contains } from "./path.ts";

/** Undoes how `/proc/self/mountinfo` writes blanks in paths. */
const unescaped = (path: string): string =>
  path.replace(/\\(\d{3})/g, (_, digits) => String.fromCharCode(parseInt(digits, 8)));

/** Bytes as one character each, as some runtimes read system files. */
const asLatin1 = (text: string): string => String.fromCharCode(...new TextEncoder().encode(text));

/** The options of the mount that a canonical path is on (Linux), such as `noexec`. */
export function* mountOptions(io: Io, path: string): Op<string[]> {
  const table: string = yield io.readSystemFile("/proc/self/mountinfo");
  const spellings = [path, asLatin1(path)];
  let best = { point: "", options: "" };
  for (const line of table.split("\n")) {
    // Field 4 is where it is mounted, field 5 how. Later lines lie over earlier ones.
    const [, , , , point = "", options = ""] = line.split(" ");
    const place = unescaped(point);
    if (place === "" || !spellings.some((spelling) => contains(place, spelling))) continue;
    if (place.length >= best.point.length) {
      best = { point: place, options };
    }
  }
  return best.options.split(",");
}
