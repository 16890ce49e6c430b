/**
 * What must hold after a run on a real disk, whatever was done to it.
 *
 * @module
 */
import assert from "node:assert/strict";
import { readFileSync, utimesSync } from "node:fs";
import process from "node:process";
import { configure, sweep } from "#mod";
import type { Call } from "./calls.ts";
import { pathsBelow } from "./paths.ts";
import { assertInformative } from "./errors.ts";
import type { Scenario } from "./scenarios.ts";
import type { Run } from "./tracing.ts";

/** Returns what is wrong with a run; empty if nothing is. */
export async function verdictOn(run: Run, what: string | undefined): Promise<string[]> {
  try {
    assert.notEqual(run.ending, "hung", run.label);
    assertWhole(run);
    if (what === "KILL") await checkDeath(run);
    else await checkFailure(run, what);
    return [];
  } catch (error) {
    return [(error as Error).message];
  }
}

async function checkDeath(run: Run): Promise<void> {
  assert.equal(run.ending, "SIGKILL", run.label);
  await reclaim(run);
  if (!run.scenario.callers) assert.deepEqual(leftoversOf(run), [], `reclaimed: ${run.label}`);
  assert.deepEqual(leasesOf(run), [], run.label);
}

async function checkFailure(run: Run, code: string | undefined): Promise<void> {
  const { report, label, hit, calls, inherited } = run;
  assert.ok(report !== undefined && run.ending === "0", label);
  if (report.error !== undefined) {
    assert.ok(code !== undefined && report.error.isOurs, `${label}\n${report.error.stack}`);
    assertInformative(report.error, codeAfter(calls[hit], code), label);
  }
  const open = report.open.filter(([descriptor]) => descriptor !== run.kept);
  assert.deepEqual(open, [], `no descriptor is lost: ${label}`);
  const left = leftoversOf(run).filter((path) => !inherited.has(path));
  // At the end of the process there is nobody to report to.
  const isReported = report.error !== undefined || report.warnings.length > 0 || calls[hit]?.atEnd;
  if (!isReported) assert.deepEqual(left, [], `left unreported: ${label}`);
  await reclaim(run);
  assert.deepEqual([...leftoversOf(run), ...leasesOf(run)], [], `reclaimed: ${label}`);
}

/** Returns the correct code after a failure: that of the call, if its failure is that of the requested action. */
function codeAfter({ name, text }: Call, code: string): string {
  // One code for all: flock(1) does not report the reason.
  if (name === "flock") return "ENOLCK";
  // Without it, permissions that forbid reading cannot be repaired.
  return text.includes('"/proc/self/fd"') ? "EACCES" : code;
}

/** A target is one of two files: after a success, the new one. */
function assertWhole({ scenario: { either = {} }, root, report, label }: Run): void {
  const isSuccess = report !== undefined && report.error === undefined;
  for (const [path, texts] of Object.entries(either)) {
    const allowed = isSuccess ? texts.slice(-1) : texts;
    assert.ok(allowed.includes(textAt(root + path)), `${path} is whole: ${label}`);
  }
}

function textAt(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

const isInLeases = (root: string, path: string): boolean => path.startsWith(`${root}/tmp/.mayfly-`);

const leasesOf = ({ root }: Run): string[] =>
  pathsBelow(root).filter((path) => isInLeases(root, path) && path.endsWith(".lease"));

/**
 * On Deno, the trial of a directory has a name for the duration of three calls, before a lease covers it. Other runtimes
 * use a file without a name.
 */
const isTrial = ({ cold }: Scenario, path: string): boolean =>
  process.versions.deno !== undefined && cold === true && /\/tmp\/tmp[a-z2-9]{13}$/.test(path);

/** Returns paths that nobody asked for. */
function leftoversOf({ root, other, before, mine, scenario }: Run): string[] {
  const owned = [...mine, ...Object.keys(scenario.either ?? {}).map((path) => root + path)];
  const isOwned = (path: string): boolean => owned.some((one) => path === one || path.startsWith(`${one}/`));
  return [root, other].flatMap(pathsBelow).filter((path) =>
    !before.has(path) && !isOwned(path) && !isInLeases(root, path) && !isTrial(scenario, path)
  );
}

/** Makes leases old: an empty one, as of a process that was killed, is removed once it is old enough. */
function letAge(leases: string[]): void {
  const old = Date.now() / 1000 - 3600;
  for (const path of leases) utimesSync(path, old, old);
}

/** One at a time: where to look is a setting of the whole process. */
let turn: Promise<unknown> = Promise.resolve();

/** Does what the next process does: looks for what the dead left behind. */
async function reclaim(run: Run): Promise<void> {
  const { root, label } = run;
  letAge(leasesOf(run));
  const look = turn.then(async () => {
    configure({ tmpdir: `${root}/tmp` });
    return await sweep();
  });
  turn = look.catch(() => {});
  const { left, kept } = await look;
  assert.deepEqual([left, kept], [[], []], `the next process: ${label}`);
}
