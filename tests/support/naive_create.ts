/**
 * Creation as it is often written: the controls that show that an attack would work on somebody.
 *
 * @module
 */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";

/** Looks whether the name is free, and then uses it. */
export function naiveFile(path: string, between: () => void = () => {}): string {
  if (existsSync(path)) throw new Error(`${path} is taken`);
  between();
  writeFileSync(path, "secret");
  return path;
}

/** Is content with a directory that is there already. */
export function naiveDirectory(path: string): string {
  mkdirSync(path, { recursive: true });
  return path;
}
