import { pathToFileURL } from "node:url";
import { coverage, joined } from "./behaviours/coverage.mjs";
import { readBehaviours } from "./behaviours/list.mjs";
import { testNames } from "./behaviours/names.mjs";

/** Prints how many of `tests/behaviours.txt` the test names cover; false if one is missing or not in the list. */
export function reportBehaviours() {
  const behaviours = readBehaviours();
  const result = coverage(behaviours, testNames());
  printCounts(behaviours, result);
  const problems = [
    ...result.unknown.map(({ file, name }) => `${file} names a behaviour that is not in the list: ${name}`),
    ...result.remaining.map(({ number, text }) => `No test names ${number}: ${text}`),
  ];
  for (const problem of problems) console.log(`✗ ${problem}`);
  return problems.length === 0;
}

function printCounts(behaviours, { covered, notOffered, elsewhere, remaining }) {
  const counts = [`${covered.length} covered`, `${notOffered.length} not offered`];
  if (elsewhere.length > 0) counts.push(`${elsewhere.length} need another platform (${numbers(elsewhere)})`);
  console.log(
    `Behaviours: ${[...counts, `${remaining.length} remaining`].join(", ")}, of ${behaviours.length}`,
  );
}

const numbers = (behaviours) => joined(behaviours.map(({ number }) => number));

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href && !reportBehaviours()) {
  process.exitCode = 1;
}
