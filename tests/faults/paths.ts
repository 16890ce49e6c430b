/**
 * What is on a real disk.
 *
 * @module
 */
import { readdirSync } from "node:fs";

/** All paths below a directory, without following links; what forbids to be listed has none. */
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
