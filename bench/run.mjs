import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { inRoot, root } from "../tools/paths.mjs";
import { stopChildrenOnSignals } from "../tools/process.mjs";
import { runtimes } from "../tools/runtimes.mjs";
import { compileLoop } from "./harness/external.mjs";
import { machine } from "./harness/machine.mjs";
import { measure } from "./harness/measure.mjs";
import { readOptions } from "./harness/options.mjs";
import { installPeers } from "./harness/peers.mjs";
import { makePlaces, removePlaces } from "./harness/places.mjs";
import { report } from "./harness/report.mjs";
import { builds } from "./harness/builds.mjs";
import { trace } from "./harness/trace.mjs";
import { runScript } from "./harness/script.mjs";
import { inPlace, isMeasured, isSelected, loadSubjects } from "./harness/subjects.mjs";

const options = await readOptions();
// On every exit: some of these places are in memory.
process.on("exit", removePlaces);
stopChildrenOnSignals(removePlaces);

const subjects = await loadSubjects(options);
const chosen = await runtimes(options.only);
if (subjects.some(({ peers }) => peers?.length)) await installPeers();
const places = makePlaces(options);
const revisions = await builds(options, places);
const context = { options, places, chosen, revisions, loop: compileLoop(places) };
const results = [];
for (const given of subjects) {
  for (const place of places.measured.filter(({ kind }) => isSelected(given, kind))) {
    const subject = inPlace(given, place.kind);
    for (const runtime of chosen.filter((one) => isMeasured(subject, one, context))) {
      const started = performance.now();
      results.push(await (subject.script ? runScript : measure)({ subject, place, runtime }, context));
      announce(results.at(-1), started);
    }
  }
}
const calls = await traceAll();
const text = report({
  results,
  calls,
  subjects,
  runtimes: chosen,
  machine: machine(context, chosen),
  options,
});
const output = options.output ?? (options.isWhole ? inRoot("bench/RESULTS.md") : undefined);
if (output === undefined) console.log(`\n${text}`);
else writeFileSync(resolve(root, output), text);
// A subject that does not run has no result: a comparison without it must not look like one.
const broken = results.filter(({ failures }) => failures.some(({ ours }) => ours));
if (broken.length) process.exitCode = 1;

function announce({ subject, place, runtime }, started) {
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(`${subject}, ${place}, ${runtime}: ${seconds} s`);
}

/** In memory only: the calls are the same elsewhere. */
async function traceAll() {
  const place = places.measured.find(({ kind }) => kind === "tmpfs");
  if (options.against || place === undefined || !canTrace()) return [];
  const calls = [];
  const traced = subjects.filter(({ traced }) => traced);
  for (const subject of options.quick ? traced.slice(0, 1) : traced) {
    for (const runtime of chosen) calls.push(...await trace({ subject, place, runtime }, context));
  }
  return calls;
}

function canTrace() {
  return spawnSync("strace", ["-qq", "-o", "/dev/null", "true"]).status === 0;
}
