/**
 * One definition for a function and its `…Sync` twin.
 *
 * An operation is a generator that yields the results of primitives: `const handle: Handle = yield io.open(…)`. With
 * the synchronous variant of the primitives, a result is a value, and a failure is thrown by the call itself inside the
 * generator. With the asynchronous variant, a result may be a promise, which the driver awaits. The operation cannot
 * tell the difference.
 *
 * @module
 */
import { fromCaller } from "../errors.ts";

/** An operation that returns a `T`. The result of `yield` cannot be typed: annotate the variable that receives it. */
// deno-lint-ignore no-explicit-any
export type Op<T> = Generator<unknown, T, any>;

/** A finished operation, for when there is nothing to do. Unlike a new generator it costs nothing. */
export const nothing: Op<void> = ended();

function* ended(): Op<void> {}

/** Checks the method, not the class: test runners load modules into separate realms, each with its own `Promise`. */
export function isPromise<T>(value: T | Promise<T>): value is Promise<T> {
  return typeof value === "object" && value !== null && typeof (value as Promise<T>).then === "function";
}

/** Runs an operation over the synchronous variant, calling `between` between its steps. */
export function runSync<T>(op: Op<T>, between?: () => void): T {
  try {
    let step = op.next();
    while (!step.done) {
      between?.();
      step = op.next(step.value);
    }
    return step.value;
  } catch (error) {
    throw fromCaller(error, runSync);
  }
}

/** Runs an operation as far as possible without waiting: returns its result, or a promise of it. */
export function run<T>(op: Op<T>): T | Promise<T> {
  try {
    let step = op.next();
    while (!step.done) {
      if (isPromise(step.value)) return waiting(op, step.value);
      step = op.next(step.value);
    }
    return step.value;
  } catch (error) {
    throw fromCaller(error, run);
  }
}

/** Runs an operation over the asynchronous variant. */
export async function runAsync<T>(op: Op<T>): Promise<T> {
  const result = run(op);
  // Awaited rather than returned, so that engines include the caller in the stacks of later failures.
  return isPromise(result) ? await result : result;
}

async function waiting<T>(op: Op<T>, first: Promise<unknown>): Promise<T> {
  let answer: unknown = first;
  try {
    for (;;) {
      let step: IteratorResult<unknown, T>;
      try {
        if (isPromise(answer)) answer = await answer;
        step = op.next(answer);
      } catch (error) {
        // If the operation itself threw, it has ended, and throwing into it again returns the same error.
        step = op.throw(error);
      }
      if (step.done) return step.value;
      answer = step.value;
    }
  } catch (error) {
    throw fromCaller(error, waiting, true);
  }
}
