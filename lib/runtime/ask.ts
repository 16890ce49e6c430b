/**
 * Asking for what may not be to be had, or does not change.
 *
 * @module
 */

/** The answer, or undefined where it is not to be had. */
export function attempt<T>(ask: () => T): T | undefined {
  try {
    return ask();
  } catch {
    return undefined;
  }
}

/** What does not change is asked once. */
export function once<T>(ask: () => T): () => T {
  let answer: { value: T } | undefined;
  return () => (answer ??= { value: ask() }).value;
}
