/**
 * Helpers for answers that may be unavailable, or that never change.
 *
 * @module
 */

/** Returns the answer, or undefined if asking throws. */
export function attempt<T>(ask: () => T): T | undefined {
  try {
    return ask();
  } catch {
    return undefined;
  }
}

/** Returns a function that loads something at its first call. A failure is not remembered: the next call tries again. */
export function lazily<T>(load: () => Promise<T>): () => Promise<T> {
  let loaded: Promise<T> | undefined;
  return () =>
    loaded ??= load().catch((error) => {
      loaded = undefined;
      throw error;
    });
}

/** Returns a function that asks at its first call and remembers the answer. */
export function once<T>(ask: () => T): () => T {
  let answer: { value: T } | undefined;
  return () => (answer ??= { value: ask() }).value;
}
