import { root } from "../../tools/paths.mjs";
import { describe, evaluate } from "./goals.mjs";
import { ratios, summary } from "./statistics.mjs";

/** The metric of every subject, unless it has others. */
const TIME = { key: "time", title: "time", unit: "µs", shows: "ratio" };

export const metricsOf = ({ metrics = [TIME] }) => metrics;

/** Formats all results as Markdown. */
export function report({ results, subjects, runtimes, machine, options, calls = [] }) {
  const names = runtimes.map(({ name }) => name);
  const comparing = options.against !== undefined;
  return [
    "# What it takes",
    "",
    `Written by \`npm run bench${options.quick ? " -- --quick" : ""}\`.`,
    "",
    ...machine,
    "",
    ...comparing ? comparison(results, subjects, names, options) : full(results, subjects, names, calls),
    ...failures(results),
  ].join("\n").trimEnd() + "\n";
}

function full(results, subjects, names, calls) {
  return [
    ...HOW_TO_READ,
    "",
    ...goals(results, subjects, names),
    ...systemCalls(calls, names),
    ...subjects.flatMap((subject) => subjectTables(subject, results, names)),
  ];
}

const HOW_TO_READ = [
  "Every number is a median of rounds, in which all contenders took turns in one process for each runtime; in brackets",
  "is the middle half of the rounds. Ratios are to the contender that is named first in each table, in the same round.",
];

function goals(results, subjects, names) {
  const rows = subjects.flatMap((subject) =>
    (subject.goals ?? []).flatMap((goal) => goalRows(goal, subject, results, names))
  );
  if (rows.length === 0) return [];
  const cells = rows.flatMap(({ cells }) => cells);
  const count = (wanted) => cells.filter((cell) => cell?.isMet === wanted).length;
  return [
    "## Goals",
    "",
    `${count(true)} met, ${count(false)} missed.`,
    "",
    ...table(
      ["goal", "place", ...names],
      rows.map(({ title, place, cells }) => [title, place, ...cells.map(verdict)]),
    ),
    "",
  ];
}

function goalRows(goal, subject, results, names) {
  const found = results.filter((result) =>
    result.subject === subject.name && (goal.place ?? result.place) === result.place
  );
  const places = [...new Set(found.map(({ place }) => place))];
  return places.map((place) => ({
    title: describe(goal, metricsOf(subject)),
    place,
    cells: names.map((name) => {
      const result = found.find((one) => one.place === place && one.runtime === name);
      return result && evaluate(goal, result.contenders);
    }),
  }));
}

function verdict(cell) {
  if (cell === undefined) return "–";
  const against = cell.against === undefined ? "" : `, ${cell.against}`;
  return `${spread(cell)}${against} ${cell.isMet ? "met" : "**missed**"}`;
}

function subjectTables(subject, results, names) {
  const own = results.filter((result) => result.subject === subject.name);
  const places = [...new Set(own.map(({ place }) => place))];
  const tables = subject.script
    ? own.flatMap((one) => printed(one, subject))
    : places.flatMap((place) =>
      metricsOf(subject).flatMap((metric) => {
        const inPlace = own.filter((result) => result.place === place);
        const title = metricsOf(subject).length > 1 ? `${place}, ${metric.title}` : place;
        return ["", ...metricTable(title, metric, subject, inPlace, names)];
      })
    );
  return tables.length
    ? [`## ${subject.title}`, ...subject.note ? ["", subject.note] : [], ...tables, ""]
    : [];
}

/** Formats what a script printed; collapsed if it is one of many. */
function printed({ place, runtime, text }, { script }) {
  if (text === undefined) return [];
  if (!script.within) return ["", "```", text, "```"];
  return ["", `<details><summary>${place}, ${runtime}</summary>`, "", "```", text, "```", "", "</details>"];
}

function metricTable(title, metric, subject, results, names) {
  const columns = names.map((name) => results.find(({ runtime }) => runtime === name));
  const contenders = [
    ...new Set(columns.flatMap((result) => result?.contenders ?? []).map(({ name }) => name)),
  ];
  const isShown = (name) => columns.some((result) => sampleCells(result, name, metric));
  const ordered = contenders.filter(isShown).sort((a, b) => isFirst(subject, b) - isFirst(subject, a));
  const rows = ordered.map((name) => [name, ...columns.map((result) => cell(result, name, metric, subject))]);
  return table([title, ...names], rows);
}

const isFirst = ({ reference }, name) => Number(name === reference);

/** Returns the samples of a contender that have this metric; undefined if it has none. */
function sampleCells(result, name, { key }) {
  const samples = result?.contenders.find((contender) => contender.name === name)?.samples;
  return samples?.every((sample) => sample[key] !== undefined) ? samples : undefined;
}

function cell(result, name, metric, { reference }) {
  const samples = sampleCells(result, name, metric);
  if (samples === undefined) return "–";
  const first = reference && sampleCells(result, reference, metric);
  if (metric.shows !== "ratio" || name === reference || first === undefined) {
    const { median, low, high } = summary(samples.map((sample) => sample[metric.key]));
    return metric.shows === "ratio"
      ? `${number(median)} ${metric.unit}`
      : spread({ median, low, high }, metric.unit);
  }
  return spread(summary(ratios(samples, first, metric.key)));
}

function spread({ median, low, high }, unit) {
  return `${number(median)}${unit ? ` ${unit}` : ""} (${number(low)}–${number(high)})`;
}

/** Three digits, which is more than the machine reproduces. */
function number(value) {
  if (value === 0 || Math.abs(value) >= 100) return value.toFixed(0);
  return value.toFixed(Math.abs(value) >= 10 ? 1 : 2);
}

/** Compares this revision with the other: the ratio of what they take. */
function comparison(results, subjects, names, { against }) {
  const rows = subjects.flatMap((subject) => {
    const own = results.filter((result) => result.subject === subject.name);
    return ourNames(own).flatMap(({ place, name }) =>
      metricsOf(subject).map((metric) => {
        const what = metric.key === "time" ? name : `${name}, ${metric.title}`;
        return [
          subject.name,
          what,
          place,
          ...names.map((runtime) => compared(own, { place, name, runtime }, metric)),
        ];
      })
    );
  });
  return [
    `Ours now, as a multiple of what it took at ${against} in the same round: below 1 it became less.`,
    "",
    ...table(
      ["subject", "what", "place", ...names],
      rows.filter((cells) => cells.slice(3).some((cell) => cell !== "–")),
    ),
    "",
  ];
}

/** Returns which of our contenders were measured where, once for all runtimes. */
function ourNames(results) {
  const found = results.flatMap(({ place, contenders }) =>
    contenders.filter(({ ours }) => ours).map(({ name }) => [`${place} ${name}`, { place, name }])
  );
  return [...new Map(found).values()];
}

function compared(results, { place, name, runtime }, { key }) {
  const result = results.find((one) => one.place === place && one.runtime === runtime);
  const [now, before] = result?.contenders.filter((contender) => contender.name === name) ?? [];
  if (before === undefined || [now, before].some(({ samples }) => samples[0][key] === undefined)) return "–";
  return spread(summary(ratios(now.samples, before.samples, key)));
}

/** Formats the system calls that one iteration makes. */
function systemCalls(calls, names) {
  if (calls.length === 0) return [];
  const contenders = [...new Set(calls.map(({ subject, name }) => `${subject}\n${name}`))];
  const rows = contenders.map((key) => {
    const [subject, name] = key.split("\n");
    const find = (runtime) =>
      calls.find((one) => one.subject === subject && one.name === name && one.runtime === runtime);
    return [subject, name, ...names.map((runtime) => callsCell(find(runtime)))];
  });
  return [
    "## System calls",
    "",
    "For one, of all threads, counted by `strace -f`; in brackets how many of them concern files.",
    "",
    ...table(["subject", "what", ...names], rows),
    "",
  ];
}

const callsCell = (found) => found ? `${number(found.all)} (${number(found.files)})` : "–";

function failures(results) {
  const rows = results.flatMap(({ subject, place, runtime, failures }) =>
    failures.map(({ name, message }) => [subject, place, runtime, name, withoutPlaces(message)])
  );
  return rows.length
    ? ["## Could not run", "", ...table(["subject", "place", "runtime", "what", "why"], rows)]
    : [];
}

/** On one line, and without paths of this machine. */
const withoutPlaces = (message) =>
  message.replaceAll("\n", " ").replaceAll(root, ".").replace(/\/\S*?mayfly-bench-\w+/g, "…");

function table(head, rows) {
  const line = (cells) => `| ${cells.map((cell) => String(cell).replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)];
}
