import { mergeProcessCovs } from "@bcoe/v8-coverage";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { inRoot } from "../paths.mjs";

/** Reports merged in one go: all of a run at once would fill the memory. */
const AT_ONCE = 50;

const library = pathToFileURL(inRoot("lib")).href;

/** Also the bundle of it; see `bundle.mjs`. */
const isLibrary = ({ url }) => url.startsWith(`${library}/`) || url.endsWith("/library.js");

/** What V8 counted in the library, in all the processes that left a report in a directory: URL → functions. */
export function readReports(directory) {
  const names = readdirSync(directory).filter((name) => name.endsWith(".json"));
  let merged = { result: [] };
  for (let from = 0; from < names.length; from += AT_ONCE) {
    const batch = names.slice(from, from + AT_ONCE).flatMap((name) => readReport(join(directory, name)));
    merged = mergeProcessCovs([merged, ...batch]);
  }
  return new Map(merged.result.map(({ url, functions }) => [url, functions]));
}

/** One process's report, none of one that was killed while it wrote. A copy of a module (`name.ts?copy`) is the module. */
function readReport(path) {
  const text = readFileSync(path, "utf8");
  if (!text.endsWith("}")) return [];
  const { result } = JSON.parse(text);
  const own = result.map((script) => ({ ...script, url: script.url.replace(/[?#].*$/, "") }));
  return { result: own.filter(isLibrary) };
}
