/**
 * The contents of a real disk.
 *
 * @module
 */
import { readdirSync } from "node:fs";

/** Returns all paths below a directory, without following links; nothing below an unlistable one. */
export function pathsBelow(directory: string): string[] {
  return entriesOf(directory).flatMap((entry) => {
    const path = `${directory}/${entry.name}`;
    return entry.isDirectory() ? [path, ...pathsBelow(path)] : [path];
  });
}

function entriesOf(directory: string): { name: string; isDirectory(): boolean }[] {
  try {
    return readdirSync(directory, { withFileTypes: true });
  } catch {
    return [];
  }
}
