import { createWriteStream, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { build } from "./build.mjs";
import { inRoot } from "./paths.mjs";
import { run, stopChildrenOnSignals } from "./process.mjs";
import { lower, lowered } from "./testing/lower.mjs";

const stripsTypes = parseInt(process.versions.node) >= 24;
const work = mkdtempSync(join(tmpdir(), "mayfly-demo-"));
const tidy = () => rmSync(work, { recursive: true, force: true });
stopChildrenOnSignals(tidy);
try {
  await build();
  if (!stripsTypes) await lower();
  const given = process.argv.slice(2);
  const args = given.length ? [resolve(given[0]), ...given.slice(1)] : [await sampleInput()];
  const { code } = await run(process.execPath, [example(), ...args]);
  process.exitCode = code ?? 1;
} finally {
  tidy();
}

function example() {
  return stripsTypes ? inRoot("examples/external_sort.ts") : join(lowered, "examples/external_sort.js");
}

/** A real text of some size that every checkout has: all type declarations of the installed packages. */
async function sampleInput() {
  const path = join(work, "input.txt");
  const output = createWriteStream(path);
  for (const name of readdirSync(inRoot("node_modules"), { recursive: true }).sort()) {
    if (name.endsWith(".d.ts")) output.write(readFileSync(inRoot("node_modules", name)));
  }
  output.end();
  await once(output, "finish");
  return path;
}
