/**
 * The runtimes available here, for what happens between two of them.
 *
 * @module
 */
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { isWindows, root } from "./platform.ts";
import type { Scratch } from "./scratch.ts";

const library = process.env.MAYFLY_TEST_MODE === "dist" ? "dist/mod.js" : "mod.ts";

/** On Windows there is only the one that runs the test. */
const bin = (name: string): string => isWindows ? process.execPath : join(root, ".runtimes/bin", name);

const own = "Deno" in globalThis ? "deno" : process.versions.bun === undefined ? "node24" : "bun";

const FLAGS: { readonly [name: string]: readonly string[] } = {
  node24: [],
  deno: ["run", "-A", "--no-check", "--no-remote"],
  bun: [],
};

/** The runtimes that can be started, one of each kind. */
export const partners: readonly string[] = isWindows
  ? [own]
  : Object.keys(FLAGS).filter((name) => existsSync(bin(name)));

/** What `node:child_process` needs to start a program. */
export interface Command {
  file: string;
  args: string[];
}

/**
 * Writes a script for one of `partners`: plain JavaScript at the top level of a module, with the library as `m`, and its
 * arguments as `args`.
 */
export function partnerCommand(name: string, place: Scratch, code: string, args: string[] = []): Command {
  const script = join(place.path, `partner-${name}.mjs`);
  const url = pathToFileURL(join(root, library)).href;
  writeFileSync(
    script,
    `import process from "node:process"; import fs from "node:fs"; import * as m from ${JSON.stringify(url)};
     const args = process.argv.slice(2);\n${code}`,
  );
  return { file: bin(name), args: [...FLAGS[name], script, ...args] };
}
