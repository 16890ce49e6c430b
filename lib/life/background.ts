/**
 * Reclaiming in the background, beside the program's own work.
 *
 * A look for leftovers begins when a lease is opened, at most once a minute. It runs in short slices with a total
 * budget; if it is not done by the end of the process, it gets a little time there. The module is loaded with the
 * library rather than when needed, since a test runner may have torn down its modules by then; a program that makes one
 * file and exits runs it only if there is something to look at.
 *
 * @module
 */
import { type Io, syncIo } from "../operation/io.ts";
import type { Op } from "../operation/op.ts";
import { coded, type Listing, runtime } from "../runtime/mod.ts";
import { settings } from "../settings.ts";
import { isAlone } from "./lease_directory.ts";
import { reclaim } from "./reclaim.ts";
import { atProcessEnd } from "./registry.ts";

/** Milliseconds of work in a slice. */
const SLICE = 1;

/** Milliseconds between slices: a tenth of one processor at most. */
const PAUSE = 10;

/** Milliseconds of work in all. */
const BUDGET = 2000;

/**
 * Milliseconds of work at the end of the process. There, code that runs for the first time takes ten for a few entries,
 * and many times that on a busy machine.
 */
const LAST_BUDGET = 200;

/** The same for what this process's own threads left, which no other process is responsible for. */
const OWN_BUDGET = 2000;

/** Milliseconds after which a process that still makes things looks again. */
const PERIOD = 60_000;

/** Whether a look was begun. A program that ends before had no time for threads that could leave anything. */
let started = false;

/** The work under way, undefined if there is none. */
let work: Op<unknown> | undefined;

/** The answer to the last step, which the next one receives whenever it runs. */
let answer: unknown;

let spent = 0;
let begun = -Infinity;

/** Whether the work under way is cancelled. */
let cancelled = false;

function checkpoint(): void {
  if (cancelled) throw coded("ECANCELED", "cancelled");
}

function prepare(ending: boolean): void {
  cancelled = false;
  // In the background it must not sleep.
  work = reclaim(cancellable(!ending), { dryRun: false, onRemoved() {}, checkpoint, ending });
}

type Call = (...args: unknown[]) => unknown;

/**
 * Returns primitives that fail once the work is cancelled, except those that close. The work then ends as after any
 * failure: in a moment, with nothing left open. If it were abandoned instead, a handle that it has opened but not yet
 * received could never be closed.
 */
function cancellable(noRetry: boolean): Io {
  const io = syncIo();
  const checked = (call: Call): Call => (...args) => (checkpoint(), call(...args));
  const list: Io["list"] = (path) => {
    const listing = io.list(path) as Listing;
    return { next: checked(() => listing.next()) as Listing["next"], close: () => listing.close() };
  };
  const calls = Object.entries({ ...io, list, noRetry }).map(([name, call]) => [
    name,
    typeof call === "function" && name !== "close" ? checked(call as Call) : call,
  ]);
  return Object.fromEntries(calls);
}

/**
 * Begins to look for what the dead left, unless that was done a moment ago. At once if there are other leases, so that
 * a short program has begun before it ends; otherwise soon, since a thread of this process may still leave one.
 */
export function startReclaiming(): void {
  atProcessEnd(finish);
  if (settings.reclaim === false || work !== undefined || runtime.now() - begun < PERIOD) return;
  begun = runtime.now();
  spent = 0;
  // Not in the call that makes the first entry, which must be short.
  Promise.resolve().then(schedule).catch(() => {});
}

function schedule(): void {
  if (isAlone()) runtime.later(0, start);
  else start();
}

function start(): void {
  started = true;
  prepare(false);
  runtime.later(0, runSlice);
}

function runSlice(): void {
  if (settings.reclaim === false || spent >= BUDGET) return cancel();
  if (!advance(SLICE)) runtime.later(PAUSE, runSlice);
}

/** Ends the work. */
function cancel(): void {
  cancelled = true;
  while (work !== undefined) step();
}

/** Continues for some time. Returns `true` if there is nothing left to do. */
function advance(milliseconds: number): boolean {
  const began = runtime.now();
  while (work !== undefined) {
    step();
    if (runtime.now() - began > milliseconds) break;
  }
  spent += runtime.now() - began;
  return work === undefined;
}

function step(): void {
  try {
    const { done, value } = work!.next(answer);
    if (done) work = undefined;
    answer = value;
  } catch {
    // This work has no caller, so its errors are dropped; sweep() reports them. The next step finds that it has ended.
  }
}

/**
 * Does at the end of the process what a short program had no time for: a part of the look under way, then the removal of
 * what its own threads left.
 */
function finish(): void {
  if (settings.reclaim === false) return cancel();
  advance(LAST_BUDGET);
  cancel();
  if (!started) return;
  prepare(true);
  advance(OWN_BUDGET);
}
