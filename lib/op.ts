/**
 * One definition for a function and its `…Sync` twin.
 *
 * An operation is a generator that yields the answers of primitives: `const handle: Handle = yield io.open(…)`. Given the
 * synchronous face of the primitives, an answer is a value and a failure is thrown in the generator by the call itself.
 * Given the asynchronous face, an answer may be a promise, which the driver waits for. The operation cannot tell.
 *
 * @module
 */
import { fromCaller } from "./errors.ts";

/** An operation that ends with a `T`. What `yield` gives back cannot be typed: name its type where it lands. */
// deno-lint-ignore no-explicit-any
export type Op<T> = Generator<unknown, T, any>;

/** An operation that has ended: for what, as things stand, has nothing to do. Costs nothing, where a generator does. */
export const nothing: Op<void> = ended();

function* ended(): Op<void> {}

/** By its method, not its class: test runners load modules into realms of their own, each with its own `Promise`. */
export function isPromise<T>(value: T | Promise<T>): value is Promise<T> {
  return typeof value === "object" && value !== null && typeof (value as Promise<T>).then === "function";
}

/** Runs an operation over the synchronous face. `between` is called between its steps. */
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

/** Runs an operation as far as it goes without waiting: its result, or the promise of it. */
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

/** Runs an operation over the asynchronous face. */
export async function runAsync<T>(op: Op<T>): Promise<T> {
  const result = run(op);
  // Awaited, not returned: through that engines find the caller, for the stack of what fails later.
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
        // What the operation itself threw has ended it; throwing into it again only hands the same error back.
        step = op.throw(error);
      }
      if (step.done) return step.value;
      answer = step.value;
    }
  } catch (error) {
    throw fromCaller(error, waiting, true);
  }
}
