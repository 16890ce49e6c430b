/**
 * The files of the built package, as they are loaded.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./platform.ts";

/** Returns a file of the package with everything that it loads immediately, by their names in `dist`. */
export function packageFilesOf(entry: string): Map<string, string> {
  const found = new Map<string, string>();
  const visit = (name: string): void => {
    if (found.has(name)) return;
    const text = readFileSync(join(root, "dist", name), "utf8");
    found.set(name, text);
    for (const [, imported] of text.matchAll(/(?:\bfrom|\bimport)\s*"\.\/([\w.-]+\.js)"/g)) visit(imported);
  };
  visit(entry);
  return found;
}

/** Returns the names in `dist` of what some files import dynamically. */
export function packageFilesLater(files: Map<string, string>): string[] {
  const call = /\bimport\(\s*"\.\/([\w.-]+\.js)"\)/g;
  const calls = [...files.values()].flatMap((text) => [...text.matchAll(call)]);
  return [...new Set(calls.map(([, name]) => name))];
}
