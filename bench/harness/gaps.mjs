import { setImmediate } from "node:timers";

/** For how long the event loop had no turn, at worst, while `action` ran: milliseconds. */
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
  // The turn that the end of the action was in counts as well.
  await new Promise((resolve) => setImmediate(resolve));
  return worst;
}
