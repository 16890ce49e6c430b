/**
 * Processes that create, hand over and keep, while others look for leftovers: in many orders, and with a death in each
 * call.
 *
 * @module
 */
import assert from "node:assert/strict";
import process from "node:process";
import { setImmediate as turn } from "node:timers/promises";
import { packageTest as test } from "../support/once.ts";
import { everyOther, seed } from "./campaign.ts";
import { PROGRAMS } from "./programs.ts";
import { hastyLook } from "./hasty.ts";
import { agedLook, type Look, ownLook, type Plan, type Program, Stage } from "./stage.ts";

/** The number of plans to try at random for each program. */
const PLANS = Number(process.env.MAYFLY_PLANS ?? 50);

/** Steps after which a look waits while the program goes on from one action to another: reading a lease takes four. */
const STEPS = Array.from({ length: 16 }, (_, index) => 1 + 4 * index);

/** A generator of numbers below a limit, always the same. */
function numbers(seed: number): (limit: number) => number {
  return (limit) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor(seed / 2 ** 32 * limit);
  };
}

/**
 * Plans for a program: a whole look before each call, a death in each call, a look that waits during some of the actions,
 * then two looks in parts at random, half of them between two actions. Is told of each performance before the next plan.
 */
function* plansFor({ calls, starts }: Stage): Generator<Plan, void, Stage> {
  for (let call = 1; call <= calls.length; call++) {
    yield { looks: [{ call, steps: Infinity, of: 0 }] };
    yield { kill: call, looks: [] };
  }
  for (const first of new Set(starts)) yield* waitingPlans(first, starts);
  const below = numbers(1);
  const anyCall = (): number => below(2) ? 1 + below(calls.length) : starts[below(starts.length)];
  // From a few steps to more than a look has here.
  const some = (): number => below(1 << below(8));
  for (let count = 0; count < PLANS; count++) {
    const [first, between, last] = [anyCall(), anyCall(), anyCall()].sort((one, other) => one - other);
    const looks = [
      { call: first, steps: some(), of: 0 },
      ...count % 2 ? [{ call: between, steps: some(), of: 1 }] : [],
      { call: last, steps: Infinity, of: 0 },
    ];
    yield count % 3 === 0 ? { looks } : { kill: 1 + below(last), looks };
  }
}

/** Plans with a look that begins before an action and waits until a later one, as long as it has steps left to wait with. */
function* waitingPlans(first: number, starts: number[]): Generator<Plan, void, Stage> {
  for (const steps of STEPS) {
    for (const last of new Set(starts.filter((call) => call > first))) {
      const { waited } = yield {
        looks: [{ call: first, steps, of: 0 }, { call: last, steps: Infinity, of: 0 }],
      };
      if (!waited) return;
    }
  }
}

/** Returns what was wrong, and with which plan. */
async function tryAll(program: Program, look: Look): Promise<string[]> {
  const plain = new Stage({ looks: [] }, look);
  const wrong = plain.perform(program);
  assert.ok(plain.calls.length > 10);
  const plans = plansFor(plain);
  for (let next = plans.next(plain); !next.done;) {
    const stage = new Stage(next.value, look), found = stage.perform(program);
    wrong.push(...found.map((text) => `${JSON.stringify(next.value)}: ${text}`));
    next = plans.next(stage);
    // In one turn of the event loop, the collector keeps whatever a WeakRef was made of: the whole machine.
    await turn();
  }
  return wrong;
}

test(
  "C254 C259 C270: what is held, kept, handed over, adopted, removed and put in place stays with whom it belongs to while others look for leftovers (every other program; all with npm run faults)",
  { inAll: true },
  async () => {
    const programs = everyOther(Object.entries(PROGRAMS));
    assert.ok(programs.length >= 12);
    console.log(`${programs.length} programs; MAYFLY_SEED=${seed}`);
    for (const [name, program] of programs) {
      assert.deepEqual(await tryAll(program, ownLook), [], `${name}; MAYFLY_SEED=${seed}`);
    }
  },
);

test(
  "C259 C265: a directory is handed over, and held, while others sweep by age",
  { inAll: true },
  async () => {
    const name = "a directory is handed to a process with another temporary directory, and held";
    assert.deepEqual(await tryAll(PROGRAMS[name], agedLook), []);
  },
);

test(
  "control: a look that reads the leases once removes what others hold, and what is kept",
  { inAll: true },
  async () => {
    const found = async (name: string): Promise<string> =>
      (await tryAll(PROGRAMS[name], hastyLook)).join("\n");
    assert.match(
      await found("a file is handed to a process with another temporary directory, and held"),
      /held: \/tmp/,
    );
    assert.match(await found("a file is handed over, and kept"), /kept: \/tmp/);
  },
);
