import { transformSync } from "esbuild";
import { readdirSync, readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { inRoot } from "../paths.mjs";
import { lineStarts, ranInBundle } from "./bundle.mjs";
import { readReports } from "./reports.mjs";

/**
 * Returns what ran of each file of `lib/`, by the reports in a directory: `{ file, all, places }`. `all` is the number of
 * branches that V8 distinguishes: each function, and each block in one that ran a different number of times than the code
 * around it. `places` are those that never ran, as `{ from, to, text, nested }` with line numbers; a place inside another
 * is only counted there, in `nested`.
 */
export function coverageOf(directory) {
  const reports = readReports(directory), bundle = ranInBundle(directory, reports);
  return sourceFiles().map((file) => {
    const path = inRoot("lib", file), source = readFileSync(path, "utf8");
    const functions = reports.get(pathToFileURL(path).href);
    const ranges = (functions ? branches(functions) : [neverLoaded(source)]).filter((
      { startOffset, endOffset },
    ) => hasCode(source.slice(startOffset, endOffset)));
    const ran = offsets(source, bundle.get(file) ?? []);
    const neverRan = ({ count, startOffset, endOffset }) =>
      count === 0 && !ran.some((offset) => startOffset <= offset && offset < endOffset);
    return { file, all: ranges.length, places: outermost(ranges.filter(neverRan), source) };
  }).filter(({ all }) => all > 0);
}

function offsets(source, places) {
  const starts = lineStarts(source);
  return places.map(({ line, column }) => starts[line - 1] + column);
}

function sourceFiles() {
  const names = readdirSync(inRoot("lib"), { recursive: true }).map((name) => name.replaceAll("\\", "/"));
  return names.filter((name) => name.endsWith(".ts")).sort();
}

/** Leaves out the function of the module itself, which always ran if the file was loaded at all. */
function branches(functions) {
  const [, ...rest] = functions.flatMap(({ ranges }) => ranges)
    .sort((a, b) => a.startOffset - b.startOffset || b.endOffset - a.endOffset);
  return rest;
}

/** A file that contains only types is never loaded: nothing is left of it without them. */
function neverLoaded(source) {
  const { code } = transformSync(source, { loader: "ts" });
  return { startOffset: 0, endOffset: hasCode(code) ? source.length : 0, count: 0 };
}

const COMMENT = /\/\*[\s\S]*?\*\/|\/\/.*$/gm;

const hasCode = (text) => /[\w$]/.test(text.replace(COMMENT, ""));

/** Ranges nest, and are sorted by their start. */
function outermost(ranges, source) {
  const places = [];
  let end = -1;
  for (const { startOffset, endOffset } of ranges) {
    if (endOffset <= end) {
      places.at(-1).nested++;
      continue;
    }
    end = endOffset;
    const line = (offset) => source.slice(0, offset).split("\n").length;
    places.push({
      from: line(startOffset),
      to: line(endOffset),
      text: quote(source, startOffset, endOffset),
      nested: 0,
    });
  }
  return places;
}

/** Returns the code of a range in one line, from its first word on. */
function quote(source, start, end) {
  const text = source.slice(start, end).replace(COMMENT, "").replace(/\s+/g, " ");
  return text.replace(/^[\s{}:;,?]+/, "").trim();
}
