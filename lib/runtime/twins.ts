/**
 * One definition for calls that a runtime has twice: `…Sync`, which blocks, and the asynchronous one without that suffix.
 *
 * @module
 */

/**
 * Applies `next` to an answer, or to what its promise resolves to. A promise is recognised by its method, since the class
 * may have been replaced.
 */
export const andThen = <A, B>(answer: A, next: (answer: A) => B): B => {
  const promise = answer as { then?(next: (answer: A) => B): B } | null | undefined;
  return typeof promise?.then === "function" ? promise.then(next) : next(answer);
};

/**
 * Stands in for blocking calls: has the same names, and returns the promises of their twins.
 *
 * @param twin Calls a twin by its name.
 */
export const twins = <C extends object>(twin: (name: string, args: unknown[]) => unknown): C =>
  // Not around the calls themselves: a proxy of a frozen object may return nothing but that object's own values.
  new Proxy({} as C, {
    get: (_, name: string) => (...args: unknown[]) => twin(name.slice(0, -"Sync".length), args),
  });
