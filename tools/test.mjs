import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { reportBehaviours } from "./behaviours.mjs";
import { build } from "./build.mjs";
import { stopChildrenOnSignals } from "./process.mjs";
import { runtimeNames, runtimes } from "./runtimes.mjs";
import { disagreements } from "./testing/agreement.mjs";
import { runCell } from "./testing/cell.mjs";
import { testFiles } from "./testing/files.mjs";
import { lower } from "./testing/lower.mjs";
import { counts, failures, skippedEverywhere, table, totals } from "./testing/summary.mjs";
import { removeAllWorkplaces } from "./testing/workplace.mjs";

const usage = `npm test -- [--only node24,deno] [--mode source|dist] [--filter TEXT,TEXT] [--jobs N]

  --only    runtimes out of ${runtimeNames.join(", ")}
  --mode    the source or the built package (default: both)
  --filter  only test files whose name contains one of the TEXTs
  --jobs    concurrent cells (default: one more than there are processors, since many tests wait)`;

const options = readOptions();
stopChildrenOnSignals(removeAllWorkplaces);
// Together: what is fetched is mostly waited for.
const [chosen] = await Promise.all([runtimes(options.only), build()]);
await lower();
const cells = await runAll(options.modes.flatMap(cellsOf));
process.exitCode = report(cells) ? 0 : 1;

function readOptions() {
  const text = { type: "string" };
  const { values } = parseArgs({
    options: { only: text, mode: text, filter: text, jobs: text, help: { type: "boolean" } },
  });
  const only = values.only?.split(",") ?? runtimeNames;
  // The package first: its cells take three times as long, and the last one to start delays the end.
  const modes = values.mode?.split(",") ?? ["dist", "source"];
  const unknown = [
    ...only.filter((name) => !runtimeNames.includes(name)),
    ...modes.filter((mode) => !["source", "dist"].includes(mode)),
  ];
  if (values.help || unknown.length) {
    console.log(unknown.length ? `Unknown: ${unknown.join(", ")}\n\n${usage}` : usage);
    process.exit(unknown.length ? 1 : 0);
  }
  return { only, modes, filter: values.filter, jobs: Number(values.jobs ?? availableParallelism() + 1) };
}

/** None if the filter leaves no file: tests that run only on the package have no cell on the source. */
function cellsOf(mode) {
  const files = testFiles(options.filter, mode);
  return files.length || !options.filter ? chosen.map((runtime) => ({ runtime, mode, files })) : [];
}

/** Runs as many cells at a time as there are jobs; the results keep the order of the request. */
async function runAll(wanted) {
  const results = [];
  const queue = wanted.entries();
  const worker = async () => {
    for (const [index, { runtime, mode, files }] of queue) {
      results[index] = await runCell(runtime, mode, files);
      announce(results[index]);
    }
  };
  await Promise.all(Array.from({ length: options.jobs }, worker));
  return results;
}

function announce(cell) {
  const { passed, failed, skipped, seconds } = counts(cell);
  console.log(
    `${cell.runtime} ${cell.mode}: ${passed} passed, ${failed} failed, ${skipped} skipped, ${seconds} s`,
  );
}

/** Prints the results; true if all is well. */
function report(cells) {
  const failed = cells.flatMap(failures);
  const unequal = disagreements(cells).map(({ file, name, cells }) =>
    `✗ ${file} › ${name}\n    not run in: ${cells.join(", ")}\n`
  );
  const empty = cells.filter(ranNothing).map(({ runtime, mode }) => `✗ ${runtime} ${mode} ran no test\n`);
  const problems = [...failed, ...unequal, ...empty];
  if (cells.length === 0) problems.push("✗ Nothing to run: no runtime, or no test file in this mode\n");
  if (problems.length) console.log(`\n${problems.join("\n")}\nFull logs: .runtimes/logs/`);
  console.log(`\n${table(cells)}\n`);
  printSkippedEverywhere(cells);
  const isListTrue = reportBehaviours();
  const sum = totals(cells);
  const further = unequal.length + empty.length + (isListTrue ? 0 : 1);
  console.log(`\n${sum.passed} passed, ${sum.failed + further} failed, ${sum.skipped} skipped`);
  return problems.length === 0 && isListTrue;
}

/** A test that no cell ran proves nothing, and nobody would notice. */
function printSkippedEverywhere(cells) {
  const skipped = skippedEverywhere(cells);
  if (skipped.length) console.log(`Skipped everywhere:\n${skipped.map((name) => `  ${name}`).join("\n")}\n`);
}

function ranNothing(cell) {
  const { passed, failed } = counts(cell);
  return passed + failed === 0;
}
