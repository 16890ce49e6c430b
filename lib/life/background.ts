/**
 * Reclaiming beside the program's own work. It is loaded with the library, not when its time has come: that may be after
 * a test runner has taken the modules away. But a program that makes one file and ends runs it only if there is something
 * to look at.
 *
 * @module
 */
import { type Io, syncIo } from "../io.ts";
import type { Op } from "../op.ts";
import { coded, type Listing, runtime } from "../runtime/mod.ts";
import { settings } from "../settings.ts";
import { isAlone } from "./lease_directory.ts";
import { reclaim } from "./reclaim.ts";
import { atProcessEnd } from "./registry.ts";

/** Milliseconds of work at a time. */
const SLICE = 1;

/** Milliseconds between slices: a tenth of one processor at most. */
const PAUSE = 10;

/** Milliseconds of work in all. */
const BUDGET = 2000;

/**
 * Milliseconds of work at the end of the process, where code that runs for the first time takes ten for a few entries, and
 * on a busy machine many times that.
 */
const LAST_BUDGET = 200;

/** The same for what this process's own threads left, which is nobody else's to remove. */
const OWN_BUDGET = 2000;

/** Milliseconds after which a process that still makes things looks again. */
const AGAIN = 60_000;

/** Whether a look was begun: a program that ends before had no time for threads that could leave anything. */
let looked = false;

/** The work under way, undefined if there is none. */
let work: Op<unknown> | undefined;

/** What the last step of the work asked for, which the next one gets, whenever that comes. */
let answer: unknown;

let spent = 0;
let begun = -Infinity;

/** Whether the work under way is given up. */
let givenUp = false;

function requireWanted(): void {
  if (givenUp) throw coded("ECANCELED", "given up");
}

function start(ending: boolean): void {
  givenUp = false;
  const looking = { dryRun: false, onRemoved() {}, checkpoint: requireWanted, ending };
  // Beside the program's own work it must not sleep.
  work = reclaim(untilGivenUp(!ending), looking);
}

type Call = (...args: unknown[]) => unknown;

/**
 * The primitives as long as the work is wanted. After that all fail but those that close, so that it ends as it does
 * whenever something fails: in a moment, with nothing left open. What an operation has just opened, and was not yet told of,
 * nobody else could close.
 */
function untilGivenUp(hurried: boolean): Io {
  const io = syncIo();
  const wanted = (call: Call): Call => (...args) => (requireWanted(), call(...args));
  const list: Io["list"] = (path) => {
    const listing = io.list(path) as Listing;
    return { next: wanted(() => listing.next()) as Listing["next"], close: () => listing.close() };
  };
  const calls = Object.entries({ ...io, list, hurried }).map(([name, call]) => [
    name,
    typeof call === "function" && name !== "close" ? wanted(call as Call) : call,
  ]);
  return Object.fromEntries(calls);
}

/**
 * Begins to look for what the dead left, unless that was done a moment ago. At once where there are leases of others, so
 * that a program that is short has begun by its end; else soon, since a thread of this process may yet leave one.
 */
export function startReclaiming(): void {
  atProcessEnd(finish);
  if (settings.reclaim === false || work !== undefined || runtime.now() - begun < AGAIN) return;
  begun = runtime.now();
  spent = 0;
  // Not in the call that makes the first thing, which is to be short.
  Promise.resolve().then(look).catch(() => {});
}

function look(): void {
  if (isAlone()) runtime.later(0, begin);
  else begin();
}

function begin(): void {
  looked = true;
  start(false);
  runtime.later(0, continueLater);
}

function continueLater(): void {
  if (settings.reclaim === false) return giveUp();
  if (advance(SLICE)) return;
  if (spent < BUDGET) runtime.later(PAUSE, continueLater);
  else giveUp();
}

/** Ends the work. */
function giveUp(): void {
  givenUp = true;
  while (work !== undefined) step(work);
}

/** Goes on for some time. `true` if there is nothing left to do. */
function advance(milliseconds: number): boolean {
  const start = runtime.now();
  while (work !== undefined) {
    step(work);
    if (runtime.now() - start > milliseconds) break;
  }
  spent += runtime.now() - start;
  return work === undefined;
}

function step(op: Op<unknown>): void {
  try {
    const { done, value } = op.next(answer);
    if (done) work = undefined;
    answer = value;
  } catch {
    // Nobody asked for this work, so nobody is told; sweep() reports.
    work = undefined;
  }
}

/** Short programs end before there was time: they do a little at their end. */
function finish(): void {
  if (settings.reclaim === false) return giveUp();
  advance(LAST_BUDGET);
  giveUp();
  if (!looked) return;
  start(true);
  advance(OWN_BUDGET);
}
