/**
 * What Mayfly costs a script: the processor time of a whole process that imports it, creates one named file and removes
 * it, minus that of an empty script; on Node also with `NODE_COMPILE_CACHE`. Medians of interleaved runs.
 *
 * `node bench/startup.mjs [--rounds 15]`, after `npm run build`
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { inRoot } from "../tools/paths.mjs";
import { runtimes } from "../tools/runtimes.mjs";

/** Processes per sample, since bash counts milliseconds. */
const REPEATS = 5;

/** Allowed milliseconds. */
const GOALS = { node: 8, bun: 8, deno: 10 };

const { values } = parseArgs({
  options: { rounds: { type: "string", default: "15" }, only: { type: "string" } },
});
const place = mkdtempSync(join(tmpdir(), "mayfly-startup-"));
/** Where Node keeps its compiled code. */
const cache = join(place, "compiled");
try {
  await main(Number(values.rounds));
} finally {
  rmSync(place, { recursive: true });
}

async function main(rounds) {
  const scripts = writeScripts();
  const rows = (await runtimes(values.only?.split(","))).map((runtime) => ({
    runtime,
    samples: { empty: [], import: [], use: [], ...hasCache(runtime) && { cached: [] } },
  }));
  for (let round = 0; round <= rounds; round++) {
    for (const { runtime, samples } of rows) {
      for (const kind of Object.keys(samples)) {
        const taken = sample(runtime, scripts[kind], kind === "cached" && { NODE_COMPILE_CACHE: cache });
        // The first round fills caches.
        if (round > 0) samples[kind].push(taken);
      }
    }
  }
  report(rows);
}

function writeScripts() {
  const write = (name, text) => {
    const path = join(place, `${name}.mjs`);
    writeFileSync(path, text);
    return path;
  };
  const load = `import { namedTemporaryFileSync } from ${JSON.stringify(inRoot("dist/mod.js"))};\n`;
  const use = write("use", load + "namedTemporaryFileSync().closeSync();\n");
  return {
    empty: write("empty", ""),
    import: write("import", load + "void namedTemporaryFileSync;\n"),
    use,
    cached: use,
  };
}

function hasCache({ kind, major }) {
  return kind === "node" && major >= 22;
}

/** Returns the processor time of one process in milliseconds, user and system. */
function sample({ kind, bin }, script, variables) {
  const command = kind === "deno" ? [bin, "run", "-A", "--no-check", "--no-remote", script] : [bin, script];
  const loop = `for i in $(seq ${REPEATS}); do "$@" || exit 1; done; times`;
  const env = { ...process.env, TMPDIR: place, DENO_NO_UPDATE_CHECK: "1", ...variables };
  const { status, stdout, stderr } = spawnSync("bash", ["-c", loop, "bash", ...command], {
    encoding: "utf8",
    env,
  });
  if (status !== 0) throw new Error(`${command.join(" ")}: ${stderr}`);
  const [, children] = stdout.trim().split("\n").slice(-2);
  const [user, system] = children.split(" ").map((time) => {
    const [, minutes, seconds] = /(\d+)m([\d.]+)s/.exec(time);
    return Number(minutes) * 60 + Number(seconds);
  });
  return (user + system) * 1000 / REPEATS;
}

function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

function report(rows) {
  console.log(
    "runtime  empty  + import  + import and use  goal       with a compile cache (ms of processor time, medians)",
  );
  for (const { runtime, samples } of rows) {
    const empty = median(samples.empty);
    // Of differences between neighbours in time, so that other work on the machine cancels out.
    const more = (kind) => median(samples[kind].map((taken, round) => taken - samples.empty[round]));
    const goal = GOALS[runtime.kind];
    const verdict = more("use") <= goal ? "met" : "missed";
    const cells = [
      runtime.name.padEnd(8),
      empty.toFixed(1).padStart(5),
      more("import").toFixed(1).padStart(9),
      more("use").toFixed(1).padStart(17),
      `${goal} ${verdict}`.padEnd(10),
      samples.cached ? more("cached").toFixed(1).padStart(21) : "",
    ];
    console.log(cells.join(" ").trimEnd());
  }
}
