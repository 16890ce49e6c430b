/**
 * Short calls made on the calling thread.
 *
 * On a local file system the trip to a thread pool costs ten times the call, and more of the event loop than the call
 * itself. So asynchronous functions make short calls directly, as long as these stay short, and as long as all of them
 * together leave the event loop its turns. Where one was not short (a network, a disk that is busy writing back), they
 * take the way through the pool for a while.
 *
 * @module
 */
import { runtime } from "./runtime/mod.ts";

/** Milliseconds that inline calls may take from one turn of the event loop. */
const BUDGET = 1;

/** Milliseconds spent in inline calls since the event loop last had a turn because of us. */
let spent = 0;

/** Milliseconds after which a call was not short, and for which the next ones are not trusted to be. */
const SLOW = 50;
const CAUTIOUS = 1000;

/** Until when calls go through the pool, by the steady clock; 0 if they do not. */
let slowUntil = 0;

/** The next turn, awaited by all calls that found the budget spent. */
let turn: Promise<void> | undefined;

function nextTurn(): Promise<void> {
  return turn ??= runtime.nextTurn().then(() => {
    spent = 0;
    turn = undefined;
  });
}

type Call = (...args: unknown[]) => unknown;

async function whenItsTurnComes(call: Call, args: unknown[]): Promise<unknown> {
  while (spent >= BUDGET) await nextTurn();
  return timed(call, args);
}

function timed(call: Call, args: unknown[]): unknown {
  const start = runtime.now();
  try {
    return call(args[0], args[1], args[2]);
  } finally {
    const end = runtime.now();
    spent += end - start;
    if (end - start > SLOW) slowUntil = end + CAUTIOUS;
  }
}

function isSlow(): boolean {
  if (slowUntil !== 0 && runtime.now() > slowUntil) slowUntil = 0;
  return slowUntil !== 0;
}

/** Makes of a synchronous call and its pooled twin one that runs inline while the turn has time for it. */
export function inline(call: Call, pooled: Call): Call {
  return (...args) => {
    if (isSlow()) return pooled(...args);
    return spent < BUDGET ? timed(call, args) : whenItsTurnComes(call, args);
  };
}
