/**
 * Short calls made inline on the calling thread, as long as they stay short.
 *
 * On a local file system the trip to the thread pool costs ten times the call, and more event-loop time than the call
 * itself: creating and removing a file takes 10 µs on the calling thread, and 100 to 300 µs through the pool, 40 of
 * them on the event loop. So asynchronous functions make short calls directly. Two limits bound the time that takes:
 *
 * - A guard per device measures its calls. A device that was slow (a network, a spinning disk, a throttled or frozen
 *   one) is served through the pool, and tried again later with one call. Each pause is 20 times as long as the call
 *   that caused it, and twice as long as the previous pause if the device is slow again soon. So trials take a
 *   twentieth of the event loop's time at first, and soon next to nothing.
 * - All calls in one turn of the event loop share a budget; calls beyond it wait for later turns, in order.
 *
 * A call may be long because another process had the CPU, so only a very long one is evidence on its own. Of the
 * others, two among few are: a process preempted every 3 ms makes hundreds of calls in between, whereas a slow device
 * is soon slow again.
 *
 * @module
 */
import { runtime } from "../runtime/mod.ts";
import { settings } from "../settings.ts";

/** Milliseconds per turn of the event loop available to inline calls. */
const BUDGET = 1;

/** Milliseconds from which a call is slow, and from which it is slow enough to close the guard on its own. */
const SLOW = 4;
const VERY_SLOW = 40;

/** Fast calls that make up for a slow one. */
const RECOVERY = 16;

/** The pause after a slow call as a multiple of its duration, and the longest pause in milliseconds. */
const FACTOR = 20;
const MAX_PAUSE = 60_000;

/** What is known about the speed of a device. */
export class Guard {
  /** Fast calls still needed to make up for a slow one. */
  #owed = 0;
  /** The end of the current pause on the monotonic clock; 0 if there is none. */
  #until = 0;
  #pause = 0;
  /** The end of the last pause. */
  #resumed = -Infinity;

  /** Whether the next call should go through the pool. Reads the clock only after a slow call. */
  get isClosed(): boolean {
    if (this.#until === 0) return false;
    const now = runtime.now();
    if (now < this.#until) return true;
    // The next call is the trial; a single slow call now closes the guard again.
    this.#until = 0;
    this.#resumed = now;
    this.#owed = RECOVERY;
    return false;
  }

  /** Records an inline call. */
  note(start: number, end: number): void {
    const took = end - start;
    if (took < SLOW) {
      if (this.#owed > 0) this.#owed--;
    } else if (took < VERY_SLOW && this.#owed === 0) {
      this.#owed = RECOVERY;
    } else {
      this.#close(took, end);
    }
  }

  #close(took: number, now: number): void {
    const again = now - this.#resumed < this.#pause ? 2 * this.#pause : 0;
    this.#pause = Math.min(MAX_PAUSE, Math.max(FACTOR * took, again));
    this.#until = now + this.#pause;
  }

  /** Copies what the guard that has measured the device so far says of the next call. */
  copyFrom(other: Guard): void {
    this.#owed = other.#owed;
    this.#until = other.#until;
  }
}

// deno-lint-ignore no-explicit-any -- calls of any primitive, which takes three arguments at most
type Call = (first: any, second?: any, third?: any) => unknown;

/** Combines a synchronous call and its pooled version into one that runs inline while guard and budget allow it. */
export function inline(guard: Guard, call: Call, pooled: Call): Call {
  return (first, second, third) => {
    if (guard.isClosed || settings.inline === false) return pooled(first, second, third);
    if (spent < BUDGET) return timed(guard, call, first, second, third);
    return new Promise((resolve, reject) => {
      queue.push(() => {
        try {
          resolve(guard.isClosed ? pooled(first, second, third) : timed(guard, call, first, second, third));
        } catch (error) {
          reject(error);
        }
      });
      schedule();
    });
  };
}

/** Milliseconds spent in inline calls since the event loop last got a turn from us. */
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

/** Calls that found the budget spent, in order of arrival. */
let queue: (() => void)[] = [];

let scheduled = false;

function schedule(): void {
  if (scheduled) return;
  scheduled = true;
  runtime.nextTurn().then(drain);
}

/**
 * Each turn starts with the call that has waited longest, so none starves. After each call, those already served may
 * continue while the budget lasts: otherwise they would rejoin the end of the queue for every call, three times per
 * file.
 */
async function drain(): Promise<void> {
  spent = 0;
  let served = 0;
  while (served < queue.length && spent < BUDGET) {
    queue[served++]();
    await undefined;
  }
  queue = queue.slice(served);
  scheduled = false;
  if (queue.length > 0) schedule();
}
