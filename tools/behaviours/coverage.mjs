import { mentioned } from "./names.mjs";

/** Sorts behaviours by how they are covered: `{ covered, notOffered, elsewhere, remaining, unknown }`. */
export function coverage(behaviours, tests) {
  const named = new Set(tests.flatMap(({ name }) => mentioned(name)));
  const known = new Set(behaviours.map(({ number }) => number));
  const open = behaviours.filter(({ number }) => !named.has(number));
  return {
    covered: behaviours.filter(({ number }) => named.has(number)),
    notOffered: open.filter(({ offered }) => !offered),
    elsewhere: open.filter(({ needs }) => needs),
    remaining: open.filter(({ offered, needs }) => offered && !needs),
    unknown: tests.filter(({ name }) => mentioned(name).some((number) => !known.has(number))),
  };
}

/** Joins consecutive numbers: "C1–C3, C7". */
export function joined(numbers) {
  const runs = [];
  for (const number of numbers) {
    const last = runs.at(-1);
    if (last && follows(last.at(-1), number)) last.push(number);
    else runs.push([number]);
  }
  return runs.map((run) => run.length > 2 ? `${run[0]}–${run.at(-1)}` : run.join(", ")).join(", ");
}

const follows = (one, next) => next === one[0] + (Number(one.slice(1)) + 1);
