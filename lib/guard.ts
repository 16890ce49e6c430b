/**
 * Short calls made on the calling thread, as long as they stay short.
 *
 * On a local file system the trip to a thread pool costs ten times the call, and more of the event loop than the call
 * itself: creating and removing a file takes 10 µs on the calling thread, 100 to 300 µs through the pool, of which the
 * loop spends 40. So asynchronous functions make short calls directly. Two things bound what that may take:
 *
 * - A guard for each device measures its calls. A device that was slow (a network, a spinning disk, one that is throttled
 *   or frozen) is served through the pool, and tried again later with one call. Each pause is 20 times as long as the
 *   call that led to it, and twice as long as the one before if the device is slow again soon: so trials take a twentieth
 *   of the loop's time at first, and soon next to nothing.
 * - All calls of a turn of the event loop together have a budget; what comes later waits for its turn, in order.
 *
 * A call can be long because another process had the processor, so only one that is very long is evidence by itself. Of
 * the others it takes two among few: a process that is interrupted every 3 ms makes hundreds of calls in between, a
 * device that is slow is slow again.
 *
 * @module
 */
import { runtime } from "./runtime/mod.ts";
import { settings } from "./settings.ts";

/** Milliseconds that inline calls may take from one turn of the event loop. */
const BUDGET = 1;

/** Milliseconds from which a call is slow, and from which it is so slow that nothing more needs to be known. */
const SLOW = 4;
const VERY_SLOW = 40;

/** Quick calls that make up for a slow one. */
const REDEMPTION = 16;

/** The pause after a slow call, as a multiple of what that took, and the longest one in milliseconds. */
const PAUSE = 20;
const LONGEST_PAUSE = 60_000;

/** What a device has shown of itself. */
export class Guard {
  /** Quick calls still needed to make up for a slow one. */
  #owed = 0;
  /** Until when it is left alone, by the steady clock; 0 if it is not. */
  #until = 0;
  #pause = 0;
  /** When the last pause ended. */
  #resumed = -Infinity;

  /** Whether the next call is better made through the pool. Looks at the clock only if there was a slow call. */
  get isClosed(): boolean {
    if (this.#until === 0) return false;
    const now = runtime.now();
    if (now < this.#until) return true;
    // The next call is the trial. One slow call is enough now.
    this.#until = 0;
    this.#resumed = now;
    this.#owed = REDEMPTION;
    return false;
  }

  /** Takes note of a call that began and ended inline. */
  note(start: number, end: number): void {
    const took = end - start;
    if (took < SLOW) {
      if (this.#owed > 0) this.#owed--;
    } else if (took < VERY_SLOW && this.#owed === 0) {
      this.#owed = REDEMPTION;
    } else {
      this.#close(took, end);
    }
  }

  #close(took: number, now: number): void {
    const again = now - this.#resumed < this.#pause ? 2 * this.#pause : 0;
    this.#pause = Math.min(LONGEST_PAUSE, Math.max(PAUSE * took, again));
    this.#until = now + this.#pause;
  }

  /** Takes over what another guard, which had its calls until now, knows of the device. */
  learnFrom(other: Guard): void {
    this.#owed = other.#owed;
    this.#until = other.#until;
    this.#pause = other.#pause;
    this.#resumed = other.#resumed;
  }
}

// deno-lint-ignore no-explicit-any -- calls of any primitive, which takes three arguments at most
type Call = (first: any, second?: any, third?: any) => unknown;

/** Makes of a synchronous call and its pooled twin one that runs inline while guard and budget allow it. */
export function inline(guard: Guard, call: Call, pooled: Call): Call {
  return (first, second, third) => {
    if (guard.isClosed || settings.inline === false) return pooled(first, second, third);
    if (spent < BUDGET) return timed(guard, call, first, second, third);
    return new Promise((resolve, reject) => {
      waiting.push(() => {
        try {
          resolve(guard.isClosed ? pooled(first, second, third) : timed(guard, call, first, second, third));
        } catch (error) {
          reject(error);
        }
      });
      askForTurn();
    });
  };
}

/** Milliseconds spent in inline calls since the event loop last had a turn because of us. */
let spent = 0;

function timed(guard: Guard, call: Call, first: unknown, second: unknown, third: unknown): unknown {
  const start = runtime.now();
  try {
    return call(first, second, third);
  } finally {
    const end = runtime.now();
    spent += end - start;
    guard.note(start, end);
  }
}

/** The calls that found the budget spent, in the order they came. */
let waiting: (() => void)[] = [];

let asked = false;

function askForTurn(): void {
  if (asked) return;
  asked = true;
  runtime.nextTurn().then(serve);
}

/**
 * Each turn begins with the one that has waited longest, so nobody waits for ever. After each, those that were served go on
 * while the budget lasts: else they would come back to the end of the queue with every call, three times for a file.
 */
async function serve(): Promise<void> {
  spent = 0;
  let served = 0;
  while (served < waiting.length && spent < BUDGET) {
    waiting[served++]();
    await undefined;
  }
  waiting = waiting.slice(served);
  asked = false;
  if (waiting.length > 0) askForTurn();
}
