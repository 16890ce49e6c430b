/**
 * The measured process: loads one subject in one runtime, and takes a sample of each contender whenever it is told to
 * start a round.
 */
import fs from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { peer } from "./peers.mjs";
import { calibrate, sample, WARM_UP } from "./sample.mjs";

const { subject: file, library, dir, place, quick, milliseconds, only, trace } = JSON.parse(process.argv[2]);
const kind = process.versions.bun ? "bun" : process.versions.deno ? "deno" : "node";
const m = await import(pathToFileURL(library));
const { default: subject } = await import(pathToFileURL(file));
const contenders = (await subject.contenders({ m, dir, fs, peer, kind, quick, library, place }))
  .filter(({ name, ours }) => only !== "ours" || ours || name === subject.reference);
const failures = new Map();
const counts = new Map();

const say = (message) => process.stdout.write(`\u0001${JSON.stringify(message)}\n`);

/** A contender that cannot run is named in the results, and the others continue. */
async function attempt(contender, action) {
  if (failures.has(contender)) return undefined;
  try {
    return await action();
  } catch (error) {
    const message = String(error?.message ?? error).split("\n")[0];
    failures.set(contender, { name: contender.name, ours: contender.ours === true, message });
  }
}

async function warmUp() {
  for (const contender of contenders) {
    const fixed = contender.count ?? subject.count;
    // A subject is cold if its samples are large, or are processes of their own.
    const warm = () => calibrate(contender, milliseconds, fixed);
    counts.set(contender, subject.cold ? fixed : await attempt(contender, warm));
    await rest(WARM_UP * milliseconds);
  }
}

/**
 * The kernel withholds 50 milliseconds of each second from processes with real-time priority. A process that has rested by
 * itself is not stopped in the middle of a call, which a library that times its calls would take for a slow disk.
 */
const rest = (milliseconds) => new Promise((resolve) => setTimeout(resolve, Math.max(1, milliseconds / 8)));

/** Each contender starts equally often: the one before may leave garbage, or a busy disk. */
async function takeRound(round) {
  const samples = {};
  for (let turn = 0; turn < contenders.length; turn++) {
    const contender = contenders[(turn + round) % contenders.length];
    const start = performance.now();
    const taken = await attempt(contender, () => sample(contender, counts.get(contender)));
    await rest(performance.now() - start);
    if (taken !== undefined) samples[contender.name] = taken;
  }
  return samples;
}

/** Under strace: accesses to directories that do not exist mark which calls belong to whom. */
async function takeTraced() {
  const mark = (name) => {
    try {
      fs.rmdirSync(`/mark/${name}`);
    } catch {
      // It only has to appear in the trace.
    }
  };
  for (const [index, contender] of contenders.entries()) {
    await attempt(contender, async () => {
      await sample(contender, trace);
      mark(`${index}-start`);
      await sample(contender, trace);
      mark(`${index}-end`);
    });
  }
}

const names = contenders.map(({ name, ours = false }) => ({ name, ours }));
if (trace) {
  await takeTraced();
  say({ names, failures: [...failures.values()] });
  process.exit(0);
}
await warmUp();
say({ names });
let round = 0;
for await (const line of createInterface({ input: process.stdin })) {
  if (line === "round") say({ samples: await takeRound(round++) });
  if (line === "end") break;
}
await subject.end?.();
say({ failures: [...failures.values()] });
process.exit(0);
