/**
 * The library as each process loads it: an instance with its own state.
 *
 * @module
 */
import { buildSync } from "esbuild";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import type { reclaim } from "../../lib/life/reclaim.ts";
import type { sweepAll } from "../../lib/life/sweep.ts";
import type * as Mod from "../../mod.ts";
import type { syncIo } from "../../lib/operation/io.ts";
import type { Runtime } from "../../lib/runtime/mod.ts";
import { root } from "./platform.ts";

/** The exports of `mod.ts`. */
export type Library = typeof Mod;

/** The exports of `mod.ts`, and what a test needs to run a look for leftovers step by step. */
export type Internals = Library & {
  reclaim: typeof reclaim;
  sweepAll: typeof sweepAll;
  syncIo: typeof syncIo;
};

type Loaded = Internals & { substituteRuntime(runtime: Runtime): () => void };

const ENTRY = `
export * from "./mod.ts";
export { reclaim } from "./lib/life/reclaim.ts";
export { sweepAll } from "./lib/life/sweep.ts";
export { syncIo } from "./lib/operation/io.ts";
export { substituteRuntime } from "./lib/runtime/mod.ts";
`;

let load: ((...scope: unknown[]) => Loaded) | undefined;

/** Where Node writes its coverage, if it measures any. */
const counted = process.env.NODE_V8_COVERAGE;

/** Bundled once, so that an instance costs a millisecond. */
function loader(): (...scope: unknown[]) => Loaded {
  const { outputFiles } = buildSync({
    stdin: { contents: ENTRY, resolveDir: root, loader: "ts" },
    bundle: true,
    format: "iife",
    globalName: "library",
    write: false,
    target: "node20",
    logLevel: "error",
    sourcemap: counted === undefined ? false : "inline",
    // A script has none; the library recognises its own stack frames by it.
    define: { "import.meta.url": '"file:///library/mod.ts"' },
  });
  const text = `${outputFiles[0].text}\nreturn library;`;
  return (counted === undefined ? compile(text) : compileCounted(text, join(counted, "library.js"))) as never;
}

const compile = (text: string): object => new Function("globalThis", "setTimeout", "clearTimeout", text);

/** Compiled under a path and kept there: `tools/coverage` uses its source map to find what of the source ran. */
function compileCounted(text: string, path: string): object {
  const compiled = compile(`${text}\n//# sourceURL=${pathToFileURL(path)}`);
  writeFileSync(path, `(${compiled})`);
  return compiled;
}

/** Milliseconds from which a timer of the library is one that should not fire. */
const LONG = 1000;

/** Shortens a wait that is a pause between tries. */
const shortened = (call: () => void, milliseconds: number): unknown =>
  setTimeout(call, milliseconds < LONG ? 0 : milliseconds);

/** Loads the library over a runtime. */
export const loadLibrary = (runtime: Runtime): Library => {
  const { reclaim: _, sweepAll: __, syncIo: ___, ...library } = loadInternals(runtime);
  return library;
};

/** Loads the library with some of its internals over a runtime. */
export function loadInternals(runtime: Runtime): Internals {
  load ??= loader();
  const { process, Deno, Bun } = globalThis as { process?: unknown; Deno?: unknown; Bun?: unknown };
  // The registry of the process is found in its global scope.
  const { substituteRuntime, ...library } = load({ process, Deno, Bun }, shortened, clearTimeout);
  substituteRuntime(runtime);
  return library;
}
