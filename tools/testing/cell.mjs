import { closeSync, fstatSync, mkdirSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { inRoot, root } from "../paths.mjs";
import { ending, run } from "../process.mjs";
import { testCommand } from "./commands.mjs";
import { readReport } from "./reports.mjs";
import { clearWorkplace, leftovers, makeWorkplace, parentOf, removeWorkplace } from "./workplace.mjs";

/** Against a runtime on which everything hangs: as long as all cells and checks together may take. */
const usualTimeout = 1_200_000;
const fileTimeout = 240_000;
const tailLines = 40;

/**
 * Runs every test file on one runtime, against the source or the built package, each in a process of its own, so that a
 * crash, a hang or a leftover affects only one file.
 */
export async function runCell(runtime, mode, files, cellTimeout = usualTimeout) {
  const label = `${runtime.name}-${mode}`;
  const log = openLog(label);
  const place = makeWorkplace(parentOf(runtime, mode));
  const started = performance.now();
  const results = [];
  for (const file of files) {
    const timeout = Math.min(fileTimeout, cellTimeout - (performance.now() - started));
    results.push(
      timeout > 0 ? await runFile({ runtime, mode, file, log, place, timeout }) : notRun(file, cellTimeout),
    );
  }
  removeWorkplace(place);
  closeSync(log);
  return { runtime: runtime.name, mode, files: results, seconds: (performance.now() - started) / 1000 };
}

async function runFile({ runtime, mode, file, log, place, timeout }) {
  const report = inRoot(".runtimes/logs", `${runtime.name}-${mode}.report`);
  rmSync(report, { force: true });
  const { args, cwd } = testCommand(runtime, mode, file, report);
  writeSync(log, `\n--- ${file}\n`);
  const offset = fstatSync(log).size;
  const env = testEnvironment(runtime.name, mode, place);
  const started = performance.now();
  const end = await run(runtime.bin, args, { cwd, env, stdio: ["ignore", log, log], timeout });
  writeSync(log, `--- ${file} took ${((performance.now() - started) / 1000).toFixed(1)} s\n`);
  const found = readReport(runtime.kind, report);
  rmSync(report, { force: true });
  const troubles = [...endTroubles(end, found, () => tail(log, offset)), ...leftoverTroubles(place)];
  return { file, tests: found.tests, troubles };
}

/** Returns what is wrong with a file beyond its failed tests: each problem counts as one failure. */
function endTroubles(end, { isWhole, tests }, logTail) {
  const endedWell = end.code === 0 && !end.timedOut;
  const explained = end.code !== null && tests.some(({ outcome }) => outcome === "failed");
  if (!endedWell && !explained) return [{ name: `(test process ${ending(end)})`, error: logTail() }];
  if (tests.length === 0) return [{ name: "(no test reported)", error: logTail() }];
  return isWhole ? [] : [{ name: "(test process ended before its tests did)", error: logTail() }];
}

function leftoverTroubles(place) {
  const left = leftovers(place);
  if (left.length === 0) return [];
  clearWorkplace(place);
  return [{ name: "(left behind in the temporary directory)", error: left.join("\n") }];
}

function notRun(file, cellTimeout) {
  const error = `The cell's ${cellTimeout / 1000} seconds were used up`;
  return { file, tests: [], troubles: [{ name: "(not run)", error }] };
}

function testEnvironment(name, mode, place) {
  const { FORCE_COLOR: _color, NODE_OPTIONS: _options, TMP: _tmp, TEMP: _temp, ...inherited } = process.env;
  return {
    ...inherited,
    NO_COLOR: "1",
    DENO_NO_UPDATE_CHECK: "1",
    DO_NOT_TRACK: "1",
    // Otherwise Node strips the types from every module in each of the many processes of a cell: most of its time.
    NODE_COMPILE_CACHE: inRoot(".runtimes/compile-cache"),
    TMPDIR: place,
    MAYFLY_TEST_RUNTIME: name,
    MAYFLY_TEST_MODE: mode,
    MAYFLY_TEST_ROOT: root,
  };
}

function openLog(label) {
  mkdirSync(inRoot(".runtimes/logs"), { recursive: true });
  return openSync(logPath(label), "w+");
}

/** Returns the path of the log with the whole output of a cell. */
const logPath = (label) => join(inRoot(".runtimes/logs"), `${label}.log`);

function tail(log, offset) {
  const bytes = new Uint8Array(fstatSync(log).size - offset);
  readSync(log, bytes, 0, bytes.length, offset);
  return Buffer.from(bytes).toString().trim().split("\n").slice(-tailLines).join("\n");
}
