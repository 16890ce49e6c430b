// Processes of all runtimes share one temporary directory and are killed at random; in the end nothing of theirs may be
// left, and nothing of anybody else may be missing. `npm run soak -- --minutes 10`.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { build } from "./build.mjs";
import { inRoot } from "./paths.mjs";
import { capture, stopChildrenOnSignals } from "./process.mjs";
import { runtimes } from "./runtimes.mjs";

const { values } = parseArgs({ options: { minutes: { type: "string", default: "10" } } });
const minutes = Number(values.minutes);
if (!(minutes > 0)) throw new RangeError(`--minutes must be above 0: got ${values.minutes}`);

const PROCESSES = 8;
/** Milliseconds that a process lives at most, and what it is ended by: most often in the hardest way. */
const LONGEST_LIFE = 20_000, SIGNALS = ["SIGKILL", "SIGKILL", "SIGKILL", "SIGTERM"];

/** Milliseconds after which a process that was asked to end is killed: it has not heard. */
const DEAF = 30_000;

const place = mkdtempSync(join(tmpdir(), "mayfly-soak-"));
const at = (...names) => join(place, ...names);
const module = pathToFileURL(inRoot("dist/mod.js")).href;
const environment = { ...process.env, TMPDIR: at("tmp"), NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" };
process.on("exit", () => rmSync(place, { recursive: true, force: true }));
stopChildrenOnSignals();

await build();
const kinds = await runtimes(["node24", "deno", "bun"]);
const lives = Object.fromEntries(kinds.map(({ name }) => [name, 0]));
prepare();
const foreign = snapshot();
await Promise.all(
  Array.from({ length: PROCESSES }, (_, slot) => keepAlive(slot, Date.now() + minutes * 60_000)),
);
const before = leftovers().length;
await sweepOnce();
const troubles = [...idle(), ...problems(), ...leftovers(), ...missing(), ...brokenTargets()];
summarize(troubles);
process.exitCode = troubles.length === 0 ? 0 : 1;

/** What belongs to others, and what the processes need to begin. */
function prepare() {
  for (const name of ["tmp", "results", "problems", "counts", "keeping", "kept", "foreign"]) {
    mkdirSync(at(name));
  }
  chmodSync(at("tmp"), 0o1777);
  writeFileSync(at("foreign", "file"), "outside");
  writeFileSync(at("tmp", "tmpforeign"), "foreign");
  mkdirSync(at("tmp", "foreign-directory"));
  writeFileSync(at("tmp", "foreign-directory", "tmp.lease"), "foreign");
  symlinkSync(at("foreign"), at("tmp", "foreign-link"));
  writeFileSync(at("results", "lock"), "");
  const empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n";
  for (let number = 0; number < 4; number++) writeFileSync(at("results", `target-${number}`), empty);
}

/** What others have, with its contents. */
function snapshot() {
  const files = [["foreign", "file"], ["tmp", "tmpforeign"], ["tmp", "foreign-directory", "tmp.lease"]];
  const one = (names) => {
    const { ino, mode, mtimeMs } = statSync(at(...names), { throwIfNoEntry: false }) ?? {};
    return [
      names.join("/"),
      ino,
      mode,
      mtimeMs,
      existsSync(at(...names)) && readFileSync(at(...names), "latin1"),
    ];
  };
  return JSON.stringify([...files.map(one), existsSync(at("tmp", "foreign-link"))]);
}

async function keepAlive(slot, end) {
  for (let round = slot; Date.now() < end; round++) {
    const kind = kinds[round % kinds.length];
    lives[kind.name]++;
    await liveOnce(kind, Math.min(Math.random() * LONGEST_LIFE, Math.max(0, end - Date.now())));
  }
}

function liveOnce({ kind, bin }, milliseconds) {
  const flags = kind === "deno" ? ["run", "-A", "--no-check", "--no-remote"] : [];
  const child = spawn(bin, [...flags, inRoot("tools/soak/worker.mjs"), module, place], {
    env: environment,
    stdio: ["ignore", "ignore", "pipe"],
  });
  let errors = "";
  child.stderr.setEncoding("utf8").on("data", (text) => errors += text);
  const timers = [
    setTimeout(() => child.kill("SIGKILL"), milliseconds + DEAF),
    setTimeout(
      () => child.kill(SIGNALS[Math.floor(Math.random() * SIGNALS.length)]),
      milliseconds,
    ),
  ];
  return new Promise((resolve) => {
    child.on("close", (code, signal) => {
      timers.forEach(clearTimeout);
      if (signal === null || /error/i.test(errors)) {
        writeFileSync(at("problems", `${child.pid}-end`), `ended by ${signal ?? code}: ${errors}\n`);
      }
      resolve();
    });
  });
}

/** The one sweep after which nothing may be left. */
async function sweepOnce() {
  const code = `const m = await import(${JSON.stringify(module)}); const { left, kept } = await m.sweep();
    if (left.length + kept.length > 0) { console.log(JSON.stringify({ left, kept })); process.exit(1); }`;
  const [node] = kinds;
  const { output, code: status } = await capture(node.bin, ["--input-type=module", "-e", code], {
    env: environment,
  });
  if (status !== 0) writeFileSync(at("problems", "last-sweep"), `the last sweep says ${output}\n`);
}

function problems() {
  return readdirSync(at("problems")).map((name) => readFileSync(at("problems", name), "utf8").trim());
}

/** The trial of a directory: killed in it, a process leaves one byte that no lease speaks for. */
function isTrial(name) {
  return /^tmp[a-z2-9]{13}$/.test(name) && statSync(at("tmp", name)).size <= 1;
}

/** A soak in which nothing happened proves nothing. */
function idle() {
  return before > 0 && turns() > 0 ? [] : ["too short: nothing was done, or nothing was left to sweep"];
}

function turns() {
  return readdirSync(at("counts")).reduce((sum, name) => sum + Number(readFileSync(at("counts", name))), 0);
}

function leftovers() {
  const own = new Set(["tmpforeign", "foreign-directory", "foreign-link", ...readdirSync(at("keeping"))]);
  const leases = readdirSync(at("tmp")).filter((name) => name.startsWith(".mayfly-"));
  return [
    ...readdirSync(at("tmp")).filter((name) => !own.has(name) && !leases.includes(name) && !isTrial(name)),
    ...leases.flatMap((name) => readdirSync(at("tmp", name))),
    ...readdirSync(at("results")).filter((name) => name.startsWith(".mayfly-")),
  ].map((name) => `${name} is left`);
}

function missing() {
  const gone = readdirSync(at("kept")).filter((name) => !existsSync(at("tmp", name)));
  const changed = snapshot() === foreign ? [] : [`what belongs to others was ${foreign}, is ${snapshot()}`];
  return [...gone.map((name) => `${name} was kept and is gone`), ...changed];
}

function brokenTargets() {
  const sums = [0, 1, 2, 3].map((number) =>
    readFileSync(at("results", `target-${number}`), "latin1").split("\n")
  );
  return sums.flatMap(([sum, body = ""], number) =>
    sha256(body) === sum ? [] : [`target-${number} is no whole file`]
  );
}

function sha256(text) {
  return createHash("sha256").update(text).digest("hex");
}

function summarize(found) {
  const trials = readdirSync(at("tmp")).filter((name) => isTrial(name)).length;
  const runs = Object.entries(lives).map(([name, count]) => `${count} on ${name}`).join(", ");
  console.log(`${minutes} minutes, ${PROCESSES} processes at a time; lives ended: ${runs}`);
  console.log(`${turns()} actions counted (by 5), ${readdirSync(at("kept")).length} files kept, all there`);
  console.log(`${before} things were left by the killed before the last sweep`);
  console.log(`${trials} trials of the directory were cut off by a kill (one byte each, known)`);
  for (const text of found.slice(0, 20)) console.error(`✗ ${text}`);
  console.log(found.length === 0 ? "Nothing is left, nothing is lost" : `${found.length} troubles`);
}
