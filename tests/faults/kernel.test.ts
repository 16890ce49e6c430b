/**
 * Makes the kernel fail each system call of every public function on a real disk, and kill the process in each: all of
 * them with `npm run faults`, otherwise a random selection.
 *
 * @module
 */
import assert from "node:assert/strict";
import process from "node:process";
import * as m from "#mod";
import { packageTest as test } from "../support/once.ts";
import { noStrace } from "../support/strace.ts";
import { type Call, codesFor, distinct, type Fault, textOf } from "./calls.ts";
import { everyOther, isCampaign, seed } from "./campaign.ts";
import { CARELESS, type Careless } from "./careless.ts";
import { publicNames } from "./variants.ts";
import { type Scenario, SCENARIOS } from "./scenarios.ts";
import { type Run, Tracer, type Way } from "./tracing.ts";
import { verdictOn } from "./verdict.ts";

const isHere = isCampaign || ["node24", "bun"].includes(process.env.MAYFLY_TEST_RUNTIME ?? "node24");

const skip = noStrace ||
  (!isHere && "two runtimes are enough: the kernel gives all the same answers");

/** Generates numbers below a limit, the same for the same seed. */
function* numbers(state: number): Generator<number, never, number> {
  let limit = yield 0;
  for (;;) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    limit = yield Math.floor(state / 2 ** 32 * limit);
  }
}

const chance = numbers(seed);
chance.next();
/** Returns a random number below a limit. */
const below = (limit: number): number => chance.next(limit).value;

/** The results of all scenarios. */
interface Result {
  failed: number;
  killed: number;
  /** Faults that never hit their call. */
  missed: string[];
  wrong: string[];
  called: Set<string>;
}

/**
 * Attempts to hit a call: occasionally an engine makes one of its own, and reading the kernel's table of locks takes one
 * more while any process holds one.
 */
const MAX_TRIES = 5;

/** Runs a scenario with a fault; undefined if the fault never hit its call. */
async function runWithFault(
  tracer: Tracer,
  [name, scenario]: Case,
  way: Way,
  fault: Fault,
): Promise<Run | undefined> {
  let { call } = fault;
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const run = await tracer.run(name, scenario, way, { ...fault, call });
    // If another call was refused, the run is inconclusive, unless the library hangs on it.
    if (run.hit >= 0 || run.ending === "hung") return run;
    call = run.calls.find(({ name, index }) => name === call.name && index === call.index) ?? call;
  }
  return undefined;
}

type Case = [name: string, scenario: Scenario];

/** Returns both faults of a call, or one of all that it can have. */
function faultsFor(call: Call, number: number, both: boolean): Fault[] {
  const codes = codesFor(call);
  const error = { call, what: codes[(number + seed) % codes.length] }, death = { call, what: "KILL" };
  if (both) return [error, death];
  return [(number + seed) % (codes.length + 1) === 0 ? death : error];
}

/** Returns the faults to try: all in a campaign, otherwise a random one. */
function chosen(calls: readonly Call[], way: Way): Fault[] {
  // The end of the process does not depend on the variant: in a campaign, its calls are tried once.
  const own = distinct(calls.filter(({ atEnd }) => way === "sync" || !atEnd));
  if (isCampaign) return own.flatMap((call, number) => faultsFor(call, number, way === "sync"));
  const number = below(own.length);
  const faults = faultsFor(own[number], number, true);
  return [faults[below(faults.length)]];
}

async function tryCase(tracer: Tracer, one: Case, way: Way, result: Result): Promise<void> {
  const miss = (call: Call): void => {
    result.missed.push(`${one[0]}, ${way}: ${textOf(call)}`);
    if (isCampaign) console.log(`not hit: ${result.missed.at(-1)}`);
  };
  const judge = async (run: Run, what?: string): Promise<void> => {
    const found = await verdictOn(run, what);
    result.wrong.push(...found);
    // The campaign takes long, so failures are printed as they are found.
    if (isCampaign) { for (const text of found) console.log(`✗ ${text}`); }
  };
  const plain = await tracer.run(...one, way);
  await judge(plain);
  for (const name of plain.report?.called ?? []) result.called.add(name);
  for (const fault of chosen(plain.calls, way)) {
    const run = await runWithFault(tracer, one, way, fault);
    if (run === undefined) miss(fault.call);
    else await judge(run, fault.what);
    if (run !== undefined) result[fault.what === "KILL" ? "killed" : "failed"]++;
  }
}

/** Whether a real machine of this kind exists wherever these tests run. */
const isReal = ({ machine = {} }: Scenario): boolean =>
  machine.platform === undefined && machine.unnamed === undefined;

/**
 * Returns scenarios that are possible on a real machine, with the variants of the functions to try: all in a campaign,
 * otherwise one of each of every other scenario.
 */
function cases(): [Case, Way][] {
  const real = Object.entries(SCENARIOS).filter(([, scenario]) => isReal(scenario));
  return everyOther(real).flatMap(
    ([name, scenario]): [Case, Way][] => {
      const ways: Way[] = scenario.asyncOnly ? ["async"] : ["sync", "async"];
      return (isCampaign ? ways : [ways[below(ways.length)]]).map((way) => [[name, scenario], way]);
    },
  );
}

/** Processes at a time. */
const JOBS = 2;

async function tryAll(): Promise<Result> {
  using tracer = new Tracer();
  const result: Result = { failed: 0, killed: 0, missed: [], wrong: [], called: new Set() };
  const all = cases().values();
  const work = async (): Promise<void> => {
    for (const [one, way] of all) await tryCase(tracer, one, way, result);
  };
  await Promise.all(Array.from({ length: JOBS }, work));
  return result;
}

test(
  "every function succeeds or reports the error, leaks nothing and leaves no partial file if a system call fails or the process is killed in it (once on Node 24 and Bun; all calls with npm run faults)",
  { skip },
  async () => {
    const { failed, killed, missed, wrong, called } = await tryAll();
    const points = failed + killed;
    console.log(
      `${failed} calls refused, ${killed} killed in, ${missed.length} not hit; MAYFLY_SEED=${seed}`,
    );
    assert.deepEqual(wrong, [], `${wrong.length} of ${points} points; MAYFLY_SEED=${seed}`);
    assert.ok(points > 12 && missed.length <= points / 10, `not hit: ${missed.join("\n")}`);
    if (isCampaign) assert.deepEqual(publicNames(m).filter((name) => !called.has(name)), []);
  },
);

/** Returns what a fault shows of a careless program, which works as long as no call fails. */
async function exposed(tracer: Tracer, name: string, careless: Careless): Promise<string> {
  const plain = await tracer.run(name, careless, "sync");
  assert.deepEqual(await verdictOn(plain, undefined), []);
  const call = plain.calls.findLast(({ name, atEnd }) => !atEnd && careless.failing.test(name))!;
  const run = await runWithFault(tracer, [name, careless], "sync", { call, what: "EIO" });
  return run === undefined ? "not hit" : (await verdictOn(run, "EIO")).join("\n");
}

test(
  "control: the faults of the kernel detect programs that leave a file, leak a descriptor or write a partial file (once on Node 24 and Bun)",
  { skip },
  async () => {
    using tracer = new Tracer();
    for (const [name, careless] of Object.entries(CARELESS)) {
      assert.match(await exposed(tracer, name, careless), careless.shows, name);
    }
  },
);
