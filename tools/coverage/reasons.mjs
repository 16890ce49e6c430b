import { readFileSync } from "node:fs";
import { inRoot } from "../paths.mjs";

/** Reads the committed list, as `{ reason, file, quotation }`; an entry without a quotation covers the whole file. */
export function readReasons(text = readFileSync(inRoot("tests/uncovered.txt"), "utf8")) {
  const entries = [];
  let reason;
  for (const line of text.split("\n").filter((line) => line !== "" && !line.startsWith("# "))) {
    if (line.startsWith("## ")) {
      reason = line.slice(3);
      continue;
    }
    const [, file, quotation = ""] = /^(\S+\.ts)(?:: (.+))?$/.exec(line) ?? [];
    if (file === undefined || reason === undefined) {
      throw new Error(`No entry of tests/uncovered.txt: ${line}`);
    }
    entries.push({ reason, file, quotation });
  }
  return entries;
}

/** Returns the places that no entry covers, and the entries that cover no place. */
export function compare(files, entries) {
  const used = new Set();
  const unexplained = [];
  for (const { file, places } of files) {
    for (const place of places) {
      const found = entries.filter((entry) => entry.file === file && place.text.startsWith(entry.quotation));
      found.forEach((entry) => used.add(entry));
      if (found.length === 0) unexplained.push({ file, place });
    }
  }
  return { unexplained, outdated: entries.filter((entry) => !used.has(entry)) };
}
