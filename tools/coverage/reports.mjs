import { mergeProcessCovs } from "@bcoe/v8-coverage";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { inRoot } from "../paths.mjs";

/** Reports merged at a time: all of a run at once would fill the memory. */
const BATCH_SIZE = 50;

const library = pathToFileURL(inRoot("lib")).href;

/** Includes the bundle of the library; see `bundle.mjs`. */
const isLibrary = ({ url }) => url.startsWith(`${library}/`) || url.endsWith("/library.js");

/** Returns what V8 counted in the library, in all processes that left a report in a directory: URL → functions. */
export function readReports(directory) {
  const names = readdirSync(directory).filter((name) => name.endsWith(".json"));
  let merged = { result: [] };
  for (let from = 0; from < names.length; from += BATCH_SIZE) {
    const batch = names.slice(from, from + BATCH_SIZE).flatMap((name) => readReport(join(directory, name)));
    merged = mergeProcessCovs([merged, ...batch]);
  }
  return new Map(merged.result.map(({ url, functions }) => [url, functions]));
}

/**
 * Reads one process's report; empty if the process was killed while writing it. A copy of a module (`name.ts?copy`)
 * counts as the module.
 */
function readReport(path) {
  const text = readFileSync(path, "utf8");
  if (!text.endsWith("}")) return [];
  const { result } = JSON.parse(text);
  const own = result.map((script) => ({ ...script, url: script.url.replace(/[?#].*$/, "") }));
  return { result: own.filter(isLibrary) };
}
