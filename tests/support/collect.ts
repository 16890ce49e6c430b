/**
 * Children whose handles are collected as garbage.
 *
 * @module
 */
import { type ChildResult, runChild } from "./child.ts";

/** `collect(done)` runs the collector until `done()`, or for a while without it. */
const PRELUDE = `
import v8 from "node:v8"; import vm from "node:vm";
const gc = globalThis.Bun ? () => Bun.gc(true) : globalThis.gc ?? (v8.setFlagsFromString("--expose-gc"), vm.runInNewContext("gc"));
async function collect(done = () => false) {
  for (let i = 0; i < 10 && !done(); i++) {
    gc();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
const warnings = [];
process.on("warning", (warning) => warnings.push({ name: warning.name, code: warning.code, message: warning.message }));
`;

/** Runs a child with \`collect\`, and \`warnings\` as they come. */
export function runCollecting(code: string): Promise<ChildResult> {
  const flags = process.env.MAYFLY_TEST_RUNTIME === "deno" ? ["-A", "--v8-flags=--expose-gc"] : undefined;
  return runChild(PRELUDE + code, { flags });
}
