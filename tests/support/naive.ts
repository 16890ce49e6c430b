/**
 * Removal as it must not be done: the positive control of the attacks. Every attack that a test shows to fail against the
 * library must succeed against this.
 *
 * @module
 */
import * as real from "node:fs";
import { join } from "node:path";

/** The calls it makes, so that a test can act between them. */
export type NaiveFs = Pick<
  typeof real,
  "chmodSync" | "lstatSync" | "readdirSync" | "rmdirSync" | "unlinkSync"
>;

/** Removes a tree by paths: checks what a name is, and then trusts that it still is. */
export function naiveRemove(path: string, fs: NaiveFs = real): void {
  if (!fs.lstatSync(path).isDirectory()) return repairing(path, fs, () => fs.unlinkSync(path));
  for (const name of repairing(path, fs, () => fs.readdirSync(path))) naiveRemove(join(path, name), fs);
  repairing(path, fs, () => fs.rmdirSync(path));
}

/** Repairs permissions after a denied call, by a path that may lead elsewhere by then. */
function repairing<T>(path: string, fs: NaiveFs, call: () => T): T {
  try {
    return call();
  } catch (error) {
    if ((error as { code?: string }).code !== "EACCES") throw error;
    fs.chmodSync(path, 0o700);
    return call();
  }
}

/** Returns the calls, with an action before each. */
export function naiveFs(before: (name: keyof NaiveFs, path: string) => void): NaiveFs {
  const names = ["chmodSync", "lstatSync", "readdirSync", "rmdirSync", "unlinkSync"] as const;
  return Object.fromEntries(
    names.map((name) => [name, (path: string, ...rest: unknown[]) => {
      before(name, path);
      return (real[name] as (...args: unknown[]) => unknown)(path, ...rest);
    }]),
  ) as unknown as NaiveFs;
}
