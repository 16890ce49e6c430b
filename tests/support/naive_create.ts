/**
 * Creation as it is often written: the controls that show that an attack would work.
 *
 * @module
 */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";

/** Checks that the name is free, and then uses it. */
export function naiveFile(path: string, between: () => void = () => {}): string {
  if (existsSync(path)) throw new Error(`${path} is taken`);
  between();
  writeFileSync(path, "secret");
  return path;
}

/** Accepts a directory that already exists. */
export function naiveDirectory(path: string): string {
  mkdirSync(path, { recursive: true });
  return path;
}
