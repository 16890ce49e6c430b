import { readdirSync } from "node:fs";
import { parseArgs } from "node:util";
import { inRoot } from "../../tools/paths.mjs";
import { runtimeNames } from "../../tools/runtimes.mjs";

/** The most common operations are reported first. */
const FIRST = ["named", "unnamed", "directory", "small", "concurrent"];

/** The subjects, in the order in which they are measured and reported. */
export const subjectNames = [
  ...FIRST,
  ...readdirSync(inRoot("bench/subjects")).map((name) => name.replace(/\.mjs$/, ""))
    .filter((name) => !FIRST.includes(name)).sort(),
];

const help = `npm run bench -- [--only node24,deno] [--subject named,tree] [--place tmpfs|disk] [--rounds N]
                 [--quick] [--against REV] [--dist] [--output FILE]

  --only     runtimes, of ${runtimeNames.join(", ")}
  --subject  of ${subjectNames.join(", ")}, or paths of files like those in bench/subjects
  --place    only on the file system in memory, or only on the disk
  --rounds   in how many rounds the contenders take turns (each subject has its own number)
  --quick    few and short rounds, small sizes, in memory, on Node 24, Deno and Bun, without throughput:
             a first look, no more
  --against  compares the library with the one of another revision, both built, in the same rounds
  --dist     takes dist/ as it is, in place of building it first
  --output   where the table goes: bench/RESULTS.md if everything was measured, else the terminal

In one round everything is measured one after the other, and compared with what was measured in the same
round: the ratios hold on a busy machine where the times do not.`;

export function readOptions() {
  const text = { type: "string" }, flag = { type: "boolean" };
  const values = parse({
    only: text,
    subject: text,
    place: text,
    rounds: text,
    quick: flag,
    against: text,
    dist: flag,
    output: text,
    help: flag,
  });
  if (values.help) exitWith(0, help);
  const { quick = false, dist = false, against, output } = values;
  return {
    only: among(values.only, runtimeNames, "runtime") ?? (quick ? ["node24", "deno", "bun"] : runtimeNames),
    subjects: values.subject?.split(",") ?? subjectNames,
    kinds: among(values.place, ["tmpfs", "disk"], "place") ?? (quick ? ["tmpfs"] : ["tmpfs", "disk"]),
    rounds: values.rounds && wholeNumber(values.rounds),
    isChoosing: values.only !== undefined,
    quick,
    dist,
    against,
    output,
    isWhole: !quick && !against && !values.only && !values.subject && !values.place && !values.rounds,
  };
}

function parse(options) {
  try {
    return parseArgs({ options }).values;
  } catch (error) {
    return exitWith(1, `${error.message}\n\n${help}`);
  }
}

function among(text, allowed, what) {
  const names = text?.split(",");
  const unknown = names?.filter((name) => !allowed.includes(name)) ?? [];
  if (unknown.length) exitWith(1, `No such ${what}: ${unknown.join(", ")}\n\n${help}`);
  return names;
}

function wholeNumber(text) {
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < 1) exitWith(1, `Rounds are a number above 0, not "${text}"`);
  return number;
}

function exitWith(status, text) {
  console[status ? "error" : "log"](text);
  process.exit(status);
}
