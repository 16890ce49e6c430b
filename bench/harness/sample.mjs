/** Runs in the measured runtime: the contenders, one sample at a time. */

/** Takes one sample of a contender: microseconds per iteration (`time`), and its own metrics. */
export async function sample(contender, count) {
  const prepared = await contender.prepare?.(count);
  const start = performance.now();
  const told = await contender.run(count, prepared);
  const time = (performance.now() - start) * 1000 / count;
  await contender.after?.(prepared);
  return { time, ...told };
}

/** Samples of a contender before the first that counts: the compiler needs them. */
export const WARM_UP = 5;

/**
 * Warms a contender up, and returns how many iterations make a sample of that many milliseconds, unless the number is
 * `fixed`. Uses the fastest sample, since the first one loads and compiles.
 */
export async function calibrate(contender, milliseconds, fixed) {
  let count = fixed ?? 1, least = Infinity;
  for (let spent = 0; spent < WARM_UP * milliseconds;) {
    const { time } = await sample(contender, count);
    spent += time * count / 1000;
    least = Math.min(least, time);
    count = fixed ?? Math.min(count * 8, Math.max(1, Math.round(milliseconds * 1000 / least)));
  }
  return count;
}

/** The `run` of a contender for a call that blocks. */
export const blocking = (call) => (count) => {
  for (let i = 0; i < count; i++) call();
};

/** The `run` of a contender for a call that is awaited, one after the other. */
export const awaited = (call) => async (count) => {
  for (let i = 0; i < count; i++) await call();
};
