import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { byPhase, coverage, joined } from "./behaviours/coverage.mjs";
import { readBehaviours } from "./behaviours/list.mjs";
import { testNames } from "./behaviours/names.mjs";

/** Prints how many of `tests/behaviours.txt` the test names mention; false when something is wrong. */
export function reportBehaviours(required = []) {
  const behaviours = readBehaviours();
  const result = coverage(behaviours, testNames());
  const phases = byPhase(behaviours, result.remaining);
  printCounts(behaviours, result, phases);
  const problems = [
    ...result.unknown.map(({ file, name }) => `${file} names a behaviour that is not in the list: ${name}`),
    ...required.flatMap((phase) => missing(phases, phase)),
  ];
  for (const problem of problems) console.log(`✗ ${problem}`);
  return problems.length === 0;
}

function printCounts(behaviours, { covered, notOffered, elsewhere, remaining }, phases) {
  const counts = [`${covered.length} covered`, `${notOffered.length} not offered`];
  if (elsewhere.length > 0) counts.push(`${elsewhere.length} need another platform (${numbers(elsewhere)})`);
  console.log(
    `Behaviours: ${[...counts, `${remaining.length} remaining`].join(", ")}, of ${behaviours.length}`,
  );
  for (const { phase, behaviours } of phases.filter((phase) => phase.behaviours.length)) {
    console.log(`  ${phase}: ${behaviours.length} remaining: ${numbers(behaviours)}`);
  }
}

function missing(phases, wanted) {
  const found = phases.find(({ phase }) => phase === wanted);
  if (!found) return [`There is no phase "${wanted}"`];
  return found.behaviours.length ? [`Phase ${wanted} wants ${numbers(found.behaviours)}`] : [];
}

const numbers = (behaviours) => joined(behaviours.map(({ number }) => number));

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const { values } = parseArgs({ options: { require: { type: "string", default: "" } } });
  if (!reportBehaviours(values.require.split(",").filter(Boolean))) process.exitCode = 1;
}
