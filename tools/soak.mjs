// Processes of all runtimes share one temporary directory and are killed at random. At the end nothing of theirs may be
// left, and nothing of anybody else's may be missing. `npm run soak -- --minutes 10`. On a machine with other work to do,
// `--pause 20` makes each process rest that many milliseconds between two actions.
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { build } from "./build.mjs";
import { inRoot } from "./paths.mjs";
import { capture, stopChildrenOnSignals } from "./process.mjs";
import { runtimes } from "./runtimes.mjs";
import { live } from "./soak/life.mjs";
import { Place } from "./soak/place.mjs";

const { values } = parseArgs({
  options: { minutes: { type: "string", default: "10" }, pause: { type: "string", default: "0" } },
});
const minutes = Number(values.minutes), pause = Number(values.pause);
if (!(minutes > 0)) throw new RangeError(`--minutes must be above 0: got ${values.minutes}`);
if (!(pause >= 0)) throw new RangeError(`--pause must be 0 or more milliseconds: got ${values.pause}`);

const PROCESSES = 8;

/** Maximum lifetime of a process in milliseconds; every EVERY-th process may live longer than any wait for a lock. */
const LONGEST_LIFE = 20_000, LONG_LIFE = 90_000, EVERY = 10;

stopChildrenOnSignals();
await build();
const kinds = await runtimes(["node24", "deno", "bun"]);
const place = new Place();
const module = pathToFileURL(inRoot("dist/mod.js")).href;
const environment = { ...process.env, TMPDIR: place.at("tmp"), NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" };
const lives = Object.fromEntries(kinds.map(({ name }) => [name, 0]));
const seen = { turns: 0, troubles: [] };
const end = Date.now() + minutes * 60_000;
await Promise.all(Array.from({ length: PROCESSES }, (_, slot) => keepAlive(slot)));
const before = place.leftovers().length;
const troubles = [...seen.troubles, ...await sweepOnce(), ...judge()];
summarize();
process.exitCode = troubles.length === 0 ? 0 : 1;

async function keepAlive(slot) {
  for (let round = slot; Date.now() < end; round++) {
    const kind = kinds[round % kinds.length];
    lives[kind.name]++;
    const longest = round % EVERY === 0 ? LONG_LIFE : LONGEST_LIFE;
    const time = Math.min(Math.random() * longest, Math.max(0, end - Date.now()));
    const { turns, troubles } = await live(kind, [module, place.path, String(pause)], environment, time);
    seen.turns += turns;
    seen.troubles.push(...troubles);
  }
}

/** Runs the one sweep after which nothing may be left. */
async function sweepOnce() {
  const code = `const m = await import(${JSON.stringify(module)}); const { left, kept } = await m.sweep();
    if (left.length + kept.length > 0) { console.log(JSON.stringify({ left, kept })); process.exit(1); }`;
  const [node] = kinds;
  const { output, code: status } = await capture(node.bin, ["--input-type=module", "-e", code], {
    env: environment,
  });
  return status === 0 ? [] : [`the last sweep says ${output}`];
}

function judge() {
  const idle = before > 0 && seen.turns > 0
    ? []
    : ["too short: nothing was done, or nothing was left to sweep"];
  const trials = place.trials().length;
  const many = trials <= lives.deno
    ? []
    : [`${trials} trials of the directory are left, of ${lives.deno} processes on Deno`];
  return [...idle, ...many, ...place.problems(), ...place.leftovers(), ...place.missing()];
}

function summarize() {
  const runs = Object.entries(lives).map(([name, count]) => `${count} on ${name}`).join(", ");
  console.log(`${minutes} minutes, ${PROCESSES} processes at a time; lives ended: ${runs}`);
  console.log(`${seen.turns} actions, ${place.kept()} files kept`);
  console.log(`${before} leftovers of killed processes before the last sweep`);
  console.log(
    `${place.trials().length} trials of the directory were interrupted by a kill (one byte each, known)`,
  );
  for (const text of troubles.slice(0, 20)) console.error(`✗ ${text}`);
  console.log(troubles.length === 0 ? "Nothing is left, nothing is lost" : `${troubles.length} troubles`);
}
