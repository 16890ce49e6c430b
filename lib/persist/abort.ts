/**
 * Giving up the wait for something that may never come.
 *
 * @module
 */

/**
 * Settles like the promise, unless an abort comes first: then it rejects with the reason.
 *
 * @param next Handles the value at once, before calls made from now on that wait for the same promise.
 */
export function abortable<T, R = T>(
  promise: Promise<T>,
  signal: AbortSignal | undefined,
  next = (value: T): R | Promise<R> => value as unknown as R,
): Promise<R> {
  if (signal === undefined) return promise.then(next);
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason);
    signal.addEventListener("abort", abort);
    promise.then((value) => signal.aborted || resolve(next(value)))
      .catch(reject).finally(() => signal.removeEventListener("abort", abort));
    if (signal.aborted) abort();
  });
}
