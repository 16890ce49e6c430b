/**
 * Children whose handles are garbage-collected.
 *
 * @module
 */
import { type ChildResult, runChild } from "./child.ts";

/** Flags that give a child `gc()`; Bun has a call of its own. */
export const gcFlags: string[] = "Deno" in globalThis
  ? ["-A", "--v8-flags=--expose-gc"]
  : process.versions.bun
  ? []
  : ["--expose-gc"];

/**
 * For children: `warnings` collects warnings as they arrive; `collect(done)` runs the collector until `done()`, for as
 * long as a busy machine may need; `collect()` some rounds. Neither begins before the library's timer, in whose time a
 * new handle is kept from being collected.
 */
export const COLLECT = `
const gc = globalThis.Bun ? () => Bun.gc(true) : globalThis.gc;
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
async function collect(done) {
  await pause(110);
  for (let end = Date.now() + 20_000, i = 0; done ? !done() && Date.now() < end : i < 5; i++) {
    gc();
    await pause(20);
  }
}
const warnings = [];
process.on("warning", ({ name, code, message, detail }) => warnings.push({ name, code, message, detail }));
`;

/** Runs a child with `collect` and `warnings`. */
export function runWithGc(code: string): Promise<ChildResult> {
  return runChild(COLLECT + code, { flags: gcFlags });
}
