/**
 * One definition over calls that a runtime has twice: as `…Sync`, which blocks, and without that, which does not.
 *
 * @module
 */

/** What follows from an answer, or from the promise of one: told by its method, since the class may have been replaced. */
export const follow = <A, B>(answer: A, next: (answer: A) => B): B => {
  const promise = answer as { then?(next: (answer: A) => B): B } | null | undefined;
  return typeof promise?.then === "function" ? promise.then(next) : next(answer);
};

/**
 * Stands in for calls that block: has the same names, and answers with the promises of their twins.
 *
 * @param twin Calls one by its name.
 */
export const twins = <C extends object>(twin: (name: string, args: unknown[]) => unknown): C =>
  // Not around the calls themselves: of what is frozen, a proxy can give nothing else.
  new Proxy({} as C, {
    get: (_, name: string) => (...args: unknown[]) => twin(name.slice(0, -"Sync".length), args),
  });
