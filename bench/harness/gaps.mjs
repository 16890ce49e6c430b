import { setImmediate } from "node:timers";

/** Returns the longest time in milliseconds that the event loop had no turn while `action` ran. */
export async function worstGap(action) {
  let last = performance.now(), worst = 0, goesOn = true;
  const tick = () => {
    const now = performance.now();
    worst = Math.max(worst, now - last);
    last = now;
    if (goesOn) setImmediate(tick);
  };
  setImmediate(tick);
  try {
    await action();
  } finally {
    goesOn = false;
  }
  // The turn in which the action ended counts as well.
  await new Promise((resolve) => setImmediate(resolve));
  return worst;
}
