// Measures which branches of lib/ the tests run on Node, including the processes they start. Code that never runs has its
// reason in tests/uncovered.txt. `npm run coverage`; with `--filter TEXT` only some test files, added to earlier results.
import { chmodSync, mkdirSync, rmSync } from "node:fs";
import { parseArgs } from "node:util";
import { coverageOf } from "./coverage/places.mjs";
import { compare, readReasons } from "./coverage/reasons.mjs";
import { build } from "./build.mjs";
import { inRoot } from "./paths.mjs";
import { stopChildrenOnSignals } from "./process.mjs";
import { runtimes } from "./runtimes.mjs";
import { runCell } from "./testing/cell.mjs";
import { testFiles } from "./testing/files.mjs";
import { failures } from "./testing/summary.mjs";
import { removeAllWorkplaces } from "./testing/workplace.mjs";

/** Percentage of the branches that must run. */
const LEAST = 97;

/** Milliseconds that the tests may take: all of them, with coverage on. */
const TIMEOUT = 3_600_000;

/** Adapters for other runtimes; their tests on Node give them a fake namespace. */
const ADAPTERS = ["bun", "deno", "deno_fs", "deno_permissions"].map((name) => `runtime/${name}.ts`);

const { values } = parseArgs({ options: { filter: { type: "string" } } });
const directory = inRoot(".runtimes/coverage");
stopChildrenOnSignals(removeAllWorkplaces);
const failed = await runTests();
const files = coverageOf(directory);
const { unexplained, outdated } = compare(files, readReasons());
report();
process.exitCode = failed.length + unexplained.length + outdated.length === 0 && percent(files) >= LEAST
  ? 0
  : 1;

/**
 * Runs every test, even those for the package alone: their mode is neither "source" nor "dist". Processes inherit the
 * variables, and processes of other users must be able to write to the directory too.
 */
async function runTests() {
  if (values.filter === undefined) rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  chmodSync(directory, 0o1777);
  await build();
  const [node] = await runtimes(["node24"]);
  process.env.NODE_V8_COVERAGE = directory;
  // Coverage is less exact for code from that cache.
  process.env.NODE_DISABLE_COMPILE_CACHE = "1";
  const cell = await runCell(node, "coverage", testFiles(values.filter), TIMEOUT);
  delete process.env.NODE_V8_COVERAGE;
  return failures(cell);
}

function report() {
  for (const file of files) console.log(row(file.file, [file], lines(file.places)));
  const others = files.filter(({ file }) => !ADAPTERS.includes(file));
  console.log(`${row("all", files)}\n${row(`without ${ADAPTERS.join(", ")}`, others)}\n`);
  for (const text of failed) console.log(text);
  for (const { file, place } of unexplained) {
    console.log(`✗ lib/${file}:${lines([place])} never runs, and has no reason: ${place.text.slice(0, 100)}`);
  }
  for (const { file, quotation } of outdated) {
    console.log(
      `✗ tests/uncovered.txt has a reason for code that runs, or does not exist: ${file}: ${quotation}`,
    );
  }
  if (percent(files) < LEAST) console.log(`✗ Less than ${LEAST} % of the branches run`);
}

function row(name, files, note = "") {
  const [all, never] = sums(files);
  return `${percent(files).toFixed(2).padStart(6)} % of ${
    String(all).padStart(4)
  }, ${never} never  ${name}  ${note}`;
}

function lines(places) {
  return places.map(({ from, to }) => from === to ? `${from}` : `${from}–${to}`).join(", ");
}

function percent(files) {
  const [all, never] = sums(files);
  return 100 * (all - never) / all;
}

function sums(files) {
  const never = files.flatMap(({ places }) => places).reduce((sum, { nested }) => sum + 1 + nested, 0);
  return [files.reduce((sum, { all }) => sum + all, 0), never];
}
