/**
 * Creation as it is often written: the controls that show that an attack would work.
 *
 * @module
 */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { resolve, sep } from "node:path";

/** Checks that the name is free, and then uses it. */
export function naiveFile(path: string, between: () => void = () => {}): string {
  if (existsSync(path)) throw new Error(`${path} is taken`);
  between();
  writeFileSync(path, "secret");
  return path;
}

/**
 * Looks for "../" in what it is given, without checking that it is text, and puts it into the path. Checks afterwards
 * that the path begins with the directory's.
 */
export function naiveName(directory: string, prefix: string): string {
  if (prefix.includes("../")) throw new TypeError(`${prefix} leads out of the directory`);
  const path = resolve(`${directory}${sep}${prefix}name`);
  if (!path.startsWith(directory)) throw new TypeError(`${path} is not in ${directory}`);
  writeFileSync(path, "secret");
  return path;
}

/** Accepts a directory that already exists. */
export function naiveDirectory(path: string): string {
  mkdirSync(path, { recursive: true });
  return path;
}
